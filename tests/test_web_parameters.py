"""What stands in an address or a form and nobody reads is refused, not left out."""

import pytest

pytest.importorskip("fastapi", reason="the [web] extra is absent")
httpx = pytest.importorskip("httpx")

from test_web_api import jpeg, zip_of  # noqa: E402
from web_server import running  # noqa: E402


@pytest.fixture(scope="module")
def address():
    with running() as (address, _):
        yield address


@pytest.mark.parametrize("path", ["photo", "video", "batch"])
@pytest.mark.parametrize("asked", ["modle=tiny", "Decision=balanced", "model=tiny&blur=true"])
def test_parameters_that_no_request_has_are_refused_by_name(address, path, asked):
    answer = httpx.post(f"{address}/api/{path}?{asked}", content=b"x", timeout=60)
    assert answer.status_code == 422
    (told,) = answer.json()["detail"]
    assert told["loc"] == ["query", asked.rpartition("&")[2].partition("=")[0]]


def test_each_request_takes_its_own_parameters(address, astronaut):
    own = {"model": "tiny", "detector": "haar", "decision": "balanced"}
    photo = httpx.post(
        f"{address}/api/photo", content=jpeg(astronaut), params={**own, "name": "a"}, timeout=60
    )
    assert photo.json()["source"] == "a"
    data = zip_of({"a.jpg": jpeg(astronaut)})
    log = httpx.post(
        f"{address}/api/batch", content=data, params={**own, "give": "log"}, timeout=60
    )
    assert log.text.splitlines()[1].startswith("a.jpg,ok,happy")
    assert httpx.post(f"{address}/api/batch?name=a", content=data, timeout=60).status_code == 422


def test_a_camera_with_a_parameter_that_nobody_reads_is_refused(address):
    client = pytest.importorskip("websockets.sync.client")
    url = address.replace("http", "ws", 1) + "/api/camera?modle=tiny"
    with pytest.raises(Exception, match="403"), client.connect(url):
        pass


def test_a_choice_in_the_form_is_refused_as_it_belongs_in_the_address(address, astronaut):
    files = {"file": ("a.jpg", jpeg(astronaut))}
    answer = httpx.post(f"{address}/api/photo", files=files, data={"model": "tiny"}, timeout=60)
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith("Received: model.")


@pytest.mark.parametrize("path", ["video", "batch"])
def test_a_form_where_the_file_itself_is_expected_is_named_so(address, path):
    files = {"file": ("a.mp4", b"x")}
    answer = httpx.post(f"{address}/api/{path}", files=files, timeout=60)
    assert answer.status_code == 415 and "as the body" in answer.json()["detail"]
