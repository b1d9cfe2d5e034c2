"""Data sets read into one table: images as an array, labels and votes as columns."""
