"""What a source is called that is no plain path, and images from the web by their address.

Those are of bounded size and come in bounded time.
"""

from __future__ import annotations

import time

from builder_tools.media.limits import ImageError, ImageLimits

STANDARD_INPUT = "-"
_FILE_SCHEME = "file://"

TIMEOUT_S = 15.0
"""The longest silence of a server."""
MOST_SECONDS = 120.0
"""The longest time for one image."""
_CHUNK = 1 << 16


def is_address(source: object) -> bool:
    """Return whether a source is the address of an image: a str with `http://` or `https://`."""
    return isinstance(source, str) and source[:8].lower().startswith(("http://", "https://"))


def without_file_scheme(source: str) -> str:
    """Return the path that a `file://` address names; any other source as it is.

    Raises:
        ImageError: A ValueError: if the address is of another machine, or no absolute path.
    """
    if source[: len(_FILE_SCHEME)].lower() != _FILE_SCHEME:
        return source
    from urllib.parse import unquote

    host, slash, path = source[len(_FILE_SCHEME) :].partition("/")
    if host.lower() not in ("", "localhost") or not slash:
        raise ImageError(
            f"Expected file:///PATH for a file of this machine. Received: {source!r}. "
            "Try its path alone."
        )
    return unquote(slash + path, errors="surrogateescape")


def fetch_image(address: str, limits: ImageLimits) -> bytes:
    """Return the bytes behind an http(s) address.

    Only the command line and Python come here: the page's server hands over bytes, never
    addresses.

    Raises:
        ImageError: If it is larger than the limits allow.
        OSError: If it cannot be had; says why.
    """
    # Imported here: with its TLS it costs 50 ms.
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    request = Request(address, headers={"User-Agent": "builder-tools", "Accept": "image/*,*/*"})
    end_s = time.monotonic() + MOST_SECONDS
    parts: list[bytes] = []
    size = 0
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:
            limits.check_bytes(int(answer.headers.get("Content-Length") or 0), address)
            while part := answer.read1(_CHUNK):
                size += len(part)
                limits.check_bytes(size, address)
                parts.append(part)
                if time.monotonic() > end_s:
                    raise TimeoutError(f"it took more than {MOST_SECONDS:.0f} s")
    except (OSError, HTTPException) as error:
        raise OSError(f"Cannot fetch the image {address}: {error or type(error).__name__}.") from (
            error
        )
    return b"".join(parts)
