"""Features as they come, arrays or labelled arrays that may lie on disk, as blocks of numbers."""

import numpy as np

BLOCK_ROWS = 65_536


def is_labelled(features):
    """
    Tell whether features are an xarray.DataArray.

    Parameters
    ----------
    features : object

    Returns
    -------
    bool
    """
    return hasattr(features, "dims") and hasattr(features, "attrs") and hasattr(features, "isel")


def orient(features):
    """
    Bring a labelled array to (object, feature); other features pass.

    Parameters
    ----------
    features : xarray.DataArray or array_like

    Returns
    -------
    xarray.DataArray or array_like

    Raises
    ------
    ValueError
        If its dimensions are others.
    """
    if not is_labelled(features) or features.dims == ("object", "feature"):
        return features
    if set(features.dims) != {"object", "feature"}:
        msg = f"features must have the dimensions ('object', 'feature'); got {features.dims}. Rename or select them."
        raise ValueError(msg)
    return features.transpose("object", "feature")


def fingerprint_of(features):
    """
    Tell which encoder made features.

    Parameters
    ----------
    features : object

    Returns
    -------
    str or None
        Attribute ``fingerprint`` of a labelled array.
    """
    return features.attrs.get("fingerprint") if is_labelled(features) else None


def check_fingerprint(features, known):
    """
    Refuse features of another encoder than a model was fitted on.

    Parameters
    ----------
    features : object
    known : str or None
        Fingerprint of the features of the fit; None asks nothing.

    Raises
    ------
    ValueError
        If both are known and differ.
    """
    found = fingerprint_of(features)
    if known is not None and found is not None and found != known:
        encoder = features.attrs.get("encoder", "another encoder")
        msg = (
            f"these features are of {encoder} (fingerprint {found}), but the model was fitted on features of "
            f"fingerprint {known}. Numbers of two encoders mean different things: "
            "embed with the same encoder, or fit again."
        )
        raise ValueError(msg)


def check_finite(rows, *, numbers=None):
    """
    Refuse rows that are not all numbers.

    Parameters
    ----------
    rows : numpy.ndarray, shape (n, d)
    numbers : sequence of int, length n, optional
        What the message calls the rows; counted from 0 by default.

    Raises
    ------
    ValueError
        Naming the first row at fault and how many are.
    """
    # The sum of a row tells NaN and infinity apart from numbers at no cost of memory.
    with np.errstate(over="ignore", invalid="ignore"):
        suspects = np.flatnonzero(~np.isfinite(rows.sum(axis=1)))
    bad = [row for row in suspects if not np.isfinite(rows[row]).all()]
    if bad:
        row = bad[0]
        column = int(np.flatnonzero(~np.isfinite(rows[row]))[0])
        number = row if numbers is None else numbers[row]
        value = "NaN" if np.isnan(rows[row, column]) else "infinity (inf)"
        msg = (
            f"features must be finite, but hold {value} in row {number}, feature {column}; {len(bad)} of "
            f"{len(rows)} rows are at fault. Leave these rows out, or embed them again."
        )
        raise ValueError(msg)


def blocks(n, size=BLOCK_ROWS):
    """
    Cut n rows into slices.

    Parameters
    ----------
    n : int
    size : int

    Yields
    ------
    slice
    """
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
