"""One image to bytes and back, exactly: a blosc2 chunk behind a short header."""

import struct

import blosc2
import numpy as np

HEADER = struct.Struct("<BBHII")
"""Delta, type of the values, channels (0: the image has two dimensions), height, width."""

DTYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")
"""Types of values; the place in this list is the code in the header. Never reorder, only append."""

NO_DELTA, ROW_DELTA, COLUMN_DELTA = 0, 1, 2
"""What was compressed: the values; their differences along the image as one long row; or down its columns.
Differences are modulo the type's range."""

_DELTA_COST = 1.10
"""A delta must save a tenth: undoing it takes as long as the decompression (table in docs/data-format.md)."""

_FEW = 4_096

blosc2.set_nthreads(1)


def encode(pixels):
    """
    Encode an image without loss, by whichever delta makes it smallest.

    Parameters
    ----------
    pixels : numpy.ndarray
        (height, width) or (height, width, channels), of a type in `DTYPES`.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        If the array is no such image, or is empty.

    Examples
    --------
    >>> image = np.arange(6, dtype=np.uint16).reshape(2, 3)
    >>> decode(encode(image)).tolist()
    [[0, 1, 2], [3, 4, 5]]
    """
    if pixels.ndim not in (2, 3) or not pixels.size or pixels.dtype.name not in DTYPES or pixels.shape[2:] > (65_535,):
        msg = (
            f"an image is (height, width) or (height, width, channels) of {', '.join(DTYPES)}, and not empty; "
            f"got {pixels.dtype} of shape {pixels.shape}."
        )
        raise ValueError(msg)
    values = _planes(pixels)
    candidates = {NO_DELTA: values}
    if values.dtype.kind in "ui":
        candidates |= {ROW_DELTA: _delta(values.reshape(-1)), COLUMN_DELTA: _delta(values)}
    chunks = {delta: _compress(array) for delta, array in candidates.items()}
    delta = min(chunks, key=lambda d: len(chunks[d]) * (1 if d == NO_DELTA else _DELTA_COST))
    channels = pixels.shape[2] if pixels.ndim == 3 else 0
    return HEADER.pack(delta, DTYPES.index(values.dtype.name), channels, *pixels.shape[:2]) + chunks[delta]


def decode(content):
    """
    Decode an image.

    Parameters
    ----------
    content : bytes or memoryview
        From `encode`.

    Returns
    -------
    numpy.ndarray
        The very image that was encoded.

    Raises
    ------
    ValueError
        If the bytes are no such image.

    Examples
    --------
    >>> decode(encode(np.zeros((4, 3, 3), dtype=np.uint8))).shape
    (4, 3, 3)
    """
    if len(content) <= HEADER.size or content[1] >= len(DTYPES) or content[0] > COLUMN_DELTA:
        msg = f"{len(content)} bytes that are no image of this format: its header is damaged, or from a newer version."
        raise ValueError(msg)
    delta, code, channels, height, width = HEADER.unpack_from(content)
    values = _decompress(content[HEADER.size :], (max(channels, 1) * height, width), DTYPES[code])
    if delta != NO_DELTA:
        _sum_up(values.reshape(-1) if delta == ROW_DELTA else values)
    if not channels:
        return values
    return np.ascontiguousarray(values.reshape(channels, height, width).transpose(1, 2, 0))


def _planes(pixels):
    """Channels one below the other, in little-endian order."""
    pixels = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    if pixels.ndim == 3:
        pixels = pixels.transpose(2, 0, 1).reshape(-1, pixels.shape[1])
    return np.ascontiguousarray(pixels)


def _delta(values):
    """Differences along the first axis."""
    delta = values.copy()
    delta[1:] -= values[:-1]
    return delta


def _sum_up(delta):
    """
    Turn differences along the first axis into values, in place.

    For large images sums over 1, 2, 4 ... neighbours take few passes that use the whole width of the processor;
    `numpy.add.accumulate`, which goes from value to value, is faster only where there are few.
    """
    if delta.size < _FEW:
        np.add.accumulate(delta, out=delta)
        return
    step = 1
    while step < len(delta):
        delta[step:] += delta[:-step]
        step *= 2


def _compress(array):
    """ZSTD level 1; shuffling the bytes helps only values of more than one."""
    filters = [blosc2.Filter.NOFILTER if array.itemsize == 1 else blosc2.Filter.SHUFFLE]
    return blosc2.compress2(array, codec=blosc2.Codec.ZSTD, clevel=1, filters=filters, typesize=array.itemsize)


def _decompress(chunk, shape, dtype):
    n_bytes = shape[0] * shape[1] * np.dtype(dtype).itemsize
    held = blosc2.get_cbuffer_sizes(chunk)[0] if len(chunk) >= 32 else 0
    if held != n_bytes:
        msg = f"an image of {shape[0]} x {shape[1]} {dtype} has {n_bytes} bytes; its chunk holds {held}. It is damaged."
        raise ValueError(msg)
    values = np.empty(shape, dtype)
    try:
        blosc2.decompress2(chunk, dst=values)
    except (RuntimeError, ValueError) as error:
        msg = f"the chunk of an image of {shape[0]} x {shape[1]} {dtype} is damaged: {error}."
        raise ValueError(msg) from error
    return values
