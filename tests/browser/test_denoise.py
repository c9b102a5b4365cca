"""The page's denoise view: real noise, real answers, the API's own numbers."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import httpx
import numpy as np

from service import images
from tests.browser.pages import answered, pick, pixels, slide

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "clean-cifar10.png"


def shown(figure) -> dict[str, float]:
    texts = {
        key: figure.locator(f"[data-score={key}]").inner_text()
        for key in ("mse", "psnr", "ssim", "snr")
    }
    return {key: float(re.match(r"-?[\d.]+", text)[0]) for key, text in texts.items()}


def asked(server, page, model: str, picture: bytes | None = None, **options) -> dict:
    name = re.search(r"image=([^&]+)", page.url)
    sent = picture or httpx.get(f"{server}/page/images/{name[1]}.png").content
    simulate = re.search(r"noise=([^&]+)", page.url)[1]
    seed = re.search(r"seed=(\d+)", page.url)[1]
    return httpx.post(
        f"{server}/denoise",
        params={"model": model, "simulate": simulate, "seed": seed, **options},
        content=sent,
        headers={"Content-Type": "image/png", "Accept": "application/json"},
    ).json()


def test_numbers_and_pixels_are_the_apis(open_page, server):
    page = open_page()
    answered(page)
    figures = page.locator("figure")
    assert figures.count() == 4, "the original, the noisy one and two models"
    for place in (2, 3):
        model = figures.nth(place).locator("select").input_value()
        answer = asked(server, page, model)
        for key, value in shown(figures.nth(place)).items():
            assert abs(value - answer["quality"]["after"]["mean"][key]) <= 0.0051, key
        before = shown(figures.nth(1))
        assert abs(before["psnr"] - answer["quality"]["before"]["mean"]["psnr"]) <= 0.0051
        clean = images.decode(base64.b64decode(answer["images"][0]))
        np.testing.assert_array_equal(
            pixels(figures.nth(place).locator("canvas").first)[..., :1], clean
        )
        noisy = images.decode(base64.b64decode(answer["noisy"][0]))
        np.testing.assert_array_equal(pixels(figures.nth(1).locator("canvas"))[..., :1], noisy)


def test_the_noise_slider_changes_pixels_and_numbers(open_page, server):
    page = open_page("denoise?noise=gaussian:0.1")
    count = answered(page)
    noisy = page.locator("figure").nth(1)
    before, low = pixels(noisy.locator("canvas")), shown(noisy)
    slide(page.get_by_role("slider", name="Strength"), 0.5)
    count = answered(page, times=count + 1)
    assert np.abs(pixels(noisy.locator("canvas")).astype(int) - before).mean() > 10
    assert shown(noisy)["psnr"] < low["psnr"] - 3
    pick(page, "Occlusion")
    count = answered(page, times=count + 1)
    assert (
        pixels(noisy.locator("canvas")) == pixels(page.locator("figure canvas").first)
    ).mean() > 0.7
    pick(page, "None")
    answered(page, times=count + 1)
    assert not noisy.is_visible()


def test_up_to_four_models_are_compared(open_page):
    page = open_page()
    count = answered(page)
    more = page.get_by_label("Compare with one more model")
    for name in ("mnist-mlp-8", "mnist-vae-6"):
        more.select_option(name)
        count = answered(page, times=count + 1)
    assert page.locator("figure").count() == 6
    assert not more.is_visible(), "four are enough"
    outputs = [
        pixels(canvas) for canvas in page.locator("figure .frame > canvas:first-child").all()[2:]
    ]
    assert len({output.tobytes() for output in outputs}) == 4
    page.get_by_label("Remove mnist-mlp-8").click()
    assert page.locator("figure").count() == 5
    assert "mnist-mlp-8" not in page.url


def test_a_test_picture_of_another_kind_brings_models_of_its_own(open_page):
    page = open_page()
    count = answered(page)
    page.get_by_role("button", name="cat, cifar10-cat", exact=True).click()
    answered(page, times=count + 1)
    assert page.locator("figure select").first.input_value() == "cifar10-unet-denoise"
    assert pixels(page.locator("figure canvas").first).shape == (32, 32, 3)


def test_an_occlusion_brings_the_model_that_learned_to_fill_it_in(open_page):
    page = open_page()
    count = answered(page)
    first = page.locator("figure select").first
    assert first.input_value() == "mnist-unet-denoise"
    pick(page, "Occlusion")
    count = answered(page, times=count + 1)
    assert first.input_value() == "mnist-unet-occlusion"
    first.select_option("mnist-deep-2")
    count = answered(page, times=count + 1)
    pick(page, "Gaussian")
    answered(page, times=count + 1)
    assert first.input_value() == "mnist-deep-2", "what was chosen by hand stays"


def test_a_link_shows_the_same_again(open_page):
    page = open_page(
        "denoise?image=cifar10-ship&noise=occlusion:7&seed=5&models=cifar10-conv-denoise"
    )
    answered(page)
    again = open_page(page.url.partition("#")[2])
    answered(again)
    for one, other in zip(
        page.locator("figure canvas").all(), again.locator("figure canvas").all(), strict=True
    ):
        np.testing.assert_array_equal(pixels(one), pixels(other))


TRANSFER = """
([kind, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], "mine.png", {type: "image/png"}));
  const event = kind === "drop"
    ? new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true})
    : new ClipboardEvent("paste", {clipboardData: data, bubbles: true});
  document.querySelector("main").dispatchEvent(event);
}
"""


def test_a_picture_is_dropped_or_pasted(open_page, server):
    for kind in ("drop", "paste"):
        page = open_page()
        count = answered(page)
        page.evaluate(TRANSFER, [kind, base64.b64encode(EXAMPLE.read_bytes()).decode()])
        answered(page, times=count + 1)
        original = images.decode(EXAMPLE.read_bytes())
        np.testing.assert_array_equal(pixels(page.locator("figure canvas").first), original)
        answer = asked(server, page, "cifar10-unet-denoise", EXAMPLE.read_bytes())
        assert (
            abs(
                shown(page.locator("figure").nth(2))["psnr"]
                - answer["quality"]["after"]["mean"]["psnr"]
            )
            <= 0.0051
        )


def test_a_file_that_is_no_picture_is_named(open_page, tmp_path):
    page = open_page()
    answered(page)
    wrong = tmp_path / "letter.png"
    wrong.write_bytes(b"no picture")
    page.locator("input[type=file]").set_input_files(wrong)
    notice = page.locator("#notice")
    notice.wait_for()
    assert "letter.png is no picture" in notice.inner_text()


def test_a_picture_of_another_size_is_resized_for_models_of_one_size(open_page, tmp_path):
    page = open_page("denoise?models=mnist-mlp-8")
    count = answered(page)
    large = tmp_path / "large.png"
    large.write_bytes(images.encode_png(np.full((60, 90, 1), 90, np.uint8)))
    page.locator("input[type=file]").set_input_files(large)
    count = answered(page, times=count + 1)
    page.locator("figure select").first.select_option("mnist-mlp-8")
    answered(page, times=count + 1)
    assert pixels(page.locator("figure .frame > canvas:first-child").nth(2)).shape == (28, 28, 3)


def test_a_digit_is_drawn(open_page):
    page = open_page()
    count = answered(page)
    page.get_by_role("button", name="Draw").click()
    box = page.locator(".pad").bounding_box()
    x, y = box["x"], box["y"]
    page.mouse.move(x + 60, y + 40)
    page.mouse.down()
    page.mouse.move(x + 160, y + 40, steps=8)
    page.mouse.move(x + 90, y + 200, steps=8)
    page.mouse.up()
    answered(page, times=count + 1)
    digit = pixels(page.locator("figure canvas").first)[..., 0].astype(float)
    assert digit.shape == (28, 28)
    rows, columns = np.nonzero(digit > 40)
    assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 22, "as tall as MNIST's"
    centre = [(digit.sum(axis) * (np.arange(28) + 0.5)).sum() / digit.sum() for axis in (0, 1)]
    np.testing.assert_allclose(centre, [14, 14], atol=0.5)
    assert "image=png." in page.url, "a link can hold a drawing"
    again = open_page(page.url.partition("#")[2])
    answered(again)
    np.testing.assert_array_equal(pixels(again.locator("figure canvas").first)[..., 0], digit)


def test_the_wipe_uncovers_the_noisy_picture(open_page):
    page = open_page()
    answered(page)
    widths = []
    for share in (0.1, 0.9):
        slide(page.get_by_role("slider", name="Before / after"), share)
        widths.append(
            page.locator(".divider").first.evaluate("(e) => parseFloat(getComputedStyle(e).left)")
        )
    assert widths[1] > 5 * widths[0]
    frame = page.locator(".wiped").first.bounding_box()
    page.mouse.click(frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2)
    assert page.get_by_role("slider", name="Before / after").input_value() == "0.5"
