"""Dask blocks that hold whole planes or columns, and no more than memory bears."""

import math

import dask

_LIMIT_BYTES = 2**26


def whole(field, dims):
    """
    Chunk a field so that each block is whole along some dimensions.

    Parameters
    ----------
    field : xarray.DataArray
        In memory, which is left as it is, or on Dask.
    dims : iterable of str

    Returns
    -------
    xarray.DataArray
        Blocks that are whole already and of 64 MB at most stay; others are cut along the other dimensions.

    Examples
    --------
    >>> import dask.array as da
    >>> import xarray as xr
    >>> whole(xr.DataArray(da.zeros((4, 6), chunks=(2, 3)), dims=("month", "depth")), ["depth"]).chunksizes["depth"]
    (6,)
    """
    if field.chunks is None:
        return field
    largest = math.prod(max(sizes) for sizes in field.chunks) * field.dtype.itemsize
    if largest <= _LIMIT_BYTES and all(len(field.chunksizes[dim]) == 1 for dim in dims):
        return field
    with dask.config.set({"array.chunk-size": _LIMIT_BYTES}):
        return field.chunk({dim: -1 if dim in dims else "auto" for dim in field.dims})
