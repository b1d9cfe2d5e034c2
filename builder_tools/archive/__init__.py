"""Whole archives: thousands of videos and images in one Parquet data set, each file only once.

Every video becomes one part of the data set, as do a few dozen images together. A part is written
atomically under a name that depends on the files and the settings. So an existing part is complete
even if the run was killed, and a file that has been replaced gets a new part. Rows are those of
`video --timeline`.
"""

from builder_tools.archive.run import ArchiveReport, archive
from builder_tools.archive.work import Settings

__all__ = ["ArchiveReport", "Settings", "archive"]
