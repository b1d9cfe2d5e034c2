"""Whole archives: thousands of videos and images into one Parquet data set, once a file.

Every file becomes one part of the data set (images some dozens together), written whole under a
name made of what the file is and how it is looked at. So a part that is there is done, whoever
killed the run, and a file that was replaced since gets a new part. Rows are those of
`video --timeline`.
"""

from builder_tools.archive.run import ArchiveReport, archive
from builder_tools.archive.work import Settings

__all__ = ["ArchiveReport", "Settings", "archive"]
