"""Cameras watched all day: visits into a database, reports out of it.

One process reads all cameras, detects and classifies their faces together, and writes a row a
visit: no image and no embedding is kept. Needs `pip install 'builder-tools[watch]'`.
"""
