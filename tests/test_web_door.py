"""What a running server gives to those who ask for more than its page does: nothing.

Spoken is HTTP only, so that these tests hold whatever serves the page: routes and functions are
those that its page names, and those that Gradio is known to have.
"""

import http.server
import json
import os
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest

httpx = pytest.importorskip("httpx")
pytest.importorskip("gradio")

from web_server import running  # noqa: E402

from builder_tools.web import result_store  # noqa: E402

CLIENT = httpx.Client(timeout=60)
SECRET = "a-secret-of-this-machine"
API = "/en/gradio_api"
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


@pytest.fixture(scope="module")
def functions(address):
    """The numbers of the page's functions, with how many things each takes."""
    config = CLIENT.get(f"{address}/en/config").json()
    found = {one["id"]: len(one["inputs"]) for one in config["dependencies"]}
    assert len(found) >= 6
    return found


def file_data(path, **more):
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}, **more}


def upload(address, name, data, language="en"):
    files = {"files": (name, data)}
    answer = CLIENT.post(f"{address}/{language}/gradio_api/upload", files=files, timeout=60)
    assert answer.status_code == 200
    return answer.json()[0]


def call(address, function, data, route="queue/join", **more):
    """Calls a function as the page does; gives the status and all that is said, to the end."""
    body = {"data": data, "fn_index": function, "session_hash": "me", "trigger_id": None, **more}
    begun = CLIENT.post(f"{address}{API}/{route}", json=body, timeout=60)
    if begun.status_code != 200:
        return begun.status_code, begun.text
    said = [begun.text]
    url = f"{address}{API}/queue/data?session_hash={body['session_hash']}"
    with CLIENT.stream("GET", url, timeout=120) as stream:
        for line in stream.iter_lines():
            said.append(line)
            if "process_completed" in line or "close_stream" in line:
                break
    return 200, "\n".join(said)


@pytest.fixture
def foreign(server, tmp_path):
    """Files no client may have, by what they are."""
    _, folder = server
    secret = tmp_path / "secret.jpg"
    secret.write_text(SECRET)
    fifo = tmp_path / "fifo.jpg"
    os.mkfifo(fifo)
    uploads = folder / "uploads"
    whole = uploads / ("0" * 64)
    whole.mkdir(exist_ok=True)
    made = {"link": whole / "link.jpg", "folder_link": uploads / "linked", "pipe": whole / "p.jpg"}
    made["link"].symlink_to(secret)
    made["folder_link"].symlink_to(tmp_path)
    os.mkfifo(made["pipe"])
    result = folder / "results" / "somebodys-token-12345678"
    result.mkdir(exist_ok=True)
    (result / "timeline.csv").write_text(SECRET)
    coming = uploads / "tmp12345678"
    coming.write_text(SECRET)
    yield {
        "file": secret,
        "passwd": "/etc/passwd",
        "device": "/dev/zero",
        "process": "/proc/self/environ",
        "pipe": fifo,
        "link": made["link"],
        "linked folder": made["folder_link"] / "secret.jpg",
        "pipe among uploads": made["pipe"],
        "somebody's result": result / "timeline.csv",
        "somebody's upload, coming": coming,
        "upwards": f"{whole}/../../results/{result.name}/timeline.csv",
        "upwards to itself": f"{whole}/../{whole.name}/link.jpg",
        "folder": whole,
        "file's address": f"file://{secret}",
        "relative": os.path.relpath(secret),
        "nothing": "",
        "null byte": f"{secret}\0.jpg",
        "long": "/" + "a" * 5000,
    }
    for path in (*made.values(), coming, result / "timeline.csv"):
        path.unlink()


def test_an_upload_is_answered_and_given_to_nobody(address, functions, astronaut, server):
    """The way that stays open: what the page itself does, by the first function of four inputs."""
    import cv2

    data = cv2.imencode(".jpg", astronaut[..., ::-1])[1].tobytes()
    path = upload(address, "her.jpg", data)
    assert Path(path).is_relative_to(server[1])
    photo = next(number for number, count in functions.items() if count == 4)
    asked = [
        file_data(path, orig_name="her.jpg", url="http://evil.example/x"),
        "fast",
        "mediapipe",
        False,
    ]
    status, said = call(address, photo, asked)
    assert status == 200 and "happy" in said and "evil.example" not in said
    for route in ("file=", "file/"):
        assert CLIENT.get(f"{address}{API}/{route}{path}").status_code in REFUSED


def test_no_function_takes_a_file_that_is_no_upload(address, functions, foreign):
    for kind, path in foreign.items():
        for number, count in functions.items():
            for told in (file_data(path), [file_data(path)], [[{"a": [file_data(path)]}]]):
                data = [told, "fast", "fast", False][: max(count, 1)]  # one too many for none
                status, said = call(address, number, data)
                assert status == 422, (kind, number, said)
                assert SECRET not in said and "root:" not in said
    assert CLIENT.get(f"{address}/health", timeout=10).status_code == 200


def test_a_path_as_a_text_opens_nothing(address, functions, foreign):
    """Texts are names of models; a function that is given one for a file says that it failed."""
    for number, count in functions.items():
        for path in (foreign["file"], foreign["pipe"], "/dev/zero"):
            status, said = call(address, number, ([str(path)] * 3 + [False])[:count])
            assert SECRET not in said, (number, status)
    assert CLIENT.get(f"{address}/health", timeout=10).status_code == 200


@pytest.mark.parametrize("route", ["call/photo", "call/v2/predict", "run/predict", "api/predict"])
def test_there_is_no_other_way_to_call(address, functions, foreign, route):
    for number in functions:
        status, said = call(address, number, [file_data(foreign["file"]), "fast"], route)
        assert status in REFUSED and SECRET not in said


@pytest.mark.parametrize("language", ["en", "ru"])
def test_no_other_route_is_there(address, foreign, language):
    secret = foreign["file"]
    asked = {"session_hash": "me", "component_id": 1, "data": str(secret)}
    bodies = [
        ("component_server", {**asked, "fn_name": "ls"}),
        ("component_server", {**asked, "fn_name": "load"}),
        ("stream/abc", file_data(secret)),
        ("vibe-edit", {"prompt": "x"}),
        ("vibe-code", {"code": "x"}),
        ("run-history/connect", {"bucket_id": "a/b"}),
        ("profiling/clear", {}),
    ]
    root = f"{address}/{language}"
    for route, body in bodies:
        for path in (f"{root}/gradio_api/{route}", f"{root}/gradio_api/{route}/"):
            assert CLIENT.post(path, json=body, timeout=30).status_code in REFUSED, path
    files = {"file": ("a.webm", b"recorded"), "component_id": (None, "1")}
    recorded = CLIENT.post(f"{root}/gradio_api/process_recording", files=files, timeout=30)
    assert recorded.status_code in REFUSED
    reads = [
        *(f"gradio_api/{how}{secret}" for how in ("file=", "file/", "proxy=", "custom_component/")),
        "gradio_api/file=/dev/zero",
        "gradio_api/stream/me/1/1/playlist.m3u8",
        "gradio_api/deep_link?session_hash=me",
        "gradio_api/queue/status",
        "gradio_api/token",
        "gradio_api/app_id",
        "gradio_api/openapi.json",
        "gradio_api/runs",
        "gradio_api/profiling/traces",
        "monitoring",
        "login_check",
        f"static/..%2f..%2f..%2f..%2f..%2f..%2f..%2f{secret}",
        f"assets/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e{secret}",
        f"static//{secret}",
    ]
    for route in reads:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
            answer = CLIENT.request(method, f"{root}/{route}", timeout=30)
            assert answer.status_code in REFUSED and SECRET not in answer.text, (method, route)


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


def test_no_address_is_fetched(address, functions, elsewhere):
    url, asked = elsewhere
    for route in ("file=", "file/", "proxy="):
        CLIENT.get(f"{address}{API}/{route}{url}", timeout=30)
        CLIENT.head(f"{address}{API}/{route}{url}", timeout=30)
    for number, count in functions.items():
        named = {"path": "", "url": url, "meta": {"_type": "gradio.FileData"}}
        for told in (file_data(url), named, url, [url], {"url": url}, {"path": {"url": url}}):
            call(address, number, [told, *["fast"] * (count - 1)])
    call(address, next(iter(functions)), [], event_data={"path": url, "url": url})
    assert asked == []


def test_what_is_no_call_of_the_page_is_refused(address, functions):
    deep = "[" * 100_000
    for body in (b"", b"{", b"[]", b"null", b"\xff", deep.encode(), b'{"data": {}}', b"1e999"):
        answer = CLIENT.post(f"{address}{API}/queue/join", content=body, timeout=30)
        assert answer.status_code == 422, body[:20]
    for wrong in ({"session_hash": "a/../b"}, {"session_hash": 5}, {"trigger_id": "0"}):
        assert call(address, 0, [], **wrong)[0] == 422
    assert call(address, "0", [])[0] == call(address, 0, {})[0] == call(address, True, [])[0] == 422
    assert call(address, 0, ["x" * 2_000_000])[0] == 422
    assert call(address, 10_000, [])[0] in range(400, 600)


def begin_upload(address, sent, said=100_000):
    """Begins an upload of which only so many bytes come."""
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    head = (
        f"POST {API}/upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: {said}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    )
    connection.sendall(head.encode() + bytes(sent))
    return connection


def test_uploads_that_break_off_lie_in_the_private_folder_and_go(server, monkeypatch, tmp_path):
    address, folder = server
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(folder.rglob("*"))
    with begin_upload(address, 50_000):
        wait_until(lambda: set(folder.rglob("*")) > before)
    nameless = {"other": ("a.jpg", b"not called files")}
    CLIENT.post(f"{address}{API}/upload", files=nameless, timeout=30)
    assert list(Path(tempfile.gettempdir()).iterdir()) == []
    monkeypatch.setattr(result_store, "SWEEP_S", 0.1)
    store = result_store.ResultStore(folder)
    left = lambda: {path for path in folder.rglob("*") if path.is_file()} - before  # noqa: E731
    store.sweep()
    assert left(), "what may still be coming stays"
    monkeypatch.setattr(result_store, "BROKEN_OFF_S", -1)
    store.sweep()
    assert not left()


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
@pytest.mark.parametrize("path", ["/health", f"{API}/info", "/en/config", "/results/a/b"])
def test_other_names_and_other_pages_get_nothing(address, header, path):
    line = raw(address, f"GET {path} HTTP/1.1\r\n{header}\r\nConnection: close\r\n\r\n".encode())
    assert line.split()[1] in (b"400", b"403"), line


def test_no_answer_is_open_to_other_pages(address):
    for path in ("/en/", "/en/config", f"{API}/info", "/health"):
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
    for path in ("/api/photo", "/api/batch", f"{API}/upload", f"{API}/queue/join"):
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n"
        kind = "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
        assert raw(address, (head + kind).encode()).split()[1] == b"408", path
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


def test_calls_that_wait_have_a_limit(monkeypatch):
    from builder_tools.web import page

    monkeypatch.setattr(page, "MOST_QUEUED", 0)
    with running() as (address, _):
        config = CLIENT.get(f"{address}/en/config").json()
        (photo, *_) = [one for one in config["dependencies"] if one["targets"][0][1] == "upload"]
        body = {
            "data": [None, "fast", "mediapipe", False],
            "fn_index": photo["id"],
            "session_hash": "me",
        }
        answer = CLIENT.post(f"{address}{API}/queue/join", json=body)
    assert answer.status_code == 503 and "full" in answer.text
