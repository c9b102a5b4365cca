# ruff: noqa: E501 (a sentence is a line)
"""Why our numbers are not the reports': the sentences of docs/reproduction.md.

What a model scores is not here but in its manifest, from which training/report.py takes it; what
was tried and not kept has no manifest, so that its numbers stand here as they were measured, once. Where a report says one thing and its author's published code another, both are named.
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
            "The author's code draws the noise once and reuses it in every epoch, of which the text says nothing; ours is drawn anew for every batch (`training/replicas.py` can do either). Its validation set is the test set; ours is 5,000 training images.",
            "The decoder gives 32x32 and is resized to 28x28 by bilinear interpolation, as in the author's code. `mnist-colour-unet` meets the size exactly.",
            "The printed SNR is a mean of decibels over the images, which is why 10.27 dB and an MSE of .003709 agree; a ratio of means would read 10.56 dB.",
            "With torch's own initialisation this network stays black (MSE .0422) for many epochs: without batch norm ours starts from other weights, named in its recipe line.",
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
            "PCA is centred, not standardised: what the report shows as reconstructions can only be that, although its introduction says z-scores. Both are measured below.",
            "The report prints the best of many classifiers; ours are means over seeds at one setting. A1 to A3 come out above it everywhere but on the 256 latents of one layer; GELU is above 99 % wherever it was trained.",
            "Ours learn for 30 epochs in batches of 64 by AdamW with a rate that rises and falls, on latents brought to one scale together. With a scale for each latent PCA's last components, which hold next to nothing, are blown up: A1 had 96.85 % on 256 of them in place of 98.45 %.",
            "It names neither optimiser nor epochs: its own settings below are Adam, and the best of 100 epochs.",
            "The three-layer networks score .0104 whatever their size: their bottleneck never mattered, so training or early stopping did.",
        ),
    ),
    "R2": Source(
        "MNIST: convolutional autoencoders, a denoising one and a variational one at 6 latents",
        "Adam 4e-3 with L2 2e-5, batch 512, 80 epochs, constant rate, early stopping, last weights kept",
        80,
        (
            "Split as in the author's code, 48,000 / 12,000 / 10,000 with its seed 17. The report's text counts 50,000 training images, and learns from 80 % of them: with its own settings, below, 50,000 and 40,000 are tried too.",
            "The report's denoiser learns from images that are noisy or occluded; ours from clean ones as well, in equal parts. Below stands what comes of its own settings without them.",
            "The occlusion cells .060 and .027 are not comparable: each test set had one square size for all images, drawn again in between. Ours draws a size from 5 to 13 for each image, by a seed; what each single size gives stands below.",
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
            "There are 6,272 latents for 3,072 numbers: nothing is compressed, and an error of nothing is within reach, so that no better network stands beside the plain one.",
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
    "mnist-colour-conv": "Muon in place of Adam, a decaying rate, batch 64, fresh noise and in bfloat16; the weights are those best on validation. What made it better is Muon at a high rate: after 3 epochs .0062 on validation by Adam at 1e-3, .0059 by Muon at 1e-3, .0040 at 3e-3, .0036 at 6e-3; Adam ended at .0034 after 20. What 64 ReLU latents and the resizing lose `mnist-colour-unet` keeps.",
    "mnist-colour-conv-dropout": "Dropout and batch norm after every layer, the latents too, as in the author's code; with Adam, a decaying rate, batch 64, fresh noise and in bfloat16. In 3 epochs it comes within a twentieth of where the report was after 20. Dropping a fifth of everything is what sets it apart from `mnist-colour-conv`: see `mnist-colour-conv-dropout-5`.",
    "mnist-colour-conv-dropout-5": "The same network with a twentieth dropped in place of a fifth. After 2 epochs it stood at .0057 on validation by Adam at 2e-3 and at .0052 by Muon, where a fifth stood at .0096 by Adam.",
    "mnist-colour-vae-16": "The report gives neither a latent size nor a number: 16 latents from the same convolutions, the sum of squared errors plus a tenth of the divergence, by Muon at a high rate. By Adam it ended at .0056 with a fiftieth of the divergence after 12 epochs, and at .0125 with the whole of it after 3. The price of less divergence is seen in the figures: about half of the draws from the prior are digits, the others fall into gaps between the latents in use; with a fiftieth of it most were dark. The mixture fitted to the latents, which `/sample` draws from, knows where they are.",
    "mnist-colour-unet": "Not the report's network but a small U-Net, for the same task; its skips carry what a bottleneck would lose. By AdamW it ended at .0024 on validation after 3 epochs; Muon is there after 2.",
    "mnist5-pca-*": "In closed form, the same for every seed. The report gives accuracies but no error for it; as served, what leaves [0, 1] is clipped, which helps.",
    "mnist5-mlp-*": _SINGLE,
    "mnist5-mlp-256": f"{_SINGLE} PCA is a little better at as many latents: logistic units are no help where nearly everything may pass.",
    "mnist5-mlp-400-*": "Early stopping is replaced by a fixed budget with a decaying rate, batch 32 by 64, and Adam by Muon at a high rate, whose steps are as long in every direction: what logistic units behind logistic units let through of a gradient is nearly nothing. At 64 latents Adam ended at .0057 on validation at 1e-2 (80 epochs in batches of 128), at .0065 to .0075 in batches of 32 with a decaying rate, and Muon at .0040 in 12 epochs; the report's constant rate, below, comes to .0053 on the test images, Muon to .0039. `mnist5-deep-*` is the better network.",
    "mnist5-mlp-256-denoise-*": f"Noise is drawn anew for every batch; the report's gap between training and validation says that its own was drawn once. {_SINGLE}",
    "mnist5-mlp-256-denoise-40": f"Noise is drawn anew for every batch; the report's gap between training and validation says that its own was drawn once. {_SINGLE} What limits it is 11,385 images: .0077 on them, .0084 on validation; moving them by up to a pixel gave .0083.",
    "mnist5-unet-denoise": "Not the report's network but a blind U-Net, trained on every level up to 50 %, for both of its rows. It learns from as few images, each under noise of its own in every epoch.",
    "mnist5-deep-*": _DEEP,
    "mnist-conv-*": _SWEEP,
    "mnist-conv-2": _DECAY,
    "mnist-conv-30": _DECAY,
    "mnist-conv-6": f"{_SWEEP} Its rows with noise and occlusions are of a network that never saw any: nothing in its training decides them.",
    "mnist-conv-6-denoise": f"Clean, noisy (std 0.5) and occluded images in equal parts. Batch 128 in place of 512, and as many epochs: 40 ended at .0232 on validation. Through 6 latents it draws the digit anew, so that it is worse than a linear filter on weak noise, and than a small occlusion left alone. {_DECAY}",
    "mnist-unet-denoise": "Not the report's network but a blind U-Net, trained on every level of clipped noise up to std 0.5: what skips carry need not pass 6 latents, so it denoises and compresses nothing.",
    "mnist-unet-occlusion": "Not the report's network but a U-Net that sees half its pictures whole and half with a square blackened: what is not hidden passes by the skips, and what is hidden it draws as the average of what could be there.",
    "mnist-vae-6": f"One sample of the latents an image, at the test too. {_DECAY}",
    "mnist-deep-vae-6": f"{_WIDE} By Muon at a high rate; one sample of the latents an image, at the test too. Its reconstructions cost .0207 and its 10.4 nats of divergence .0133 of the loss.",
    "mnist-deep-*": _DEEP,
    "mnist-deep-6": f"{_WIDE} A dense GELU network (512-256) ended at .0184 on validation and .0166 on its training images, and at .0188 with these moved by up to a pixel: convolutions are what generalises.",
    "mnist-deep-2": f"{_WIDE} What limits it is 48,000 images: by AdamW on clean ones it ended at .0348 on validation and .0324 on its training images, and by Muon at .0353 and .0340 after 10 epochs. Noise of a level of each image's own keeps the encoder from learning them by heart. Noise of 0.2 on every image made it worse on clean images (.0346 on the test set) than on noisy ones (.0341). A dense GELU network (512-256) ended at .0351 on validation and .0315 on its training images.",
    "cifar10-conv": "More epochs, a hundred times the rate, rising and falling, and batch 8: the report's network was far from trained.",
    "cifar10-conv-denoise": "As `cifar10-conv`: with the report's 3 epochs and rate its denoiser stayed below its own input. So small a network wants many steps: after 2 epochs .0024 on validation in batches of 64, .0019 of 32, .0018 of 16, .0016 of 8. Ten seeds lay between .0020 and .0026 in batches of 64, GELU at .0022, and starts at which no ReLU cuts anything off, nearly linear, at .0032 to .0037. Eight channels of ReLUs stay below the linear filter all the same.",
    "cifar10-conv-denoise-heavy": "The reading of the report's text, which its author never ran. Below the linear filter, as `cifar10-conv-denoise` is.",
    "cifar10-unet-denoise": "Not the report's network but a blind U-Net, trained on every level up to std 0.2, more often on the weaker ones, for both readings of the noise. Twice the weights of a width of 32 and more weak noise were worth 0.2 dB at std 0.05; twice the fine blocks, trained by Muon, another 0.7.",
    "mnist-mlp-8": "The report's network, optimiser, batch and epochs. Most starts lose latents: of seeds 0 to 23, after a few epochs, two had all 8 alive and 22 had two to six. The three whose mean stands here (17, 6 and 3) were picked among those by their validation error, and the best is published; seeds that nobody picked stand below, with the report's own settings.",
}


def sentence(name: str) -> str | None:
    """Why a model's numbers are not its report's; None if nobody has said."""
    if name in DIFFERENCES:
        return DIFFERENCES[name]
    stem, _, size = name.rpartition("-")
    return DIFFERENCES.get(f"{stem}-*") if size.isdigit() else None
