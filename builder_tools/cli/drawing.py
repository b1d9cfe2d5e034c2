"""Options of the verbs that draw: what to draw beside faces, and whether to hide the faces."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from builder_tools.detectors import DEFAULT_MIN_SCORES
from builder_tools.languages import LANGUAGES

if TYPE_CHECKING:
    from builder_tools.drawing import DrawBox


def add_drawing_options(parser: argparse.ArgumentParser) -> None:
    """Add --bars, --dial, --blur-faces and --language."""
    parser.add_argument(
        "--bars",
        action="store_true",
        help="draw every emotion's probability for all faces; only the three most probable, or "
        "none, where there is no room",
    )
    parser.add_argument(
        "--dial",
        action="store_true",
        help="draw where each face lies between unpleasant and pleasant, calm and excited",
    )
    parser.add_argument(
        "--blur-faces",
        action="store_true",
        help="make every face that is found unrecognisable in everything drawn; a face that is "
        "not found stays visible, so check before you publish",
    )
    parser.add_argument(
        "--language",
        choices=LANGUAGES,
        default=LANGUAGES[0],
        help="language of the drawn text (default: %(default)s)",
    )


def drawer_of(options: argparse.Namespace, seen: bool = True) -> DrawBox | None:
    """Return a drawer for the options; None if they ask for nothing special or nothing is shown.

    Raises:
        ValueError: If faces are to be blurred but other options leave some out, or if a mesh is
            to be drawn over blurred faces or without the geometry that finds it.
    """
    if not hasattr(options, "blur_faces"):
        return None
    if options.blur_faces:
        left_out = {
            "--min-face": options.min_face > 0,
            "--min-score": (options.min_score or 0) > DEFAULT_MIN_SCORES[options.detector],
            "--detect-every": getattr(options, "detect_every", 1) > 1,
        }
        wrong = [name for name, leaves_out in left_out.items() if leaves_out]
        if wrong:
            raise ValueError(
                f"Expected --blur-faces without what leaves faces out. Received: {wrong}, and the "
                "faces left out would be shown."
            )
    mesh = getattr(options, "mesh", False)
    if mesh and options.blur_faces:
        raise ValueError("Expected --mesh or --blur-faces: a mesh tells faces apart.")
    if mesh and not options.geometry:
        raise ValueError("Expected --geometry with --mesh: its landmarks are what is drawn.")
    if not seen:
        return None
    from builder_tools.drawing import DrawBox

    asked = DrawBox(
        show_bars=options.bars,
        show_dial=options.dial,
        blur_faces=options.blur_faces,
        language=options.language,
        show_mesh=mesh,
    )
    return None if asked == DrawBox() else asked


def expect_none_asked(options: argparse.Namespace, place: str) -> None:
    """Refuse options of drawn images where none would be drawn.

    Args:
        options: Options of the verb.
        place: Options that would draw images somewhere, for the message.
    """
    names = ["bars", "dial", "blur_faces"]
    names += ["mesh"] if options.geometry else []  # --mesh alone is refused for another reason
    if options.language != LANGUAGES[0] and getattr(options, "plot", None) is None:
        names.append("language")
    for name in names:
        if getattr(options, name, False):
            raise ValueError(
                f"Expected {place} with --{name.replace('_', '-')}. Received: none, so no image "
                "would be drawn."
            )
