"""What a picture's file holds beside grey or RGB, and the answer's may keep: alpha and profile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Images = NDArray[np.uint8]

# Profiles of cameras and screens take some 500 bytes to some 100 KB. Nobody shall have a file
# that is one great profile carried around.
_LARGEST_PROFILE = 2**20
_SPACES = {b"GRAY": 1, b"RGB ": 3}
_BAND = 2**18  # pixels


@dataclass(frozen=True, slots=True)
class Kept:
    """Of one image: its alpha `[H,W,1]`, if any of it is transparent, and its ICC profile."""

    alpha: Images | None = None
    icc: bytes = b""

    def profile(self, channels: int) -> bytes:
        """The profile, if it is one for so many channels of colour."""
        fits = _SPACES.get(self.icc[16:20]) == channels and self.icc[36:40] == b"acsp"
        return self.icc if fits and len(self.icc) <= _LARGEST_PROFILE else b""


def of(image: Image.Image) -> Kept | None:
    """What a decoded image has of it; None if it has nothing."""
    icc = image.info.get("icc_profile") or b""
    alpha = None
    if image.mode == "RGBA":
        opacity = image.getchannel("A")
        alpha = None if opacity.getextrema() == (255, 255) else np.asarray(opacity)[:, :, None]
    return Kept(alpha, icc) if alpha is not None or icc else None


def on_white(image: Images, alpha: Images) -> Images:
    """`[H,W,C]` as it looks on white, where it is transparent."""
    height, width, channels = image.shape
    laid = np.empty_like(image)
    step = max(1, _BAND // width)
    for top in range(0, height, step):
        band = slice(top, top + step)
        colours = np.broadcast_to(image[band], (*image[band].shape[:2], 3))
        pixels = Image.fromarray(np.concatenate([colours, alpha[band]], axis=2))
        white = Image.new("RGBA", pixels.size, "white")
        laid[band] = np.asarray(Image.alpha_composite(white, pixels))[:, :, :channels]
    return laid
