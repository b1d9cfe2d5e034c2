"""`builder-tools web`: a server in a process of its own, and what it says where it cannot begin."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import builder_tools
from builder_tools.cli import main

ROOT = Path(builder_tools.__file__).parents[1]


def test_what_is_missing_is_named_with_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr("builder_tools.web.find_spec", lambda name: None)
    assert main(["web"]) == 2
    said = capsys.readouterr().err
    assert "python_multipart, scipy, uvicorn, websockets" in said
    assert "pip install 'builder-tools[web]'" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "70000"], "port"),
        (["--max-upload-mb", "0"], "max_upload_mb"),
        (["--port", "0", "--model", "nobody"], "Expected one of the models"),
        (["--port", "0", "--host", "192.0.2.1", "--no-password"], "Cannot listen at 192.0.2.1"),
        (["--port", "0", "--host", "0.0.0.0"], "--no-password if that is meant"),
    ],
)
def test_wrong_usage_is_said_in_one_line(arguments, said, capsys):
    pytest.importorskip("fastapi")
    assert main(["web", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_loading_the_verb_loads_no_server():
    heavy = ("fastapi", "jinja2", "pandas")
    code = f"import sys, builder_tools.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.fixture
def server(tmp_path):
    """A server in a process of its own: the process, and its address."""
    pytest.importorskip("fastapi")
    process = subprocess.Popen(
        [sys.executable, "-m", "builder_tools", "web", "--port", "0", "--language", "ru"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        yield process, re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())[0]
    finally:
        process.kill()
        process.stderr.close()
        process.wait()


@pytest.mark.parametrize("images", ["inf", "nan", "2.5", "0"])
def test_a_number_of_images_that_is_none_is_refused(images, capsys):
    with pytest.raises(SystemExit) as told:
        main(["web", "--port", "0", "--max-images", images])
    assert told.value.code == 2
    assert f"expected a whole number >= 1, received '{images}'" in capsys.readouterr().err


def test_a_wrong_limit_in_the_environment_is_refused_at_the_start(monkeypatch, tmp_path):
    """Every batch was answered with an error from inside."""
    pytest.importorskip("fastapi")
    from builder_tools.web.server import WebSettings, create_app

    monkeypatch.setenv("BUILDER_TOOLS_MAX_SIDE", "many")
    with pytest.raises(RuntimeError, match="BUILDER_TOOLS_MAX_SIDE"):
        create_app(WebSettings(), tmp_path, engine=object())


def test_the_server_answers_and_leaves_nothing_when_it_is_ended(server, tmp_path):
    httpx = pytest.importorskip("httpx")
    process, address = server
    assert _get(httpx, f"{address}/health").json()["status"] == "ok"
    assert httpx.get(address).headers["location"] == "/ru/"
    assert len(list(tmp_path.iterdir())) == 1
    host, port = address.removeprefix("http://").split(":")
    to = (host, int(port))
    head = f"POST /en/video HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99\r\n\r\n"
    with socket.create_connection(to) as broken_off:
        broken_off.sendall(f"{head}half of it".encode())
        end_s = time.monotonic() + 60
        while not [path for path in tmp_path.rglob(".upload")]:
            assert time.monotonic() < end_s
            time.sleep(0.05)
        _get(httpx, f"{address}/health")
        process.send_signal(signal.SIGTERM)
        _, words = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in words
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def _get(httpx, url):
    """The port is taken before the server is there, so this may wait."""
    end_s = time.monotonic() + 120
    while True:
        try:
            return httpx.get(url, timeout=120)
        except httpx.TransportError:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.2)
