"""What stands before every request, and where uploads and results lie for a while."""

import base64
import time

import pytest

pytest.importorskip("fastapi")

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from builder_tools.web import guard
from builder_tools.web import result_store as results
from builder_tools.web.guard import Guard
from builder_tools.web.limits import Refused
from builder_tools.web.result_store import ResultStore

# results


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "private", keep_s=60)


def test_results_are_found_only_when_finished_and_by_their_names(store):
    token, folder = store.new()
    (folder / "a.csv").write_text("x")
    (folder / ".upload").write_text("secret")
    with pytest.raises(Refused):
        store.find(token, "a.csv")
    store.finish(token)
    assert store.find(token, "a.csv").read_text() == "x"
    for name in ("../a.csv", ".upload", "b.csv", "", ".", ".."):
        with pytest.raises(Refused):
            store.find(token, name)
    with pytest.raises(Refused):
        store.find("other", "a.csv")


def test_results_are_deleted_after_their_time_and_when_asked(store, monkeypatch):
    (token, folder), (other, other_folder) = store.new(), store.new()
    store.finish(token)
    store.finish(other)
    assert store.delete(other) and not store.delete(other) and not other_folder.exists()
    now = time.monotonic()
    monkeypatch.setattr(results.time, "monotonic", lambda: now + 61)
    store.sweep()
    assert not folder.exists()


def test_a_job_under_way_is_not_swept(store, monkeypatch):
    _, folder = store.new()
    now = time.monotonic()
    monkeypatch.setattr(results.time, "monotonic", lambda: now + 1e6)
    store.sweep()
    assert folder.exists()


def test_stopping_deletes_everything(store):
    (store.new()[1] / ".upload").write_bytes(b"data")
    store.start()
    store.stop()
    assert not store.root.exists()


# the guard


def guarded(**options):
    async def length(request):
        return PlainTextResponse(str(len(await request.body())))

    routes = [
        Route("/", length, methods=["GET", "POST"]),
        Route("/health", length, methods=["GET"]),
    ]
    settings = {"password": None, "hosts": [], "max_bytes": 1000, **options}
    return TestClient(Guard(Starlette(routes=routes), **settings), base_url="http://localhost")


def basic(password, user="anybody"):
    code = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"authorization": f"Basic {code}"}


def test_a_password_is_asked_for_and_taken_with_any_user_name():
    client = guarded(password="sésame")
    asked = client.get("/")
    assert asked.status_code == 401 and "Basic" in asked.headers["www-authenticate"]
    assert asked.json() == {"error": "password", "message": "A password is needed."}
    assert client.get("/", headers=basic("sésame")).status_code == 200
    for wrong in ("Basic !!!", "Bearer x", "Basic", basic("b")["authorization"]):
        assert client.get("/", headers={"authorization": wrong}).status_code == 401
    assert client.get("/health").status_code == 200


def test_guesses_are_slowed_whatever_they_are(monkeypatch):
    """Five are free; then one in a second, in two, in four ... and at last one a minute."""
    now = 1000.0
    monkeypatch.setattr(guard.time, "monotonic", lambda: now)
    guesses, count = guard.Guesses(), 0
    for second in range(3600):
        now = 1000.0 + second
        while not guesses.wait_s("client"):
            guesses.wrong("client")
            count += 1
    assert 5 + 6 + 58 <= count <= 5 + 6 + 60


def test_who_guessed_wrong_is_not_listened_to_for_a_while(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(guard.time, "monotonic", lambda: now)
    client = guarded(password="right")
    answers = [client.get("/", headers=basic("wrong")).status_code for _ in range(7)]
    assert answers == [401] * 5 + [429] * 2
    refused = client.get("/", headers=basic("right"))
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
    assert client.get("/").status_code == 401, "the browser may ask its user"
    now += 2
    assert client.get("/", headers=basic("right")).status_code == 200


def test_one_clients_guesses_are_no_others():
    guesses = guard.Guesses()
    for number in range(10):
        guesses.wrong("192.0.2.1")
        guesses.wrong(f"client {number}")
    assert guesses.wait_s("192.0.2.1") > 1 and guesses.wait_s("192.0.2.2") == 0
    assert guard._client({"client": ("2001:db8:1:2:3::4", 1)}) == "2001:db8:1:2"
    assert guard._client({"client": ("::ffff:192.0.2.1", 1)}) == "::ffff:192.0.2.1"


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (1001, 413)])
def test_requests_may_be_so_large_and_no_larger(size, status):
    assert guarded().post("/", content=bytes(size)).status_code == status


def test_a_request_that_does_not_say_its_length_is_counted():
    parts = (bytes(300) for _ in range(4))
    refused = guarded().post("/", content=parts)
    assert (refused.status_code, refused.json()["error"]) == (413, "too_big")


def test_a_server_is_called_by_its_names_only():
    """One for a network by any IP address too: no name can be made to point to another one."""
    for host, hosts, addresses, status in (
        ("localhost:7860", [], False, 200),
        ("LOCALHOST", [], False, 200),
        ("[::1]:7860", [], False, 200),
        ("mine:1", ["Mine"], False, 200),
        ("other", ["mine"], True, 400),
        ("192.0.2.7:7860", [], True, 200),
        ("[2001:db8::1]", [], True, 200),
        ("192.0.2.7", [], False, 400),
        ("192.0.2.7.evil.example", [], True, 400),
        ("evil.example:localhost", [], True, 400),
        ("localhost, evil.example", [], True, 400),
    ):
        client = guarded(hosts=hosts, addresses=addresses)
        assert client.get("/", headers={"host": host}).status_code == status, host
        forwarded = {"x-forwarded-host": host, "origin": f"https://{host}"}
        assert client.get("/", headers=forwarded).status_code == status, host


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({}, 200),
        ({"origin": "http://localhost"}, 200),
        ({"origin": "http://localhost:1234"}, 403),
        ({"origin": "http://localhost.evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "http://["}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 403),
        (
            {
                "sec-fetch-site": "cross-site",
                "sec-fetch-mode": "navigate",
                "sec-fetch-dest": "document",
            },
            200,
        ),
        (
            {
                "sec-fetch-site": "cross-site",
                "sec-fetch-mode": "navigate",
                "sec-fetch-dest": "iframe",
            },
            403,
        ),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_pages_may_link_here_and_nothing_else(told, status, method):
    assert guarded().request(method, "/", headers=told).status_code == status


def test_every_answer_forbids_loading_from_elsewhere():
    policy = guarded().get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "http" not in policy
