"""Measure the web page: eight clients at once, memory, and the webcam in a real browser.

The server runs in its own process (`builder-tools web`); clients and browser share the machine
with it. Every answer is compared with the one that a single client was given for the same photo,
so that mixed-up answers are noticed. Writes reports/web.md.

    python benchmarks/web.py [--seconds 60] [--clients 8] [--camera-seconds 20] [--note TEXT]
        [--report FILE | --report -]

The webcam part needs Chromium and Playwright, and is left out without them.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import httpx
import numpy as np
from machine import describe_machine
from skimage.data import astronaut
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "reports" / "web.md"
START_S = 180
WARM_UP_SHARE = 0.25
"""Fraction of the run after which memory is compared."""
FLAT_MB = 30
LEAST_FPS = 15.0
MEMORY_EVERY_S = 1.0
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass
class Load:
    """What the clients saw.

    Args:
        latencies_s: Latency of every request, including failed ones.
        mixed: Number of answers that belong to another photo.
        failed: Number of requests without an answer.
        memory_mb: Pairs of seconds since the start and the server's resident memory.
        seconds: Duration.
    """

    latencies_s: list[float] = field(default_factory=list)
    mixed: int = 0
    failed: int = 0
    memory_mb: list[tuple[float, float]] = field(default_factory=list)
    seconds: float = 0.0

    def percentile_ms(self, share: float) -> float:
        """Return a percentile of the latency in milliseconds."""
        return 1000 * float(np.quantile(self.latencies_s, share))

    @property
    def growth_mb(self) -> float:
        """Median memory in the last quarter minus that in the second, MB."""
        start = [mb for s, mb in self.memory_mb if WARM_UP_SHARE <= s / self.seconds < 0.5]
        end = [mb for s, mb in self.memory_mb if s / self.seconds >= 0.75]
        return statistics.median(end) - statistics.median(start)


@dataclass(frozen=True)
class Camera:
    """What the browser showed: medians over the time watched."""

    fps: float
    latency_ms: float | None
    server_ms: float | None


def photos() -> list[bytes]:
    """Return eight photos with different answers: places, sizes, no face, two faces."""
    image = astronaut()
    made = [np.roll(image, 23 * n, axis=1) for n in range(4)]
    made += [cv2.resize(image, (side, side)) for side in (300, 400)]
    made += [np.full((300, 400, 3), 120, np.uint8), np.hstack([image, image[:, ::-1]])]
    return [cv2.imencode(".jpg", photo[..., ::-1])[1].tobytes() for photo in made]


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextmanager
def serving(command: list[str], port: int, path: str) -> Iterator[tuple[str, int]]:
    """Run a server; yield its address and process id once it answers."""
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}{path}", process)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait_for(url: str, process: subprocess.Popen) -> None:
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s and process.poll() is None:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise RuntimeError(f"Expected an answer of {url} within {START_S} s. Received: none.")


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process (Linux), MB = 10^6 bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure_load(address: str, pid: int, clients: int, seconds: float) -> Load:
    """Let clients send photos without a pause, each from another one on, and watch the memory."""
    images = photos()
    url = f"{address}/api/photo"
    expected = [httpx.post(url, content=data, timeout=60).json()["faces"] for data in images]
    load, lock, begin_s = Load(seconds=seconds), threading.Lock(), time.monotonic()

    def ask(client: int) -> None:
        with httpx.Client(timeout=120) as http:
            number = client
            while time.monotonic() - begin_s < seconds:
                number = (number + 1) % len(images)
                seen = _ask_once(http, url, images[number], f"{client}.jpg")
                with lock:
                    _count(load, seen, (f"{client}.jpg", expected[number]))

    with ThreadPoolExecutor(clients) as pool:
        asking = [pool.submit(ask, client) for client in range(clients)]
        for _ in tqdm(range(int(seconds / MEMORY_EVERY_S)), desc="load", unit="s"):
            load.memory_mb.append((time.monotonic() - begin_s, resident_mb(pid)))
            time.sleep(MEMORY_EVERY_S)
        for one in asking:
            one.result()
    return load


def _ask_once(http: httpx.Client, url: str, data: bytes, name: str):
    """Return the latency and the answer, or None if there was none."""
    sent_s = time.perf_counter()
    try:
        answer = http.post(url, content=data, params={"name": name})
        found = answer.json() if answer.status_code == 200 else None
    except httpx.HTTPError:
        found = None
    return time.perf_counter() - sent_s, found


def _count(load: Load, seen: tuple, expected: tuple) -> None:
    latency_s, answer = seen
    load.latencies_s.append(latency_s)
    load.failed += answer is None
    load.mixed += answer is not None and (answer["source"], answer["faces"]) != expected


def write_camera(path: Path) -> Path:
    """Write what the fake camera shows: 30 frames of a moving face, 640x480."""
    with path.open("wb") as file:
        for index in range(30):
            image = np.full((480, 640, 3), 90, np.uint8)
            left = 80 + abs(index - 15)
            image[:, left : left + 480] = cv2.resize(astronaut(), (480, 480))
            file.write(cv2.imencode(".jpg", image[..., ::-1])[1].tobytes())
    return path


@contextmanager
def browsing(folder: Path) -> Iterator:
    """Yield a page in headless Chromium with a fake camera."""
    from playwright.sync_api import sync_playwright

    fake = [
        "--no-sandbox",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={write_camera(folder / 'camera.mjpeg')}",
    ]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=fake)
        page = browser.new_page()
        page.set_default_timeout(120_000)
        yield page
        browser.close()


def measure_camera(page, address: str, seconds: float) -> Camera:
    """Watch our webcam page, and return the figures it shows."""
    page.goto(f"{address}/en/#camera")
    page.click("#start")
    page.wait_for_selector("#overlay[data-faces=happy]", state="attached")
    page.wait_for_timeout(3000)
    names = ("fps", "latency", "server")
    read = []
    for _ in range(int(seconds)):
        page.wait_for_timeout(1000)
        read.append([float(page.inner_text(f"#{name}")) for name in names])
    return Camera(*(statistics.median(column) for column in zip(*read, strict=True)))


def load_table(load: Load, clients: int) -> str:
    """Return the results of the load run as Markdown."""
    memory = [mb for _, mb in load.memory_mb]
    rows = [
        ("answers", f"{len(load.latencies_s):,}", ""),
        ("answers a second", f"{len(load.latencies_s) / load.seconds:.1f}", ""),
        ("latency, median (p50)", f"{load.percentile_ms(0.5):.0f} ms", ""),
        ("latency, p95", f"{load.percentile_ms(0.95):.0f} ms", ""),
        ("mixed answers", str(load.mixed), _verdict(load.mixed == 0)),
        ("failed answers", str(load.failed), _verdict(load.failed == 0)),
        ("server's memory at its most", f"{max(memory):.0f} MB", ""),
        ("its growth, last quarter less second", f"{load.growth_mb:+.1f} MB",
         _verdict(load.growth_mb <= FLAT_MB)),
    ]  # fmt: skip
    head = (
        f"| {clients} clients, {load.seconds:.0f} s without a pause | | required |\n|---|---|---|\n"
    )
    return head + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def camera_table(ours: Camera) -> str:
    """Return the results of the webcam as Markdown."""
    required = f"{LEAST_FPS:.0f} fps: {_verdict(ours.fps >= LEAST_FPS)}"
    return (
        "| webcam 640x480, one user | frames a second | latency | of it the model | required |\n"
        "|---|---|---|---|---|\n"
        f"| WebSocket, overlay in the browser | {ours.fps:.1f} | {ours.latency_ms:.0f} ms | "
        f"{ours.server_ms:.0f} ms | {required} |\n"
    )


def _verdict(is_good: bool) -> str:
    return "met" if is_good else "MISSED"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the web page.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--camera-seconds", type=float, default=20)
    parser.add_argument("--note", default="", help="a sentence on how it was measured")
    parser.add_argument("--report", default=str(REPORT), help="file to write, - for none")
    return parser.parse_args()


def measure_cameras(seconds: float) -> str:
    """Return the webcam's table, or a line that says why there is none."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "The webcam was not measured: Playwright is absent.\n"
    if CHROMIUM is None:
        return "The webcam was not measured: Chromium is absent.\n"
    with tempfile.TemporaryDirectory() as folder, browsing(Path(folder)) as page:
        port = free_port()
        with serving(["-m", "builder_tools", "web", "--port", str(port)], port, "/health") as own:
            ours = measure_camera(page, own[0], seconds)
    return camera_table(ours)


def main() -> int:
    """Measure, and write the report; return 1 if an answer was mixed up or a request failed."""
    arguments = _arguments()
    port = free_port()
    machine = describe_machine(("fastapi", "onnxruntime"))
    with serving(["-m", "builder_tools", "web", "--port", str(port)], port, "/health") as server:
        load = measure_load(*server, arguments.clients, arguments.seconds)
    parts = [
        "# The web page under load\n\nMeasured by `python benchmarks/web.py`. Clients, browser and "
        "server shared the machine; every answer was compared with the one that a single client "
        "had been given for the same photo. MB = 10^6 bytes.\n",
        f"{machine}\n",
        *([f"{arguments.note}\n"] if arguments.note else []),
        load_table(load, arguments.clients),
        measure_cameras(arguments.camera_seconds),
    ]
    text = "\n".join(parts)
    print(text)
    if arguments.report != "-":
        Path(arguments.report).write_text(text, encoding="utf-8")
    return 1 if load.mixed or load.failed else 0


if __name__ == "__main__":
    sys.exit(main())
