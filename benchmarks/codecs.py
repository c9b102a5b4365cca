"""`python -m benchmarks.codecs`: what it costs to read and to write an image, by format and size.

Processor time in this process, the median of several rounds that are interleaved; the settings that
the service has stand beside those it might have. Pictures are enlarged from the models' known
images with noise of a few grey levels, as a camera's have. Writes docs/benchmarks-codecs.md.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from benchmarks.payloads import COLOURS_MODEL, DIGITS_MODEL, ROOT, Images, known_image
from service import images, png
from service.routes.running import INLINE_PIXELS

PAGE = ROOT / "docs" / "benchmarks-codecs.md"
# A side, channels, and how often it is done in a round.
_SIZES = {
    "28x28 grey": ((28, 28, 1), 200),
    "32x32": ((32, 32, 3), 200),
    "512x512": ((512, 512, 3), 2),
    "4000x3000": ((3000, 4000, 3), 1),
}
_HEAD = """# What image files cost

Written by `python -m benchmarks.codecs`: milliseconds of one core, the median and the range
of {rounds} interleaved rounds, and the size of the file. What the service does is **bold**.
Reading is by `service.images`, and by Pillow alone beside it.

An image of up to {inline} pixels is read and written on the event loop, where it keeps others
waiting for no longer than a run of a network does; larger ones in another thread.

"""


@dataclass(frozen=True)
class Way:
    """One way to write an image, or to read one."""

    name: str
    work: Callable[[], bytes | Images]


def picture(shape: tuple[int, int, int]) -> Images:
    """A known image of a model at another size, with noise of three grey levels."""
    height, width, channels = shape
    known = known_image(DIGITS_MODEL if channels == 1 else COLOURS_MODEL)
    large = images.resize(known, height, width).astype(np.float64)
    noise = np.random.default_rng(0).normal(0, 3 if height > 64 else 0, shape)
    return np.clip(np.rint(large + noise), 0, 255).astype(np.uint8)


def pillow(image: Images, kind: str, **options: object) -> bytes:
    """Written by Pillow."""
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, kind, **options)
    return buffer.getvalue()


def plainly(data: bytes) -> Images:
    """Read by Pillow, whatever it is."""
    return np.asarray(Image.open(io.BytesIO(data)))


def ways(image: Images) -> list[Way]:
    """All ways to write an image, and then to read it."""
    made = [
        Way("write **PNG**", lambda: png.write(image)),
        Way("write PNG, Pillow", lambda: pillow(image, "PNG")),
        Way("write PNG, Pillow, level 1", lambda: pillow(image, "PNG", compress_level=1)),
        Way("write **JPEG** 95, 4:4:4", lambda: images.encode(image, "image/jpeg")),
        Way("write JPEG 95, 4:2:0", lambda: pillow(image, "JPEG", quality=95, subsampling=2)),
        Way("write **WebP** lossless, method 0", lambda: images.encode(image, "image/webp")),
        *(
            Way(
                f"write WebP lossless, method {method}",
                partial(pillow, image, "WEBP", lossless=True, method=method),
            )
            for method in (1, 4)
        ),
    ]
    for name, data in (
        ("PNG", pillow(image, "PNG")),
        ("JPEG", images.encode(image, "image/jpeg")),
        ("WebP", images.encode(image, "image/webp")),
    ):
        made += [
            Way(f"read **{name}**", partial(images.decode, data)),
            Way(f"read {name}, Pillow", partial(plainly, data)),
        ]
    return made


def measure(way: Way, times: int) -> float:
    """Milliseconds of processor time."""
    started = time.process_time()
    for _ in range(times):
        way.work()
    return (time.process_time() - started) / times * 1000


def table(name: str, rounds: int) -> str:
    """The rows of one size."""
    shape, times = _SIZES[name]
    every = ways(picture(shape))
    found: dict[str, list[float]] = {way.name: [] for way in every}
    sizes = {way.name: len(made) for way in every if isinstance(made := way.work(), bytes)}
    for _ in range(rounds):
        for way in every:
            found[way.name].append(measure(way, times))
    rows = [
        f"| {what} | {statistics.median(ms):.3g} ({min(ms):.3g} to {max(ms):.3g}) | "
        f"{f'{sizes[what]:,}' if what in sizes else ''} |"
        for what, ms in found.items()
    ]
    head = f"## {name}\n\n| | ms | bytes |\n|---|---|---|"
    return "\n".join([head, *rows, ""])


def main() -> None:
    """Measures, and writes the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.codecs", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    tables = [table(name, rounds) for name in _SIZES]
    page = _HEAD.format(rounds=rounds, inline=INLINE_PIXELS) + "\n".join(tables)
    PAGE.write_text(page)
    print(page)


if __name__ == "__main__":
    main()
