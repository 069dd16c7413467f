"""Functional diversity: how much the traits of a community's taxa differ."""

import numpy as np
import pandas as pd
from scipy.spatial import ConvexHull, QhullError, distance

from .. import schema


def functional_diversity(abundance, traits):
    """
    Functional richness, Rao's quadratic entropy and functional dispersion of communities.

    Parameters
    ----------
    abundance : pandas.DataFrame
        Samples (rows) by taxa (columns); numbers, concentrations or biomasses.
    traits : pandas.DataFrame
        Taxa (index) by numeric traits (columns); each is brought to mean 0 and standard deviation 1 over these taxa.

    Returns
    -------
    pandas.DataFrame
        Indexed like `abundance`: ``functional_richness`` (volume of the convex hull of the taxa present; the range of
        a single trait; NaN with no more taxa than traits, or all in a plane), ``rao_q`` (mean distance of two
        individuals drawn with replacement) and ``functional_dispersion`` (mean distance of an individual to the
        community's centroid). Distances are Euclidean, in standard deviations. NaN in an empty sample.

    Raises
    ------
    SchemaError
        If traits of a taxon are missing, or all taxa have the same.
    ValueError
        If an abundance is negative or missing.

    Notes
    -----
    Functional richness grows with the number of taxa found, and so with effort: compare samples of like coverage. The
    other two are of abundances and depend on it little.

    References
    ----------
    Villeger et al. 2008, Ecology 89, 2290-2301; Rao 1982, Theor. Popul. Biol. 21, 24-43; Laliberte & Legendre 2010,
    Ecology 91, 299-305.

    Examples
    --------
    >>> traits = pd.DataFrame({"size": [1.0, 2.0, 3.0]}, index=["a", "b", "c"])
    >>> functional_diversity(pd.DataFrame([[1, 0, 1]], columns=["a", "b", "c"]), traits).to_dict("records")
    [{'functional_richness': 2.0, 'rao_q': 1.0, 'functional_dispersion': 1.0}]
    """
    where = _standard(abundance, traits)
    a = abundance.to_numpy(dtype=float)
    if not (a >= 0).all():
        msg = f"abundances must be known and not negative; {(~(a >= 0)).sum()} of {a.size} are not."
        raise ValueError(msg)
    total = a.sum(axis=1, keepdims=True)
    p = np.divide(a, total, out=np.full_like(a, np.nan), where=total > 0)
    apart = distance.squareform(distance.pdist(where))
    rao = ((p @ apart) * p).sum(axis=1)
    spread = np.array([row @ np.linalg.norm(where - row @ where, axis=1) for row in p])
    hull = [_hull(where[row > 0]) for row in a]
    return pd.DataFrame(
        {"functional_richness": hull, "rao_q": rao, "functional_dispersion": spread}, index=abundance.index
    )


def _standard(abundance, traits):
    """Traits of the taxa in order, without units."""
    missing = [name for name in abundance.columns if name not in traits.index]
    if missing:
        msg = (
            f"traits of {len(missing)} taxa are missing, the first is {missing[0]!r}."
            f"{schema.nearest_name(missing[0], traits.index)} Add a row, or leave the taxon out of the community."
        )
        raise schema.SchemaError(msg)
    table = traits.loc[list(abundance.columns)]
    if len(table) > len(abundance.columns):
        msg = "traits have more than one row of a taxon. Average them first."
        raise schema.SchemaError(msg)
    values = table.to_numpy(dtype=float)
    scale = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])
    wrong = [name for name, s in zip(table.columns, scale, strict=True) if not s > 0]
    if wrong:
        msg = f"the traits {', '.join(map(str, wrong))} are the same in all taxa, or missing in some. Leave them out."
        raise schema.SchemaError(msg)
    return (values - values.mean(axis=0)) / scale


def _hull(points):
    """Volume of the convex hull; NaN where there is none."""
    if points.shape[1] == 1:
        return float(np.ptp(points)) if len(points) > 1 else np.nan
    distinct = np.unique(points, axis=0)
    if len(distinct) <= points.shape[1]:
        return np.nan
    try:
        return float(ConvexHull(distinct).volume)
    except QhullError:
        return np.nan
