"""What a running server gives to those who ask for more than its page does: nothing.

Spoken is HTTP only, so that these tests hold whatever serves the page.
"""

import http.server
import json
import os
import socket
import threading
import time

import pytest

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")

from web_server import running  # noqa: E402

CLIENT = httpx.Client(timeout=60)
SECRET = "a-secret-of-this-machine"
REQUEST = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HANDSHAKE = (
    b"GET /api/camera HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Content-Length: 9\r\n\r\n"
)
REFUSED = range(400, 500)


@pytest.fixture(scope="module")
def server():
    with running() as (address, folder):
        yield address, folder


@pytest.fixture(scope="module")
def address(server):
    return server[0]


def post(address, path, data, **asked):
    return CLIENT.post(f"{address}{path}", content=data, params=asked, timeout=60)


@pytest.fixture
def foreign(server, tmp_path):
    """Files no client may have, by what they are."""
    _, folder = server
    secret = tmp_path / "secret.jpg"
    secret.write_text(SECRET)
    fifo = tmp_path / "fifo.jpg"
    os.mkfifo(fifo)
    result = folder / "results" / "somebodys-token-12345678"
    result.mkdir(exist_ok=True)
    (result / "timeline.csv").write_text(SECRET)
    yield {
        "file": secret,
        "passwd": "/etc/passwd",
        "device": "/dev/zero",
        "process": "/proc/self/environ",
        "pipe": fifo,
        "somebody's result": result / "timeline.csv",
        "upwards": f"{folder}/results/x/../{result.name}/timeline.csv",
        "file's address": f"file://{secret}",
        "relative": os.path.relpath(secret),
        "nothing": "",
        "null byte": f"{secret}\0.jpg",
        "long": "/" + "a" * 5000,
    }
    (result / "timeline.csv").unlink()


def test_a_name_or_a_choice_that_is_a_path_opens_nothing(address, foreign):
    for kind, path in foreign.items():
        asked = {"name": str(path), "model": str(path)}
        for route in ("/en/photo", "/ru/video", "/api/photo"):
            answer = post(address, route, b"no image", **asked)
            assert SECRET not in answer.text and "root:" not in answer.text, (kind, route)
        told = json.dumps([{"name": str(path), "size": 0}]).encode() + b"\n"
        answer = post(address, "/en/batch", told, detector=str(path))
        assert SECRET not in answer.text and "root:" not in answer.text, kind
    assert CLIENT.get(f"{address}/health", timeout=10).status_code == 200


@pytest.mark.parametrize("language", ["en", "ru"])
def test_no_other_route_is_there(address, foreign, language):
    secret, root = foreign["file"], f"{address}/{language}"
    reads = [
        "config",
        "gradio_api/queue/join",
        *(f"gradio_api/{how}{secret}" for how in ("file=", "file/", "proxy=")),
        f"photo{secret}",
        f"../static/..%2f..%2f..%2f..%2f..%2f..%2f{secret}",
        f"../examples/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e{secret}",
        f"../examples/{secret}",
        f"../static//{secret}",
        f"../results/x/{secret}",
        "../results/somebodys-token-12345678/timeline.csv",
    ]
    for route in reads:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
            answer = CLIENT.request(method, f"{root}/{route}", timeout=30)
            assert answer.status_code in REFUSED and SECRET not in answer.text, (method, route)
    for route in ("photo", "video", "batch"):
        for method in ("GET", "PUT", "DELETE"):
            assert CLIENT.request(method, f"{root}/{route}", timeout=30).status_code == 405


@pytest.fixture
def elsewhere():
    """Another server, and what was asked of it."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(SECRET.encode())

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{other.server_address[1]}/a.jpg", asked
        other.shutdown()


def test_no_address_is_fetched(address, elsewhere):
    url, asked = elsewhere
    for route in ("/en/photo", "/en/video", "/api/photo", "/api/video", "/api/batch"):
        for body in (url.encode(), f"#EXTM3U\n{url}\n".encode(), b"x"):
            post(address, route, body, name=url, model=url, url=url)
    told = json.dumps([{"name": url, "size": len(url), "url": url}]).encode()
    post(address, "/en/batch", told + b"\n" + url.encode())
    assert asked == []


def begin_upload(address, path, sent, said=100_000):
    """Begins an upload of which only so many bytes come."""
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {said}\r\n\r\n"
    connection.sendall(head.encode() + sent)
    return connection


@pytest.mark.parametrize("path", ["/en/video", "/en/batch", "/api/video"])
def test_uploads_that_break_off_lie_in_the_private_folder_and_go(server, path):
    address, folder = server

    def uploads():
        """What is there; a folder may go meanwhile, which `os.walk` forgives."""
        found = (name for _, _, names in os.walk(folder) for name in names)
        return [name for name in found if name.startswith(".upload")]

    told = b'[{"name": "a.jpg", "size": 99999}]\n' if path == "/en/batch" else b""
    assert not uploads()
    with begin_upload(address, path, told + bytes(50_000)):
        wait_until(uploads)
    wait_until(lambda: not uploads())


def test_whoever_hangs_up_stops_their_video(server, tmp_path, astronaut):
    import cv2

    from builder_tools.media import VideoWriter

    address, folder = server
    with VideoWriter(tmp_path / "long.mp4", 30, (640, 640)) as writer:
        image = cv2.resize(astronaut, (640, 640))
        for _ in range(400):
            writer.write(image)
    data, before = (tmp_path / "long.mp4").read_bytes(), set((folder / "results").iterdir())
    with CLIENT.stream("POST", f"{address}/en/video", content=data) as answer:
        lines = answer.iter_lines()
        assert "progress" in next(lines) and "progress" in next(lines)
        assert set((folder / "results").iterdir()) > before
    wait_until(lambda: set((folder / "results").iterdir()) == before)


def wait_until(is_true, seconds=30.0):
    end_s = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def raw(address, request, seconds=20.0):
    """Sends bytes; gives the first line of what comes back."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(request)
        return connection.recv(200).partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "header",
    [
        "Host: [",
        "Host: [::1",
        "Host: ",
        "Host: 127.0.0.1:99999999",
        "Host: evil.example",
        "Host: 127.0.0.1@evil.example",
        "Host: 127.0.0.1\r\nX-Forwarded-Host: evil.example",
        "Host: 127.0.0.1\r\nOrigin: http://[",
        "Host: 127.0.0.1\r\nOrigin: null",
        "Host: 127.0.0.1\r\nOrigin: http://evil.example",
        "Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors",
        "Host: 127.0.0.1\r\nSec-Fetch-Site: same-site\r\nSec-Fetch-Mode: no-cors",
    ],
)
@pytest.mark.parametrize("path", ["/health", "/en/", "/examples/film.mp4", "/results/a/b"])
def test_other_names_and_other_pages_get_nothing(address, header, path):
    line = raw(address, f"GET {path} HTTP/1.1\r\n{header}\r\nConnection: close\r\n\r\n".encode())
    assert line.split()[1] in (b"400", b"403"), line


def test_no_answer_is_open_to_other_pages(address):
    for path in ("/en/", "/static/page.js", "/examples/group.jpg", "/health"):
        answer = CLIENT.get(f"{address}{path}", headers={"origin": address}, timeout=30)
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_those_who_only_hold_the_line_make_nobody_wait(address, monkeypatch):
    monkeypatch.setattr("builder_tools.web.connections.MOST_CONNECTIONS", 20)
    host, port = address.removeprefix("http://").split(":")
    lines = [socket.create_connection((host, int(port))) for _ in range(60)]
    try:
        for line in lines[::2]:
            line.sendall(b"GET /health HTTP/1.1\r\nHost:")
        assert httpx.get(f"{address}/health", timeout=10).status_code == 200
    finally:
        for line in lines:
            line.close()


@pytest.mark.parametrize(
    "sent",
    [b"", REQUEST[:30], REQUEST + b"GET /", HANDSHAKE],
    ids=["nothing", "half a header", "one and a half requests", "a WebSocket with a body to come"],
)
def test_headers_that_never_end_are_hung_up(address, monkeypatch, sent):
    monkeypatch.setattr("builder_tools.web.connections.HEADERS_S", 0.5)
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as line:
        line.sendall(sent)
        try:
            while line.recv(4096):
                pass
        except ConnectionResetError:
            pass


def test_a_body_that_never_comes_is_hung_up_and_leaves_no_file_open(address, monkeypatch):
    monkeypatch.setattr("builder_tools.web.guard.STALL_S", 0.5)
    for path in ("/api/photo", "/api/batch", "/en/photo", "/en/video", "/ru/batch"):
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n"
        form = "" if path == "/api/batch" else "Content-Type: multipart/form-data; boundary=b\r\n"
        assert raw(address, f"{head}{form}\r\n--b".encode()).split()[1] == b"408", path
    drip = f"POST /api/photo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {'9' * 200}\r\n\r\n"
    assert raw(address, drip.encode()).split()[1] in (b"400", b"413")


def test_headers_have_an_end(address):
    many = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n"
    assert raw(address, many).split()[1] in (b"400", b"431")


def test_json_is_told_as_json_whatever_is_in_it(address):
    evil = "<script>alert(1)</script>.jpg"
    answer = CLIENT.post(f"{address}/api/photo", content=b"x", params={"name": evil}, timeout=30)
    assert json.loads(answer.text)["error"] == "no_picture"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
