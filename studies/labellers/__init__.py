"""Labellers of valence and arousal compared: `python -m studies.labellers`."""
