"""From the size of objects to their carbon, by published relations."""

import numpy as np
import pandas as pd

from .perturbation import USUAL, draw, prepare


def carbon(objects, *, relation=None, relations=None, parents=None, fallback=None):
    """
    Convert the size of each object to carbon, by a published relation for its taxon.

    The relation is that of the taxon itself, else of the nearest taxon that it belongs to. Where there is none the
    result is NaN, never zero; `carbon_interval` says why. It is the carbon of the organism in the middle of those of
    its size: their mean, which sums need, is larger (see `aqqua_science.objects.propagation.sample_carbon`).

    Parameters
    ----------
    objects : pandas.DataFrame
        With `taxon` and some of `esd_um`, `area_um2` and `biovolume_um3`; and `n_cells`, of which use is made where an
        object may be a chain or colony of cells. Object by object, the diameter follows from the area, and area and
        biovolume from the diameter, as of a disc and a sphere, where they are not given (NaN). A body is seldom a
        sphere: give the biovolume where you have it; without it relations that take an area go before those that take a
        volume.
    relation : str or dict of str to str, optional
        Name of the relation for all objects, or for some taxa, named as the objects are; the names of relations are
        those of `aqqua_science.objects.relations.published`.
    relations : pandas.DataFrame, optional
        Relations to use, with the columns of `published()`; append rows of your own to it.
    parents : dict of str to str, optional
        What each taxon belongs to. EcoTaxa's names, ``egg<Copepoda`` and ``living>Eukaryota>Copepoda``, are understood
        without it.
    fallback : str, optional
        Relation for taxa that have none, say ``lehette_2009_mesozooplankton``, and for what is ``unknown`` or
        ``other``, which may live; what does not live stays NaN. NaN for all of them by default.

    Returns
    -------
    pandas.Series
        `carbon_ug`, indexed like `objects`.

    Raises
    ------
    SchemaError
        If a column is absent, or sizes are negative or plainly not in the unit of their name.
    ValueError
        If there is no relation of that name, or a taxon in `relation` looks like a misspelt one of the objects.

    Notes
    -----
    Relations per cell take the volume of one cell, ``biovolume_um3 / n_cells``, and their result counts `n_cells`
    times: carbon per volume falls with size, so a chain must not pass for one cell. That holds for diatoms, whose
    relations say ``chains`` (see `published`), and for whatever is named a chain or colony: ``chain<Alexandrium``.
    Others are one cell, whatever `n_cells` says: what repeats in the image of an acantharian is its spines, and most
    dinoflagellates live alone (Tomas 1997). Without a column `n_cells` diatoms are taken as one cell, too, and named
    chains and colonies get NaN. `carbon_interval` notes what was ``taken as one cell`` though it may be more.

    Which size is given decides on the relation, and may move carbon fourfold: a copepod of 1 mm has 14 ug by its
    diameter (``lehette_2009_copepods``, by area), and 56 ug with the biovolume of a sphere of that diameter
    (``kiorboe_2013_copepods``). Compare only what was converted by one column.

    Outside the sizes for which a relation was found it is extrapolated; where these are known, of few relations,
    `carbon_interval` tells such objects by `range`, but does not widen their interval. If most objects have sizes that
    their organisms cannot have, the unit is taken to be wrong, and refused.

    References
    ----------
    Menden-Deuer & Lessard 2000, Carbon to volume relationships for dinoflagellates, diatoms, and other protist
    plankton, Limnology and Oceanography 45. The others: ``published()[["name", "reference", "doi", "verified"]]``.
    Tomas 1997, Identifying Marine Phytoplankton, Academic Press (who forms chains).

    Examples
    --------
    >>> objects = pd.DataFrame({"taxon": ["Chaetoceros", "Copepoda", "bubble"], "esd_um": [20.0, 900.0, 300.0]})
    >>> carbon(objects).round(5)
    0     0.00018
    1    10.29...
    2         NaN
    Name: carbon_ug, dtype: float64
    """
    bodies = prepare(objects, relation=relation, relations=relations, parents=parents, fallback=fallback)
    return pd.Series(bodies.carbon, index=objects.index, name="carbon_ug")


def carbon_interval(
    objects,
    *,
    probabilities=None,
    relation=None,
    relations=None,
    parents=None,
    fallback=None,
    errors=USUAL,
    level=0.9,
    n_draws=1000,
    rng=0,
):
    """
    Convert the size of each object to carbon and tell how far that can be trusted.

    Parameters
    ----------
    objects : pandas.DataFrame
        As for `carbon`, perhaps with `instrument`, and with intervals of 90 % of the sizes, as
        `aqqua_science.objects.measure` gives them: ``biovolume_um3_low`` and ``biovolume_um3_high``, ``esd_um_low`` ...
        Those of the size that is converted tell how far the outline is off; drop them to have `errors` tell it.
    probabilities : pandas.DataFrame, shape (object, taxon), optional
        Probability of each taxon (the columns) for each object. The interval is then over the most probable ones;
        `taxon` is not used.
    relation, relations, parents, fallback
        As for `carbon`.
    errors : Errors, optional
        Of pixel size and outlines (of objects without an interval), and how many taxa to consider.
    level : float
        Share of the draws in the interval, between 0 and 1.
    n_draws : int
    rng : int or numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        Indexed like `objects`: `carbon_ug` as of `carbon`, `carbon_ug_low`, `carbon_ug_high`, the `relation`, the
        `range` of sizes in which the object lies (``within`` that of the relation; ``below`` or ``above`` it, where
        carbon is extrapolated; ``implausible`` for its organisms; ``unknown`` where the relation's is not known),
        whether its `spread` was published or is assumed, `refused_probability` (of taxa without a relation, which the
        interval leaves out) and a `note`: why there is no carbon, or by which detour there is.

    Raises
    ------
    SchemaError
        As `carbon`, or if `probabilities` do not fit the objects.
    ValueError
        As `carbon`, or if `level` or `n_draws` cannot be.

    Notes
    -----
    Of one object the interval covers its outline, the pixel size, the scatter of organisms about the relation, the
    error of the relation as a whole, and its name. Where the size brings an interval, ln(high / low) / 3.29 is the
    standard deviation of its logarithm, of which the error of the pixel size, drawn for all objects of an instrument
    together, is a part. Not covered is the count of cells, and what all share unseen: a threshold that makes every
    outline too wide, a preservative that shrinks, a sphere that stands for a rod.

    Examples
    --------
    >>> objects = pd.DataFrame({"taxon": ["Copepoda", "bubble"], "esd_um": [900.0, 300.0]})
    >>> table = carbon_interval(objects)
    >>> table["relation"].tolist(), table["note"].tolist()
    (['lehette_2009_copepods', ''], ['', 'no relation for bubble, which does not live'])
    >>> bool(table["carbon_ug_low"][0] < table["carbon_ug"][0] < table["carbon_ug_high"][0])
    True
    """
    tails = quantiles_of(level)
    choices = {"relation": relation, "relations": relations, "parents": parents, "fallback": fallback}
    bodies, blocks = draw(objects, probabilities, errors=errors, n_draws=n_draws, rng=rng, **choices)
    bounds = np.full((2, len(objects)), np.nan)
    for rows, values in blocks:
        bounds[:, rows] = np.quantile(values, tails, axis=1)
    found, names = bodies.found[0], bodies.relations[["name", "spread"]].to_numpy(object)
    names = np.where(found["row"].to_numpy()[:, None] < 0, "", names[found["row"].to_numpy()])
    columns = {"carbon_ug": bodies.carbon, "carbon_ug_low": bounds[0], "carbon_ug_high": bounds[1]}
    columns |= {"relation": names[:, 0], "range": found["range"].to_numpy(), "spread": names[:, 1]}
    columns |= {"refused_probability": bodies.refused, "note": found["note"].to_numpy()}
    return pd.DataFrame(columns, index=objects.index)


def quantiles_of(level):
    """
    Turn the level of a central interval into its two quantiles.

    Parameters
    ----------
    level : float

    Returns
    -------
    tuple of float

    Raises
    ------
    ValueError
        If `level` is not between 0 and 1.
    """
    if not 0 < level < 1:
        msg = f"level must lie between 0 and 1; got {level}. Pass 0.9 for an interval of 90 %."
        raise ValueError(msg)
    return (1 - level) / 2, (1 + level) / 2
