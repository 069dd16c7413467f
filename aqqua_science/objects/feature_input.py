"""Features as they come, arrays or labelled arrays that may lie on disk, as blocks of numbers."""

import numpy as np
import pandas as pd

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


def check_fingerprint(features, known, *, what="the model was fitted on"):
    """
    Refuse features of another encoder than a model was fitted on.

    Parameters
    ----------
    features : object
    known : str or None
        Fingerprint of the features of the fit; None asks nothing.
    what : str
        How the message calls what was made from these.

    Raises
    ------
    ValueError
        If both are known and differ.
    """
    found = fingerprint_of(features)
    if known is not None and found is not None and found != known:
        encoder = features.attrs.get("encoder", "another encoder")
        msg = (
            f"these features are of {encoder} (fingerprint {found}), but {what} features of "
            f"fingerprint {known}. Numbers of two encoders mean different things: "
            "embed with the same encoder, or begin anew."
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


def names_of(features, rows):
    """
    Name some rows, as far as the features tell.

    Parameters
    ----------
    features : xarray.DataArray, pandas.DataFrame or array_like
        Of the dimensions (object, feature), if it is a DataArray.
    rows : slice
        With start and stop.

    Returns
    -------
    index : pandas.Index
        The coordinate ``object``, the index of a DataFrame, or else the places.
    object_id : numpy.ndarray or None
    """
    if is_labelled(features):
        found = {
            name: features.coords[name].isel(object=rows).values
            for name in ("object", "object_id")
            if name in features.coords
        }
        index, object_id = found.get("object", np.arange(rows.start, rows.stop)), found.get("object_id")
        return pd.Index(index, name="object"), object_id
    if isinstance(features, pd.DataFrame):
        return features.index[rows], None
    return pd.RangeIndex(rows.start, rows.stop, name="object"), None


def check_order(features, *, name="X", **others):
    """
    Refuse what is told of objects in another order than their features: both are read by place.

    Parameters
    ----------
    features : xarray.DataArray, pandas.DataFrame or array_like
    name : str
        What the message calls the features.
    **others : pandas.Series or object
        By name. What has no index passes, and what has one that cannot be compared: of other kinds of labels, or of
        another length, or a table's mere numbers from 0 beside labels that are not the same.

    Raises
    ------
    ValueError
        If both have an index, and these differ.

    Examples
    --------
    >>> features = pd.DataFrame({"area": [1.0, 2.0]}, index=["a1", "a2"])
    >>> check_order(features, y=pd.Series(["Calanus", "Oithona"], index=["a2", "a1"]))
    Traceback (most recent call last):
    ...
    ValueError: y is read by place, but its index is not that of X: row 0 is 'a2', where X has 'a1'. ...
    """
    index = _own_index(features)
    indexed = {other: values.index for other, values in others.items() if isinstance(values, pd.Series)}
    for other, theirs in indexed.items():
        if index is None or len(index) != len(theirs) or not _contradict(index, theirs, features):
            continue
        pairs = enumerate(zip(index.tolist(), theirs.tolist(), strict=True))
        row, (ours, told) = next((row, pair) for row, pair in pairs if pair[0] != pair[1])
        wanted = f'{name}.indexes["object"]' if is_labelled(features) else f"{name}.index"
        msg = (
            f"{other} is read by place, but its index is not that of {name}: row {row} is {told!r}, where {name} has "
            f"{ours!r}. Pass {other}.loc[{wanted}], or {other}.to_numpy() if the places are right."
        )
        raise ValueError(msg)


def _own_index(features):
    """What names the rows of features; None for bare numbers."""
    if is_labelled(features):
        return features.indexes.get("object")
    return features.index if isinstance(features, pd.DataFrame) else None


def _contradict(index, theirs, features):
    """Whether two indexes of one length show that their rows are of different objects."""
    if index.inferred_type != theirs.inferred_type or index.astype(object).equals(theirs.astype(object)):
        return False
    # Numbers from 0 are what pandas gives who asks for none; the rows of a labelled array are those of a store.
    numbers = pd.RangeIndex(len(index))
    by_default = theirs.equals(numbers) or (index.equals(numbers) and not is_labelled(features))
    return set(index) == set(theirs) or not by_default


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
