"""Reads the body of a request: one image into memory, files into a job's folder."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

from fastapi import HTTPException, Request
from starlette.formparsers import MultiPartException, MultiPartParser

from builder_tools.web.limits import Limits, Refused, check_size

MOST_LIST_BYTES = 2_000_000
"""Largest list of names and sizes sent before several files."""
MOST_FORM_BYTES = 100_000
"""Most bytes of a form besides its file."""


def coming_bytes(request: Request, limits: Limits) -> int:
    """Return the size of a request's body, or of the largest one if that is not known yet."""
    told = request.headers.get("content-length", "")
    is_known = told.isdecimal() and "transfer-encoding" not in request.headers
    return int(told) if is_known else limits.upload_bytes


def is_form(request: Request) -> bool:
    """Return whether a request's body is a form with files."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


async def read_image_upload(request: Request, limits: Limits) -> tuple[bytes, str | None]:
    """Return the bytes of an image and its name, sent as a form's `file` or as the whole body.

    Raises:
        Refused: If it is empty or too big.
        HTTPException: If it is not a form, or one with more than a file.
    """
    most = limits.photo_bytes
    if not is_form(request):
        data = bytearray()
        async for chunk in _bounded(request.stream(), most):
            data += chunk
        return bytes(data), None
    chunks = _bounded(request.stream(), most, beside=MOST_FORM_BYTES)
    parser = MultiPartParser(request.headers, chunks, max_files=1, max_fields=8)
    parser.spool_max_size = most + MOST_FORM_BYTES  # nothing of it touches the disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, error.message) from error
    beside = [key for key, value in form.items() if isinstance(value, str)]
    if beside:
        told = "Expected only a file in the form; choices belong in the address (?model=...)."
        raise HTTPException(422, f"{told} Received: {', '.join(beside)}.")
    file = next(iter(form.values()), None)
    if file is None:
        raise Refused("empty")
    check_size(file.size or 0, most)
    return await file.read(), file.filename


async def _bounded(
    chunks: AsyncIterator[bytes], most: int, beside: int = 0
) -> AsyncGenerator[bytes, None]:
    """Yield the parts of a body, refusing more bytes than the most, and some beside it."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        check_size(max(size - beside, 1), most)
        yield chunk


async def save_upload(chunks: AsyncIterator[bytes], path: Path, limits: Limits) -> None:
    """Write a request's body to a file.

    Raises:
        Refused: If it is empty or too big.
    """
    size = 0
    with path.open("wb") as file:
        async for chunk in _bounded(chunks, limits.upload_bytes):
            size += file.write(chunk)
    check_size(size, limits.upload_bytes)


async def save_uploads(
    chunks: AsyncIterator[bytes], folder: Path, limits: Limits
) -> list[tuple[Path, str]]:
    """Write the files in one body to a folder; return their paths and names.

    The body is a line of JSON, `[{"name": ..., "size": ...}, ...]`, followed by the files' bytes,
    one file after the other.

    Raises:
        Refused: If there are no files, too many or too large ones, or if the line is invalid or
            the body ends early.
    """
    body = _Body(chunks, limits)
    line = await body.line()
    try:
        told = [(one["name"], one["size"]) for one in json.loads(line)]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Refused("gone") from error
    if not told:
        raise Refused("empty")
    if not all(isinstance(name, str) and type(size) is int and size >= 0 for name, size in told):
        raise Refused("gone")
    if len(told) > limits.max_images:
        raise Refused("too_many_files", count=len(told), limit=limits.max_images)
    check_size(max(sum(size for _, size in told), 1), limits.upload_bytes)
    saved = []
    for number, (name, size) in enumerate(told):
        path = folder / f".upload{number}"
        with path.open("wb") as file:
            async for part in body.parts(size):
                file.write(part)
        saved.append((path, name))
    return saved


class _Body:
    """A body read piece by piece, whatever chunks it arrives in."""

    def __init__(self, chunks: AsyncIterator[bytes], limits: Limits) -> None:
        self._chunks, self._limits = chunks, limits
        self._held, self._size = b"", 0

    async def line(self) -> bytes:
        """Return everything before the first line feed."""
        while b"\n" not in self._held:
            if len(self._held) > MOST_LIST_BYTES or not await self._more():
                raise Refused("gone" if self._held else "empty")
        line, _, self._held = self._held.partition(b"\n")
        return line

    async def parts(self, size: int) -> AsyncIterator[bytes]:
        """Yield the next `size` bytes in parts."""
        while size:
            if not self._held and not await self._more():
                raise Refused("gone")
            part, self._held = self._held[:size], self._held[size:]
            size -= len(part)
            yield part

    async def _more(self) -> bool:
        """Buffer one more chunk; return whether there was one."""
        async for chunk in self._chunks:
            self._size += len(chunk)
            check_size(max(self._size, 1), self._limits.upload_bytes + MOST_LIST_BYTES)
            if chunk:
                self._held += chunk
                return True
        return False
