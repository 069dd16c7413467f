"""Pictures come out with the values that their files hold, and what is no picture is refused with its reason."""

import contextlib
import io
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aqqua_science.sources.pictures import decode, encode_png, thumbnail_png
from aqqua_science.sources.record import PictureError

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    "pixels",
    [
        GREY,
        np.stack([GREY, GREY.T, 255 - GREY], axis=2),
        np.stack([GREY] * 3 + [GREY.T], axis=2),
        np.arange(0, 65_536, 257, dtype=np.uint16).reshape(16, 16),
    ],
)
def test_png_keeps_every_value(pixels):
    found = decode(encode_png(pixels))
    assert found.dtype == pixels.dtype
    assert np.array_equal(found, pixels)


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "GIF"])
def test_other_exact_formats_keep_every_grey_level(kind):
    assert np.array_equal(decode(saved(Image.fromarray(GREY), kind)), GREY)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_tiff_of_more_bits_is_not_stretched(dtype):
    pixels = (np.arange(64).reshape(8, 8) * 17).astype(dtype)
    found = decode(saved(Image.fromarray(pixels), "TIFF"))
    assert found.dtype == dtype
    assert np.array_equal(found, pixels)


def test_a_palette_becomes_its_colours_and_a_bilevel_image_0_and_1():
    colours = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    colours.putpalette([255, 0, 0, 0, 0, 255])
    assert decode(saved(colours, "PNG")).tolist() == [[[255, 0, 0], [0, 0, 255]], [[0, 0, 255], [255, 0, 0]]]
    assert decode(saved(Image.fromarray(GREY > 99), "PNG")).tolist() == (GREY > 99).astype(int).tolist()


def test_a_picture_is_not_turned_by_what_a_camera_says():
    exif = Image.Exif()
    exif[274] = 6
    content = saved(Image.fromarray(np.zeros((4, 9), np.uint8)), "PNG", exif=exif)
    assert decode(content).shape == (4, 9)


def test_every_cut_of_a_picture_is_refused():
    for content in (encode_png(GREY), saved(Image.fromarray(GREY), "JPEG")):
        for end in range(len(content) - 2):
            with pytest.raises(PictureError, match=r"damaged|not a readable image"):
                decode(content[:end])


@pytest.mark.parametrize(("size", "reason"), [((40_000, 2), "too large"), ((30_000, 30_000), "too large")])
def test_pictures_beyond_the_limits_are_refused_before_they_are_unpacked(size, reason):
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"".join(n.to_bytes(4, "big") for n in size) + b"\x08\0\0\0\0"
    content = header + crc32(header[12:]).to_bytes(4, "big") + b"\0\0\0\0IEND\xaeB`\x82"
    with pytest.raises(PictureError, match=reason):
        decode(content)


@settings(max_examples=150)
@given(st.binary(max_size=400), st.integers(0, 200))
def test_any_bytes_are_a_picture_or_refused(content, place):
    good = encode_png(GREY)
    for attempt in (content, good[:place] + content + good[place + len(content) :]):
        with contextlib.suppress(PictureError):
            assert decode(attempt).ndim in (2, 3)


@pytest.mark.parametrize("pixels", [np.zeros((3, 3)), np.zeros((3, 3, 5), np.uint8), np.zeros((3, 3, 3), np.uint16)])
def test_what_png_cannot_hold_is_told(pixels):
    with pytest.raises(PictureError, match="PNG has no image"):
        encode_png(pixels)
    assert thumbnail_png(pixels, 2).startswith(b"\x89PNG")


def test_a_file_of_several_pages_is_refused_not_cut_to_its_first():
    pages = [Image.fromarray(GREY), Image.fromarray(GREY.T)]
    content = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(PictureError, match="2 pages"):
        decode(content)
