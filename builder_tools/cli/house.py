"""Verbs that list what is there: weight files and models."""

from __future__ import annotations

import argparse
import json
import sys

from builder_tools.cli.verb import Verb
from builder_tools.tasks import TASKS


def _assets_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", help="files to fetch")
    parser.add_argument(
        "--fetch", action="store_true", help="fetch missing files that the base install needs"
    )


def _run_assets(options: argparse.Namespace) -> int:
    from builder_tools.assets import ASSETS, asset_path, list_assets

    unknown = sorted(set(options.names) - set(ASSETS))
    if unknown:
        raise ValueError(f"Expected names of {sorted(ASSETS)}. Received: {unknown}.")
    failed = 0
    needed = [asset.name for asset in ASSETS.values() if not asset.extra]
    for name in options.names or (needed if options.fetch else ()):
        try:
            asset_path(name)
        except FileNotFoundError as error:
            print(error, file=sys.stderr)
            failed += 1
    for status in list_assets():
        place = status.path or "absent (fetched when needed, or by name)"
        print(f"{status.asset.name}\t{status.asset.licence}\t{place}")
    return 1 if failed else 0


def _models_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="show this model's whole card")
    parser.add_argument("--json", action="store_true", help="print cards as JSON")


def _run_models(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from builder_tools.card_text import card_markdown
    from builder_tools.cards import DEFAULT_MODEL, ModelCard, find_model, list_models

    cards = list_models()
    if options.name:
        named = {card.name: card for card in cards}
        card = named.get(options.name) or ModelCard.read(find_model(options.name))
        print(json.dumps(asdict(card), indent=2) if options.json else card_markdown(card))
        return
    if options.json:
        print(json.dumps([asdict(card) for card in cards], indent=2))
        return
    for card in cards:
        mark = " (default)" if card.name == DEFAULT_MODEL else ""
        gives = f"\ttask {card.task}" if TASKS[card.task].affect else ""
        print(f"{card.name}{mark}\t{card.input_size} px\t{' '.join(card.emotions)}{gives}")
        for protocol, found in card.metrics.get("test", {}).items():
            shares = (found.get(name) for name in ("accuracy", "macro_f1"))
            accuracy, macro_f1 = ("-" if share is None else share for share in shares)
            print(f"\t{protocol}: accuracy {accuracy}, macro-F1 {macro_f1}")


VERBS = {
    "assets": Verb(
        "list the third-party weight files, their licences and locations",
        (
            "builder-tools assets",
            "builder-tools assets --fetch",
            "builder-tools assets shape_predictor_5_face_landmarks.dat",
        ),
        _assets_options,
        _run_assets,
    ),
    "models": Verb(
        "list the models that can be used by name",
        ("builder-tools models", "builder-tools models fast"),
        _models_options,
        _run_models,
    ),
}
