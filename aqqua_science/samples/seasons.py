"""The environment of samples that stand for several months, such as those of a moored trap."""

import numpy as np

from ..grids.calendars import DAYS_OF_MONTH
from ..schema import SchemaError, check, require_columns
from .matching import fields
from .matchup import join_environment
from .reading import COUNT, SD
from .surroundings import spread


def join_seasons(samples, env, **options):
    """
    Give each sample the mean environment of the months that it stands for.

    Parameters
    ----------
    samples : pandas.DataFrame
        As for `join_environment`, with ``month``, the first, and ``n_months``, 1..12: over how many it is a mean.
    env : xarray.Dataset
        With `month` where it has time at all.
    **options
        Of `join_environment`.

    Returns
    -------
    pandas.DataFrame
        As of `join_environment`; values are means over the months that have one, by their lengths, counts are sums over
        them (without a spread), and the record of the match is that of the first month.

    Raises
    ------
    SchemaError
        If ``n_months`` is not a whole number from 1 to 12, `env` has dates, or as `join_environment`.

    Examples
    --------
    >>> import pandas as pd
    >>> import xarray as xr
    >>> from aqqua_science.grids import regular_grid
    >>> months = xr.DataArray(np.arange(1.0, 13), {"month": np.arange(1, 13)}, dims="month")
    >>> env = (months + 0 * regular_grid(30.0)["latitude"] + 0 * regular_grid(30.0)["longitude"]).to_dataset(name="sst")
    >>> samples = pd.DataFrame({"latitude": 1.0, "longitude": 1.0, "month": [3, 12], "n_months": [1, 2]})
    >>> join_seasons(samples, env)["sst"].tolist()
    [3.0, 6.5]
    """
    require_columns(samples, ["month", "n_months"])
    check(samples)
    if "time" in env.dims:
        msg = (
            "env has dates, and samples that stand for several months need months of the year: grids.climatology(env)."
        )
        raise SchemaError(msg)
    length = samples["n_months"].to_numpy(dtype=float)
    if not np.isin(length, range(1, 13)).all():
        worst = length[~np.isin(length, range(1, 13))][0]
        msg = f"n_months must be a whole number from 1 to 12; found {worst:g}. Give 1 to samples of a single month."
        raise SchemaError(msg)
    row, later = spread(length.astype(int))
    month = (samples["month"].to_numpy(dtype=float)[row] - 1 + later) % 12 + 1
    single = samples.drop(columns="n_months").iloc[row].reset_index(drop=True).assign(month=month)
    joined = join_environment(single, env, **options)
    first = joined[later == 0].set_index(samples.index)
    days = np.where(np.isnan(month), 1.0, DAYS_OF_MONTH[np.nan_to_num(month, nan=1).astype(int) - 1])
    names = list(map(str, fields(env).data_vars))
    for name in names:
        values = joined[name].to_numpy(dtype=float)
        known = ~np.isnan(values)
        weight = np.bincount(row, days * known, minlength=len(samples))
        total = np.bincount(row, days * np.where(known, values, 0), minlength=len(samples))
        first[name] = total / np.where(weight > 0, weight, np.nan)
        if f"{name}{COUNT}" in joined:
            first[f"{name}{COUNT}"] = np.bincount(row, joined[f"{name}{COUNT}"], minlength=len(samples)).astype(int)
            first = first.drop(columns=f"{name}{SD}")
    found = first[names].notna().all(axis=1)
    first["match_reason"] = first["match_reason"].mask(found, "")
    return first.assign(month=samples["month"], n_months=samples["n_months"])
