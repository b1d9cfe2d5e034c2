"""The study's own experiments: plans as data, one resumable table, one report.

Each is a command of this checkout (`python -m studies.ablations --help`); none is in the wheel.
`table` runs what a csv does not hold yet, `intervals` says how sure a figure is over seeds and
faces, `report` writes pages and figures from a table alone.
"""
