"""Uncertainty that covers: what held-out blocks say about a map, for its total and for its cells."""

import numpy as np
from sklearn.base import clone

from aqqua_science.grids.geometry import cell_area
from aqqua_science.habitat import intervals
from aqqua_science.habitat.blockwise import HOUR
from aqqua_science.habitat.budget import member_variable
from aqqua_science.habitat.folds import BLOCK_DEGREES, largest_blocks
from aqqua_science.habitat.prediction import predict_grid
from aqqua_science.habitat.validation import out_of_fold

_MAX_DOMAIN_CELLS = 50_000


def calibrate(field, model, table, *, target, environment, volume=None, name=None, n_replicates=30, level=0.9):
    """
    Add tested uncertainty to a field: of any total (see `integrate`) and of every cell.

    The total of a map is uncertain because other samples would have given another map (refits on resampled
    blocks), and wrong because trees shrink and the survey is unlike the ocean (held-out blocks, weighted to resemble
    the domain). Half of the correction that held-out blocks suggest is applied; the variances of both are added.

    Parameters
    ----------
    field : xarray.Dataset
        Of `predict_grid(model, environment)`.
    model : BoostedTrees
        The fitted model.
    table : pandas.DataFrame
        What it was fitted on: predictors, `target`, latitude, longitude.
    target : str
        Column of the amounts, in the units of the field.
    environment : xarray.Dataset
        Predictors on the grid of `field`.
    volume : str, optional
        Column of the sampled volumes, m3.
    name : str, optional
        Variable with the members.
    n_replicates : int
        Refits on resampled blocks; not needed where the members of `model` are such refits themselves.
    level : float
        Nominal coverage.

    Returns
    -------
    xarray.Dataset
        `field` with ``low`` and ``high`` (a new sample in that cell lies between them), ``replicates``
        (replicate, ...) where refits were made, and the numbers that `integrate` needs as attributes
        ``calibration_*``; ``calibration_warning`` is empty or says why no coverage is claimed.

    Notes
    -----
    Of 100 virtual oceans the interval of the global total held the realised truth in 88 at a nominal 90 %, the spread
    of members in 18 (docs/coverage.md); `python -m benchmarks coverage` repeats this.

    Examples
    --------
    >>> from aqqua_science import habitat, synthetic
    >>> ocean = synthetic.virtual_ocean(step=10, n_months=1, rng=1)
    >>> table = synthetic.sample_ocean(ocean, n_samples=200, rng=1)
    >>> from aqqua_science.samples import join_environment
    >>> predictors = ocean[["temperature", "nitrate"]]
    >>> table = join_environment(table, predictors).dropna(subset=list(predictors))
    >>> model = habitat.BoostedTrees(n_members=2, n_trees=20).fit(table[list(predictors)], table["biomass_mg_m3"])
    >>> field = habitat.predict_grid(model, predictors, units="mg m-3")
    >>> field = calibrate(field, model, table, target="biomass_mg_m3", environment=predictors, n_replicates=5)
    >>> bool((field["low"] <= field["high"]).where(field["low"].notnull()).min())
    True
    """
    name = name or member_variable(field)
    predictors = list(model.feature_names_in_)
    tiles = largest_blocks(table)
    blocks = tiles.blocks(table)
    predicted = _held_out(model, table, target, volume)
    observed = table[target].to_numpy(dtype=float)
    effort = np.ones(len(table)) if volume is None else table[volume].to_numpy(dtype=float)

    domain, weights = _domain(field[name], environment[predictors])
    ratio = intervals.importance(table[predictors].to_numpy(dtype=float), domain, weights)
    log_ratio, variance = intervals.held_out_correction(observed, predicted, weights=ratio * effort, blocks=blocks)
    found = {
        "log_correction": log_ratio / 2,
        "jackknife_variance": variance,
        "block_variance": intervals.block_variance(observed, predicted, weights=effort, blocks=blocks),
        "level": level,
        "n_blocks": len(np.unique(blocks)),
        "block_degrees": tiles.degrees,
        "sampled_blocks": np.unique(blocks).astype(np.int32),
        "top_share": intervals.top_share(observed),
        "effective_fraction": float(ratio.sum() ** 2 / (len(ratio) * (ratio**2).sum())),
    }
    found["warning"] = _warning(found)
    known = {"observed": observed, "predicted": predicted, "blocks": blocks, "scale": model.scale_}
    field = field.assign(_cell_interval(field[name], level, **known))
    field = field.assign_attrs({f"calibration_{key}": value for key, value in found.items()})
    if model.resampling == "blocks":
        return field
    return field.assign(
        replicates=_replicates(model, table, target, volume, blocks, environment, n_replicates, field[name])
    )


def cell_coverage(observed, predicted, *, blocks, scale, level=0.9, n_folds=5):
    """
    Share of held-out samples inside the cell interval, each judged by blocks other than its own.

    Parameters
    ----------
    observed, predicted : numpy.ndarray, shape (n,)
        Amounts and their held-out predictions.
    blocks : numpy.ndarray of int, shape (n,)
    scale : float
        Amounts are compared by ``log1p(scale * amount)``.
    level : float
        Nominal coverage.
    n_folds : int
        Parts the blocks are dealt into.

    Returns
    -------
    float
        Mean over blocks, which is what the interval promises.

    Examples
    --------
    >>> x = np.linspace(1, 2, 400)
    >>> cell_coverage(x, x[::-1], blocks=np.arange(400) % 40, scale=1.0) > 0.8
    True
    """
    _, codes, sizes = np.unique(blocks, return_inverse=True, return_counts=True)
    inside = np.zeros(len(codes), dtype=bool)
    for k in range(n_folds):
        test = codes % n_folds == k
        known = {"observed": observed[~test], "predicted": predicted[~test], "blocks": blocks[~test]}
        low, high = intervals.conformal_bounds(predicted[test], **known, scale=scale, level=level)
        inside[test] = (observed[test] >= low) & (observed[test] <= high)
    return float(np.mean(np.bincount(codes, inside) / sizes))


def _held_out(model, table, target, volume):
    """Mean held-out prediction over two deals of the blocks into five folds."""
    deals = [
        out_of_fold(model, table, target=target, volume=volume, cv=largest_blocks(table, random_state=seed))
        for seed in (0, 1)
    ]
    return np.mean(deals, axis=0)


def _domain(values, environment):
    """Predictors and areas of the cells that hold a prediction, thinned to a workable number."""
    present = values.isel(member=0).notnull()
    if HOUR in environment.dims:
        present = present.expand_dims({HOUR: environment.sizes[HOUR]})
    area = cell_area(values).broadcast_like(present).transpose(*present.dims)
    where = np.flatnonzero(present.values)
    if where.size > _MAX_DOMAIN_CELLS:
        where = np.random.default_rng(0).choice(where, _MAX_DOMAIN_CELLS, replace=False)
    columns = [
        environment[p].broadcast_like(present).transpose(*present.dims).values.ravel()[where] for p in environment
    ]
    return np.column_stack(columns).astype(float), area.values.ravel()[where]


def _warning(found):
    """Why the interval is not claimed to cover, or nothing."""
    factor = np.exp(2 * found["log_correction"])
    reasons = []
    if found["n_blocks"] < intervals.MIN_BLOCKS:
        reasons.append(f"the samples lie in only {found['n_blocks']} blocks of {found['block_degrees']:g} degrees")
    if found["block_degrees"] < BLOCK_DEGREES:
        reasons.append(f"the survey is too small for blocks of {BLOCK_DEGREES:g} degrees")
    if abs(np.log(factor)) > intervals.MAX_LOG_CORRECTION:
        reasons.append(f"held-out blocks hold {factor:.2f} times what is predicted for them")
    if found["effective_fraction"] < intervals.MIN_EFFECTIVE_FRACTION:
        reasons.append(f"only {found['effective_fraction']:.0%} of the samples speak for the mapped ocean")
    if found["top_share"] > intervals.MAX_TOP_SHARE:
        reasons.append(f"the largest 1 % of the samples hold {found['top_share']:.0%} of all that was observed")
    return "; ".join(reasons)


def _replicates(model, table, target, volume, blocks, environment, n_replicates, like):
    """The field of each refit on blocks drawn with replacement."""
    refit = clone(model).set_params(n_members=n_replicates, resampling="blocks")
    refit.fit(
        table[list(model.feature_names_in_)],
        table[target],
        groups=blocks,
        volume=None if volume is None else table[volume],
    )
    found = predict_grid(refit, environment, name="replicates", units=like.attrs.get("units"))
    return (
        found["replicates"]
        .rename(member="replicate")
        .assign_attrs(long_name="map of a refit on resampled blocks", units=like.attrs.get("units"))
    )


def _cell_interval(values, level, **known):
    """Bounds between which a new sample of each cell lies, by block-conformal prediction."""
    mean = values.mean("member")
    names = {"low": "lower", "high": "upper"}
    bounds = intervals.conformal_bounds(mean, **known, level=level)
    return {
        key: bound.astype(np.float32).assign_attrs(
            units=values.attrs.get("units"),
            long_name=f"{names[key]} bound of a new sample in the cell, {level:.0%} interval",
        )
        for key, bound in zip(names, bounds, strict=True)
    }
