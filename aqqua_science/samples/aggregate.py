"""From objects to samples: concentrations, biomass and mean traits per volume of water, zeros kept."""

import itertools

import numpy as np
import pandas as pd

from .. import schema
from .counting_error import LEVEL, poisson_interval
from .effort import FRACTION, exposure, refuse_own_fractions, rows_of, sample_key

_UG_PER_MG = 1000.0


def concentration(objects, samples, *, value=None):
    """
    Count the objects of each sample per cubic metre of water, or add up one of their columns.

    Samples without any object are kept and get zero: an empty sample is an observation of absence. A
    sample whose volume is not known gets NaN, and so does one with an object whose `value` is NaN.

    Parameters
    ----------
    objects : pandas.DataFrame
        One row per organism or particle, with `sample_id`.
    samples : pandas.DataFrame
        One row per volume of water, with `sample_id` and `volume_m3`. If both tables have `depth_bin`, a
        sample is one bin of one `sample_id`. If not all of a sample was looked at, `subsample_fraction`, the share
        that was.
    value : str, optional
        Column of `objects` to add up instead of counting.

    Returns
    -------
    pandas.DataFrame
        A copy of `samples`, in its order, with `objects_m3` (m-3), or with ``<value>_m3`` (units of
        `value` per cubic metre).

    Raises
    ------
    SchemaError
        If a column is absent, a sample is doubled, a volume is zero or negative, or an object belongs to
        no sample.

    Examples
    --------
    >>> objects = pd.DataFrame({"sample_id": ["a", "a"]})
    >>> samples = pd.DataFrame({"sample_id": ["a", "b"], "volume_m3": [0.5, 2.0]})
    >>> concentration(objects, samples)
      sample_id  volume_m3  objects_m3
    0         a        0.5         4.0
    1         b        2.0         0.0
    """
    total = _total(objects, samples, value)
    return _with_window(samples.assign(**{f"{value or 'objects'}_m3": total / exposure(samples)}), objects)


def biomass(objects, samples, *, taxon=None, value="carbon_ug"):
    """
    Add up the carbon of each sample's objects per cubic metre of water.

    Parameters
    ----------
    objects : pandas.DataFrame
        One row per organism, with `sample_id`, `value` and, if it is asked for, `taxon`.
    samples : pandas.DataFrame
        With `sample_id` and `volume_m3`; every sample in which the taxon was looked for.
    taxon : str or list of str, optional
        Add up these taxa only. Samples without them get zero.
    value : str
        Column with the mass of each object, micrograms; its name ends in ``_ug``.

    Returns
    -------
    pandas.DataFrame
        A copy of `samples`, in its order, with `carbon_mg_m3`, mg m-3 (named after `value`).

    Raises
    ------
    SchemaError
        As in `concentration`, or if no object at all belongs to `taxon`.
    ValueError
        If `value` is not in micrograms by its name.

    Examples
    --------
    >>> objects = pd.DataFrame({"sample_id": ["a", "a"], "taxon": ["Copepoda", "Rhizaria"], "carbon_ug": [10.0, 90.0]})
    >>> samples = pd.DataFrame({"sample_id": ["a", "b"], "volume_m3": [0.5, 2.0]})
    >>> biomass(objects, samples, taxon="Copepoda")
      sample_id  volume_m3  carbon_mg_m3
    0         a        0.5          0.02
    1         b        2.0          0.00
    """
    if not value.endswith("_ug"):
        msg = (
            f"value must name a column of masses in micrograms, ending in '_ug'; got {value!r}. Convert and rename it."
        )
        raise ValueError(msg)
    chosen = objects if taxon is None else _of_taxon(objects, taxon)
    table = concentration(chosen, samples, value=value)
    per_ug = table.pop(f"{value}_m3")
    return table.assign(**{f"{value.removesuffix('_ug')}_mg_m3": per_ug / _UG_PER_MG})


def by_group(objects, samples, *, group="taxon", key=None, totals=(), means=(), level=LEVEL):
    """
    Concentration, totals and mean traits of each group in each sample, with the error of counting.

    Every group has a row in every sample: a group that was not found there has a concentration of zero, and an upper
    limit above it.

    Parameters
    ----------
    objects : pandas.DataFrame
        One row per organism, with the columns `key`, `group`, `totals` and `means`. Where parts of a sample were looked
        at to different shares, ``subsample_fraction`` of each object's part (EcoTaxa's ``1 / acq_sub_part``).
    samples : pandas.DataFrame
        Every volume that was looked at, with `key` and ``volume_m3``, and ``subsample_fraction`` where that is one for
        all of a sample.
    group : str or list of str
        Columns of `objects`; all combinations of their values are groups.
    key : list of str, optional
        Columns that tell samples apart; ``sample_id``, and ``depth_bin`` where both tables have it, if left out.
    totals : sequence of str
        Columns to add up per cubic metre, such as ``biovolume_um3`` or ``carbon_ug``.
    means : sequence of str
        Columns to average, such as ``esd_um``; each object weighs as many as it stands for. NaN without objects.
    level : float
        Confidence level of the interval.

    Returns
    -------
    pandas.DataFrame
        One row per sample and group, in the order of `samples`: `key`, `group`, ``count`` (objects seen),
        ``exposure_m3`` (the water in which each of them would have been seen), ``objects_m3``, its exact Poisson
        interval ``objects_low_m3`` and ``objects_high_m3``, ``<total>_m3``, ``<total>_se_m3`` (from counting: compound
        Poisson) and ``<mean>_mean``. NaN where the volume, a fraction or a value is not known.
        ``attrs["size_window"]`` is that of `objects`, if `samples.windows.within` has chosen them.

    Raises
    ------
    SchemaError
        As in `concentration`; if both tables have fractions; or if a group is not named.

    Notes
    -----
    The interval is that of random counts in one sample. Organisms in patches scatter more between samples:
    `samples.counting_error.pool_replicates` tells by how much where there are replicates.

    Examples
    --------
    >>> objects = pd.DataFrame({"sample_id": ["a", "a", "b"], "taxon": ["Copepoda", "Copepoda", "Rhizaria"]})
    >>> samples = pd.DataFrame({"sample_id": ["a", "b"], "volume_m3": [0.5, 2.0]})
    >>> by_group(objects, samples)[["taxon", "objects_m3", "objects_high_m3"]].round(2).values.tolist()
    [['Copepoda', 4.0, 14.45], ['Rhizaria', 0.0, 7.38], ['Copepoda', 0.0, 1.84], ['Rhizaria', 0.5, 2.79]]
    """
    group = [group] if isinstance(group, str) else list(group)
    key = sample_key(samples, objects) if key is None else list(key)
    schema.require_columns(objects, [*group, *totals, *means], what="objects")
    row, seen = rows_of(objects, samples, key), exposure(samples)
    table, code = _every_combination(objects, samples, key, group)
    n_groups = len(table) // max(len(samples), 1)
    cell, stands_for = row * n_groups + code, _stands_for(objects, samples)
    volume = np.repeat(seen, n_groups)

    def add(values):
        return np.bincount(cell, weights=values, minlength=len(table))

    count, number = np.bincount(cell, minlength=len(table)), add(stands_for)
    low, high = poisson_interval(count, level=level)
    # One object more would stand for as many as those of its cell do, or for the most that one of its sample does.
    each = np.where(count > 0, number / np.maximum(count, 1), np.repeat(_most(stands_for, row, len(samples)), n_groups))
    columns = {"count": count, "exposure_m3": volume / each, "objects_m3": number / volume}
    columns |= {"objects_low_m3": low * each / volume, "objects_high_m3": high * each / volume}
    for name in totals:
        values = _numbers(objects, name) * stands_for
        columns |= {f"{name}_m3": add(values) / volume, f"{name}_se_m3": np.sqrt(add(values**2)) / volume}
    with np.errstate(invalid="ignore"):
        columns |= {f"{name}_mean": add(_numbers(objects, name) * stands_for) / number for name in means}
    return _with_window(table.assign(**columns), objects)


def _with_window(table, objects):
    """Say of which sizes the objects are."""
    if "size_window" in objects.attrs:
        table.attrs["size_window"] = objects.attrs["size_window"]
    return table


def _every_combination(objects, samples, key, group):
    """One row per sample and group, and the group of each object."""
    if objects[group].isna().any(axis=None):
        msg = f"{' and '.join(group)} must be known of every object. Name it 'unknown', or drop the object."
        raise schema.SchemaError(msg)
    coded = [pd.factorize(objects[name], sort=True) for name in group]
    sizes = [len(names) for _, names in coded]
    code = np.ravel_multi_index([c for c, _ in coded], sizes) if len(objects) else np.empty(0, dtype=int)
    every = pd.DataFrame(list(itertools.product(*(names for _, names in coded))), columns=group)
    table = samples[key].iloc[np.repeat(np.arange(len(samples)), len(every))].reset_index(drop=True)
    return table.assign(**{n: np.tile(every[n].to_numpy(), len(samples)) for n in group}), code


def _stands_for(objects, samples):
    """How many objects of its part of the sample each object stands for, beyond the sample's own fraction."""
    if FRACTION not in objects.columns:
        return np.ones(len(objects))
    if FRACTION in samples.columns:
        msg = f"both objects and samples have {FRACTION}; what was split how often cannot be told. Give it in one."
        raise schema.SchemaError(msg)
    return 1 / exposure(objects[[FRACTION]].assign(volume_m3=1.0))


def _most(stands_for, row, n_samples):
    """The most that one object of each sample stands for; 1 where there is none."""
    most = np.ones(n_samples)
    np.fmax.at(most, row, stands_for)
    return most


def _of_taxon(objects, taxon):
    schema.require_columns(objects, ["taxon"], what="objects")
    for name in [taxon] if isinstance(taxon, str) else taxon:
        if len(objects) and not (objects["taxon"] == name).any():
            msg = (
                f"no object belongs to the taxon {name!r}.{schema.nearest_name(name, objects['taxon'].unique())} "
                "If it was looked for and never found, pass objects.iloc[:0] to get zeros."
            )
            raise schema.SchemaError(msg)
    return objects[objects["taxon"].isin([taxon] if isinstance(taxon, str) else list(taxon))]


def _total(objects, samples, value):
    """Number of objects of each sample, or the sum of one of their columns."""
    refuse_own_fractions(objects)
    key = sample_key(samples, objects)
    schema.require_columns(samples, [*key, "volume_m3"], what="samples")
    schema.require_columns(objects, [*key, *([value] if value else [])], what="objects")
    row = rows_of(objects, samples, key)
    weights = None if value is None else _numbers(objects, value)
    return np.bincount(row, weights=weights, minlength=len(samples)).astype(float)


def _numbers(objects, value):
    if not pd.api.types.is_numeric_dtype(objects[value]):
        first = objects[value].iloc[0] if len(objects) else objects[value].dtype
        msg = f"{value} must be numeric; found {first!r}. Convert the column with pandas.to_numeric."
        raise schema.SchemaError(msg)
    return objects[value].to_numpy(dtype=float, na_value=np.nan)
