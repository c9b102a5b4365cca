"""A real browser on a real server with shipped models; whatever the page does wrong fails a test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server import serving

ROOT = Path(__file__).resolve().parents[2]
SERVED = (
    "cifar10-conv-denoise",
    "cifar10-unet-denoise",
    "mnist-colour-vae-16",
    "mnist-conv-6-denoise",
    "mnist-deep-2",
    "mnist-mlp-8",
    "mnist-unet-denoise",
    "mnist-unet-occlusion",
    "mnist-vae-6",
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[str]:
    """The address of a service of its own, with nine of the shipped models."""
    models = tmp_path_factory.mktemp("shipped")
    for name in SERVED:
        shutil.copytree(ROOT / "models" / name, models / name)
    with serving(models, log_level="error") as server:
        yield server.url


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    """Debian's Chromium; no longer than a module, for Playwright keeps an event loop running."""
    if not CHROMIUM:
        pytest.skip("chromium is not installed: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        # Chromium's own sandbox needs rights that root in a container has not.
        sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = started.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium, server) -> Iterator[Callable]:
    """Opens a view; in the end nothing may have gone elsewhere, failed or been complained of."""
    contexts, faults = [], []

    def open_page(view: str = "", **options):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(90_000)
        page.on("console", lambda m: m.type in ("error", "warning") and faults.append(m.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda r: r.url.startswith((server, "blob:", "data:")) or faults.append(r.url),
        )
        page.on("response", lambda r: r.status >= 400 and faults.append(f"{r.status} {r.url}"))
        page.goto(f"{server}/#{view}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults
