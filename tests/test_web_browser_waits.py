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
    page.wait_for_selector("#bt-batch-result >> text=Deleted.")
    assert alert.count() == 0
    origin = page.evaluate("location.origin")
    assert page.request.get(origin + table).status == 410
