"""Watches cameras all day, stores visits in a database and reports on them.

One process reads all cameras, detects and classifies their faces together, and writes a row per
visit: no image and no embedding is kept. Needs `pip install 'builder-tools[watch]'`.
"""
