"""Three estimates of a photograph's noise beside what it was.

python -m benchmarks.noise MODEL [--photos FOLDER] [--every 7]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.photographs import photographs
from service import manifest, noise
from service.large import SMALL
from service.model import Model

Images = NDArray[np.uint8]

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = ROOT.parent / "shared" / "data" / "photos"
LEVELS = (2, 5, 10, 15, 25, 50)

# Daubechies' wavelet of four taps, its high pass.
_HIGH = np.array([-0.12940952, -0.22414387, 0.83651630, -0.48296291])


def wavelet(noisy: Images, _: Images) -> float:
    """Donoho 1995: the median of the finest diagonal coefficients of the input, over 0.6745."""
    found = []
    for plane in np.moveaxis(noisy.astype(np.float64), 2, 0):
        rows, columns = (n // 2 - 1 for n in plane.shape)
        high = sum(tap * plane[k : k + 2 * rows : 2] for k, tap in enumerate(_HIGH))
        both = sum(tap * high[:, k : k + 2 * columns : 2] for k, tap in enumerate(_HIGH))
        found.append(np.median(np.abs(both)) / 0.6745)
    return float(np.mean(found))


def residual(noisy: Images, clean: Images) -> float:
    """The median of what was taken off, over 0.6745."""
    return float(np.median(np.abs(noisy.astype(int) - clean)) / 0.6745)


def flat(noisy: Images, clean: Images) -> float:
    """What the service tells."""
    measured = noise.measure(noisy, clean)
    assert measured is not None
    return measured.std


ESTIMATES: dict[str, Callable[[Images, Images], float]] = {
    "wavelet": wavelet,
    "residual": residual,
    "the service's": flat,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints, for each level, the mean of each estimate and its largest error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noise", description=__doc__)
    parser.add_argument("model", help="NAME, of a model for any size")
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--every", type=int, default=7, help="so manieth photograph of BSD68")
    options = parser.parse_args(arguments)
    folder = max((options.models / options.model).iterdir(), key=lambda path: int(path.name))
    channels, model = manifest.read(folder).image.channels, Model.open(folder, threads=2)
    photos = list(photographs(options.photos, "bsd68"))[:: options.every]
    assert photos[0].clean.size > SMALL
    print(f"| noise | {' | '.join(ESTIMATES)} |\n|---|{'---|' * len(ESTIMATES)}")
    for level in LEVELS:
        found: dict[str, list[float]] = {name: [] for name in ESTIMATES}
        for photo in photos:
            rng = np.random.default_rng([level, photo.place])
            shape = (*photo.clean.shape, channels)
            noisy = photo.clean[..., None] + rng.normal(0, level, shape)
            stored = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
            answer = model.reconstruct(stored[None])[0]
            for name, estimate in ESTIMATES.items():
                found[name].append(estimate(stored, answer))
        cells = [
            f"{np.mean(values):.1f}, off by up to {max(abs(v - level) for v in values):.1f}"
            for values in found.values()
        ]
        print(f"| {level} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
