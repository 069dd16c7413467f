"""How much water was looked at: samples with their volumes, split fractions and depth bins."""

import numpy as np
import pandas as pd

from .. import schema

FRACTION = "subsample_fraction"
"""Column of samples: the share of a sample that was looked at, above 0 and at most 1. Where it is absent, all was."""


def sample_key(samples, *others):
    """
    Columns that tell samples apart, as far as all tables have them.

    Parameters
    ----------
    samples : pandas.DataFrame
    *others : pandas.DataFrame

    Returns
    -------
    list of str
        ``sample_id`` and, where present in all, ``depth_bin``.

    Examples
    --------
    >>> sample_key(pd.DataFrame(columns=["sample_id", "depth_bin"]), pd.DataFrame(columns=["sample_id"]))
    ['sample_id']
    """
    return ["sample_id", *(["depth_bin"] if all("depth_bin" in table.columns for table in (samples, *others)) else [])]


def exposure(samples):
    """
    The volume in which each sample's objects would all have been seen: its volume times the fraction looked at.

    Parameters
    ----------
    samples : pandas.DataFrame
        With ``volume_m3`` and, where not all of a sample was looked at, ``subsample_fraction``: of a net whose catch
        was split with a Motoda box, the product of the splits (EcoTaxa's ``1 / acq_sub_part``).

    Returns
    -------
    numpy.ndarray
        m3; NaN where one of them is not known.

    Raises
    ------
    SchemaError
        If a volume is not above 0, or a fraction not above 0 and at most 1.

    Examples
    --------
    >>> exposure(pd.DataFrame({"volume_m3": [100.0, 8.0], "subsample_fraction": [0.25, 1.0]})).tolist()
    [25.0, 8.0]
    """
    schema.check(samples, required=[])
    schema.require_columns(samples, ["volume_m3"], what="samples")
    volume = pd.to_numeric(samples["volume_m3"]).to_numpy(dtype=float, na_value=np.nan)
    return volume if FRACTION not in samples.columns else volume * _fractions(samples)


def rows_of(objects, samples, key):
    """
    Find the row of each object's sample.

    Parameters
    ----------
    objects, samples : pandas.DataFrame
    key : list of str
        Columns that tell samples apart.

    Returns
    -------
    numpy.ndarray of int

    Raises
    ------
    SchemaError
        If a column is absent, a sample is doubled, or an object belongs to none.

    Examples
    --------
    >>> rows_of(pd.DataFrame({"sample_id": ["b"]}), pd.DataFrame({"sample_id": ["a", "b"]}), ["sample_id"]).tolist()
    [1]
    """
    schema.require_columns(samples, key, what="samples")
    schema.require_columns(objects, key, what="objects")
    schema.check(samples, required=key, unique=key)
    if len(key) == 1:
        row = pd.Index(samples[key[0]]).get_indexer(objects[key[0]])
    else:
        row = pd.MultiIndex.from_frame(samples[key]).get_indexer(pd.MultiIndex.from_frame(objects[key]))
    if (row < 0).any():
        strays = objects.loc[row < 0, key]
        msg = (
            f"every object must belong to a sample; {len(strays)} of {len(objects)} do not, the first has "
            f"{strays.iloc[0].to_dict()}. Add the sample with its volume, or drop its objects."
        )
        raise schema.SchemaError(msg)
    return row


def refuse_own_fractions(objects):
    """
    Refuse fractions of objects where they would be forgotten.

    Parameters
    ----------
    objects : pandas.DataFrame

    Raises
    ------
    SchemaError
        If they have the column ``subsample_fraction``.
    """
    if FRACTION in objects.columns:
        msg = f"objects have {FRACTION}, which only by_group reads. Use it, or move the column to samples."
        raise schema.SchemaError(msg)


def pool_samples(samples, *, by=("sample_id",), depth_edges=None):
    """
    Add up the volumes of samples, such as the 5 m layers of a profile, into larger ones.

    Parameters
    ----------
    samples : pandas.DataFrame
        With the columns `by`, ``volume_m3`` and, with `depth_edges`, ``depth`` (m, middle of the layer).
    by : str or sequence of str
        Columns whose combinations are the new samples.
    depth_edges : array-like of float, optional
        Rising bounds of depth bins, m; each holds its upper bound. Layers outside are left out.

    Returns
    -------
    pandas.DataFrame
        One row per new sample, in order of appearance, its bins from above: `by`, ``depth_bin`` (its upper bound, m),
        ``volume_m3``, ``n_pooled`` and, of a split sample, ``subsample_fraction``, by volume. A sample holding a layer
        of unknown volume has an unknown volume.

    Raises
    ------
    SchemaError
        If a column is absent or a volume is not above 0. Real files hold layers of volume 0, in which nothing was
        looked at: ``samples[samples["volume_m3"] > 0]`` leaves them out.

    Examples
    --------
    >>> layers = pd.DataFrame({"sample_id": "a", "depth": [2.5, 7.5, 12.5], "volume_m3": [0.1, 0.2, 0.4]})
    >>> pool_samples(layers, depth_edges=[0, 10, 20])[["depth_bin", "volume_m3", "n_pooled"]].values.round(2).tolist()
    [[0.0, 0.3, 2.0], [10.0, 0.4, 1.0]]
    """
    by = [by] if isinstance(by, str) else list(by)
    schema.require_columns(samples, by, what="samples")
    seen, volume = exposure(samples), samples["volume_m3"].to_numpy(dtype=float, na_value=np.nan)
    table = samples[by].assign(volume_m3=volume, _seen=seen)
    if depth_edges is not None:
        table["depth_bin"] = depth_bins(samples, depth_edges)
        table, by = table[table["depth_bin"].notna()], [*by, "depth_bin"]
    groups = table.groupby(by, sort=False, dropna=False)
    pooled = groups[["volume_m3", "_seen"]].sum(skipna=False).assign(n_pooled=groups.size()).reset_index()
    if depth_edges is not None:
        pooled = pooled.iloc[
            np.lexsort([pooled["depth_bin"], pooled.groupby(by[:-1], sort=False, dropna=False).ngroup()])
        ]
        pooled = pooled.reset_index(drop=True)
    total = pooled.pop("_seen")
    if FRACTION in samples.columns:
        pooled[FRACTION] = total / pooled["volume_m3"]
    return pooled


def depth_bins(samples, depth_edges):
    """
    The bin of each depth.

    Parameters
    ----------
    samples : pandas.DataFrame
        With ``depth``, m.
    depth_edges : array-like of float
        Rising bounds, m; a bin holds its upper bound.

    Returns
    -------
    numpy.ndarray of float
        Upper bound of the bin, m; NaN outside all bins.

    Raises
    ------
    SchemaError
        If there is no such column.
    ValueError
        If bounds do not rise.

    Examples
    --------
    >>> depth_bins(pd.DataFrame({"depth": [0.0, 10.0, 99.0]}), [0, 10, 50]).tolist()
    [0.0, 10.0, nan]
    """
    schema.require_columns(samples, ["depth"], what="the table")
    edges = np.asarray(depth_edges, dtype=float)
    if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
        msg = f"depth_edges must be at least two rising depths, m; got {edges.tolist()[:5]}."
        raise ValueError(msg)
    depth = samples["depth"].to_numpy(dtype=float, na_value=np.nan)
    at = np.searchsorted(edges, depth, side="right") - 1
    inside = (at >= 0) & (at < edges.size - 1) & ~np.isnan(depth)
    return np.where(inside, edges[np.clip(at, 0, edges.size - 1)], np.nan)


def _fractions(samples):
    """Fractions of samples, checked."""
    found = pd.to_numeric(samples[FRACTION], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    wrong = (found <= 0) | (found > 1)
    if wrong.any():
        msg = (
            f"{FRACTION} must be above 0 and at most 1; {wrong.sum()} of {len(found)} are not, the first is "
            f"{found[wrong][0]:g}. EcoTaxa's acq_sub_part is its inverse: give 1 / acq_sub_part."
        )
        raise schema.SchemaError(msg)
    return found
