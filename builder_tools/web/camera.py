"""The live camera: images arrive over a WebSocket, faces are returned; the newest image wins.

A message from the browser is four bytes (the image's number, little-endian) and a JPEG; one from
the server is JSON: `id`, `width`, `height`, `server_ms`, `dropped` and `faces` as in the contract.
Tracks and recent emotions are kept for the duration of the connection. After the text message
`look_neutral`, the next three seconds of each face are its rest, and `faces` also hold the
`relative_` answers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import struct
import time
from dataclasses import dataclass
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from starlette.concurrency import run_in_threadpool

from builder_tools.inference.stream import StreamState
from builder_tools.rest import population_of
from builder_tools.tracking import RestTracker
from builder_tools.tracking.resting import LOOK_NEUTRAL_S
from builder_tools.web.engine import Choice, Engine
from builder_tools.web.limits import Limits, Refused
from builder_tools.web.photos import decode
from builder_tools.web.texts import Words

logger = logging.getLogger(__name__)

SMOOTH_S = 0.3
MOST_CAMERAS = 8
MOST_FRAME_BYTES = 4_000_000
FRAME_LIMITS = Limits(max_photo_mb=MOST_FRAME_BYTES / 1e6, max_pixels=1920 * 1080)
LOOK_NEUTRAL = "look_neutral"
IDLE_S = 60.0
"""A camera that sends nothing for this long is disconnected."""


@dataclass
class _Slot:
    """Holds the newest waiting image; a newer one replaces it."""

    data: bytes | None = None
    dropped: int = 0
    is_over: bool = False
    begins_rest: bool = False

    def __post_init__(self) -> None:
        self._filled = asyncio.Event()

    def put(self, data: bytes) -> None:
        self.dropped += self.data is not None
        self.data = data
        self._filled.set()

    def end(self) -> None:
        self.is_over = True
        self._filled.set()

    async def take(self) -> bytes | None:
        """Wait for an image and return it, or None at the end."""
        await self._filled.wait()
        self._filled.clear()
        data, self.data = self.data, None
        return None if self.is_over else data


class Cameras:
    """Serves cameras.

    Args:
        engine: The models and detectors.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.open = 0

    async def serve(self, socket: WebSocket, choice: Choice, words: Words) -> None:
        """Answer one camera until it disconnects."""
        await socket.accept()
        if self.open >= MOST_CAMERAS:
            await _say_refused(socket, Refused("busy"), words)
            await socket.close(1013)
            return
        self.open += 1
        slot = _Slot()
        answering = asyncio.create_task(self._answer_all(socket, slot, choice, words))
        try:
            await _receive_all(socket, slot)
        finally:
            self.open -= 1
            slot.end()
            await asyncio.gather(answering, return_exceptions=True)

    async def _answer_all(
        self, socket: WebSocket, slot: _Slot, choice: Choice, words: Words
    ) -> None:
        state = StreamState(track=True, smooth_s=SMOOTH_S)
        begin_s = time.monotonic()
        while (data := await slot.take()) is not None:
            try:
                if slot.begins_rest:
                    slot.begins_rest = False
                    state.rests = await run_in_threadpool(self._rests, choice)
                time_s = time.monotonic() - begin_s
                answer = await run_in_threadpool(self._answer, data, choice, state, time_s)
            except Refused as error:
                await _say_refused(socket, error, words)
                continue
            except Exception:  # an image may fail in any way; go on with the next
                logger.exception("An image of a camera could not be answered")
                await _say_refused(socket, Refused("internal"), words)
                continue
            await socket.send_text(json.dumps({**answer, "dropped": slot.dropped}))

    def _rests(self, choice: Choice) -> RestTracker:
        """Return a tracker that learns each face's rest from its next three seconds."""
        classifier = self.engine.classifier(choice)
        try:
            population_of(classifier.emotions)
        except ValueError as error:
            name = str(choice.model or self.engine.default.model)
            raise Refused("no_rest", model=name) from error
        return RestTracker(LOOK_NEUTRAL_S, natural=classifier.natural)

    def _answer(
        self, data: bytes, choice: Choice, state: StreamState, time_s: float
    ) -> dict[str, Any]:
        begin_s = time.perf_counter()
        (number,) = struct.unpack("<I", data[:4])
        with self.engine.turn(choice):
            image = decode(data[4:], FRAME_LIMITS)
            faces = self.engine.read(image, choice, state=state, time_s=time_s)
        return {
            "id": number,
            "width": image.shape[1],
            "height": image.shape[0],
            "server_ms": round((time.perf_counter() - begin_s) * 1000, 1),
            "faces": [face.to_dict() for face in faces],
        }


async def _receive_all(socket: WebSocket, slot: _Slot) -> None:
    while True:
        try:
            message = await asyncio.wait_for(socket.receive(), IDLE_S)
        except TimeoutError:
            await socket.close(1000)
            return
        except (WebSocketDisconnect, RuntimeError):
            return
        if message["type"] == "websocket.disconnect":
            return
        slot.begins_rest |= message.get("text") == LOOK_NEUTRAL
        data = message.get("bytes") or b""
        if 4 < len(data) <= MOST_FRAME_BYTES:
            slot.put(data)


async def _say_refused(socket: WebSocket, error: Refused, words: Words) -> None:
    said = {"error": error.code, "message": words.refusal(error)}
    await socket.send_text(json.dumps(said, ensure_ascii=False))
