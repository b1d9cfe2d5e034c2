"""The verb `web`, which opens the web page."""

from __future__ import annotations

import argparse
import os
import sys

from builder_tools.cli.model import add_model_option
from builder_tools.cli.verb import Verb, need_extra, positive
from builder_tools.detectors import DEFAULT_DETECTOR, DETECTORS
from builder_tools.languages import LANGUAGES

PASSWORD_VARIABLE = "BUILDER_TOOLS_WEB_PASSWORD"


def _options(parser: argparse.ArgumentParser) -> None:
    from builder_tools.web.limits import Limits

    limits = Limits()
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", type=int, default=7860, help="port (default: %(default)s)")
    add_model_option(parser)
    parser.add_argument(
        "--detector", choices=list(DETECTORS), default=DEFAULT_DETECTOR, help="face detector"
    )
    parser.add_argument(
        "--password",
        help=f"require it of everybody, with any user name (or set {PASSWORD_VARIABLE}, which "
        "other users of the machine cannot see)",
    )
    parser.add_argument(
        "--no-password", action="store_true", help="let everybody in, even on a network"
    )
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        help="name of this server on its network, besides this machine's own and its IP "
        "addresses; other names are refused (repeatable)",
    )
    parser.add_argument(
        "--language",
        choices=LANGUAGES,
        help="page language (default: what the browser asks for)",
    )
    for name, default, text in (
        ("upload-mb", limits.max_upload_mb, "largest upload, MB"),
        ("video-s", limits.max_video_s, "longest video, s"),
        ("stored-mb", limits.max_stored_mb, "most uploads and results stored at once, MB"),
    ):
        parser.add_argument(
            f"--max-{name}", type=float, default=default, help=f"{text} (default: {default:g})"
        )
    parser.add_argument(
        "--max-images",
        type=positive,
        default=limits.max_images,
        help="most images in a batch (default: %(default)s)",
    )
    parser.add_argument(
        "--watch", metavar="SITE",
        help="TOML file of a `watch` site, or its database's address: shows at /en/live "
        "what its cameras see now and have seen",
    )  # fmt: skip
    parser.add_argument(
        "--keep-minutes",
        type=float,
        default=15,
        help="how long to keep results of videos and batches (default: %(default)s)",
    )


def _run(options: argparse.Namespace) -> None:
    from builder_tools.web import need_web

    need_web()
    if options.watch is not None:
        need_extra("watch", "sqlalchemy", "alembic")
    from builder_tools.web.limits import Limits
    from builder_tools.web.server import WebSettings, listen, serve

    settings = WebSettings(
        host=options.host,
        port=options.port,
        model=options.model,
        detector=options.detector,
        password=options.password or os.environ.get(PASSWORD_VARIABLE) or None,
        no_password=options.no_password,
        names=tuple(options.name),
        language=options.language,
        limits=Limits(
            max_upload_mb=options.max_upload_mb,
            max_video_s=options.max_video_s,
            max_stored_mb=options.max_stored_mb,
            max_images=options.max_images,
        ),
        keep_s=60 * options.keep_minutes,
        watch=options.watch,
    )
    listening = listen(settings)
    port = listening.getsockname()[1]
    print(f"Starting http://{settings.host}:{port}/ (Ctrl-C ends it)", file=sys.stderr)
    serve(settings, listening)


VERBS = {
    "web": Verb(
        "serve a web page for photos, the webcam, videos and batches, with an HTTP API",
        (
            "builder-tools web",
            "builder-tools web --port 8000 --language ru --detector yunet",
            "builder-tools web --watch show.toml",
            "builder-tools web --host 0.0.0.0 --password secret --max-upload-mb 50",
        ),
        _options,
        _run,
        extra="web",
        also={"watch": "--watch"},
    ),
}
