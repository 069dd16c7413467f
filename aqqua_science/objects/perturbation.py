"""Draws of what the carbon of objects may be: errors of the picture, of the name and of the relation."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aqqua_science import schema

from .bodies import assign, refuse_other_units
from .relations import candidates, evaluate, power, published, row_of, validate

_LN10 = np.log(10)
_BLOCK = 1_000_000


@dataclass(frozen=True)
class Errors:
    """
    How wrong pictures and names may be.

    Attributes
    ----------
    pixel : float
        Relative standard deviation of the pixel size, common to all objects of an instrument.
    outline : float
        Relative standard deviation of an object's diameter for its outline, of each object for itself. Not used for
        objects that bring an interval of their size.
    top : int
        How many of the most probable taxa an object may belong to.
    """

    pixel: float = 0.01
    outline: float = 0.05
    top: int = 3

    def __post_init__(self):
        if not (self.pixel >= 0 and self.outline >= 0 and self.top >= 1):
            msg = f"errors are relative and not negative, and top is at least 1; got {self}."
            raise ValueError(msg)


USUAL = Errors()
"""What pictures and names are taken to err by, unless told."""


@dataclass(frozen=True)
class Bodies:
    """
    Objects with every relation that may convert them.

    Attributes
    ----------
    found : list of pandas.DataFrame
        For the first, second, ... taxon of each object what `aqqua_science.objects.bodies.assign` gives.
    weights : numpy.ndarray of float, shape (object, taxon)
        Probabilities of the taxa that have a relation; they sum to 1.
    refused : numpy.ndarray of float, shape (object,)
        Probability of those that have none.
    relations : pandas.DataFrame
    instruments : numpy.ndarray of int, shape (object,)
        Which instrument took each.
    """

    found: list
    weights: np.ndarray
    refused: np.ndarray
    relations: pd.DataFrame
    instruments: np.ndarray

    @property
    def carbon(self):
        """Carbon of each object by its first taxon, ug; NaN without a relation."""
        return _carbon(self.found[0], self.relations)


def prepare(objects, *, relation=None, relations=None, parents=None, fallback=None, probabilities=None, top=1):
    """
    Find relations and sizes of objects.

    Parameters
    ----------
    objects : pandas.DataFrame
    relation, relations, parents, fallback, probabilities
        As in `aqqua_science.objects.conversion.carbon_interval`.
    top : int
        How many taxa of each object to keep.

    Returns
    -------
    Bodies
    """
    relations = published() if relations is None else validate(relations)
    taxa, weights = _taxa(objects, probabilities, top, named=not isinstance(relation, str))
    _refuse_unknown(objects if probabilities is None else probabilities, relations, relation, fallback=fallback)
    choices = {"relations": relations, "relation": relation, "parents": parents, "fallback": fallback}
    found = [assign(objects, taxa[:, rank], **choices) for rank in range(taxa.shape[1])]
    refuse_other_units(found[0], relations)
    convertible = np.column_stack([f["row"] >= 0 for f in found])
    usable = np.where(convertible, weights, 0)
    total = usable.sum(axis=1)
    usable = np.divide(usable, total[:, None], out=np.zeros_like(usable), where=total[:, None] > 0)
    codes = (
        pd.factorize(objects["instrument"], sort=True)[0] if "instrument" in objects else np.zeros(len(objects), int)
    )
    return Bodies(found, usable, np.clip(1 - total, 0, 1), relations, codes)


def _refuse_unknown(named, relations, relation, *, fallback):
    """Refuse relations that do not exist, and taxa that look like a slip of the pen, which would change nothing."""
    chosen = relation if isinstance(relation, dict) else {"": relation}
    for name in (*chosen.values(), fallback):
        if name is not None:
            row_of(name, relations)
    if not isinstance(relation, dict) or len(named) == 0:
        return
    taxa = set(named["taxon"].dropna() if "taxon" in named else named.columns)
    for taxon in sorted(relation.keys() - taxa, key=str):
        # One choice may serve many tables, some of which lack a taxon.
        hint = "" if candidates(taxon, relations)[0] else schema.nearest_name(taxon, taxa - relation.keys())
        if hint:
            msg = f"relation is given for {taxon!r}, but no object is named so.{hint} Give names as objects have them."
            raise ValueError(msg)


def _taxa(objects, probabilities, top, *, named):
    """Names and probabilities of the taxa of each object, the most probable first."""
    if probabilities is None:
        if named:
            schema.require_columns(objects, ["taxon"], what="objects")
        names = objects["taxon"].to_numpy(object) if "taxon" in objects else np.full(len(objects), "", object)
        return names[:, None], np.ones((len(objects), 1))
    table = _checked(probabilities, objects)
    values, k = table.to_numpy(float), min(top, table.shape[1])
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(values, order, axis=1)
    return table.columns.to_numpy(object)[order], best / best.sum(axis=1, keepdims=True)


def _checked(probabilities, objects):
    """Probabilities that belong to the objects and are such."""
    if len(probabilities) != len(objects) or not probabilities.index.equals(objects.index):
        msg = (
            f"probabilities must have the rows of objects ({len(objects)}), in their order; it has "
            f"{len(probabilities)}. Pass probabilities.loc[objects.index]."
        )
        raise schema.SchemaError(msg)
    values = probabilities.to_numpy(float)
    wrong = ~np.isfinite(values).all(axis=1) | (values < 0).any(axis=1) | (np.abs(values.sum(axis=1) - 1) > 0.01)
    if wrong.any():
        msg = f"probabilities must be 0 or more and sum to 1; of {wrong.sum()} objects they do not. Drop these objects."
        raise schema.SchemaError(msg)
    return probabilities


def _carbon(found, relations):
    """Carbon by the relations as published, ug."""
    row = found["row"].to_numpy()
    one = evaluate(relations, np.maximum(row, 0), found["size"].to_numpy())
    return np.where(row < 0, np.nan, found["cells"].to_numpy() * one)


def draw(objects, probabilities=None, *, errors, n_draws, rng, **choices):
    """
    Find relations and sizes of objects, and draw their carbon.

    Parameters
    ----------
    objects, probabilities
        As for `prepare`.
    errors : Errors
    n_draws : int
    rng : int or numpy.random.Generator
    **choices
        `relation`, `relations`, `parents` and `fallback`, as for `prepare`.

    Returns
    -------
    bodies : Bodies
    blocks : iterator
        What `draws` yields.
    """
    bodies = prepare(objects, probabilities=probabilities, top=errors.top, **choices)
    return bodies, draws(bodies, errors=errors, n_draws=n_draws, rng=rng)


def draws(bodies, *, errors, n_draws, rng):
    """
    Draw the carbon of objects, block after block.

    What is common to objects is drawn once per draw: the error of each relation as a whole, and that of the pixel
    size of each instrument. Each object has its own outline, scatter about the relation, and choice of taxon.

    Parameters
    ----------
    bodies : Bodies
    errors : Errors
    n_draws : int
    rng : int or numpy.random.Generator

    Yields
    ------
    rows : slice
        Of the objects of this block.
    carbon : numpy.ndarray of float, shape (object, draw)
        ug; NaN for objects whose most probable taxon has no relation.
    """
    if n_draws < 1:
        msg = f"n_draws must be at least 1; got {n_draws}."
        raise ValueError(msg)
    common, own = np.random.default_rng(rng).spawn(2)
    n_instruments = bodies.instruments.max(initial=0) + 1
    systematic = bodies.relations["systematic_log10"].to_numpy(float)
    whole = _LN10 * systematic[:, None] * common.standard_normal((len(bodies.relations), n_draws))
    pixel = errors.pixel * common.standard_normal((n_instruments + 1, n_draws))
    step = max(_BLOCK // n_draws, 1)
    for start in range(0, len(bodies.refused), step):
        rows = slice(start, start + step)
        yield rows, _block(bodies, rows, errors=errors, whole=whole, pixel=pixel, rng=own)


def _block(bodies, rows, *, errors, whole, pixel, rng):
    """Draws of some objects."""
    relations, found = bodies.relations, [f.iloc[rows] for f in bodies.found]
    row = np.column_stack([np.maximum(f["row"].to_numpy(), 0) for f in found])
    point = np.column_stack([_carbon(f, relations) for f in found])
    slope = power(relations)[row]
    outline = np.column_stack([f["outline"].to_numpy() for f in found])
    # Intervals of sizes hold the error of the pixel size, which is drawn for all objects together.
    outline = np.where(np.isnan(outline), errors.outline, np.sqrt(np.maximum(outline**2 - errors.pixel**2, 0)))
    spread = np.hypot(slope * outline, _LN10 * relations["scatter_log10"].to_numpy(float)[row])
    noise = rng.standard_normal((len(row), whole.shape[1]))
    pick = _picks(bodies.weights[rows], noise.shape[1], rng)
    take = np.arange(len(row))[:, None]
    shift = whole[row[take, pick], np.arange(noise.shape[1])] + slope[take, pick] * pixel[bodies.instruments[rows]]
    carbon = point[take, pick] * np.exp(shift + spread[take, pick] * noise)
    carbon[bodies.found[0]["row"].to_numpy()[rows] < 0] = np.nan
    return carbon


def _picks(weights, n_draws, rng):
    """Which of its taxa each object is, in each draw."""
    if weights.shape[1] == 1:
        return np.zeros((len(weights), 1), int)
    edges = np.cumsum(weights, axis=1)[:, :-1]
    edges[edges > 1 - 1e-9] = np.inf  # rounding must not let a lot fall on a taxon of no weight
    lot = rng.random((len(weights), n_draws))
    return (lot[:, :, None] >= edges[:, None, :]).sum(axis=2)
