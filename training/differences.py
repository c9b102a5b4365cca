# ruff: noqa: E501 (a sentence is a line)
"""Why our numbers are not the reports': the sentences of docs/reproduction.md.

What can be measured or counted is not here but in the manifests, from which training/report.py
takes it. Where a report says one thing and its author's published code another, both are named.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A report: what it did, how it trained, and what is to be known before its numbers are read."""

    title: str
    training: str
    epochs: int | None
    facts: tuple[str, ...]


SOURCES: dict[str, Source] = {
    "R0": Source(
        "Coloured MNIST: noise of std 0.3 taken off by convolutional autoencoders",
        "Adam 1e-3 with L2 1e-5, batch 128, 20 epochs, constant rate",
        20,
        (
            "Colour is a fixed palette by label, so a latent that keeps the colour gives the class away: the clean clusters of the t-SNE pictures prove nothing about shape.",
            "The report's noise is drawn once and reused in every epoch; ours is drawn anew for every batch. Its validation set is the test set; ours is 5,000 training images.",
            "The decoder gives 32x32 and is resized to 28x28 by bilinear interpolation, as in the author's code. `mnist-colour-unet` meets the size exactly.",
            "The printed SNR is a mean of decibels over the images, which is why 10.27 dB and an MSE of .003709 agree; a ratio of means would read 10.56 dB.",
            "With torch's own initialisation this network stays black (MSE .0422) for many epochs: ours starts from other weights, named in its recipe line.",
            "The report calls the network with dropout sharper; its own numbers have it 2.2 times worse.",
        ),
    ),
    "R1": Source(
        "Five digits: PCA, dense autoencoders and classifiers on their latents",
        "rate 0.001, batch 32, early stopping; the optimiser and the patience are not given",
        None,
        (
            "The report's subset of 3,795 images of each of 0, 1, 2, 4 and 7 is not published; ours is drawn from all 70,000 by a seed, of the same size and split.",
            "One standard error of an accuracy of 98.5 % on 3,795 images is 0.20 points: most rankings among the report's classifiers are within it.",
            "Its tables contradict themselves: .027 for .0027 twice; a best PCA of 98.96 in the summary and of 98.76 in its table; a three-layer summary that matches no row; 97.94 and 97.54 for the same cell; one row printed twice.",
            "PCA is centred, not standardised: what the report shows as reconstructions can only be that, although its introduction says z-scores.",
            "The report prints the best of many classifiers; ours are means over seeds at one setting. A1 to A3 come out above it at up to 64 latents and through three layers, and up to a point below at the 256 of PCA and of one layer; GELU is above 99 % on all of them.",
            "The three-layer networks score .0104 whatever their size: their bottleneck never mattered, so training or early stopping did.",
        ),
    ),
    "R2": Source(
        "MNIST: convolutional autoencoders, a denoising one and a variational one at 6 latents",
        "Adam 4e-3 with L2 2e-5, batch 512, 80 epochs, constant rate, early stopping, last weights kept",
        80,
        (
            "Split as in the author's code, 48,000 / 12,000 / 10,000 with its seed 17; the report's text says 50,000.",
            "The occlusion cells .060 and .027 are not comparable: each test set had one square size for all images, drawn again in between. Ours draws a size from 5 to 13 for each image, by a seed.",
            "Gaussian noise is not clipped in the report's protocol, so that doing nothing scores .0400 at std 0.2; as served it is, and doing nothing scores .0212.",
            "The variational loss is printed as .0400; the last batch of 272 images is divided as one of 512, and the true scale is .0409.",
            "20 latents (.01019) are hardly better than 15 (.01032) in the report: an outlier of one run.",
        ),
    ),
    "R3": Source(
        "CIFAR-10: four small convolutions, plain and denoising",
        "Adam 1e-4 with L2 1e-5, batch 16, 3 epochs, constant rate",
        3,
        (
            "The text says noise of variance 0.1, the author's code has a standard deviation of 0.1, both on [-1, 1]. Both are here: std 0.05 and std 0.158 on [0, 1].",
            "At std 0.1 on [-1, 1] doing nothing scores 26.19 dB: the report's denoiser, at 24.48 dB, makes pictures worse than they came.",
            "There are 6,272 latents for 3,072 numbers: nothing is compressed, and an error of nothing is within reach.",
            "MSE is printed on [-1, 1]; it is divided by 4 here. SSIM is scikit-image's flat 7x7 window after cutting off to uint8.",
            "The report measures 5,000 images of validation kept apart without a seed; ours has one.",
        ),
    ),
    "R4": Source(
        "MNIST: a dense network with 8 ReLU latents",
        "Adam 1e-3, batch 2048, 50 epochs, ReduceLROnPlateau on the training loss (which never fires)",
        50,
        (
            "No test loss is given, nor a last training loss; only that it starts at about .108. There is nothing to compare but pictures.",
            "It trains on all 60,000 images and validates on nothing; ours keeps 2,000 apart to choose weights and seeds by.",
            "A ReLU on the latents lets them die: how many of the 8 live is decided by the seed, and is counted below.",
            "The denoising pictures show noise of std 0.2 on a network that was never trained on noise.",
        ),
    ),
}

_DECAY = "Decays its rate to nothing, where the report's is constant; keeps the weights that were best on validation, not the last."
_SWEEP = f"Batch 128 in place of 512 and half the epochs: at 6 latents 80 epochs of 512 ended at .0204 on validation, 40 of 128 at .0196. {_DECAY}"
_SINGLE = "Early stopping is replaced by a fixed budget with a decaying rate, and batch 32 by 128."
_DEEP = "Another network (GELU, linear latents, training images shifted where there are more than 8 latents) for the same task and latents; the report's number is that of the report's network."
_WIDE = "Not the report's network but one of the same build, with twice the channels, four times the hidden units and GELU in place of ReLU."

# By model; a star stands for any number.
DIFFERENCES: dict[str, str] = {
    "mnist-colour-conv": "The report's epochs with a decaying rate, batch 64, fresh noise and in bfloat16; the weights are those best on validation. Its error on validation was .0044 after 6 epochs, .0036 after 13 and .0033 at the end: what 64 ReLU latents and the resizing lose `mnist-colour-unet` keeps.",
    "mnist-colour-conv-dropout": "Dropout and batch norm after every layer, the latents too, as in the author's code; the rest as for `mnist-colour-conv`. In 3 epochs of a rate that decays it is where the report was after 20; longer was not tried. Dropping a fifth of the latents themselves is what sets it apart from `mnist-colour-conv`.",
    "mnist-colour-vae-16": "The report gives neither a latent size nor a number: 16 latents from the same convolutions, the sum of squared errors plus 0.02 times the divergence, which is the bound for a decoder of standard deviation 0.1. With the whole divergence the error was .0125 after 3 epochs. The price is seen in the figures: so little divergence leaves gaps between the latents in use, and a draw from the prior mostly falls into one and is dark. The mixture fitted to the latents, which `/sample` draws from, knows where they are.",
    "mnist-colour-unet": "Not the report's network but a small U-Net, for the same task; its skips carry what a bottleneck would lose.",
    "mnist5-pca-*": "In closed form, the same for every seed. The report gives accuracies but no error for it; as served, what leaves [0, 1] is clipped, which helps.",
    "mnist5-mlp-*": _SINGLE,
    "mnist5-mlp-400-*": _SINGLE,
    "mnist5-mlp-256-denoise-*": f"Noise is drawn anew for every batch; the report's gap between training and validation says that its own was drawn once. {_SINGLE}",
    "mnist5-mlp-256-denoise-40": f"Noise is drawn anew for every batch; the report's gap between training and validation says that its own was drawn once. {_SINGLE} What limits it is 11,385 images: .0077 on them, .0084 on validation; moving them by up to a pixel gave .0083.",
    "mnist5-unet-denoise": "Not the report's network but a blind U-Net, trained on every level up to 50 %, for both of its rows. It learns from as few images, each under noise of its own in every epoch.",
    "mnist5-deep-*": _DEEP,
    "mnist-conv-*": _SWEEP,
    "mnist-conv-2": _DECAY,
    "mnist-conv-30": _DECAY,
    "mnist-conv-6": f"{_SWEEP} Its rows with noise and occlusions are of a network that never saw any: nothing in its training decides them.",
    "mnist-conv-6-denoise": f"Clean, noisy (std 0.5) and occluded images in equal parts. Batch 128 in place of 512, and as many epochs: 40 ended at .0232 on validation. {_DECAY}",
    "mnist-unet-denoise": "Not the report's network but a blind U-Net, trained on every level of clipped noise up to std 0.5: what skips carry need not pass 6 latents, so it denoises and compresses nothing.",
    "mnist-vae-6": f"One sample of the latents an image, at the test too. {_DECAY}",
    "mnist-deep-*": _DEEP,
    "mnist-deep-6": f"{_WIDE} A dense GELU network (512-256) ended at .0184 on validation and .0166 on its training images, and at .0188 with these moved by up to a pixel: convolutions are what generalises.",
    "mnist-deep-2": f"{_WIDE} A dense GELU network (512-256) ended at .0351 on validation and .0315 on its training images.",
    "cifar10-conv": "More epochs, a hundred times the rate, decaying, and batch 64: the report's network was far from trained.",
    "cifar10-conv-denoise": "As `cifar10-conv`: with the report's 3 epochs and rate its denoiser stayed below its own input. Eight channels of ReLUs stay below the linear filter: two seeds differed by a fifth after 2 epochs (.0024 and .0020), and a start at which no ReLU cuts anything off, nearly linear, was worse (.0032 to .0034).",
    "cifar10-conv-denoise-heavy": "The reading of the report's text, which its author never ran.",
    "cifar10-unet-denoise": "Not the report's network but a blind U-Net, trained on every level up to std 0.2, more often on the weaker ones, for both readings of the noise. Twice the weights of a width of 32 and more weak noise were worth 0.2 dB at std 0.05; twice the fine blocks, trained by Muon, another 0.7.",
    "mnist-mlp-8": "The report's network, optimiser, batch and epochs. The best of several seeds on validation is published; the mean and spread are of all.",
}


def sentence(name: str) -> str | None:
    """Why a model's numbers are not its report's; None if nobody has said."""
    if name in DIFFERENCES:
        return DIFFERENCES[name]
    stem, _, size = name.rpartition("-")
    return DIFFERENCES.get(f"{stem}-*") if size.isdigit() else None
