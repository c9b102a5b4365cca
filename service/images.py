"""Encoded bytes <-> uint8 images `[H,W,C]`. The only file that knows image codecs."""

from __future__ import annotations

import io
import re
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from service import kept, png
from service.errors import TooLarge, Unprocessable
from service.kept import Kept, on_white

Images = NDArray[np.uint8]
Opened = Image.Image | png.Plain
Fit = Literal["exact", "resize"]

MEDIA_TYPES = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
}
# What a file may be written as, and the longest side that its format has room for.
LONGEST_SIDE = {"image/png": 2**31 - 1, "image/webp": 16_383, "image/jpeg": 65_500}
_OPTIONS: dict[str, dict[str, Any]] = {
    "image/webp": {"lossless": True, "method": 0},
    "image/jpeg": {"quality": 95, "subsampling": 0},
}
_FORMATS = tuple(MEDIA_TYPES.values())
_USE = "use PNG, JPEG, WebP, BMP or TIFF with 8 bits a channel, grey or RGB"

# Pillow's raw modes of 16 bits a channel; BGR;16 is a BMP's 5, 6 and 5.
_SIXTEEN_BITS = re.compile(r"(?!BGR;).*;16[BLN]?")
_PNG_END = b"IEND\xaeB`\x82"

_BAND = 2**18  # pixels: larger images are converted so many at a time

# Pillow's own guard warns at one size and raises at another; `open_image` has one limit for all.
Image.MAX_IMAGE_PIXELS = None


def open_image(data: bytes, *, max_pixels: int) -> Opened:
    """Reads the header of an image; no pixel is decoded yet.

    Raises:
        Unprocessable: not an image, or of a kind whose pixels would not survive as 8-bit grey or
            RGB: several frames, CMYK, 16 bits a channel, floating point.
        TooLarge: it claims more than `max_pixels` pixels.
    """
    plain = png.plain(data)
    if plain is not None:
        _check_size(plain.width, plain.height, max_pixels)
        return plain
    if not data:
        raise Unprocessable(f"the image is empty (0 bytes): {_USE}")
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError:
        raise Unprocessable(
            f"these {len(data)} bytes are no image that is read here: {_USE}"
        ) from None
    except Exception as error:  # a decoder fed hostile bytes may raise anything
        raise Unprocessable(f"the image's header is corrupt: {_USE}") from error
    _check_size(image.width, image.height, max_pixels)
    if image.format == "PNG" and _PNG_END not in data:
        # Pillow forgives this where the pixels happen to be all there; half a file is no file.
        raise Unprocessable(f"the image is truncated: {_USE}")
    if _has_more_frames(image):
        raise Unprocessable("the image is animated or has several pages: use one frame an image")
    if image.mode not in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX"):
        raise Unprocessable(f"the image's pixels are {_kind(image.mode)}: {_USE}")
    if any(_SIXTEEN_BITS.fullmatch(_raw_mode(tile.args)) for tile in image.tile):
        raise Unprocessable(f"the image's pixels are 16 bits a channel: {_USE}")
    return image


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooLarge(
            f"the image claims {width}x{height} pixels; up to {max_pixels} are taken in one request"
        )


def media_type(image: Opened) -> str:
    """The media type of an opened image, one of `MEDIA_TYPES`."""
    if isinstance(image, png.Plain):
        return png.MEDIA_TYPE
    return "image/jpeg" if image.format == "MPO" else f"image/{(image.format or '').lower()}"


def _has_more_frames(image: Image.Image) -> bool:
    if image.format == "MPO":  # a JPEG, with a preview or gain map behind it: as phones write them
        return False
    if isinstance(image, TiffImageFile):  # n_frames would read every page, of which 64 MiB has room
        return bool(image.tag_v2.next)  # for a million
    return getattr(image, "n_frames", 1) > 1


def _raw_mode(args: object) -> str:
    """How the pixels lie in the file, of a Pillow tile: the first argument of its decoder."""
    return str(args[0] if isinstance(args, tuple) and args else args)


def _kind(mode: str) -> str:
    if mode.startswith("I"):
        return "16 or 32 bits a channel"
    return {"F": "floating point"}.get(mode, mode)


def pixels(image: Opened) -> Images:
    """Decodes an opened image to uint8 `[H,W,1]` (grey) or `[H,W,3]` (RGB), alpha laid on white.

    EXIF orientation is applied, palettes are looked up.

    Raises:
        Unprocessable: the pixels are truncated or corrupt.
    """
    array, kept = straight(image)
    return array if kept is None or kept.alpha is None else on_white(array, kept.alpha)


def straight(image: Opened) -> tuple[Images, Kept | None]:
    """The same without alpha's effect on them, and what the file holds beside.

    Raises:
        Unprocessable: the pixels are truncated or corrupt.
    """
    if isinstance(image, png.Plain):
        array = image.pixels()
        if array is None:
            raise Unprocessable(f"the image is truncated or corrupt: {_USE}")
        return array, None
    try:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:  # a decoder fed hostile bytes may raise anything
        raise Unprocessable(f"the image is truncated or corrupt: {_USE}") from error
    grey = image.mode in ("1", "L", "LA", "La")
    transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    if transparent:
        image = image.convert("RGBA")
    beside = kept.of(image)
    if image.mode not in ("L", "RGB"):
        image = image.convert("L" if grey else "RGB")
    return _array(image), beside


def _array(image: Image.Image) -> Images:
    """uint8 `[H,W,C]`; of a large image band by band, since Pillow makes two copies of a whole."""
    channels = len(image.getbands())
    if image.width * image.height <= _BAND:
        return np.asarray(image).reshape(image.height, image.width, channels)
    array = np.empty((image.height, image.width, channels), np.uint8)
    step = max(1, _BAND // image.width)
    for top in range(0, image.height, step):
        end = min(top + step, image.height)
        band = np.asarray(image.crop((0, top, image.width, end)))
        array[top:end] = band.reshape(end - top, image.width, channels)
    return array


def decode(data: bytes, *, max_pixels: int = 50_000_000) -> Images:
    """uint8 `[H,W,C]` of an encoded image. Raises as `open_image` and `pixels` do."""
    return pixels(open_image(data, max_pixels=max_pixels))


def encode(image: Images, media_type: str = "image/png", beside: Kept | None = None) -> bytes:
    """An image `[H,W,1]` or `[H,W,3]` as a file: lossless, but for `image/jpeg`.

    Its sides must not exceed `LONGEST_SIDE` of the media type. JPEG has no alpha: there it lies
    on white.
    """
    profile, alpha = b"", None
    if beside is not None:
        profile, alpha = beside.profile(image.shape[2]), beside.alpha
    if alpha is not None:
        lossy = media_type == "image/jpeg"
        image = on_white(image, alpha) if lossy else np.concatenate([image, alpha], axis=2)
    if media_type == png.MEDIA_TYPE:
        return png.write(image, profile)
    buffer = io.BytesIO()
    options = _OPTIONS[media_type] | ({"icc_profile": profile} if profile else {})
    _pillow(image).save(buffer, MEDIA_TYPES[media_type], **options)
    return buffer.getvalue()


def encode_png(image: Images) -> bytes:
    """A PNG of a uint8 image `[H,W,1]` or `[H,W,3]`."""
    return png.write(image)


def encode_gif(images_BHWC: Images, *, milliseconds: int) -> bytes:
    """An animation that repeats; grey is lossless, colour is reduced to 256 colours a frame."""
    buffer = io.BytesIO()
    first, *rest = map(_pillow, images_BHWC)
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0)
    return buffer.getvalue()


def with_channels(image: Images, channels: int) -> Images:
    """Grey to colour by repetition, colour to grey by ITU-R BT.601 luma."""
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    weights = np.array([19595, 38470, 7471], np.uint32)  # of 65536, as Pillow has them
    grey = np.empty((*image.shape[:2], 1), np.uint8)
    step = max(1, _BAND // image.shape[1])
    for top in range(0, len(image), step):  # the sums take twelve times the pixels' room
        grey[top : top + step, :, 0] = (image[top : top + step] @ weights + 0x8000) >> 16
    return grey


def resize(image: Images, height: int, width: int) -> Images:
    """The image resampled (Lanczos) to `height` x `width`; its aspect ratio is not kept."""
    resized = np.asarray(_pillow(image).resize((width, height), Image.Resampling.LANCZOS))
    return resized[:, :, None] if resized.ndim == 2 else resized


def grid(images_BHWC: Images, *, columns: int | None = None, gap: int = 2) -> Images:
    """One image `[H,W,C]` of all, in rows of `columns` (a near-square by default), on white."""
    count, height, width, channels = images_BHWC.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    sheet = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, np.uint8
    )
    for i, image in enumerate(images_BHWC):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def _pillow(image: Images) -> Image.Image:
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
