"""The web page's server in this process, on a free port, for tests and benchmarks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_S = 120.0


@contextmanager
def running(**settings) -> Iterator[tuple[str, Path]]:
    """Runs the page; gives its address and the folder where everything uploaded lies.

    Args:
        **settings: Of `WebSettings`.
    """
    import uvicorn

    from builder_tools.web.server import (
        WebSettings,
        create_app,
        listen,
        private_folder,
        server_config,
    )

    with private_folder() as folder, listen(WebSettings(port=0)) as listening:
        port = listening.getsockname()[1]
        app = create_app(WebSettings(port=port, **settings), folder)
        options = {"log_level": "error", "timeout_graceful_shutdown": 2}
        server = uvicorn.Server(server_config(app, **options))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            _wait_until(lambda: server.started, START_S)
            yield f"http://127.0.0.1:{port}", folder
        finally:
            server.should_exit = True
            thread.join(timeout=30)


def _wait_until(is_true, seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > end_s:
            raise TimeoutError(f"the server did not start within {seconds:g} s")
        time.sleep(0.02)
