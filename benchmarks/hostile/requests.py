"""Hostile requests to a running page, made from a seed: requests no browser would send.

A server is started in its own process, with its own temporary folder. Well-formed requests of every
kind that the page accepts (its uploads, the API, files, the camera's WebSocket) are corrupted:
other methods, paths and headers, names in lists of files replaced by paths on the machine and
addresses of other servers, bytes changed, wrong lengths, requests cut off. Counted are:

- crashes: a server that ended, a status of 500 or above that is not a refusal (503 is one), a
  traceback in its log, a secret of the machine in an answer, an address it fetched;
- hangs: a whole request without any answer, and times the server did not answer `/health`;
- left files: files remaining in its temporary folder after SIGTERM.

    python benchmarks/hostile --images 0 --videos 0 --zips 0 --requests 2000 --seed 7 --no-report
"""

from __future__ import annotations

import http.server
import json
import os
import re
import signal
import socket
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
from urllib.request import urlopen

import numpy as np
from machine import peak_mb

from hostile import inputs

Rng = np.random.Generator

SECRET = "a-secret-of-this-machine"
THREADS = 3
ANSWER_S, SPOILT_S = 60.0, 1.0
"""How long to wait for the answer to a whole request, and to one that may be incomplete."""
MOST_READ = 200_000
ALIVE_EVERY = 50
BOUNDARY = "an-odd-boundary"
METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "get",
    "X",
)
HEADERS = (
    "Host: [", "Host: evil.example", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: gopher",
    "Origin: http://[", "Origin: null", "Origin: http://evil.example", "Content-Length: -1",
    "Content-Length: 99999999999999999999", "Transfer-Encoding: chunked", "Expect: 100-continue",
    "Transfer-Encoding: identity, chunked", "Authorization: Basic !!", "Range: bytes=0-,-9,9-1",
    "Range: bytes=99999999999999999999-", "Accept-Language: \xff\xfe", "If-None-Match: *",
    "Accept-Encoding: br;q=x, gzip;q=2", "Content-Encoding: gzip", "Cookie: a=b; \x01=\xe9",
    "Content-Type: multipart/form-data", "Content-Type: text/plain; charset=utf-7", "Upgrade: h2c",
    "Connection: upgrade, close", "X-Original-Url: /etc/passwd", "X-Http-Method: DELETE",
    "Sec-WebSocket-Version: 99", "If-Modified-Since: never", "A" * 40_000 + ": b", 
    "B: " + "c" * 90_000,
)  # fmt: skip
ENDS = (
    "/..", "/../../../../etc/passwd", "%00", "%2e%2e%2f" * 6 + "etc/passwd", "//etc/passwd",
    "/%c0%ae%c0%ae/", "\\..\\..", "?session_hash=" + "x" * 9000, "#", "%", ";a=b",
    "/\xe9", "?" + "a&" * 3000, "?model=../../etc&detector=%00", "?give=x&lang=%3Cscript%3E",
    "?a=%ff", "?name=../x",
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """A request as bytes.

    Args:
        data: The whole request.
        is_whole: Whether an answer must come; otherwise the server may wait for more data.
    """

    data: bytes
    is_whole: bool = True


@dataclass
class Found:
    """Findings of a campaign so far; see `campaign.Outcome`."""

    answered: int = 0
    crashes: int = 0
    hangs: int = 0
    left_files: int = 0
    peak_mb: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Places:
    """What hostile requests refer to: files on the machine, and an address elsewhere."""

    files: tuple[str, ...]
    address: str


def request(seed: int, number: int, places: Places) -> Request:
    """Return a hostile request, always the same for the same seed, number and places."""
    rng = np.random.default_rng((seed, number))
    method, path, headers, body = _well_formed(rng, places, (seed, number))
    spoil = rng.random(5) < (0.12, 0.15, 0.25, 0.12, 0.12)
    if spoil[0]:
        method = METHODS[rng.integers(len(METHODS))]
    if spoil[1]:
        path += ENDS[rng.integers(len(ENDS))]
    more = [HEADERS[rng.integers(len(HEADERS))] for _ in range(rng.integers(1, 4)) if spoil[2]]
    lines = [f"{method} {path} HTTP/1.1", *headers, *more]
    if method in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(body)}")
    data = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
    if spoil[3]:
        data = data[: int(rng.integers(1, len(data)))]
    if spoil[4]:
        spoilt = bytearray(data)
        for at in rng.integers(0, len(data), rng.integers(1, 20)):
            spoilt[at] = rng.integers(256)
        data = bytes(spoilt)
    return Request(data, not (more or spoil[3] or spoil[4] or spoil[0]))


def _well_formed(
    rng: Rng, places: Places, case: tuple[int, int]
) -> tuple[str, str, list[str], bytes]:
    """Return method, path, headers and body of a request of a random kind."""
    kinds = (_read, _several, _several, _several, _form_upload, _photo, _batch, _camera, _video)
    method, path, headers, body = kinds[rng.integers(len(kinds))](rng, places, case)
    return method, path, ["Host: 127.0.0.1", *headers], body


def _read(rng: Rng, places: Places, case):
    root = ("/en", "/ru")[rng.integers(2)]
    file = places.files[rng.integers(len(places.files))]
    paths = (
        "/", "/health", "/docs", "/api/models", "/openapi.json", "/results/a/b.csv",
        "/static/page.js", "/examples/film.mp4", f"{root}/", f"{root}/photo", f"{root}/config",
        f"/static{file}", f"/examples{file}", f"/static/../..{file}", f"/examples/%2e%2e{file}",
        f"/results{file}", f"{root}/photo?name={file}", f"{root}/?model={places.address}",
    )  # fmt: skip
    method = ("GET", "GET", "HEAD", "DELETE")[rng.integers(4)]
    return method, paths[rng.integers(len(paths))], [], b""


def _several(rng: Rng, places: Places, case):
    """Return several files, as the page sends them, with a list that may say anything."""
    name, data = inputs.image_file(*case)
    values = (
        *places.files, places.address, name, "\ud800", "x" * 3000, "=1+1.jpg", "../../a.jpg",
        *(None, True, -1, 10**30, 1e308, len(data), [], {}, [[[[[[[[]]]]]]]]),
    )  # fmt: skip

    def some() -> object:
        return values[rng.integers(len(values))]

    told: object = [{"name": name, "size": len(data)}, {"name": f"{name}.png", "size": len(data)}]
    if rng.random() < 0.5:
        told = [{"name": some(), "size": len(data)}, {"name": name, "size": some()}]
    elif rng.random() < 0.2:
        told = some()
    body = json.dumps(told).encode() + b"\n" + 2 * data
    return "POST", ("/en/batch", "/ru/batch?model=fast")[rng.integers(2)], [], body


def _form_upload(rng: Rng, places: Places, case):
    name, data = inputs.image_file(*case)
    names = (name, "../../a.jpg", "<img src=x>.jpg", "a" * 5000, "", "=1+1.jpg", "\x00", "/etc/a")
    field_name = ("files", "files", "files", "file", "")[rng.integers(5)]
    routes = ("/en/photo", "/ru/photo?blur=maybe", "/api/photo", "/en/video")
    return _form(routes[rng.integers(4)], field_name, names[rng.integers(len(names))], data)


def _form(path: str, field_name: str, name: str, data: bytes):
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field_name}"; filename="'
    called = name.replace("\r", "%0D").replace("\n", "%0A").encode("utf-8", "replace")
    body = head.encode() + called + b'"\r\n\r\n' + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    return "POST", path, [f"Content-Type: multipart/form-data; boundary={BOUNDARY}"], body


def _photo(rng: Rng, places: Places, case):
    return "POST", "/api/photo?name=a.jpg", [], inputs.image_file(*case)[1]


def _batch(rng: Rng, places: Places, case):
    return "POST", "/api/batch", [], inputs.archive(*case)[1]


def _video(rng: Rng, places: Places, case):
    if rng.random() < 0.7:  # since videos take long
        return _photo(rng, places, case)
    return "POST", "/api/video", [], inputs.video(*case)[1]


def _camera(rng: Rng, places: Places, case):
    headers = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
               "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]  # fmt: skip
    path = ("/api/camera?lang=en", "/api/camera?model=x", "/en/camera")[rng.integers(3)]
    frames = bytes(rng.integers(0, 256, rng.integers(1, 200), dtype=np.uint8))
    return "GET", path, headers, frames if rng.random() < 0.5 else b""


def campaign(seed: int, count: int) -> dict[str, object]:
    """Send requests to a server started for them; return fields of `campaign.Outcome`.

    Args:
        seed: Seed of the requests.
        count: Number of requests.
    """
    found = Found()
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder, _elsewhere() as (url, fetched):
        work = Path(folder)
        with _server(work, found) as (address, process):
            places = _places(work, address, url)
            with ThreadPoolExecutor(THREADS) as pool:
                done = pool.map(
                    lambda number: _try(seed, number, places, address, process, found),
                    range(count),
                )
                inputs = sum(done)
            _check_alive(address, process, found, "at the end")
            found.peak_mb = peak_mb(process.pid)
        if fetched:
            found.crashes += len(fetched)
            found.notes.append(f"requests: the server fetched {fetched[:3]}")
    return {"inputs": inputs, **vars(found), "notes": tuple(found.notes)}


def _try(seed: int, number: int, places: Places, address: str, process, found: Found) -> int:
    """Send a request and judge the answer; return 1, or 0 if the server has ended."""
    if process.poll() is not None:
        return 0
    sent = request(seed, number, places)
    case = f"requests {number}"
    try:
        said = _answer(sent, address)
    except (ConnectionError, BrokenPipeError):
        said = None  # the server hung up, which it may
    except TimeoutError:
        said = None
        if sent.is_whole:
            found.hangs += 1
            found.notes.append(f"{case}: no answer: {sent.data[:80]!r}")
    status = int(said[9:12]) if said and re.match(rb"HTTP/1\.1 \d{3}", said) else 0
    found.answered += status > 0
    if status >= 500 and status != 503:
        found.crashes += 1
        found.notes.append(f"{case}: {said[:60]!r} to {sent.data[:200]!r}")
    if said and (SECRET.encode() in said or b"root:x:" in said):
        found.crashes += 1
        found.notes.append(f"{case}: a file of the machine was told to {sent.data[:200]!r}")
    if number % ALIVE_EVERY == 0:
        _check_alive(address, process, found, case)
    return 1


def _answer(sent: Request, address: str) -> bytes:
    host, port = address.removeprefix("http://").split(":")
    wait_s = ANSWER_S if sent.is_whole else SPOILT_S
    with socket.create_connection((host, int(port)), timeout=wait_s) as line:
        line.sendall(sent.data)
        said = b""
        while len(said) < MOST_READ:
            try:
                more = line.recv(65_536)
            except TimeoutError:
                if said:
                    return said
                raise
            said += more
            line.settimeout(0.3)  # the beginning of a stream is enough
            if not more:
                return said
            if b"\r\n\r\n" in said and not _has_more(said):
                return said
    return said


def _has_more(said: bytes) -> bool:
    head, _, body = said.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return len(body) < int(length[1]) if length else b"0\r\n\r\n" not in body


def _check_alive(address: str, process, found: Found, when: str) -> None:
    try:
        with urlopen(f"{address}/health", timeout=20) as answer:
            answer.read()
    except OSError as error:
        dead = process.poll() is not None
        found.crashes, found.hangs = found.crashes + dead, found.hangs + (not dead)
        found.notes.append(f"{when}: the server does not answer: {error}")


def _places(work: Path, address: str, url: str) -> Places:
    secret = work / "secret.jpg"
    secret.write_text(SECRET)
    os.mkfifo(work / "pipe.jpg")
    private = next(path for path in (work / "tmp").iterdir() if path.is_dir())
    link = private / "results" / "link.jpg"
    link.symlink_to(secret)
    files = (secret, work / "pipe.jpg", link, "/dev/zero", "/etc/passwd", "/proc/self/environ",
             private, f"{private}/results/../results/link.jpg")  # fmt: skip
    return Places(tuple(map(str, files)), url)


@contextmanager
def _server(work: Path, found: Found) -> Iterator[tuple[str, subprocess.Popen]]:
    """Run the page; afterwards count tracebacks in its log and the files it left."""
    temporary = work / "tmp"
    temporary.mkdir()
    log = work / "log.txt"
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "builder_tools", "web", "--port", "0", "--max-video-s", "5"],
            stderr=said,
            stdout=said,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
        try:
            yield _wait_for(log, process), process
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            found.hangs += 1
            found.notes.append("requests: the server did not end")
        finally:
            process.kill()
            process.wait()
    text = log.read_text(errors="replace")
    if tracebacks := text.count("Traceback (most recent call last)"):
        found.crashes += tracebacks
        last = text.rpartition("Traceback (most recent call last)")[2][-1500:]
        found.notes.append(f"requests: {tracebacks} tracebacks, the last: {last}")
    left = [path for path in temporary.rglob("*") if not path.is_dir()]
    found.left_files += len(left)
    found.notes += [f"requests: left {path.name}" for path in left[:5]]


def _wait_for(log: Path, process: subprocess.Popen) -> str:
    end_s = time.monotonic() + 120
    while time.monotonic() < end_s and process.poll() is None:
        told = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if told:
            try:
                urlopen(f"{told[0]}/health", timeout=60).close()
                return told[0]
            except OSError:
                pass
        time.sleep(0.1)
    raise RuntimeError(f"The server did not start: {log.read_text()[-500:]}")


@contextmanager
def _elsewhere() -> Iterator[tuple[str, list[str]]]:
    """Run a server that no one should contact; yield its address and the paths requested."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{other.server_address[1]}/a.jpg", asked
        other.shutdown()
