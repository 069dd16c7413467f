"""The diversity of communities, on equal terms of effort, and indicators of the state of an ecosystem."""

import numpy as np
import pandas as pd

from .. import schema
from .aggregate import by_group
from .effort import sample_key
from .functional import functional_diversity
from .particles import size_spectrum
from .rarefaction import ORDERS, coverage_at, hill_at, hill_infinite, hill_numbers, size_at_coverage

INDICATORS = pd.DataFrame(
    [
        (
            "mean_esd_um",
            "mean equivalent spherical diameter of the organisms, um",
            "Gorokhova et al. 2016, Front. Mar. Sci. 3, 169 (mean size and total stock)",
        ),
        (
            "copepods_per_gelatinous",
            "concentration of copepods divided by that of gelatinous zooplankton",
            "McQuatters-Gollop et al. 2019, Ecol. Indic. 101, 913-925 (pairs of lifeforms)",
        ),
        (
            "size_spectrum_slope",
            "slope of the normalised biovolume spectrum against volume, both as logarithms",
            "Platt & Denman 1977, Helgol. Wiss. Meeresunters. 30, 575-581; Blanchard et al. 2017, Trends Ecol. "
            "Evol. 32, 174-186",
        ),
    ],
    columns=["indicator", "definition", "source"],
)
"""What `indicators` computes."""


def diversity(counts, *, coverage=None, traits=None):
    """
    Diversity of communities: as found, of the whole community, and at equal coverage.

    A larger sample holds more taxa. Samples are therefore compared at the same coverage, the share of the community's
    individuals that belong to taxa found: large ones rarefied, small ones extrapolated, by formulas without random
    draws.

    Parameters
    ----------
    counts : pandas.DataFrame
        Samples (rows) by taxa (columns): individuals that were seen, before any division by a volume or a fraction.
        `count_matrix` makes it.
    coverage : float, optional
        At which to compare, between 0 and 1. The lowest that samples of twice the size would have, if left out.
    traits : pandas.DataFrame, optional
        Taxa (index) by numeric traits (columns), for functional diversity.

    Returns
    -------
    pandas.DataFrame
        Indexed like `counts`: ``individuals``; ``coverage``; ``richness``, ``shannon`` (entropy, nats) and ``simpson``
        (probability that two individuals differ in taxon); ``hill_0``, ``hill_1``, ``hill_2``; ``hill_<q>_whole``,
        estimated of the whole community; ``hill_<q>_at_coverage`` and ``size_ratio``, individuals needed for it over
        those there are (not to be trusted above 2); with `traits` the columns of
        `samples.functional.functional_diversity`. An empty sample has zero richness and an unknown rest.
        ``attrs["coverage"]`` is the coverage of comparison.

    Raises
    ------
    ValueError
        If counts are negative, missing or not whole, such as concentrations: `samples.rarefaction.hill_numbers` takes
        those. If `coverage` is not between 0 and 1.
    SchemaError
        If traits are missing.

    References
    ----------
    Chao & Jost 2012, Ecology 93, 2533-2547; Chao et al. 2014, Ecol. Monogr. 84, 45-67.

    Examples
    --------
    >>> counts = pd.DataFrame([[40, 20, 4, 3, 1], [8, 5, 1, 1, 0]], index=["large", "small"])
    >>> diversity(counts, coverage=0.9)[["richness", "hill_0_at_coverage"]].round(2).values.tolist()
    [[5.0, 2.86], [4.0, 4.13]]
    """
    rows = counts.to_numpy(dtype=float)
    base = _common_coverage(rows) if coverage is None else coverage
    hill = {q: hill_numbers(rows, q) for q in ORDERS}
    n = rows.sum(axis=1)
    there = n > 0
    table = pd.DataFrame({"individuals": n, "coverage": [coverage_at(row) for row in rows]}, index=counts.index)
    table["richness"] = hill[0]
    with np.errstate(divide="ignore"):
        table["shannon"] = np.where(there, np.log(hill[1]), np.nan)
        table["simpson"] = np.where(there, 1 - 1 / hill[2], np.nan)
    for q in ORDERS:
        table[f"hill_{q}"] = hill[q]
        table[f"hill_{q}_whole"] = [hill_infinite(row, q) for row in rows]
    size = np.array([size_at_coverage(row, base) for row in rows])
    for q in ORDERS:
        table[f"hill_{q}_at_coverage"] = [hill_at(row, m, q) for row, m in zip(rows, size, strict=True)]
    table["size_ratio"] = np.divide(size, n, out=np.full(len(n), np.nan), where=there)
    if traits is not None:
        table = table.join(functional_diversity(counts, traits))
    table.attrs["coverage"] = base
    return table


def count_matrix(objects, samples, *, group="taxon", key=None):
    """
    Count the objects of each group in each sample, zeros kept.

    Parameters
    ----------
    objects, samples : pandas.DataFrame
        As in `samples.aggregate.by_group`.
    group : str
        Column of `objects`.
    key : list of str, optional
        Columns that tell samples apart.

    Returns
    -------
    pandas.DataFrame
        Samples (rows, in their order, indexed by `key`) by groups.

    Raises
    ------
    SchemaError
        As in `samples.aggregate.by_group`.

    Examples
    --------
    >>> objects = pd.DataFrame({"sample_id": ["a", "a"], "taxon": ["Copepoda", "Rhizaria"]})
    >>> samples = pd.DataFrame({"sample_id": ["a", "b"], "volume_m3": 1.0})
    >>> count_matrix(objects, samples).values.tolist()
    [[1, 1], [0, 0]]
    """
    key = sample_key(samples, objects) if key is None else list(key)
    table = by_group(objects, samples, group=group, key=key)
    groups = table[group].iloc[: len(table) // max(len(samples), 1)]
    index = pd.Index(samples[key[0]]) if len(key) == 1 else pd.MultiIndex.from_frame(samples[key])
    return pd.DataFrame(table["count"].to_numpy().reshape(len(samples), -1), index, pd.Index(groups, name=group))


def indicators(objects, samples, *, copepods, gelatinous, group="taxon", window=None):
    """
    Indicators of the state of an ecosystem, defined in `INDICATORS`.

    Parameters
    ----------
    objects : pandas.DataFrame
        Living organisms, with ``sample_id``, `group` and ``esd_um``.
    samples : pandas.DataFrame
        With ``sample_id`` and ``volume_m3``.
    copepods, gelatinous : list of str
        The groups that count as such.
    group : str
    window : (float, float) or "common", optional
        Diameters for the size spectrum, as in `samples.size_spectrum`.

    Returns
    -------
    pandas.DataFrame
        One row per sample: what tells it apart, ``mean_esd_um``, ``copepods_m3``, ``gelatinous_m3``,
        ``copepods_per_gelatinous`` (infinite where no gelatinous organism was found, NaN where no copepod either),
        ``size_spectrum_slope`` and ``size_spectrum_slope_se``. ``attrs["size_window"]`` tells the sizes.

    Raises
    ------
    SchemaError
        As in `samples.size_spectrum`; or if no object belongs to a group named, or one is named twice.

    Examples
    --------
    >>> objects = pd.DataFrame({"sample_id": "a", "taxon": ["Calanoida"] * 3 + ["Cnidaria"], "esd_um": [900.0] * 4})
    >>> samples = pd.DataFrame({"sample_id": ["a"], "volume_m3": [2.0]})
    >>> found = indicators(objects, samples, copepods=["Calanoida"], gelatinous=["Cnidaria"])
    >>> found["copepods_per_gelatinous"].tolist()
    [3.0]
    """
    schema.require_columns(objects, [group], what="objects")
    _check_named(objects[group], copepods, gelatinous)
    key = sample_key(samples, objects)
    form = np.select(
        [objects[group].isin(copepods), objects[group].isin(gelatinous)], ["copepods", "gelatinous"], "rest"
    )
    each = by_group(objects.assign(_form=form), samples, group="_form", key=key)
    whole = by_group(objects.assign(_all=""), samples, group="_all", key=key, means=["esd_um"])
    spectrum = size_spectrum(objects, samples, window=window)
    table = samples[key].assign(mean_esd_um=whole["esd_um_mean"].to_numpy())
    for name in ("copepods", "gelatinous"):
        table[f"{name}_m3"] = each.loc[each["_form"] == name, "objects_m3"].to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        table["copepods_per_gelatinous"] = table["copepods_m3"] / table["gelatinous_m3"]
    table["size_spectrum_slope"] = spectrum["biovolume_slope"].to_numpy()
    table["size_spectrum_slope_se"] = spectrum["biovolume_slope_se"].to_numpy()
    table.attrs["size_window"] = spectrum.attrs["size_window"]
    return table


def _common_coverage(rows):
    """The lowest coverage that samples of twice their size would have."""
    sizes = rows.sum(axis=1)
    reach = [coverage_at(row, 2 * n) for row, n in zip(rows, sizes, strict=True) if n > 1]
    usable = [value for value in reach if value > 0]
    return min(*usable, 1 - 1e-9) if usable else 0.5


def _check_named(names, copepods, gelatinous):
    """Groups that are named must be there, once."""
    if isinstance(copepods, str) or isinstance(gelatinous, str) or not (len(copepods) and len(gelatinous)):
        msg = "copepods and gelatinous must each be a list of at least one group."
        raise schema.SchemaError(msg)
    wanted = [*copepods, *gelatinous]
    for name in wanted:
        if not (names == name).any():
            hint = schema.nearest_name(name, names.unique())
            msg = f"no object belongs to {name!r}.{hint} Leave it out or correct it."
            raise schema.SchemaError(msg)
    if len(set(wanted)) < len(wanted):
        msg = "a group cannot be named twice among copepods and gelatinous."
        raise schema.SchemaError(msg)
