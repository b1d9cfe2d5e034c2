"""The verb `data`: list, fetch, verify and rewrite data sets."""

from __future__ import annotations

import argparse
from pathlib import Path

from builder_tools.cli.reading import add_reading_options, reading_options
from builder_tools.cli.verb import Verb, need_extra, positive, print_escaped, seed
from builder_tools.datasets import DATASETS
from builder_tools.datasets.fetch import FETCHED


def _add_options(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="known data sets: location, licence, how to get them")
    fetch = actions.add_parser("fetch", help="fetch and verify a data set")
    fetch.add_argument("name", choices=list(FETCHED))
    fetch.add_argument(
        "--to", type=Path, metavar="DIR", help="folder to write to (default: its place in the data)"
    )
    verify = actions.add_parser(
        "verify", help="load a data set and count images by class and split"
    )
    verify.add_argument(
        "name", nargs="?", choices=list(DATASETS), help="data set (default: all that are present)"
    )
    verify.add_argument("--source", type=Path, help="zip, folder or table (see data/README.md)")
    add_reading_options(verify)
    folders = actions.add_parser("folders", help="write a data set as class folders")
    folders.add_argument("name", choices=list(DATASETS))
    folders.add_argument("--source", type=Path, help="zip, folder or table (see data/README.md)")
    folders.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="new folder to write"
    )
    folders.add_argument(
        "--per-class", type=positive, help="at most this many images per class and split"
    )
    add_reading_options(folders)
    folders.add_argument(
        "--seed", type=seed, default=0, help="seed for choosing --per-class images"
    )


def _run(options: argparse.Namespace) -> int | None:
    need_extra("study", "pandas", "scipy")
    actions = {"list": _list, "fetch": _fetch, "verify": _verify, "folders": _folders}
    return actions[options.action](options)


def _list(options: argparse.Namespace) -> None:
    from builder_tools.datasets.ferplus import data_folder
    from builder_tools.datasets.fetch import KNOWN_DATA, find_data

    print(f"looked in {data_folder()} (BUILDER_TOOLS_DATA names another folder)")
    for name, known in KNOWN_DATA.items():
        place = find_data(known)
        looked = " or ".join(" with ".join(files) for files in known.places)
        state = f"present: {place}" if place else f"missing: no {looked}" if looked else "any place"
        print(f"\n{name}: {known.about}\n  {state}\n  licence: {known.licence}")
        if place is None:
            command = f"builder-tools data fetch {name}. Or: " if known.fetch else ""
            print(f"  to get it: {command}{known.to_get}")


def _fetch(options: argparse.Namespace) -> None:
    from builder_tools.datasets.fetch import fetch_data

    print(fetch_data(options.name, options.to))


def _verify(options: argparse.Namespace) -> int:
    from builder_tools.datasets.fetch import KNOWN_DATA, find_data

    if options.source is not None and options.name is None:
        raise ValueError(f"Expected a name of {list(DATASETS)} with --source. None was given.")
    found = {name: find_data(KNOWN_DATA[name]) for name in DATASETS}
    names = [options.name] if options.name else [name for name in DATASETS if found[name]]
    if not names:
        raise FileNotFoundError("No data set is at its usual place. See: builder-tools data list")
    failed = 0
    for name in names:
        try:
            source = _source(name, options.source, found[name])
            failed += _print_counts(name, source, reading_options(options))
        except (OSError, ValueError) as error:
            if options.name:
                raise
            print_escaped(f"failed: {name}: {error}")
            failed += 1
    return 1 if failed else 0


def _source(name: str, given: Path | None, found: Path | None) -> Path | None:
    """Return the source to pass to the loader: FER+ finds its own, class folders are named."""
    if given is not None or found is None or name == "ferplus":
        return given
    return found.parent


def _print_counts(name: str, source: Path | None, reading: dict) -> bool:
    """Print the images per class and split; return whether any of them cannot be read."""
    import pandas as pd

    from builder_tools.datasets import DATASETS as LOADERS
    from builder_tools.datasets.ferplus import load_ferplus, nine_class_table
    from builder_tools.datasets.fetch import describe_ferplus

    if name == "ferplus" and not reading:
        faces = load_ferplus(source)
        table, remark = nine_class_table(faces), f"; {describe_ferplus(faces)}"
    else:
        table, remark = LOADERS[name](source, **reading), ""
    splits = [split for split in ("train", "valid", "test") if split in set(table.table["split"])]
    counts = pd.crosstab(table.table["emotion"], table.table["split"])
    counts = counts.reindex(list(table.emotions), fill_value=0)[splits]
    counts.loc["all"] = counts.sum()
    print(f"{name}: {len(table)} images{remark}\n{counts.rename_axis(None).to_string()}")
    return _say_unreadable(table.readable()[1])


def _say_unreadable(wrong: dict[str, str]) -> bool:
    for words in wrong.values():
        print_escaped(f"unreadable: {words}")
    return bool(wrong)


def _folders(options: argparse.Namespace) -> int:
    from builder_tools.datasets import DATASETS as LOADERS
    from builder_tools.datasets.class_folders import write_class_folders
    from builder_tools.datasets.fetch import KNOWN_DATA, find_data
    from builder_tools.datasets.new_folder import check_folder_outside, check_new_folder

    check_new_folder(options.out)
    source = _source(options.name, options.source, find_data(KNOWN_DATA[options.name]))
    if source is not None:
        check_folder_outside(options.out, source)
    table, wrong = LOADERS[options.name](source, **reading_options(options)).readable()
    print(write_class_folders(table, options.out, per_class=options.per_class, seed=options.seed))
    return int(_say_unreadable(wrong))


VERBS: dict[str, Verb] = {
    "data": Verb(
        "list, fetch and verify data sets; write them as class folders",
        (
            "builder-tools data list",
            "builder-tools data fetch ferplus-labels",
            "builder-tools data fetch competition --to competition/",
            "builder-tools data verify ferplus",
            "builder-tools data folders ferplus --out faces/ --per-class 100",
            "builder-tools data folders folders --source raw/ --shares 80/20 --out split/",
            "builder-tools data verify folders --source labels.csv --columns emotion=mood",
        ),
        _add_options,
        _run,
        extra="study",
        also={"kaggle": "fetch competition"},
    )
}
