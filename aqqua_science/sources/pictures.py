"""Image files to exact pixels and back."""

import io
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from aqqua_science.sources.record import PictureError

MAX_SIDE = 32_767
"""Pixels; EcoTaxa keeps sides as 16-bit integers."""

MAX_PIXELS = 170_000_000
"""Guard against decompression bombs, a little below Pillow's own."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif")
"""Image files we read, the raw formats and the lossy ones."""

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF")
_AS_IS = {"L", "RGB", "RGBA", "LA", "I;16", "I;16L", "I;16B", "I", "F"}


def decode(content):
    """
    Decode an image file to the values it holds.

    Parameters
    ----------
    content : bytes

    Returns
    -------
    numpy.ndarray
        (height, width) or (height, width, channels), uint8, uint16, int32 or float32. Palettes become colours (or
        grey, where the palette is grey), bilevel images 0 and 1; nothing is stretched, scaled or turned.

    Raises
    ------
    PictureError
        With the reason: not an image, damaged, cut short, too large.

    Examples
    --------
    >>> decode(encode_png(np.array([[0, 200]], dtype=np.uint8)))
    array([[  0, 200]], dtype=uint8)
    """
    if content.startswith(b"\x89PNG") and b"IEND\xaeB`\x82" not in content:
        msg = f"the image is damaged: a PNG that is cut short after {len(content):,} bytes"
        raise PictureError(msg)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                _check_size(*image.size)
                if getattr(image, "n_frames", 1) > 1:
                    msg = f"the file holds several images: {image.n_frames} pages; save each by itself"
                    raise PictureError(msg)
                return np.array(_plain(image))
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        msg = f"not a readable image: {len(content):,} bytes that are no PNG, JPEG, TIFF, BMP or GIF"
        raise PictureError(msg) from error
    except Image.DecompressionBombError as error:
        msg = f"the image is too large: {error}"
        raise PictureError(msg) from error
    except Exception as error:
        msg = f"the image is damaged: {type(error).__name__}, {error}"
        raise PictureError(msg) from error


def _check_size(width, height):
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        msg = f"the image is too large: {width} x {height} pixels, the limit is {MAX_SIDE} a side and {MAX_PIXELS:,}"
        raise PictureError(msg)
    if not width * height:
        msg = f"the image is empty: {width} x {height} pixels"
        raise PictureError(msg)


def _plain(image):
    """An image in a mode whose array holds the file's own values."""
    if image.mode == "1":
        return np.asarray(image, dtype=np.uint8)
    if image.mode == "P":
        colours = np.asarray(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
        is_grey = (colours == colours[:, :1]).all() and "transparency" not in image.info
        return image.convert("L" if is_grey else "RGBA" if "transparency" in image.info else "RGB")
    return image if image.mode in _AS_IS else image.convert("RGB")


def encode_png(pixels):
    """
    Encode an image as PNG, exactly.

    Parameters
    ----------
    pixels : numpy.ndarray
        (height, width) of uint8 or uint16, or (height, width, channels) of uint8 with 2 to 4 channels.

    Returns
    -------
    bytes

    Raises
    ------
    PictureError
        If PNG has no such image.

    Examples
    --------
    >>> encode_png(np.zeros((2, 2), dtype=np.uint8))[1:4]
    b'PNG'
    """
    pixels = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    is_grey = pixels.ndim == 2 and pixels.dtype in (np.uint8, np.uint16)
    if not is_grey and not (pixels.ndim == 3 and pixels.dtype == np.uint8 and 2 <= pixels.shape[2] <= 4):
        msg = f"PNG has no image of type {pixels.dtype} and shape {pixels.shape}"
        raise PictureError(msg)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG")
    return stream.getvalue()


def thumbnail_png(pixels, side):
    """
    Make a small picture for the eye: at most so large, grey levels brought to 8 bits where they have more.

    Parameters
    ----------
    pixels : numpy.ndarray
    side : int
        Pixels.

    Returns
    -------
    bytes
        A PNG.

    Examples
    --------
    >>> decode(thumbnail_png(np.zeros((400, 200), dtype=np.uint16), 100)).shape
    (100, 50)
    """
    if pixels.dtype != np.uint8:
        low, high = np.nanmin(pixels), np.nanmax(pixels)
        pixels = ((pixels - low) / max(float(high - low), 1e-300) * 255).astype(np.uint8)
    if pixels.ndim == 3 and pixels.shape[2] > 4:
        pixels = pixels[..., 0]
    image = Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
    image.thumbnail((side, side))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
