"""The verb `doctor`, which reports what works on this machine."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from builder_tools.cli.verb import Verb

MARKS = {"ok": "ok    ", "absent": "-     ", "broken": "BROKEN"}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON line per finding")


def _run(options: argparse.Namespace) -> int:
    """Print each finding; return 1 if something required is broken."""
    from builder_tools.doctor import BROKEN, examine

    broken = False
    for found in examine():
        broken |= found.state == BROKEN
        if options.json:
            print(json.dumps(asdict(found)), flush=True)
        else:
            advice = f" (try: {found.advice})" if found.advice else ""
            print(f"{MARKS[found.state]}  {found.check:<9} {found.what}{advice}", flush=True)
    return 1 if broken else 0


VERBS = {
    "doctor": Verb(
        "check what works on this machine: versions, extras, files, camera, screen, speed",
        ("builder-tools doctor", "builder-tools doctor --json"),
        _options,
        _run,
    ),
}
