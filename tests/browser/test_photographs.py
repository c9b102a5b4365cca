"""The page and a photograph: how far it is, how noisy it was, and giving it up."""

from __future__ import annotations

import httpx
import numpy as np

from service import images
from tests.browser.pages import answered, pick, pixels
from tests.server import until

DROPPED = 'autoencoder_dropped_images{model="cifar10-unet-denoise",reason="departed",version="1"}'
VIEW = "denoise?noise=none&models=cifar10-unet-denoise"


def photograph(path, height: int, width: int) -> np.ndarray:
    """A smooth picture with noise of standard deviation 20."""
    rows, columns = np.mgrid[:height, :width]
    clean = 120 + 60 * np.sin(rows / 50)[..., None] * np.cos(columns / 70)[..., None]
    noisy = clean + np.random.default_rng(0).normal(0, 20, (height, width, 3))
    image = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    path.write_bytes(images.encode_png(image))
    return image


def test_a_bar_says_how_far_it_is_and_the_noise_is_told(open_page, server, tmp_path):
    page = open_page(VIEW)
    count = answered(page)
    page.evaluate(
        """() => {
          const bar = document.querySelector("progress");
          window.shares = [];
          new MutationObserver(() => { if (!bar.hidden) window.shares.push(bar.value); })
            .observe(bar, { attributes: true });
        }"""
    )
    path = tmp_path / "photograph.png"
    sent = photograph(path, 1400, 1800)
    page.locator("input[type=file]").set_input_files(path)
    answered(page, times=count + 1)
    shares = page.evaluate("window.shares")
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert any(0 < share < 1 for share in shares)
    assert page.locator("progress").is_hidden()
    said = page.locator("[data-noise]").first
    assert 17 < float(said.get_attribute("data-noise")) < 23
    answer = httpx.post(
        f"{server}/denoise?model=cifar10-unet-denoise",
        content=path.read_bytes(),
        headers={"Content-Type": "image/png"},
        timeout=60,
    )
    made = pixels(page.locator("figure .frame > canvas:first-child").nth(2))
    assert made.shape == sent.shape
    np.testing.assert_array_equal(made, images.decode(answer.content))


def test_a_photograph_of_which_something_else_is_wanted_is_given_up(open_page, server, tmp_path):
    page = open_page(VIEW)
    count = answered(page)
    path = tmp_path / "photograph.png"
    photograph(path, 1600, 1600)
    page.locator("input[type=file]").set_input_files(path)
    page.wait_for_function("() => document.querySelector('progress').value > 0")
    pick(page, "Gaussian")
    page.get_by_role("button", name="New noise").wait_for()
    page.goto(f"{server}/#denoise?image=mnist-7&noise=none")
    answered(page, times=1)

    def dropped() -> bool:
        lines = httpx.get(f"{server}/metrics").text.splitlines()
        return any(float(line.split()[-1]) > 0 for line in lines if line.startswith(DROPPED))

    until(dropped, 30, lambda: "no tile was dropped")
    assert count
