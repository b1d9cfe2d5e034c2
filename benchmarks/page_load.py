"""Measure how soon the page is usable: start of the server, requests, bytes, time, memory.

    python benchmarks/page_load.py [--times 5]

Prints a Markdown table, medians over fresh browsers. Needs Chromium and Playwright.
"""

from __future__ import annotations

import argparse
import statistics
import time

from machine import describe_machine
from page_screenshots import CHROMIUM, DESKTOP
from web import free_port, resident_mb, serving

LOADED = """() => {
  const parts = [performance.getEntriesByType("navigation")[0],
                 ...performance.getEntriesByType("resource")];
  const bytes = (key) => parts.reduce((sum, one) => sum + one[key], 0);
  return [parts.length, bytes("transferSize"), bytes("decodedBodySize")];
}"""
PHOTO_FIELD = "#bt-photo input[type=file]"


def main() -> None:
    """Measure, and print the table."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5)
    times = parser.parse_args().times
    rows, port = [], free_port()
    begin_s = time.monotonic()
    command = ["-m", "builder_tools", "web", "--port", str(port)]
    with serving(command, port, "/health") as (address, process), sync_playwright() as driver:
        start_s = time.monotonic() - begin_s
        for _ in range(times):
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport=DESKTOP)
            began_s = time.monotonic()
            page.goto(f"{address}/en/", wait_until="commit")
            page.wait_for_selector(PHOTO_FIELD, state="attached")
            usable_s = time.monotonic() - began_s
            page.wait_for_load_state("networkidle")
            rows.append((usable_s, *page.evaluate(LOADED)))
            browser.close()
        memory_mb = resident_mb(process)
    columns = zip(*rows, strict=True)
    usable_s, requests, sent, unpacked = (statistics.median(column) for column in columns)
    print(f"{describe_machine()}\n")
    print("| start, s | memory, MB | usable after, s | requests | sent, kB | unpacked, kB |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {start_s:.1f} | {memory_mb:.0f} | {usable_s:.2f} | {requests:.0f} | {sent / 1e3:.0f} "
        f"| {unpacked / 1e3:.0f} |"
    )


if __name__ == "__main__":
    main()
