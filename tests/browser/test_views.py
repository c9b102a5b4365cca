"""The other views, what all have in common, and who can use them."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from service import images
from tests.browser.conftest import SERVED
from tests.browser.pages import answered, pick, pixels, slide
from tests.server import serving

ROOT = Path(__file__).resolve().parents[2]
VIEWS = {
    "denoise": "answered",
    "latent": "decoded",
    "interpolate": "answered",
    "sample": "answered",
    "models": "",
}
NPY = {"Accept": "application/x-npy"}


def ready(page, view: str) -> None:
    if VIEWS[view]:
        answered(page, by=VIEWS[view])
    else:
        page.locator(".card").first.wait_for()


def test_the_frames_between_two_pictures_are_the_apis(open_page, server):
    page = open_page("interpolate?model=mnist-vae-6")
    count = answered(page)
    pair = [httpx.get(f"{server}/page/images/mnist-{digit}.png").content for digit in (3, 8)]
    files = [("images", ("image", picture, "image/png")) for picture in pair]
    options = {"model": "mnist-vae-6", "steps": 41}
    for path in ("linear", "spherical"):
        if path == "spherical":
            pick(page, "Spherical")
            answered(page, times=count + 1)
        answer = httpx.post(
            f"{server}/interpolate", params={**options, "path": path}, files=files, headers=NPY
        )
        frames = np.load(io.BytesIO(answer.content))
        for frame in (0, 13, 40):
            slide(page.get_by_role("slider", name="Frame"), frame)
            np.testing.assert_array_equal(
                pixels(page.locator("figure canvas").nth(1))[..., :1], frames[frame]
            )
        for place, frame in ((0, 0), (4, 20), (8, 40)):
            np.testing.assert_array_equal(
                pixels(page.locator(".film canvas").nth(place))[..., :1], frames[frame]
            )
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as GIF").click()
    with Image.open(saved.value.path()) as picture:
        assert picture.n_frames > 20
    before = pixels(page.locator("figure canvas").nth(1))
    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(700)
    assert not np.array_equal(before, pixels(page.locator("figure canvas").nth(1)))


def test_a_hundred_samples_are_the_apis_and_open_in_the_latent_space(open_page, server):
    page = open_page("sample?model=mnist-vae-6&seed=7")
    count = answered(page)
    options = {
        "model": "mnist-vae-6",
        "count": 100,
        "seed": 7,
        "temperature": 1,
        "prior": "mixture",
    }
    made = np.load(io.BytesIO(httpx.post(f"{server}/sample", params=options, headers=NPY).content))
    cells = page.locator(".cell canvas")
    assert cells.count() == 100
    for place in (0, 42, 99):
        np.testing.assert_array_equal(pixels(cells.nth(place))[..., :1], made[place])
    slide(page.get_by_role("slider", name="Temperature"), 0)
    count = answered(page, times=count + 1)
    pick(page, "Prior")
    answered(page, times=count + 1)
    assert len({pixels(cells.nth(place)).tobytes() for place in (0, 42, 99)}) == 1, (
        "the prior's mean"
    )
    cells.nth(3).click()
    answered(page, by="decoded")
    assert "#latent?model=mnist-vae-6" in page.url
    page.go_back()
    page.get_by_role("heading", name="Images that nobody sent").wait_for()


def test_the_gallery_has_every_model_with_its_picture_and_numbers(open_page, server):
    page = open_page("models")
    page.locator(".card").first.wait_for()
    listed = httpx.get(f"{server}/models").json()["models"]
    assert page.locator(".card h2").all_inner_texts() == [model["name"] for model in listed]
    for model, card in zip(listed, page.locator(".card").all(), strict=True):
        card.scroll_into_view_if_needed()
        card.locator("img").wait_for()
        page.wait_for_function(
            "(image) => image.complete && image.naturalWidth > 100",
            arg=card.locator("img").element_handle(),
        )
        best = [s["values"]["psnr"] for s in model["scores"] if s["subject"] == "model" and s["protocol"] == "served"
                and s["task"] == ("denoise" if model["corruption"] else "reconstruct") and s["corruption"] == model["corruption"]]  # fmt: skip
        assert f"{best[0]:.2f} dB" in card.locator("table").inner_text()
    pick(page, "cifar10")
    assert page.locator(".card:visible").count() == 2
    page.locator(".card:visible a.chip").first.click()
    answered(page)
    assert page.locator("figure select").first.input_value().startswith("cifar10")


def run(text: str, language: str, folder: Path) -> str:
    command = ["bash", "-euc", text] if language == "curl" else [sys.executable, "-c", text]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("view", ["denoise?image=mnist-7&models=mnist-mlp-8", "interpolate?model=mnist-vae-6",
                                  "sample?model=mnist-vae-6", "latent?model=mnist-vae-6", "models"])  # fmt: skip
@pytest.mark.parametrize("language", ["curl", "Python"])
def test_the_request_panels_lines_run_as_they_stand(open_page, tmp_path, view, language):
    name = view.partition("?")[0]
    page = open_page(view)
    ready(page, name)
    page.get_by_text("The same as a request").click()
    pick(page, language)
    output = run(page.locator("pre").inner_text(), language, tmp_path)
    if name == "denoise":
        psnr = page.locator("figure").nth(2).locator("[data-score=psnr]").inner_text().split()[0]
        said = [float(number) for number in re.findall(r"\d+\.\d+", output)]
        assert any(abs(number - float(psnr)) <= 0.0051 for number in said)
    elif name == "models":
        assert all(model in output for model in SERVED)
    else:
        (file,) = (
            p for p in tmp_path.iterdir() if p.name in ("walk.gif", "samples.png", "decoded.png")
        )
        with Image.open(file) as picture:
            if name == "interpolate":
                assert picture.n_frames > 20
            elif name == "sample":
                sheet = np.asarray(picture)
                np.testing.assert_array_equal(
                    sheet[:28, :28], pixels(page.locator(".cell canvas").first)[..., 0]
                )
            else:
                shown = pixels(page.locator(".side canvas"))[..., 0]
                assert np.abs(np.asarray(picture).astype(int) - shown).max() <= 1


def test_a_drawing_is_in_the_request_itself(open_page, tmp_path, server):
    page = open_page()
    count = answered(page)
    small = tmp_path / "small.png"
    small.write_bytes(images.encode_png(np.full((28, 28, 1), 77, np.uint8)))
    page.locator("input[type=file]").set_input_files(small)
    answered(page, times=count + 1)
    small.unlink()
    page.get_by_text("The same as a request").click()
    assert "psnr" in run(page.locator("pre").inner_text(), "curl", tmp_path)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", ["light", "dark", "phone"])
def test_axe_finds_no_serious_fault_and_nothing_is_wider_than_the_screen(open_page, view, kind):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    options = {"color_scheme": "dark"} if kind == "dark" else {}
    if kind == "phone":
        options = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    page = open_page(view, **options)
    ready(page, view)
    page.get_by_text("The same as a request").click()
    found = axe.Axe().run(page).response["violations"]
    serious = [
        (v["id"], [n["html"][:120] for n in v["nodes"]])
        for v in found
        if v["impact"] in ("serious", "critical")
    ]
    assert not serious
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ground = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert (max(ground) < 60) == (kind == "dark")


def test_every_view_is_reached_and_used_with_keys_alone(open_page):
    page = open_page()
    count = answered(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.tagName") == "MAIN"

    def tab_to(label: str) -> None:
        for _ in range(150):
            page.keyboard.press("Tab")
            name = page.evaluate(
                "(document.activeElement.closest('label') ?? document.activeElement).textContent + (document.activeElement.title ?? '')"
            )
            if label in name:
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", "the focus is seen"
                return
        raise AssertionError(f"Tab never reaches {label}")

    tab_to("8")  # a test image
    page.keyboard.press("Enter")
    count = answered(page, times=count + 1)
    assert "image=mnist-8" in page.url
    tab_to("Strength")
    page.keyboard.press("ArrowRight")
    answered(page, times=count + 1)
    assert "gaussian:0.31" in page.url
    page.locator("header .name").focus()
    for name, heading in (
        ("Latent space", "atent"),
        ("Interpolate", "From one picture"),
        ("Sample", "nobody"),
        ("Models", "models"),
    ):
        tab_to(name)
        page.keyboard.press("Enter")
        page.get_by_role(
            "heading", name=heading
        ).first.wait_for() if name != "Latent space" else page.wait_for_timeout(500)
        assert page.locator("nav [aria-current]").inner_text() == name


def test_a_service_with_keys_asks_for_one_and_every_view_sends_it(chromium, tmp_path):
    key = "open sesame"
    keys = tmp_path / "keys.toml"
    keys.write_text(f'[reader]\nsha256 = "{hashlib.sha256(key.encode()).hexdigest()}"\n')
    models = tmp_path / "models"
    shutil.copytree(ROOT / "models" / "mnist-vae-6", models / "mnist-vae-6")
    with serving(models, keys_file=keys) as server:
        page = chromium.new_context().new_page()
        page.goto(f"{server.url}/#models")
        page.get_by_role("heading", name="This service asks for an API key").wait_for()
        page.get_by_label("API key").fill("wrong")
        page.get_by_role("button", name="Use this key").click()
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Use this key").click()
        page.wait_for_function("() => document.querySelector('.card img')?.naturalWidth > 0")
        page.get_by_text("The same as a request").click()
        assert '-H "X-API-Key: $AUTOENCODER_API_KEY"' in page.locator("pre").inner_text()
        assert key not in page.locator("pre").inner_text()
        page.goto(f"{server.url}/#latent?model=mnist-vae-6")
        answered(page, by="decoded")
        page.context.close()


def test_a_service_that_lost_its_models_says_so_and_the_page_looks_again(open_page, server):
    for name in SERVED:
        httpx.post(f"{server}/v2/repository/models/{name}/unload", json={}).raise_for_status()
    try:
        page = open_page()
        page.get_by_role("heading", name="No model is loaded").wait_for()
    finally:
        for name in SERVED:
            httpx.post(
                f"{server}/v2/repository/models/{name}/load", json={}, timeout=60
            ).raise_for_status()
    page.get_by_role("button", name="Look again").click()
    answered(page)
