"""Comparison of the valence-arousal labellers: `python -m studies.labellers`."""
