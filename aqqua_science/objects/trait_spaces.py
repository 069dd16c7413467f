"""Morphological space: the few axes along which the traits of many objects differ most."""

from typing import NamedTuple

import numpy as np
import pandas as pd

TRAITS = (
    *("area_um2", "feret_max_um", "feret_min_um", "major_um", "minor_um", "perimeter_um"),
    *("elongation", "circularity", "solidity", "transparency"),
)
"""Measured traits that every image has."""

_LOGARITHMIC = ("_um", "_um2", "_um3", "_ug")
_WINDOW = 0.05


class Morphospace(NamedTuple):
    """
    A morphological space.

    Attributes
    ----------
    scores : pandas.DataFrame
        Place of each object (the rows of `traits`) on each axis, ``pc1``, ``pc2``...; NaN where a trait is missing.
    loadings : pandas.DataFrame
        Correlation of each trait (rows) with each axis.
    explained : pandas.Series
        Share of the variance that each axis holds.
    examples : pandas.DataFrame
        Objects to look at: `axis`, `quantile` (how far along it) and `row`, the index in `traits`.
    """

    scores: pd.DataFrame
    loadings: pd.DataFrame
    explained: pd.Series
    examples: pd.DataFrame


def morphospace(traits, n_components=4, *, columns=None, n_examples=7):
    """
    Lay out objects along the axes in which their traits differ most.

    Traits are standardised, sizes as logarithms, and turned to their principal components. The sign of an axis is such
    that the trait most bound to it grows along it.

    Parameters
    ----------
    traits : pandas.DataFrame
        A row for each object, as `measure` gives it.
    n_components : int
        How many axes, at most as many as traits.
    columns : list of str, optional
        Traits to use; `TRAITS` by default.
    n_examples : int
        Objects to show along each axis, from one end to the other: of those about there, the one that differs least
        on the other axes.

    Returns
    -------
    Morphospace

    Raises
    ------
    ValueError
        If a trait is missing, is the same for all objects, or fewer than three objects have all traits.

    References
    ----------
    Vilgrain et al. 2021, Trait-based approach using in situ copepod images reveals contrasting ecological patterns
    across an Arctic ice melt zone, Limnology and Oceanography 66, doi:10.1002/lno.11672. Sonnet et al. 2022, Length,
    width, shape regularity, and chain structure: time series analysis of phytoplankton morphology from imagery, the
    same 67.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> size = rng.normal(size=100)
    >>> traits = pd.DataFrame({"a": size + rng.normal(size=100) / 9, "b": -size, "c": rng.normal(size=100)})
    >>> space = morphospace(traits, 2, columns=["a", "b", "c"])
    >>> bool(abs(space.loadings.loc["a", "pc1"]) > 0.9)
    True
    """
    columns = list(TRAITS if columns is None else columns)
    values = _standardised(traits, columns)
    if not 1 <= n_components <= len(columns):
        msg = f"n_components is 1 to {len(columns)}, the number of traits; got {n_components}."
        raise ValueError(msg)
    whole = np.isfinite(values).all(axis=1)
    _, spread, axes = np.linalg.svd(values[whole], full_matrices=False)
    axes = axes[:n_components]
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    names = [f"pc{k + 1}" for k in range(len(axes))]
    scores = pd.DataFrame(values @ axes.T, index=traits.index, columns=names)
    share = spread**2 / (spread**2).sum()
    strength = spread[: len(axes)] / np.sqrt(whole.sum() - 1)
    loadings = pd.DataFrame(axes.T * strength, index=columns, columns=names)
    explained = pd.Series(share[: len(axes)], index=names, name="explained")
    return Morphospace(scores, loadings, explained, _examples(scores[whole], n_examples))


def _standardised(traits, columns):
    """Traits of mean 0 and variance 1, sizes as logarithms; NaN in any column leaves a row out."""
    missing = [name for name in columns if name not in traits]
    if missing:
        msg = f"traits lack {', '.join(missing)}. Measure them, or name others in `columns`."
        raise ValueError(msg)
    values = traits[columns].to_numpy(float, na_value=np.nan).copy()
    logarithmic = np.array([name.endswith(_LOGARITHMIC) for name in columns])
    sizes = values[:, logarithmic]
    values[:, logarithmic] = np.log10(np.where(sizes > 0, sizes, np.nan))
    whole = np.isfinite(values).all(axis=1)
    if whole.sum() < 3:
        msg = f"{whole.sum()} objects have all of {', '.join(columns)}; at least 3 are needed. Leave out empty traits."
        raise ValueError(msg)
    spread = values[whole].std(axis=0, ddof=1)
    same = [name for name, s in zip(columns, spread, strict=True) if not s > 1e-12]
    if same:
        msg = f"{', '.join(same)} is the same for all objects. Leave it out of `columns`."
        raise ValueError(msg)
    values = (values - values[whole].mean(axis=0)) / spread
    values[~whole] = np.nan
    return values


def _examples(scores, n):
    """Objects along each axis that differ little on the others."""
    found = []
    for name in scores:
        share = scores[name].rank(pct=True)
        aside = (scores.drop(columns=name) ** 2).sum(axis=1)
        for quantile in np.linspace(0, 1, n) if n > 1 else [0.5]:
            off = (share - quantile).abs()
            near = off <= max(_WINDOW, off.min())
            found.append((name, quantile, aside[near].idxmin()))
    return pd.DataFrame(found, columns=["axis", "quantile", "row"])
