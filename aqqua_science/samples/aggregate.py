"""From objects to samples: concentrations and biomass per volume of water, zeros kept."""

import numpy as np
import pandas as pd

from .. import schema

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
        sample is one bin of one `sample_id`.
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
    return samples.assign(**{f"{value or 'objects'}_m3": total / samples["volume_m3"].to_numpy(dtype=float)})


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
    key = ["sample_id", *(["depth_bin"] if "depth_bin" in samples.columns and "depth_bin" in objects.columns else [])]
    schema.require_columns(samples, [*key, "volume_m3"], what="samples")
    schema.require_columns(objects, [*key, *([value] if value else [])], what="objects")
    schema.check(samples, required=key, unique=key)
    row = pd.MultiIndex.from_frame(samples[key]).get_indexer(pd.MultiIndex.from_frame(objects[key]))
    if (row < 0).any():
        strays = objects.loc[row < 0, key]
        msg = (
            f"every object must belong to a sample; {len(strays)} of {len(objects)} do not, the first has "
            f"{strays.iloc[0].to_dict()}. Add the sample with its volume, or drop its objects."
        )
        raise schema.SchemaError(msg)
    weights = None if value is None else _numbers(objects, value)
    return np.bincount(row, weights=weights, minlength=len(samples)).astype(float)


def _numbers(objects, value):
    if not pd.api.types.is_numeric_dtype(objects[value]):
        first = objects[value].iloc[0] if len(objects) else objects[value].dtype
        msg = f"{value} must be numeric; found {first!r}. Convert the column with pandas.to_numeric."
        raise schema.SchemaError(msg)
    return objects[value].to_numpy(dtype=float, na_value=np.nan)
