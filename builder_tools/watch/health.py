"""`/health` of a running service, for monitoring: a few lines of HTTP."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from builder_tools.watch.feeds import ENDED, WATCHING

STALE_S = 15.0
"""A service that has not reported for this long is not running."""
_OWN_NAMES = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])?(:\d+)?", re.IGNORECASE)
"""Names of this machine that nobody can point elsewhere, with a port or without."""


def serve_health(port: int, health: Callable[[], dict[str, Any]]) -> ThreadingHTTPServer:
    """Answer `GET /health` on this machine, from a thread, until `shutdown`.

    The answer is JSON; its status is 200 if the database and all cameras are well, else 503. Under
    any other name than `localhost` or its address, pages elsewhere could read it: that is refused.

    Raises:
        OSError: If the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not _OWN_NAMES.fullmatch(self.headers.get("Host", "")):
                self.send_error(400, "This server is not called by that name.")
                return
            if self.path != "/health":
                self.send_error(404)
                return
            found = health()
            body = json.dumps(found, default=str).encode()
            self.send_response(200 if is_well(found) else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *details: object) -> None:
            """Log nothing."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise OSError(
            f"Cannot answer /health at port {port}: {error.strerror or error}. Try another "
            "--health-port."
        ) from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def silence(told_at: datetime) -> str:
    """Say that a service no longer reports; "" if it does.

    Args:
        told_at: When it last reported, UTC without a zone. If that is yet to come by this clock, a
            clock was set or is wrong, and nothing shows that the service still runs.
    """
    silent_s = (datetime.now(UTC).replace(tzinfo=None) - told_at).total_seconds()
    if silent_s > STALE_S:
        return f"silent for {silent_s:.0f} s"
    return f"last told of {-silent_s:.0f} s ahead of this clock" if silent_s < -STALE_S else ""


def is_well(health: dict[str, Any]) -> bool:
    """Return whether the database and every camera are well."""
    states = {camera["state"] for camera in health["cameras"]}
    return health["database"] == "ok" and states <= {WATCHING, ENDED}
