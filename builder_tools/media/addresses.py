"""Sources that are not plain paths, and images fetched from the web.

Fetching is bounded in size and time.
"""

from __future__ import annotations

import re
import time

from builder_tools.media.limits import ImageError, ImageLimits

STANDARD_INPUT = "-"
_FILE_SCHEME = "file://"

TIMEOUT_S = 15.0
"""How long a server may stay silent."""
MOST_SECONDS = 120.0
"""How long fetching one image may take."""
_CHUNK = 1 << 16

_IMAGES_IN_BASE64 = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR")
"""How JPEG, PNG, GIF and WebP begin in base64."""
_LEAST_IMAGE_TEXT = 80
"""Length of the shortest image in base64, in characters; a PNG of one pixel has 90."""


def is_address(source: object) -> bool:
    """Return whether a source is a web address: a str that begins with `http://` or `https://`."""
    return isinstance(source, str) and source[:8].lower().startswith(("http://", "https://"))


def is_image_text(source: object) -> bool:
    """Return whether a source is an image written as a text: `data:image/...`, or bare base64.

    Base64 has no full stop, so a path with a suffix is none.
    """
    if not isinstance(source, str):
        return False
    if source[:11].lower() == "data:image/":
        return True
    is_long = len(source) >= _LEAST_IMAGE_TEXT and source.startswith(_IMAGES_IN_BASE64)
    return is_long and re.fullmatch(r"[A-Za-z0-9+/=\s]+", source) is not None


def without_file_scheme(source: str) -> str:
    """Return the path that a `file://` address names, or any other source unchanged.

    Raises:
        ImageError: A ValueError: if the address names another machine or a relative path, or is
            an image written as a text, which the message does not repeat.
    """
    if is_image_text(source):
        raise ImageError(
            "Expected a path, an address or the bytes of a file. Received: a text with a whole "
            "image (base64). Try base64.b64decode(text.rpartition(',')[2])."
        )
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


def camera_name(camera: int | str) -> str:
    """Return the name of a camera, or of a film, for messages: an address without its passwords.

    Cameras take them before the host, in the query (`?user=me&password=...`) or in the path
    (`/user=me_password=..._channel=1`), under names of their own.
    """
    if isinstance(camera, int):
        return f"camera {camera}"
    if "://" not in camera:
        return camera
    path, mark, _ = re.sub(r"//[^/?#]*@", "//***@", camera).partition("?")
    return re.sub(r"=[^/]+", "=***", path) + (mark and "?***")


def fetch_image(address: str, limits: ImageLimits) -> bytes:
    """Return the bytes at an http(s) address.

    Only the command line and the Python API call this: the web page's server passes on bytes,
    never addresses.

    Raises:
        ImageError: If the file is larger than the limits allow.
        OSError: If it cannot be fetched; says why.
    """
    # Imported here because it takes 50 ms, with TLS.
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
