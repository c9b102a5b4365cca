"""The page's latent space: the map, decoding at the pointer's speed, and walks."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from service import interpolation, latent_map
from service.latent_map import LatentMap
from tests.browser.pages import answered, pick, pixels

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "mnist-vae-6" / "1"


@pytest.fixture
def drawn() -> LatentMap:
    return LatentMap.model_validate_json((MODEL / latent_map.FILE).read_bytes())


@pytest.fixture
def page(open_page):
    page = open_page("latent?model=mnist-vae-6")
    answered(page, by="decoded")
    return page


def place_of(page) -> tuple[float, float, float]:
    page.locator(".map").scroll_into_view_if_needed()
    box = page.locator(".map").bounding_box()
    return box["x"], box["y"], box["width"]


def test_hovering_keeps_one_request_under_way_and_ends_where_the_pointer_stands(page):
    under_way, most = set(), 0

    def began(request):
        nonlocal most
        if "/decode" in request.url:
            under_way.add(request)
            most = max(most, len(under_way))

    def ended(request):  # Playwright takes no builtin
        under_way.discard(request)

    page.on("request", began)
    page.on("requestfinished", ended)
    x, y, side = place_of(page)
    before = answered(page, by="decoded")
    for step in range(60):
        page.mouse.move(x + side * (0.3 + 0.4 * step / 59), y + side * 0.5)
    page.wait_for_timeout(500)
    last = pixels(page.locator(".side canvas"))
    shown = answered(page, by="decoded") - before
    assert most == 1
    assert 1 < shown <= 60
    page.mouse.move(x + side * 0.3, y + side * 0.5)
    page.wait_for_timeout(500)
    assert (pixels(page.locator(".side canvas")) != last).any()
    page.mouse.move(x + side * 0.7, y + side * 0.5)
    page.wait_for_timeout(500)
    assert (pixels(page.locator(".side canvas")) == last).all()


def test_different_places_decode_to_different_images_and_as_the_api_decodes_them(page, server):
    x, y, side = place_of(page)
    seen = []
    for share in (0.3, 0.7):
        page.mouse.move(x + side * share, y + side * share)
        page.wait_for_timeout(600)
        image = pixels(page.locator(".side canvas"))
        at = [float(v) for v in page.url.split("at=")[1].split("&")[0].split(",")]
        answer = httpx.post(f"{server}/decode", params={"model": "mnist-vae-6"}, json={"latents": [at]},
                            headers={"Accept": "application/x-npy"})  # fmt: skip
        assert (
            np.abs(np.load(io.BytesIO(answer.content))[0].astype(int) - image[..., :1]).max() <= 2
        )
        seen.append(image)
    assert np.abs(seen[0].astype(int) - seen[1]).mean() > 5


def test_the_pages_arithmetic_is_that_of_the_service(page, drawn):
    found = page.evaluate(
        """async () => {
          const { LatentMap, between } = await import("./page/latent_map.js");
          const map = new LatentMap(await (await fetch("models/mnist-vae-6/map")).json());
          const place = [1.25, -0.5];
          const at = map.latentsAt("pca", place);
          const point = map.latentsOf(7);
          return { latents: [...map.latents], tsne: [...map.places("tsne", 3)], at: [...at],
            back: map.placeOf("pca", 2, at), onPoint: [...map.latentsAt("tsne", map.places("tsne", 2).subarray(14, 16))], point: [...point],
            linear: between(map.latentsOf(0), map.latentsOf(1), 5, "linear").map((row) => [...row]),
            spherical: between(map.latentsOf(0), map.latentsOf(1), 5, "spherical").map((row) => [...row]) };
        }"""
    )
    latents = drawn.latents.numbers()
    np.testing.assert_allclose(
        np.reshape(found["latents"], latents.shape), latents, rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(
        np.reshape(found["tsne"], (-1, 3)), drawn.tsne["3"].numbers(), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(found["back"], [1.25, -0.5], atol=1e-4)
    mean, axes = np.array(drawn.components.mean), np.array(drawn.components.axes)
    np.testing.assert_allclose(found["at"], mean + 1.25 * axes[0] - 0.5 * axes[1], atol=1e-4)
    np.testing.assert_allclose(found["onPoint"], found["point"], atol=1e-2)
    for path in ("linear", "spherical"):
        ours = interpolation.between(latents[0], latents[1], steps=5, path=path)
        np.testing.assert_allclose(found[path], ours, atol=1e-3)


def test_two_clicks_make_a_walk_that_plays_and_is_saved(page):
    x, y, side = place_of(page)
    for share in (0.3, 0.6):
        page.mouse.click(x + side * share, y + side * share)
        page.wait_for_timeout(300)
    page.locator(".player").wait_for()
    first = pixels(page.locator(".side canvas"))
    page.wait_for_timeout(800)
    assert not np.array_equal(first, pixels(page.locator(".side canvas"))), "it plays by itself"
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as GIF").click()
    with Image.open(saved.value.path()) as picture:
        assert (picture.format, picture.size) == ("GIF", (28, 28))
        assert picture.n_frames > 20, "equal frames are one"
    assert "from=" in page.url
    assert "to=" in page.url


def test_nothing_moves_by_itself_for_who_asked_for_rest(open_page):
    page = open_page("latent?model=mnist-vae-6", reduced_motion="reduce")
    answered(page, by="decoded")
    x, y, side = place_of(page)
    for share in (0.3, 0.6):
        page.mouse.click(x + side * share, y + side * share)
        page.wait_for_timeout(300)
    page.locator(".player").wait_for()
    assert page.get_by_role("button", name="Play").is_visible()


def test_the_map_turns_in_space(page):
    pick(page, "3-D")
    x, y, side = place_of(page)
    page.mouse.move(x + side / 2, y + side / 2)
    page.wait_for_timeout(400)
    before = pixels(page.locator(".map"))
    page.mouse.down()
    page.mouse.move(x + side * 0.8, y + side * 0.6, steps=6)
    page.mouse.up()
    page.wait_for_timeout(400)
    assert (pixels(page.locator(".map")) != before).mean() > 0.01
    assert page.locator(".player").is_hidden(), "turning is no click"


def test_classes_are_hidden_and_layouts_change(page):
    before = pixels(page.locator(".map"))
    page.locator(".legend button").first.click()
    page.wait_for_timeout(300)
    fewer = pixels(page.locator(".map"))
    assert (before != fewer).any()
    pick(page, "PCA")
    page.wait_for_timeout(300)
    assert (pixels(page.locator(".map")) != fewer).any()
    assert "exactly" in page.locator(".plot p").inner_text()


def test_keys_alone_decode_and_walk(page):
    page.locator(".map").focus()
    count = answered(page, by="decoded")
    page.keyboard.press("Shift+ArrowLeft")
    count = answered(page, by="decoded", times=count + 1)
    page.keyboard.press("Enter")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    answered(page, by="decoded", times=count + 1)
    page.keyboard.press("Enter")
    page.locator(".player").wait_for()


def test_two_latents_are_shown_as_the_plane_they_are(open_page):
    page = open_page("latent?model=mnist-deep-2")
    answered(page, by="decoded")
    assert page.get_by_text("The plane", exact=True).is_visible()
    assert page.get_by_text("t-SNE", exact=True).is_hidden()
    assert page.get_by_text("3-D", exact=True).is_hidden()
