"""Several models under the same folds, side by side."""

from time import perf_counter

import pandas as pd
from sklearn.model_selection import check_cv

from aqqua_science.habitat.domain import distance_to_domain_km
from aqqua_science.habitat.folds import largest_blocks
from aqqua_science.habitat.importance import FOLD_DEGREES
from aqqua_science.habitat.matching import KNNDM
from aqqua_science.habitat.validation import checked_splits, cross_validate, named_schemes
from aqqua_science.schema import require_columns


def compare(models, table, *, target, cv=None, domain=None, **columns):
    """
    Score several models on the same held-out samples.

    Parameters
    ----------
    models : dict of str to scikit-learn regressor
        Such as ``{name: learner(name) for name in LEARNERS}``. Of an ensemble with `n_members`, at most 5 members are
        fitted per fold.
    table : pandas.DataFrame
        One row per sample: `latitude`, `longitude`, the target and the predictors.
    target : str or list of str
    cv : splitter or dict of str to splitter, optional
        As in `aqqua_science.habitat.cross_validate`, but that blocks are smaller by default where the survey is small,
        and that where `domain` is given folds stand beside whose distances are those of the map (`KNNDM`).
    domain : xarray.Dataset or positions, optional
        Where the map is drawn.
    **columns
        `predictors`, `groups`, `volume` and `scoring`, as in `aqqua_science.habitat.cross_validate`.

    Returns
    -------
    pandas.DataFrame
        One row per model and scheme: ``model``, the columns of `aqqua_science.habitat.cross_validate`, and
        ``seconds``, what its fits and predictions took (of all targets together). `r2_log` of models without a `scale`
        of their own is on one scale.

    Raises
    ------
    SchemaError
        If a column is absent.
    ValueError
        If there is no model, the target is missing in some row, or `predictors` are needed and not given.

    Notes
    -----
    Which learner is best depends on the water, the survey and the score. Differences below those between two deals of
    the folds are none.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.linear_model import LinearRegression
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"latitude": rng.uniform(-60, 60, 200), "longitude": rng.uniform(-180, 180, 200)})
    >>> table = table.assign(temperature=30 - abs(table.latitude) / 2, biomass=abs(table.latitude))
    >>> models = {"mean": DummyRegressor(), "line": LinearRegression()}
    >>> found = compare(models, table, target="biomass", predictors=["temperature"])
    >>> found[["model", "scheme"]].values.tolist()
    [['mean', 'random'], ['mean', 'blocks'], ['line', 'random'], ['line', 'blocks']]
    """
    if not models:
        msg = "there is nothing to compare: models is empty. Pass {'trees': BoostedTrees(), ...}."
        raise ValueError(msg)
    groups = columns.get("groups")
    targets = [target] if isinstance(target, str) else target
    require_columns(table, [*targets, *([] if groups is None else [groups])])
    schemes = named_schemes(cv, groups) if cv is not None else _schemes(table, domain, groups)
    # Dealt once: matched folds cost more than some models do.
    splits = {
        scheme: check_cv(checked_splits(splitter, table, target=target, groups=groups))
        for scheme, splitter in schemes.items()
    }
    found = pd.concat(
        [
            _timed(model, table, cv={scheme: parts}, target=target, **columns).assign(model=name)
            for name, model in models.items()
            for scheme, parts in splits.items()
        ],
        ignore_index=True,
    )
    if domain is not None:
        distances = {name: distance_to_domain_km(table, cv.split(), domain=domain) for name, cv in splits.items()}
        found["distance_to_domain_km"] = [distances[scheme] for scheme in found["scheme"]]
    return found[["model", *found.columns.drop("model")]]


def _schemes(table, domain, groups):
    schemes = named_schemes(None, groups) | {"blocks": largest_blocks(table, degrees=FOLD_DEGREES)}
    return schemes if domain is None else schemes | {"knndm": KNNDM(domain)}


def _timed(model, table, **arguments):
    start = perf_counter()
    return cross_validate(model, table, **arguments).assign(seconds=lambda _: perf_counter() - start)
