"""The study's own experiments: plans as data, one resumable table, one report.

Each is a command of this checkout (`python -m studies.ablations --help`); none is in the wheel.
`table` runs what a csv does not hold yet, `intervals` says how sure a figure is over seeds and
faces, `report` writes pages and figures from a table alone.
"""

import atexit
import sys
from contextlib import ExitStack

from builder_tools.cli.quiet import without_chatter

if sys.argv[:1] == ["-m"]:  # as long as Python looks for the module of `python -m studies.NAME`
    _quiet = ExitStack()
    _quiet.enter_context(without_chatter())  # what the imports of Keras write, too
    atexit.register(_quiet.close)
