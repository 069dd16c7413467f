"""What each predictor adds to a prediction: Shapley values of the ensemble, per sample and per cell of a map."""

import copy
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import dask
import numpy as np
import xarray as xr
import xgboost as xgb
from joblib import effective_n_jobs
from scipy.special import expit

from aqqua_science.habitat.blockwise import (
    HOUR,
    block_lengths,
    dims_of,
    fill_cells,
    grid_predictors,
    map_blocks,
    solid_predictors,
    threads_of,
)
from aqqua_science.habitat.model import BoostedTrees
from aqqua_science.habitat.training import check_finite
from aqqua_science.progress import dask_progress

MAP_MEMBERS = 5
"""Members that a map of drivers asks: exact Shapley values cost a hundred times a prediction."""


def shap_values(model, X, *, n_members=None):
    """
    Shapley values: how much each predictor moves each prediction away from the mean, on the log scale.

    Parameters
    ----------
    model : BoostedTrees
        Fitted.
    X : pandas.DataFrame
        Predictors of the samples to explain.
    n_members : int, optional
        The first so many members are asked; by default all.

    Returns
    -------
    xarray.Dataset
        ``contribution`` (sample, predictor), the mean over members of the exact tree values of xgboost;
        ``member_sd``, their standard deviation; ``factor``, exp(contribution), by which the predictor multiplies the
        amount; ``base``, the mean of the log amounts before any predictor is known. ``base`` plus the contributions
        of a sample is the mean over members of its log amount, in the units of the target: the geometric mean of the
        members, where `predict` gives the arithmetic one.

    Raises
    ------
    TypeError
        If the model is not a fitted ensemble of boosted trees.

    Notes
    -----
    Of the objective "log" the logarithm is that of the amount plus a constant (``log_constant_`` in units of the
    target). "two-part" has two chains: the contributions to the log odds of presence are rescaled, sample by sample,
    by one factor so that they add up to the change of the log chance of presence, and then added to those of the
    amount.

    References
    ----------
    Lundberg, S. M. et al. (2020). From local explanations to global understanding with explainable AI for trees.
    Nature Machine Intelligence 2, 56-67.

    Examples
    --------
    >>> import pandas as pd
    >>> from aqqua_science.habitat import BoostedTrees
    >>> X = pd.DataFrame({"temperature": np.arange(200.0), "noise": np.arange(200) * 7 % 11})
    >>> model = BoostedTrees(n_members=2, n_trees=5).fit(X, X["temperature"])
    >>> found = shap_values(model, X)
    >>> str(abs(found["contribution"]).mean("sample").idxmax().item())
    'temperature'
    """
    _check_model(model)
    values = member_contributions(model, X, n_members=n_members)
    mean = values.mean(axis=0)
    sample, predictor = ("sample", "predictor"), list(model.feature_names_in_)
    scale = "natural logarithm of the amount"
    return xr.Dataset(
        {
            "contribution": (sample, mean[:, :-1], {"long_name": f"contribution to the {scale}", "units": "1"}),
            "member_sd": (sample, values[..., :-1].std(axis=0), {"long_name": "spread over members", "units": "1"}),
            "factor": (sample, np.exp(mean[:, :-1]), {"long_name": "factor on the amount", "units": "1"}),
            # The same in every sample, but for rounding.
            "base": ((), mean[:, -1].mean(), {"long_name": f"mean {scale}", "units": "1"}),
        },
        {"sample": X.index.to_numpy(), "predictor": predictor},
    )


def dominant_driver(model, env, *, n_members=MAP_MEMBERS, chunks=None):
    """
    Map the predictor that moves each cell furthest away from the mean.

    Works block by block like `predict_grid`, month by month where the predictors have months.

    Parameters
    ----------
    model : BoostedTrees
        Fitted on a table whose columns are variables of `env`.
    env : xarray.Dataset
        As in `aqqua_science.habitat.predict_grid`. Backed by Dask the result is lazy.
    n_members : int
        The first so many members are asked.
    chunks : dict, optional
        Block length along dimensions; makes the result lazy for predictors in memory as well.

    Returns
    -------
    xarray.Dataset
        ``contribution`` (predictor, ...) to the logarithm of the amount, see `shap_values`; ``driver`` (...), the
        position of the predictor whose contribution is largest, regardless of its sign, with CF flags that name it and
        -1 where nothing is predicted; ``driver_factor``, by which it multiplies the amount. A driver explains the
        prediction of the model, not its cause in the sea: of two predictors that tell the same, either may be named.

    Raises
    ------
    SchemaError
        If a predictor is missing from `env`, or has dimensions that a map has not.
    TypeError
        If the model is not a fitted ensemble of boosted trees.

    Examples
    --------
    >>> import pandas as pd
    >>> from aqqua_science.grids import regular_grid
    >>> from aqqua_science.habitat import BoostedTrees
    >>> table = pd.DataFrame({"temperature": np.linspace(0, 30, 100), "noise": np.arange(100) * 7 % 11})
    >>> model = BoostedTrees(n_members=2, n_trees=10).fit(table, table["temperature"] ** 2)
    >>> env = regular_grid(30.0).assign(noise=5.0)
    >>> env["temperature"] = 30 * np.cos(np.radians(env["latitude"]))
    >>> dominant_driver(model, env)["driver"].values
    array([0, 0, 0, 0, 0, 0], dtype=int8)
    """
    _check_model(model)
    predictors = grid_predictors(model, env)
    n_members = min(n_members, len(model.models_))
    names = list(model.feature_names_in_)
    in_memory = not predictors.chunks
    predictors = predictors.chunk(chunks or block_lengths(predictors, per_cell=len(names) * n_members))
    with threads_of(model) if in_memory else nullcontext():
        values = map_blocks(
            _explain_block,
            predictors,
            dtype=np.float32,
            new_axes={"predictor": len(names)},
            model=dask.delayed(copy.copy(model).set_params(n_jobs=1), pure=False, traverse=False),
            n_members=n_members,
            solid=solid_predictors(predictors),
        )
        contribution = xr.DataArray(values, dims=("predictor", *dims_of(predictors)), name="contribution")
        contribution = contribution.assign_coords(
            {"predictor": names, **predictors.drop_dims(HOUR, errors="ignore").coords}
        )
        if in_memory and chunks is None:
            with dask_progress("explaining the map"):
                contribution = contribution.compute()
    return _drivers(contribution, names)


def member_contributions(model, X, *, n_members=None):
    """
    Contributions of each member to the logarithm of the amount.

    Parameters
    ----------
    model : BoostedTrees
    X : pandas.DataFrame
    n_members : int, optional

    Returns
    -------
    numpy.ndarray, shape (n_members, n, p + 1)
        The last column is what is there before any predictor is known.
    """
    names = list(model.feature_names_in_)
    rows = X[names].to_numpy(dtype=np.float32)
    check_finite(rows, names=names, missing=model.missing)
    if model.missing == "impute":
        rows = np.where(np.isnan(rows), model.medians_, rows)
    matrix = xgb.DMatrix(rows, nthread=1)
    units = np.log(model.smearing_ / model.scale_)

    def explain(member):
        parts = [booster.predict(matrix, pred_contribs=True).astype(float) for booster in model.models_[member]]
        if model.objective == "two-part":
            parts[0] = _to_log_chance(parts[0])
        values = sum(parts)
        values[:, -1] += units[member]
        return values

    with ThreadPoolExecutor(effective_n_jobs(model.n_jobs)) as pool:
        return np.stack(list(pool.map(explain, range(len(model.models_))[:n_members])))


def _to_log_chance(contributions):
    """Contributions to log odds, turned into contributions to the log of the chance."""
    base = contributions[:, -1]
    odds = contributions.sum(axis=1)
    change = _log_expit(odds) - _log_expit(base)
    moved = np.abs(odds - base) > 1e-9
    # Where nothing moves the log odds as a whole, the slope of the log chance there: contributions may still cancel.
    slope = np.where(moved, change / np.where(moved, odds - base, 1.0), 1 - expit(base))
    return np.column_stack([contributions[:, :-1] * slope[:, None], _log_expit(base)])


def _log_expit(x):
    return -np.logaddexp(0, -x)


def _explain_block(*predictors, model, n_members, solid):
    def contributions(cells):
        return member_contributions(model, cells, n_members=n_members).mean(axis=0)[:, :-1].T

    n_values = len(model.feature_names_in_)
    return fill_cells(contributions, predictors, n_values=n_values, model=model, solid=solid)


def _drivers(contribution, names):
    known = contribution.notnull().all("predictor")
    driver = abs(contribution).fillna(0).argmax("predictor")
    position = xr.DataArray(np.arange(len(names)), dims="predictor")
    largest = contribution.drop_vars("predictor").where(position == driver).sum("predictor")
    return xr.Dataset(
        {
            "contribution": contribution.assign_attrs(
                long_name="contribution to the natural logarithm of the amount", units="1"
            ),
            "driver": driver.where(known, -1)
            .astype(np.int8)
            .assign_attrs(
                long_name="dominant driver",
                flag_values=np.arange(-1, len(names), dtype=np.int8),
                flag_meanings=" ".join(["not_predicted", *(name.replace(" ", "_") for name in names)]),
            ),
            "driver_factor": np.exp(largest.where(known)).assign_attrs(
                long_name="factor of the dominant driver on the amount", units="1"
            ),
        }
    )


def _check_model(model):
    if not isinstance(model, BoostedTrees) or not hasattr(model, "feature_names_in_"):
        msg = (
            f"Shapley values need a BoostedTrees fitted on named columns; got {type(model).__name__}. Fit it on "
            "a DataFrame; any other model is explained by accumulated_effects and permutation_importance."
        )
        raise TypeError(msg)
