"""How soon the page is useful, and how fast its latent map decodes under the pointer.

    python -m benchmarks.page

Needs Debian's Chromium and the extra `test` (Playwright). Server, browser and page share the
machine's cores, as they do on the machine of somebody who tries the service.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.processes import Running, python, serving

PORT = 8181
HOVER_SECONDS = 3.0


def first_view(browser: Any, url: str) -> float:  # noqa: ANN401 (Playwright is not always there)
    """Seconds from the request for the page to the first picture cleaned, nothing cached."""
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(url)
        _shown(page, "answered", 1)
        return float(page.evaluate("performance.now()")) / 1000
    finally:
        context.close()


def hover_rate(browser: Any, url: str, model: str) -> float:  # noqa: ANN401
    """Images a second decoded and drawn while the pointer goes round on the map."""
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(f"{url}/#latent?model={model}")
        _shown(page, "decoded", 1)
        page.locator(".map").scroll_into_view_if_needed()
        box = page.locator(".map").bounding_box()
        x, y, radius = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"] * 0.3
        before, start, step = _count(page), time.perf_counter(), 0
        while (passed := time.perf_counter() - start) < HOVER_SECONDS:
            step += 1
            page.mouse.move(x + radius * math.cos(step / 25), y + radius * math.sin(step / 25))
        return (_count(page) - before) / passed
    finally:
        context.close()


def main() -> None:
    """Prints the median and range of both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="mnist-vae-6", help="whose map is hovered over")
    options = parser.parse_args()
    with _service() as server, _chromium() as browser:
        url = f"http://{server.address[0]}:{server.address[1]}"
        first_view(browser, url)  # the browser's own start is not the page's
        views = [first_view(browser, url) for _ in range(options.rounds)]
        rates = [hover_rate(browser, url, options.model) for _ in range(options.rounds)]
    _tell("first view", views, "s")
    _tell("hovering", rates, "images/s")


def _tell(name: str, found: list[float], unit: str) -> None:
    print(f"{name}: {statistics.median(found):.2f} {unit} ({min(found):.2f} to {max(found):.2f})")


def _shown(page: Any, by: str, times: int) -> None:  # noqa: ANN401
    """Waits until the view in front has shown so many answers."""
    condition = "([by, times]) => document.querySelector('section')?.dataset[by] >= times"
    page.wait_for_function(condition, arg=[by, times])


def _count(page: Any) -> int:  # noqa: ANN401
    return int(page.locator("section").get_attribute("data-decoded"))


@contextmanager
def _service() -> Iterator[Running]:
    command = [python(), "-c", "from service.cli import main; main()", "serve"]
    options = ["--port", str(PORT), "--log-level", "warning"]
    cores = sorted(os.sched_getaffinity(0))
    with serving("ours", [*command, *options], PORT, cores=cores, ready=lambda _: True) as server:
        yield server


@contextmanager
def _chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 (of the extra `test`)

    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        raise SystemExit("chromium is not installed: apt-get install chromium")
    # Chromium's own sandbox needs rights that root in a container has not.
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=sandbox)
        yield browser
        browser.close()


if __name__ == "__main__":
    main()
