"""The page's scripts where answers fail, come late or in another order than they were asked."""
# ruff: noqa: F811 - fixtures by their names.

import pytest

pytest.importorskip("fastapi", reason="the [web] extra is absent")
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is absent")

from browser_page import (  # noqa: E402
    CHROMIUM,
    address,  # noqa: F401
    browser,  # noqa: F401
    choose,
    faults,
    files,  # noqa: F401
    open_page,  # noqa: F401
    wait_until,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is absent")


def open_tab(open_page, kind):
    page = open_page()
    page.set_default_timeout(20_000)
    page.click(f"#tab-{kind}")
    return page


def test_results_are_called_deleted_only_once_they_are(open_page, files):
    page = open_tab(open_page, "batch")
    choose(page, "batch", files / "photo.jpg")
    page.click("#bt-batch-start")
    page.wait_for_selector(".bt-delete")
    table = page.locator('a[download="submission.csv"]').get_attribute("href")
    alert = page.locator("#bt-batch-result [role=alert]")
    for fail in (lambda route: route.fulfill(status=500, body="no"), lambda route: route.abort()):
        page.route("**/results/*", fail)
        page.click(".bt-delete")
        page.wait_for_selector("[role=alert]:not([data-seen]) >> text=could not be deleted")
        assert alert.count() == 1
        alert.evaluate("one => { one.dataset.seen = true; }")
        assert faults(page) == []
        page.unroute("**/results/*")
    page.click(".bt-delete")
    page.wait_for_selector("#bt-batch-result >> text=/^Deleted/")
    assert alert.count() == 0
    origin = page.evaluate("location.origin")
    assert page.request.get(origin + table).status == 410


def test_what_replaces_an_upload_is_not_called_stopped(open_page, files):
    page = open_tab(open_page, "video")
    page.route("**/en/video?*", lambda route: None)  # still being uploaded
    choose(page, "video", files / "video.mp4")
    with page.expect_request("**/en/video?*"):
        page.click("#bt-video-start")
    with page.expect_event("requestfailed"):
        page.click("#bt-video-start")
    settle(page)
    assert page.inner_text("#bt-video-result") == "Uploading ..."
    page.click("#bt-video-stop")
    page.wait_for_selector("#bt-video-result >> text=Stopped; nothing was kept.")
    assert page.locator("#bt-video-stop").is_hidden()


def test_the_reason_for_a_refusal_stays_where_another_upload_was_under_way(
    open_page, files, tmp_path
):
    (tmp_path / "empty.jpg").write_bytes(b"")
    page = open_tab(open_page, "photo")
    page.route("**/en/photo?*", lambda route: None)
    with page.expect_request("**/en/photo?*"):
        choose(page, "photo", files / "photo.jpg")
    with page.expect_event("requestfailed"):
        choose(page, "photo", tmp_path / "empty.jpg")
    settle(page)
    assert "The file is empty" in page.inner_text("#bt-photo-result")


def settle(page):
    """Let the page's script take note of what has ended."""
    page.evaluate("new Promise((go) => setTimeout(() => requestAnimationFrame(go)))")


def route_example(page, answer):
    """Has a click on the example of a photo answered by the test, but not its small image."""
    page.route(
        "**/examples/group.jpg",
        lambda route: (
            answer(route) if route.request.resource_type == "fetch" else route.continue_()
        ),
    )


def test_a_slow_example_does_not_replace_what_was_chosen_meanwhile(open_page, files):
    page = open_tab(open_page, "photo")
    page.evaluate(
        """() => {
          const blob = Response.prototype.blob;
          Response.prototype.blob = async function () {
            const got = await blob.call(this);
            window.hasExample = true;
            return got;
          };
        }"""
    )
    held = []
    route_example(page, held.append)
    with page.expect_request("**/examples/group.jpg"):
        page.click('.bt-example[data-files="group.jpg"]')
    choose(page, "photo", files / "photo.jpg")
    page.wait_for_selector('#bt-photo-result .bt-face[data-emotion="happy"]')
    held[0].continue_()
    wait_until(page, "() => window.hasExample")
    settle(page)
    assert page.inner_text("#bt-photo .bt-chosen") == "photo.jpg"
    assert "Faces found in photo.jpg: 1" in page.inner_text("#bt-photo-result")


def test_an_example_that_cannot_be_loaded_is_told_of(open_page, files):
    page = open_tab(open_page, "photo")
    alert = page.locator("#panel-photo [role=alert]")
    for fail in (lambda route: route.fulfill(status=404, body="{}"), lambda route: route.abort()):
        route_example(page, fail)
        page.click('.bt-example[data-files="group.jpg"]')
        page.wait_for_selector("[role=alert]:not([data-seen]) >> text=example could not be loaded")
        assert alert.count() == 1
        alert.evaluate("one => { one.dataset.seen = true; }")
        assert faults(page) == []
        page.unroute("**/examples/group.jpg")
    choose(page, "photo", files / "photo.jpg")
    page.wait_for_selector("#bt-photo-result .bt-face")
    assert alert.count() == 0


@pytest.mark.parametrize("kind", ["photo", "batch"])
def test_a_folder_that_is_dropped_is_told_of(open_page, kind, tmp_path):
    (tmp_path / "my photos").mkdir()
    page = open_tab(open_page, kind)
    box = page.locator(f"#bt-{kind}").bounding_box()
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(tmp_path / "my photos")], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for event in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": event, "data": data, **place})
    page.wait_for_selector(f"#bt-{kind} >> text=my photos")
    if kind == "batch":
        page.click("#bt-batch-start")
    page.wait_for_selector(f"#bt-{kind}-result [role=alert]")
    assert "my photos cannot be read: it is a folder" in page.inner_text(f"#bt-{kind}-result")


def test_what_a_browser_restores_on_the_way_back_is_what_the_page_says_is_chosen(open_page):
    page = open_page()
    page.click(".bt-choice summary")
    page.select_option("#bt-model", "tiny")
    page.click("text=HTTP API")
    page.wait_for_url("**/docs")
    page.go_back()
    page.wait_for_selector("#bt-photo")
    page.wait_for_load_state()
    model = page.locator("#bt-model").input_value()
    assert page.inner_text("#bt-chosen").startswith(model)


@pytest.mark.parametrize("kind", ["photo", "video"])
def test_of_several_files_that_are_dropped_the_page_says_which_one_it_takes(open_page, kind):
    page = open_tab(open_page, kind)
    drop = f"""(names) => {{
      const data = new DataTransfer();
      for (const name of names) data.items.add(new File(["x"], name));
      const how = {{ dataTransfer: data, bubbles: true, cancelable: true }};
      document.querySelector("#bt-{kind}").dispatchEvent(new DragEvent("drop", how));
    }}"""
    page.evaluate(drop, ["a.jpg", "b.jpg", "c.jpg"])
    told = page.inner_text(f"#panel-{kind} .bt-failed")
    assert told == "Of 3 files only a.jpg is taken here. Batch takes many photos."
    assert faults(page) == []
    page.evaluate(drop, ["b.jpg"])
    assert page.locator(f"#panel-{kind} .bt-failed").count() == 0
