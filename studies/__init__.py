"""The experiments of the study: plans as data, one resumable table, one report.

Each is a command of this checkout (`python -m studies.ablations --help`); none is in the wheel.
`table` makes the rows that a csv does not hold yet, `intervals` gives the uncertainty of a figure
over seeds and faces, `report` writes pages and figures from a table alone.
"""

import atexit
import sys
from contextlib import ExitStack

from builder_tools.cli.quiet import without_chatter

if sys.argv[:1] == ["-m"]:  # while Python looks for the module of `python -m studies.NAME`
    _quiet = ExitStack()
    _quiet.enter_context(without_chatter())  # also silences the imports of Keras
    atexit.register(_quiet.close)
