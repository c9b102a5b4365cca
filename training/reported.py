"""What the five reports say of their models, by the name of our recipe for the same task.

`corruption` is the one that the report tested with, which need not be the one it trained with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from training.corruption import Clean, Corruption, Gaussian

# How the report measured: `float` on the network's own output in [0, 1]; `pil` after R3's
# conversion to uint8, with scikit-image's 7x7 SSIM; `elbo` R2's (sum of squared errors + KL) /
# pixels with one sample of the latents for each image.
Measure = Literal["float", "pil", "elbo"]


@dataclass(frozen=True)
class Reported:
    """One number of a report, and how it was measured; `values` is empty if it gives none."""

    values: dict[str, float]
    task: Literal["reconstruct", "denoise"] = "reconstruct"
    corruption: Corruption = Clean()  # noqa: RUF009 (frozen, and without fields)
    measure: Measure = "float"
    note: str = ""


_R2_VAE = Reported(
    {"loss": 0.0409},
    measure="elbo",
    note="printed as .0400: its last batch of 272 is divided as one of 512",
)
_R3_STD = Reported(
    {"psnr": 24.48, "ssim": 0.889, "mse": 0.016 / 4},
    "denoise",
    Gaussian(0.05),
    "pil",
    "its MSE of .016 is on [-1, 1]",
)
_R4 = Reported({}, note="the report gives no test loss")
_R4_NOISE = Reported(
    {}, "denoise", Gaussian(0.2, clip=False), note="the report shows pictures only"
)

REPORTED: dict[str, tuple[Reported, ...]] = {
    "mnist-mlp-8": (_R4, _R4_NOISE),
    "mnist-vae-6": (_R2_VAE,),
    "cifar10-conv-denoise": (_R3_STD,),
}
