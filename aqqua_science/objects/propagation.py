"""From the carbon of objects to that of samples, with what is uncertain about it."""

import warnings

import numpy as np
import pandas as pd

from aqqua_science import schema

from .conversion import quantiles_of
from .perturbation import USUAL, draw

_UG_PER_MG = 1000.0
_KINDS_TOLD = 5


def sample_draws(
    objects,
    *,
    sample_ids=None,
    probabilities=None,
    relation=None,
    relations=None,
    parents=None,
    fallback=None,
    errors=USUAL,
    counting=False,
    n_draws=1000,
    rng=0,
):
    """
    Draw the carbon of samples: the sum over their objects, again and again.

    In each draw the error of a relation as a whole and that of an instrument's pixel size are the same for all
    objects, of all samples; outlines, the scatter about the relation and the names are of each object for itself.
    Independent errors cancel out in large samples, common ones do not.

    Parameters
    ----------
    objects : pandas.DataFrame
        As for `aqqua_science.objects.conversion.carbon_interval`, with `sample_id`.
    sample_ids : sequence, optional
        Every sample that was looked at; those without objects get zero. By default those of `objects`.
    probabilities, relation, relations, parents, fallback, errors
        As for `carbon_interval`.
    counting : bool
        Whether the objects are a random few of those in the water: each then counts a Poisson number of times with
        mean 1 in each draw. Without it the draws are of the carbon of these very objects.
    n_draws : int
    rng : int or numpy.random.Generator

    Returns
    -------
    pandas.DataFrame, shape (sample, draw)
        ug C, indexed by sample. NaN for a sample with an object that cannot be converted, as
        `aqqua_science.samples.biomass` has it.

    Raises
    ------
    SchemaError
        As `carbon_interval`, or if a sample is doubled or an object belongs to none.

    Warns
    -----
    UserWarning
        If objects have no carbon, so that their samples get NaN: how many, of which taxa, and why. Drop what does not
        live or has no size, and give a `fallback` for taxa without a relation. And if objects have sizes that their
        organisms cannot have (``implausible`` in `carbon_interval`): a unit or a name is wrong, but they are summed.

    Examples
    --------
    >>> objects = pd.DataFrame({"sample_id": ["a", "a"], "taxon": "Copepoda", "esd_um": [900.0, 1100.0]})
    >>> table = sample_draws(objects, sample_ids=["a", "b"], n_draws=100)
    >>> table.shape, float(table.loc["b"].max())
    ((2, 100), 0.0)
    """
    schema.require_columns(objects, ["sample_id"], what="objects")
    sample_ids = _samples(objects, sample_ids)
    place = sample_ids.get_indexer(objects["sample_id"])
    chance, counts = np.random.default_rng(rng).spawn(2)
    choices = {"relation": relation, "relations": relations, "parents": parents, "fallback": fallback}
    bodies, blocks = draw(objects, probabilities, errors=errors, n_draws=n_draws, rng=chance, **choices)
    _tell_gaps(bodies.found[0], place, len(sample_ids))
    _tell_implausible(bodies.found[0], place, len(sample_ids))
    total = np.zeros((len(sample_ids), n_draws))
    for rows, values in blocks:
        np.add.at(total, place[rows], values * counts.poisson(1.0, values.shape) if counting else values)
    return pd.DataFrame(total, index=sample_ids)


def _samples(objects, sample_ids):
    """All samples, once each."""
    if (missing := objects["sample_id"].isna()).any():
        msg = f"every object must belong to a sample; {missing.sum()} of {len(objects)} have no sample_id. Drop them."
        raise schema.SchemaError(msg)
    if sample_ids is None:
        return pd.Index(objects["sample_id"].unique(), name="sample_id")
    sample_ids = pd.Index(sample_ids, name="sample_id")
    if sample_ids.has_duplicates:
        msg = f"sample_ids must be unique; {sample_ids[sample_ids.duplicated()][0]!r} is there twice. Drop the doubles."
        raise schema.SchemaError(msg)
    strays = ~objects["sample_id"].isin(sample_ids)
    if strays.any():
        msg = (
            f"every object must belong to a sample; {strays.sum()} of {len(objects)} do not, the first has "
            f"{objects['sample_id'][strays].iloc[0]!r}. Add the sample, or drop its objects."
        )
        raise schema.SchemaError(msg)
    return sample_ids


def _tell_gaps(found, place, n_samples):
    """Warn of objects without carbon, which make the sums of their samples unknown."""
    lacking = (found["row"] < 0).to_numpy()
    if not lacking.any():
        return
    kinds = found.loc[lacking, ["taxon", "note"]].astype(str).value_counts()
    named = "; ".join(f"{n} {taxon} ({note})" for (taxon, note), n in kinds.head(_KINDS_TOLD).items())
    msg = (
        f"{lacking.sum()} of {len(found)} objects have no carbon, so that of {len(np.unique(place[lacking]))} of "
        f"{n_samples} samples is NaN: {named}{'; ...' * (len(kinds) > _KINDS_TOLD)}. Drop what does not live or has no "
        "size, and pass fallback= for taxa without a relation."
    )
    warnings.warn(msg, stacklevel=3)


def _tell_implausible(found, place, n_samples):
    """Warn of objects whose size is not that of their organisms, and whose carbon is summed nevertheless."""
    odd = (found["range"] == "implausible").to_numpy()
    if not odd.any():
        return
    kinds = found.loc[odd, "taxon"].astype(str).value_counts()
    named = "; ".join(f"{n} {taxon}" for taxon, n in kinds.head(_KINDS_TOLD).items())
    msg = (
        f"{odd.sum()} of {len(found)} objects, in {len(np.unique(place[odd]))} of {n_samples} samples, have sizes that "
        f"their organisms cannot have: {named}{'; ...' * (len(kinds) > _KINDS_TOLD)}. Their carbon is summed, but is "
        "wrong if they are in mm, mm2 or mm3 (multiply by 1e3, 1e6 or 1e9) or misnamed. Correct or drop those that "
        "carbon_interval marks implausible."
    )
    warnings.warn(msg, stacklevel=3)


def sample_carbon(objects, samples, *, probabilities=None, counting=True, level=0.9, **options):
    """
    Estimate the carbon of each sample per cubic metre of water, with an interval.

    All objects are summed that have a relation, detritus and marine snow among them: drop what is not wanted, as for
    the biomass of plankton.

    Parameters
    ----------
    objects : pandas.DataFrame
        As for `sample_draws`.
    samples : pandas.DataFrame
        With `sample_id` and `volume_m3`; every sample that was looked at.
    probabilities : pandas.DataFrame, shape (object, taxon), optional
        Probability of each taxon (the columns) for each object, so that the interval holds what may be misnamed.
    counting : bool
        Whether the interval is of the water, of which a volume holds a random few organisms (Poisson). Without it, it
        is of the very objects found.
    level : float
        Share of the draws in the interval, between 0 and 1.
    **options
        As for `sample_draws`.

    Returns
    -------
    pandas.DataFrame
        A copy of `samples`, in its order, with the mean of the draws `carbon_mg_m3`, `carbon_mg_m3_low` and
        `carbon_mg_m3_high` (mg m-3).

    Raises
    ------
    SchemaError
        As `sample_draws`, or if a volume is not above zero.
    ValueError
        If `level` cannot be.

    Warns
    -----
    UserWarning
        If objects have no carbon, so that their samples get NaN, or an implausible size, see `sample_draws`.

    Notes
    -----
    The mean is larger than the sum of `aqqua_science.objects.carbon`, because relations are fitted to logarithms and
    give the organism in the middle, while the heavy ones weigh more in a sum (Duan 1983; by exp(s^2 / 2) for a scatter
    of s in natural logarithms). Counting errors are those of organisms that drift independently; patches err more. A
    sample of few objects has too short an interval, and one without any gets zero and no width: what it may have missed
    is not known from it. Samples share errors, so the interval of a mean over samples must be taken from
    `sample_draws`, not from these.

    References
    ----------
    Duan 1983, Smearing estimate: a nonparametric retransformation method, Journal of the American Statistical
    Association 78.

    Examples
    --------
    >>> objects = pd.DataFrame({"sample_id": ["a", "a"], "taxon": "Copepoda", "esd_um": [900.0, 1100.0]})
    >>> samples = pd.DataFrame({"sample_id": ["a", "b"], "volume_m3": [0.5, 2.0]})
    >>> table = sample_carbon(objects, samples)
    >>> list(table), float(table["carbon_mg_m3"][1])
    (['sample_id', 'volume_m3', 'carbon_mg_m3', 'carbon_mg_m3_low', 'carbon_mg_m3_high'], 0.0)
    """
    tails = quantiles_of(level)
    schema.require_columns(samples, ["sample_id", "volume_m3"], what="samples")
    schema.check(samples, required=["sample_id"])
    options |= {"probabilities": probabilities, "counting": counting}
    total = sample_draws(objects, sample_ids=samples["sample_id"], **options).to_numpy()
    per_volume = total / _UG_PER_MG / samples["volume_m3"].to_numpy(float)[:, None]
    low, high = np.quantile(per_volume, tails, axis=1)
    found = {"carbon_mg_m3": per_volume.mean(axis=1), "carbon_mg_m3_low": low, "carbon_mg_m3_high": high}
    return samples.assign(**found)
