"""What the tests of the page ask it."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image


def answered(page, view: str = "section", *, times: int = 1, by: str = "answered") -> int:
    """Waits until the view has shown that many answers; gives how many it has."""
    page.wait_for_function(
        "([view, by, times]) => Number(document.querySelector(view)?.dataset[by] ?? 0) >= times",
        arg=[view, by, times],
    )
    return int(page.locator(view).get_attribute(f"data-{by}"))


def pixels(canvas) -> np.ndarray:
    """uint8 `[H,W,3]` of a canvas."""
    encoded = canvas.evaluate("(canvas) => canvas.toDataURL().split(',')[1]")
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        return np.asarray(picture.convert("RGBA"))[..., :3]


def pick(page, name: str) -> None:
    """Chooses one of the choices that look like one control."""
    page.get_by_role("radio", name=name, exact=True).check()


def slide(slider, value: float) -> None:
    """Moves a slider as its user would, at one blow."""
    slider.evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input', {bubbles: true})); }",
        value,
    )
