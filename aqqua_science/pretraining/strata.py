"""Strata: what a draw is balanced over before it looks at the images themselves."""

import numpy as np
import pandas as pd

from aqqua_science.schema import SchemaError, require_columns

OURS = ("row", "images", "expected", "drawn", "inclusion_probability", "weight")
"""Columns that a curation adds to the strata."""

DEPTH_CLASSES_M = {"0-200 m": 200, "200-1000 m": 1_000, "1000-4000 m": 4_000, "below 4000 m": np.inf}
"""Epipelagic, mesopelagic, bathypelagic and abyssopelagic waters: name and lower bound, which is included."""


def strata_of(table):
    """
    Say where, when and by what each image was taken, in classes.

    Regions are boxes of 30 degrees of latitude by 60 degrees of longitude, named by their south-western corner.

    Parameters
    ----------
    table : pandas.DataFrame
        With the columns ``instrument``, ``latitude``, ``longitude``, ``depth`` (m) and ``time``, as `ImageStore.table`.

    Returns
    -------
    pandas.DataFrame
        Columns ``instrument``, ``region``, ``depth_class`` and ``month``; missing where the table says nothing.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> table = pd.DataFrame({"instrument": "UVP6", "latitude": [54.2], "longitude": -30.0, "depth": 250.0})
    >>> strata_of(table.assign(time=pd.Timestamp("2024-05-01"))).to_dict("records")
    [{'instrument': 'UVP6', 'region': '+30-060', 'depth_class': '200-1000 m', 'month': 5}]
    """
    require_columns(table, ["instrument", "latitude", "longitude", "depth", "time"])
    south = np.clip(np.floor(table["latitude"] / 30) * 30, -90, 60)
    west = np.clip(np.floor(table["longitude"] / 60) * 60, -180, 120)
    corners = {
        pair: "{:+03.0f}{:+04.0f}".format(*pair) for pair in set(zip(south.dropna(), west.dropna(), strict=False))
    }
    region = [corners.get(pair) for pair in zip(south, west, strict=True)]
    depth = pd.cut(table["depth"], [-np.inf, *DEPTH_CLASSES_M.values()], labels=list(DEPTH_CLASSES_M)).astype(object)
    month = pd.to_datetime(table["time"]).dt.month
    strata = {"instrument": table["instrument"], "region": region, "depth_class": depth, "month": month}
    return pd.DataFrame(strata, index=table.index)


def chosen_strata(table, names, *, n):
    """
    Take the columns to balance over.

    Parameters
    ----------
    table : pandas.DataFrame or None
    names : iterable of str or None
        Columns of the table; those of `strata_of` by default.
    n : int
        Images.

    Returns
    -------
    pandas.DataFrame
        One row per image, numbered from 0.

    Raises
    ------
    SchemaError
        If the table has another length, lacks a column, or a column has a name of ours.
    """
    if table is None and names:
        msg = (
            f"strata {list(names)} are columns of a table, but no table was given. Pass store.table as second argument."
        )
        raise SchemaError(msg)
    if table is None:
        return pd.DataFrame(index=range(n))
    if len(table) != n:
        msg = (
            f"features have {n:,} rows, the table has {len(table):,}. Pass the metadata of these images and no others."
        )
        raise SchemaError(msg)
    if names is not None:
        require_columns(table, names)
    strata = (strata_of(table) if names is None else table[list(names)]).reset_index(drop=True)
    taken = [name for name in strata if name in OURS or str(name).startswith("cluster_")]
    if taken:
        msg = f"a stratum cannot be called {taken[0]!r}: the draw has a column of that name. Rename it."
        raise SchemaError(msg)
    return strata
