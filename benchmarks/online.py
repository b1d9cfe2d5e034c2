"""Measure `online`: latency from camera to screen, speed, dropped images, memory over time.

    python benchmarks/online.py [--rates 15 30 60] [--seconds 20] [--soak-minutes 60]

The camera is another process: MJPEG over HTTP on loopback, 640x480, a drifting real face
(scikit-image's astronaut), and in the lowest rows the time the image was made, as 32 black or white
blocks.
The time is read from the drawn image when `Inference` yields it, after it was shown: in a window
if there is a screen (`DISPLAY`; `xvfb-run -a python benchmarks/online.py` makes one), otherwise
not at all. So the latency includes encoding, the network, decoding, waiting, detection, tracking,
the model, drawing and showing, but not a real camera's exposure or a real screen's refresh.
"""

from __future__ import annotations

import argparse
import http.server
import multiprocessing
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from machine import describe_machine

from builder_tools.drawing import DrawBox
from builder_tools.inference import Inference
from builder_tools.media import replacing

SIZE = (640, 480)
BITS, BLOCK_PX = 32, 16
WARM_UP_S = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rates", type=float, nargs="*", default=[15, 30, 60], help="images/s")
    parser.add_argument("--seconds", type=float, default=20.0, help="a rate is watched")
    parser.add_argument("--soak-minutes", type=float, default=0.0, help="of the memory check")
    parser.add_argument("--soak-rate", type=float, default=15.0, help="images/s of that check")
    parser.add_argument("--note", default="", help="a remark for the report, such as other load")
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    options = parser.parse_args()
    print(describe_machine(("opencv-contrib-python", "mediapipe", "onnxruntime")), flush=True)
    head = _head(options.note)
    if options.rates:
        table = _latency_table([watch(rate, options.seconds) for rate in options.rates])
        _write(options.reports / "online.md", [head, *table])
    if options.soak_minutes:
        table = _soak_table(options.soak_rate, *soak(options.soak_rate, options.soak_minutes))
        _write(options.reports / "online_memory.md", [head, *table])


def _write(path: Path, lines: list[str]) -> None:
    with replacing(path) as partial:
        partial.write_text("\n".join(lines) + "\n")


@dataclass(frozen=True)
class Watched:
    """Results of watching a camera.

    Args:
        rate: Frames per second made by the camera.
        shown: Frames per second shown.
        dropped: Share of the images received that were dropped.
        latencies_ms: Time from made to shown of each image shown.
        processor: Processor seconds per second.
    """

    rate: float
    shown: float
    dropped: float
    latencies_ms: np.ndarray
    processor: float


def watch(rate: float, seconds: float) -> Watched:
    """Watch a camera with a frame rate for some time, after a warm-up."""
    with Camera(rate) as camera, online() as inference, inference.run(camera.url) as results:
        start_s = time.monotonic()
        while time.monotonic() - start_s < WARM_UP_S:
            first = next(results)
        start_s, processor_s = time.monotonic(), time.process_time()
        latencies, last = [], first
        while time.monotonic() - start_s < seconds:
            last = next(results)
            latencies.append(_age_ms(last.image))
        wall_s, processor_s = time.monotonic() - start_s, time.process_time() - processor_s
    received = last.frame - first.frame
    dropped = 1 - len(latencies) / received
    return Watched(
        rate, len(latencies) / wall_s, dropped, np.array(latencies), processor_s / wall_s
    )


def soak(rate: float, minutes: float) -> tuple[list[float], int, int]:
    """Watch for some minutes; return the memory each minute, MB, and images shown and dropped."""
    memory, shown, minute_s = [], 0, 60.0
    with Camera(rate) as camera, online() as inference, inference.run(camera.url) as results:
        start_s = time.monotonic()
        while len(memory) <= minutes:
            next(results)
            shown += 1
            if time.monotonic() - start_s >= len(memory) * minute_s:
                memory.append(_memory_mb())
                print(f"minute {len(memory) - 1}: {memory[-1]:.1f} MB", flush=True)
        return memory, shown, results.dropped


def online() -> Inference:
    """Return what `builder-tools online` uses, with a window if there is a screen."""
    show = "cv2" if os.environ.get("DISPLAY") else "none"
    drawer = DrawBox()  # passed so that images are drawn even if not shown
    return Inference(
        draw_box_obj=drawer, show_state_mode=show, inference_mode="online", smooth_s=0.3
    )


class Camera:
    """A network camera in its own process, as a context manager."""

    def __init__(self, rate: float) -> None:
        self._queue = multiprocessing.Queue()
        self._process = multiprocessing.Process(
            target=_serve, args=(rate, self._queue), daemon=True
        )

    def __enter__(self) -> Camera:
        self._process.start()
        self.url = f"http://127.0.0.1:{self._queue.get(timeout=30)}/stream.mjpg"
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.join()


def _serve(rate: float, queue) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.rate, server.images = rate, _images()
    queue.put(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        time.sleep(60)


def _images(count: int = 60) -> list[np.ndarray]:
    """Return BGR images in which the face drifts to and fro."""
    from skimage.data import astronaut

    face = cv2.resize(astronaut()[..., ::-1], (480, 480))
    images = []
    for index in range(count):
        image = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
        left = round(80 + 70 * np.sin(2 * np.pi * index / count))
        image[:, left : left + 480] = face
        images.append(image)
    return images


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=image")
        self.end_headers()
        begun_s, number = time.monotonic(), 0
        try:
            while True:
                time.sleep(max(begun_s + number / self.server.rate - time.monotonic(), 0))
                image = self.server.images[number % len(self.server.images)].copy()
                jpeg = _with_time(image)
                head = f"--image\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                number += 1
        except (BrokenPipeError, ConnectionResetError):
            return


def _with_time(image_bgr: np.ndarray) -> bytes:
    """Write the time into the lowest rows; return the JPEG."""
    stamp = int(time.monotonic() * 1000)
    for bit in range(BITS):
        left = bit * BLOCK_PX
        image_bgr[-BLOCK_PX:, left : left + BLOCK_PX] = 255 * (stamp >> bit & 1)
    return cv2.imencode(".jpg", image_bgr)[1].tobytes()


def _age_ms(image_rgb: np.ndarray) -> float:
    """Return how long ago the image was made, ms."""
    middle = BLOCK_PX // 2
    row = image_rgb[-middle, middle : BITS * BLOCK_PX : BLOCK_PX].mean(axis=1)
    stamp = sum(int(value > 127) << bit for bit, value in enumerate(row))
    return time.monotonic() * 1000 - stamp


def _memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _head(note: str) -> str:
    shown = "in a window" if os.environ.get("DISPLAY") else "not shown (no screen)"
    machine = describe_machine(("opencv-contrib-python", "mediapipe", "onnxruntime"))
    remark = f" {note}" if note else ""
    return (
        "# Live: from camera to screen\n\nWritten by `python benchmarks/online.py`: MJPEG over "
        "loopback, 640x480, one face; the time of making was burnt into each image and read "
        f"back after it was drawn; images were {shown}.{remark}\n\n{machine}\n"
    )


def _latency_table(rows: list[Watched]) -> list[str]:
    lines = [
        "| camera, images/s | shown, images/s | dropped | latency p50, ms | p95, ms | "
        "largest, ms | processor s/s |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        median, high = np.percentile(row.latencies_ms, (50, 95))
        lines.append(
            f"| {row.rate:g} | {row.shown:.1f} | {row.dropped:.1%} | {median:.1f} | {high:.1f} | "
            f"{row.latencies_ms.max():.1f} | {row.processor:.2f} |"
        )
    print("\n".join(lines), flush=True)
    return lines


def _soak_table(rate: float, memory: list[float], shown: int, dropped: int) -> list[str]:
    settled = memory[min(5, len(memory) - 1)]
    lines = [
        f"## Memory over {len(memory) - 1} minutes at {rate:g} images/s\n",
        f"{shown:,} images shown, {dropped:,} dropped. Resident memory: {memory[0]:.1f} MB at "
        f"the first image, {settled:.1f} MB after 5 minutes, {memory[-1]:.1f} MB at the end, "
        f"{max(memory):.1f} MB at most.",
    ]
    print("\n".join(lines), flush=True)
    return lines


if __name__ == "__main__":
    main()
