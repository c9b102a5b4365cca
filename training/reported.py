# ruff: noqa: E501 (a number and its note are a line)
"""What the five reports say of their models, by the name of our recipe for the same task.

`corruption` is the one that the report tested with, which need not be the one it trained with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from training.corruption import Clean, Corruption, Gaussian, Occlusion

# How the report measured: `float` on the network's own output in [0, 1]; `pil` after R3's
# conversion to uint8, with scikit-image's 7x7 SSIM; `elbo` R2's (sum of squared errors + KL) /
# pixels with one sample of the latents for each image.
Measure = Literal["float", "pil", "elbo"]


@dataclass(frozen=True)
class Reported:
    """One number of a report, and how it was measured; `values` is empty if it gives none.

    `learnt` is its error on the training and on the validation images, where it prints them.
    """

    values: dict[str, float]
    task: Literal["reconstruct", "denoise"] = "reconstruct"
    corruption: Corruption = Clean()  # noqa: RUF009 (frozen, and without fields)
    measure: Measure = "float"
    note: str = ""
    learnt: tuple[float, float] | None = None


# fmt: off
_NOISY = Gaussian(0.3)
_R0 = {
    "conv": (Reported({"mse": 0.003709, "snr": 10.27}, "denoise", _NOISY, note="noise drawn once; chosen by the test set"),),
    "dropout": (Reported({"mse": 0.008330, "snr": 7.08}, "denoise", _NOISY, note="noise drawn once; chosen by the test set"),),
    "none": (Reported({}, "denoise", _NOISY),),
}
_SINGLE = {32: 0.0367, 64: 0.0048, 128: 0.0027, 256: 0.0019}
_SINGLE_LEARNT = {32: (0.0365, 0.0366), 64: (0.0041, 0.0047), 128: (0.0021, 0.0026), 256: (0.0014, 0.0019)}
_TRIPLE = {32: 0.0105, 64: 0.0104, 128: 0.0106, 256: 0.0104}
_TRIPLE_LEARNT = {32: (0.0078, 0.0103), 64: (0.0078, 0.0102), 128: (0.0070, 0.0105), 256: (0.0076, 0.0103)}
_NOTES = {32: "2.5 times worse than PCA: that training failed", 128: "the test column prints .027, a slip for .0027"}
_R1_DENOISE = (
    Reported({"mse": 0.0047}, "denoise", Gaussian(0.2), learnt=(0.0029, 0.0047)),
    Reported({"mse": 0.0114}, "denoise", Gaussian(0.4), learnt=(0.0051, 0.0113)),
)
_R2_SWEEP = {2: 0.03823, 4: 0.02742, 6: 0.02035, 8: 0.01737, 10: 0.01435, 15: 0.01032, 20: 0.01019, 30: 0.00728}
_R2_AE = (
    Reported({"mse": 0.02035}, note="in the sweep; .02076 in the table of models"),
    Reported({"mse": 0.02269}, "denoise", Gaussian(0.2, clip=False)),
    Reported({"mse": 0.06036}, "denoise", Occlusion(5, 13), note="one side drawn for the whole test set; ours draws one an image"),
)
_R2_DAE = (
    Reported({"mse": 0.02226}),
    Reported({"mse": 0.02245}, "denoise", Gaussian(0.2, clip=False)),
    Reported({"mse": 0.02690}, "denoise", Occlusion(5, 13), note="one side drawn for the whole test set; ours draws one an image"),
)
_R2_VAE = (Reported({"loss": 0.0409}, measure="elbo", note="printed as .0400: its last batch of 272 is divided as one of 512"),)
_R3_AE = (Reported({"mse": 0.012 / 4}, measure="pil", note="its MSE of .012 is on [-1, 1]", learnt=(0.012 / 4, 0.012 / 4)),)
_R3_STD = Reported({"psnr": 24.48, "ssim": 0.889, "mse": 0.016 / 4}, "denoise", Gaussian(0.05), "pil", "its MSE of .016 is on [-1, 1]", (0.016 / 4, 0.016 / 4))
_R3_VARIANCE = Reported({}, "denoise", Gaussian(0.1581), "pil", "its text says variance 0.1, its code has a standard deviation of 0.1")
_R4 = (
    Reported({}, note="the report gives no test loss"),
    Reported({}, "denoise", Gaussian(0.2, clip=False), note="the report shows pictures only"),
)

REPORTED: dict[str, tuple[Reported, ...]] = {
    "mnist-colour-conv": _R0["conv"],
    "mnist-colour-conv-dropout": _R0["dropout"],
    "mnist-colour-conv-dropout-5": _R0["dropout"],
    "mnist-colour-vae-16": _R0["none"],
    "mnist-colour-unet": _R0["conv"],
    **{f"mnist5-pca-{k}": (Reported({}),) for k in _SINGLE},
    **{f"mnist5-mlp-{k}": (Reported({"mse": mse}, note=_NOTES.get(k, ""), learnt=_SINGLE_LEARNT[k]),) for k, mse in _SINGLE.items()},
    **{f"mnist5-deep-{k}": (Reported({"mse": mse}, note="the better of the report's two"),) for k, mse in {**_SINGLE, 32: 0.0105}.items()},
    **{f"mnist5-mlp-400-{k}": (Reported({"mse": mse}, learnt=_TRIPLE_LEARNT[k]),) for k, mse in _TRIPLE.items()},
    "mnist5-mlp-256-denoise-20": _R1_DENOISE[:1],
    "mnist5-mlp-256-denoise-40": _R1_DENOISE[1:],
    "mnist5-unet-denoise": _R1_DENOISE,
    **{f"mnist-conv-{d}": (Reported({"mse": mse}),) for d, mse in _R2_SWEEP.items()},
    **{f"mnist-deep-{d}": (Reported({"mse": _R2_SWEEP[d]}, note="report R2's convolutional network"),) for d in (2, 6, 30)},
    "mnist-conv-6": _R2_AE,
    "mnist-conv-6-denoise": _R2_DAE,
    "mnist-unet-denoise": (_R2_DAE[1],),
    "mnist-unet-occlusion": (_R2_DAE[2],),
    "mnist-vae-6": _R2_VAE,
    "mnist-deep-vae-6": _R2_VAE,
    "cifar10-conv": _R3_AE,
    "cifar10-conv-denoise": (_R3_STD,),
    "cifar10-conv-denoise-heavy": (_R3_VARIANCE,),
    "cifar10-unet-denoise": (_R3_STD, _R3_VARIANCE),
    "mnist-mlp-8": _R4,
    "mnist-deep-8": _R4,
}
# fmt: on

# The best of R2's own search, as its code ran it: 15 epochs, mean of 4 folds.
SEARCH = {"lr": 0.004, "l2": 2e-5, "loss": 0.0229}

# R1's accuracies of classifiers on the latents, on validation and on test; where A3 is missing the
# report has none.
ACCURACIES: dict[str, dict[str, tuple[float, float]]] = {
    "mnist5-pca-32": {"A1": (0.9876, 0.9797), "A2": (0.9860, 0.9842), "A3": (0.9821, 0.9776)},
    "mnist5-pca-64": {"A1": (0.9813, 0.9813), "A2": (0.9871, 0.9808), "A3": (0.9831, 0.9831)},
    "mnist5-pca-128": {"A1": (0.9831, 0.9823), "A2": (0.9852, 0.9784), "A3": (0.9842, 0.9792)},
    "mnist5-pca-256": {"A1": (0.9779, 0.9792), "A2": (0.9781, 0.9768), "A3": (0.9845, 0.9789)},
    "mnist5-mlp-32": {"A1": (0.9484, 0.9365), "A2": (0.9296, 0.9265)},
    "mnist5-mlp-64": {"A1": (0.9863, 0.9813), "A2": (0.9760, 0.9720)},
    "mnist5-mlp-128": {"A1": (0.9860, 0.9813), "A2": (0.9773, 0.9705)},
    "mnist5-mlp-256": {"A1": (0.9897, 0.9874), "A2": (0.9842, 0.9818)},
    "mnist5-mlp-400-32": {"A1": (0.9438, 0.9370), "A2": (0.9584, 0.9565)},
    "mnist5-mlp-400-64": {"A1": (0.9697, 0.9584), "A2": (0.9697, 0.9584)},
    "mnist5-mlp-400-128": {"A1": (0.9776, 0.9773)},
    "mnist5-mlp-400-256": {"A1": (0.9763, 0.9744)},
    "mnist5-mlp-256-denoise-20": {
        "A1": (0.9855, 0.9784), "A2": (0.9805, 0.9758), "A3": (0.9744, 0.9744),
    },
    "mnist5-mlp-256-denoise-40": {
        "A1": (0.9794, 0.9729), "A2": (0.9792, 0.9755), "A3": (0.9734, 0.9718),
    },
}  # fmt: skip

# R1's last table: the best classifier on each kind of latents, and the recipes that make them.
BEST_ACCURACIES: dict[str, tuple[tuple[str, ...], tuple[float, float]]] = {
    "PCA": (tuple(f"mnist5-pca-{k}" for k in _SINGLE), (0.9896, 0.9797)),
    "one hidden layer": (tuple(f"mnist5-mlp-{k}" for k in _SINGLE), (0.9897, 0.9874)),
    "three hidden layers": (tuple(f"mnist5-mlp-400-{k}" for k in _TRIPLE), (0.9842, 0.9805)),
    "denoising, 20 %": (("mnist5-mlp-256-denoise-20",), (0.9855, 0.9784)),
    "denoising, 40 %": (("mnist5-mlp-256-denoise-40",), (0.9754, 0.9729)),
}
# Its last line: the pixels themselves, in an assignment before.
PIXELS = (0.9881, 0.9759)
