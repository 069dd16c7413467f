"""Codecs on real images: size against PNG level 6, and speed both ways, for the table of docs/data-format.md."""

import io
import time

import blosc2
import numpy as np
from PIL import Image

from aqqua_science.images import codec
from benchmarks.storage import REAL, _arrays

CANDIDATES = {
    "LZ4 5": (blosc2.Codec.LZ4, 5),
    "ZLIB 5": (blosc2.Codec.ZLIB, 5),
    "ZSTD 1": (blosc2.Codec.ZSTD, 1),
    "ZSTD 5": (blosc2.Codec.ZSTD, 5),
}


def run(*, n_images=500):
    """
    Encode and decode the same images by every candidate.

    Parameters
    ----------
    n_images : int
        Per instrument.

    Returns
    -------
    str
        A Markdown table: size against PNG level 6, images encoded and decoded a second, one core.
    """
    lines = ["| instrument | codec | size / PNG 6 | encoded/s | decoded/s |", "|---|---|---|---|---|"]
    for instrument in REAL:
        arrays = _arrays(instrument, n_images)
        size, *speeds = _measure(arrays, _png, lambda b, _: np.array(Image.open(io.BytesIO(b))))
        lines.append(_line(instrument, "PNG 6", 1, speeds))
        for delta in ("none", "row", "column"):
            for name, (code, level) in CANDIDATES.items():
                found = _measure(arrays, *_pair(delta, code, level))
                lines.append(_line(instrument, f"{name}, delta {delta}", found[0] / size, found[1:]))
        found = _measure(arrays, codec.encode, lambda b, _: codec.decode(b))
        lines.append(_line(instrument, "**as stored**", found[0] / size, found[1:]))
    return "\n".join(lines)


def _line(instrument, name, size, speeds):
    encoded, decoded = speeds
    return f"| {instrument} | {name} | {size:.3f} | {encoded:,.0f} | {decoded:,.0f} |"


def _png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG", compress_level=6)
    return stream.getvalue()


def _pair(delta, code, level):
    """Encoder and decoder of one candidate."""

    def encode(array):
        values = codec._planes(array)
        if delta != "none":
            values = codec._delta(values.reshape(-1) if delta == "row" else values)
        return blosc2.compress2(values, codec=code, clevel=level, filters=[blosc2.Filter.NOFILTER], typesize=1)

    def decode(content, array):
        values = np.empty(codec._planes(array).shape, array.dtype)
        blosc2.decompress2(content, dst=values)
        if delta != "none":
            codec._sum_up(values.reshape(-1) if delta == "row" else values)
        return values if array.ndim == 2 else values.reshape(array.shape[2], *array.shape[:2]).transpose(1, 2, 0)

    return encode, decode


def _measure(arrays, encode, decode):
    """Mean size, and images a second both ways; the best of three."""
    n, encoded_s, decoded_s = len(arrays), np.inf, np.inf
    for _ in range(3):
        start = time.process_time()
        contents = [encode(a) for a in arrays]
        middle = time.process_time()
        found = [decode(c, a) for c, a in zip(contents, arrays, strict=True)]
        encoded_s, decoded_s = min(encoded_s, middle - start), min(decoded_s, time.process_time() - middle)
    if not all(np.array_equal(f, a) for f, a in zip(found, arrays, strict=True)):
        msg = "a candidate does not give the image back; its size and speed mean nothing."
        raise ValueError(msg)
    return sum(map(len, contents)) / n, n / encoded_s, n / decoded_s
