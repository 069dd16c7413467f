"""Where a map extrapolates: dissimilarity, area of applicability, local point density and MESS."""

from functools import partial

import numpy as np
import pandas as pd
import xarray as xr

from aqqua_science import schema
from aqqua_science.habitat.blockwise import HOUR
from aqqua_science.habitat.model import BoostedTrees
from aqqua_science.habitat.predictor_space import PredictorSpace, complete_samples, least_similarity

_BLOCK = 65_536
_ORDER = ("member", "month", "time", "depth", "latitude", "longitude")


def area_of_applicability(training, env, *, predictors, weights=None, folds=None):
    """
    Map where a model may be applied: cells whose predictors resemble the training samples.

    Parameters
    ----------
    training : pandas.DataFrame
        The samples a model was fitted on, one column per predictor. Rows with a missing predictor are left
        out and counted in the attribute ``n_training_dropped``.
    env : xarray.Dataset
        The same predictors on a grid of any dimensions, in memory or lazy on Dask.
    predictors : list of str
    weights : pandas.Series or dict, optional
        Importance of each predictor by name, such as `gain_weights`; negative ones count as zero.
        Without weights all count alike.
    folds : array_like of int or str, shape (n,), optional
        The fold that holds out each sample, such as `aqqua_science.habitat.folds.fold_labels`. The threshold
        then asks how dissimilar samples of other folds are, and the area is that for which the skill of
        that cross-validation holds. Without folds each sample is its own.

    Returns
    -------
    xarray.Dataset
        On the grid of `env`: ``dissimilarity_index``; ``inside`` (1 where the index is at most the threshold, else
        0); ``local_point_density``, the number of training samples within the threshold; ``mess``. Where a
        predictor is missing the index and MESS are NaN, and the cell is not inside. Attributes: ``threshold``,
        ``mean_training_distance``, ``n_training``, ``n_training_dropped``. Of predictors that change with the ``hour``
        of the day, index, density and MESS are means over the hours.

    Raises
    ------
    SchemaError
        If a predictor is absent from the samples or the grid.
    ValueError
        If weights or folds do not fit the samples, or a predictor is constant.

    Notes
    -----
    Predictors are scaled by mean and standard deviation of the training samples and multiplied by their
    weights. The dissimilarity index is the Euclidean distance to the nearest training sample (of another fold,
    for a training sample) over the mean distance of all pairs of training samples. The threshold is the
    upper whisker of the index of the training samples, the third quartile plus 1.5 interquartile ranges, at
    most their maximum. These are the definitions of the R package CAST 1.1.

    References
    ----------
    Meyer, H. and Pebesma, E. (2021). Predicting into unknown space? Estimating the area of applicability of
    spatial prediction models. Methods in Ecology and Evolution 12, 1620-1633.
    Schumacher, F. L., Knoth, C., Ludwig, M. and Meyer, H. (2025). Estimation of local training data point densities
    to support the assessment of spatial prediction uncertainty. Geoscientific Model Development 18, 10185-10202.
    Elith, J., Kearney, M. and Phillips, S. (2010). The art of modelling range-shifting species. Methods in Ecology
    and Evolution 1, 330-342.

    Examples
    --------
    >>> training = pd.DataFrame({"temperature": [10.0, 11.0, 12.0, 13.0, 14.0]})
    >>> env = xr.Dataset({"temperature": ("longitude", [12.2, 25.0])}, {"longitude": [0.5, 1.5]})
    >>> area = area_of_applicability(training, env, predictors=["temperature"])
    >>> area["inside"].values.tolist(), area.attrs["threshold"]
    ([1, 0], 0.5)
    """
    space = PredictorSpace.of(training, predictors=predictors, weights=weights, folds=folds)

    def assess(cells):
        index, density = space.compare(cells)
        return index, (index <= space.threshold).astype(np.int8), density, least_similarity(cells, space.samples)

    dtypes = [float, np.int8, np.int32, float]
    index, inside, density, similarity = _over_cells(assess, env, predictors=predictors, dtypes=dtypes)
    area = xr.Dataset(
        {
            "dissimilarity_index": index.assign_attrs(units="1", long_name="dissimilarity index"),
            "inside": inside.drop_attrs().assign_attrs(
                units="1",
                long_name="area of applicability",
                flag_values=np.array([0, 1], dtype=np.int8),
                flag_meanings="outside_or_predictor_missing inside",
            ),
            "local_point_density": density.assign_attrs(units="1", long_name="training samples within the threshold"),
            "mess": similarity.assign_attrs(units="percent", long_name="multivariate environmental similarity"),
        },
        attrs=_attributes(space),
    )
    return _like(_mean_of_day(area), env)


def member_applicability(model, training, env, *, folds=None, n_members=None):
    """
    Map how many members of an ensemble may be applied where.

    Each member weighs the predictors by its own trees, so that what one has never needed does not hold it back.

    Parameters
    ----------
    model : BoostedTrees
        Fitted.
    training, env, folds
        As in `area_of_applicability`.
    n_members : int, optional
        The first so many members are asked; all by default.

    Returns
    -------
    xarray.DataArray
        ``inside_share`` on the grid of `env`: the share of the members in whose area of applicability a cell lies, NaN
        where a predictor is missing.

    Raises
    ------
    TypeError
        If the model is not a fitted ensemble of boosted trees.
    SchemaError, ValueError
        As `area_of_applicability`.

    Examples
    --------
    >>> from aqqua_science.habitat import BoostedTrees
    >>> training = pd.DataFrame({"warmth": np.arange(50.0), "noise": np.arange(50) * 7 % 11})
    >>> model = BoostedTrees(n_members=3, n_trees=9).fit(training, training["warmth"])
    >>> env = xr.Dataset({name: ("longitude", [5.5, 900.0]) for name in training}, {"longitude": [0.5, 1.5]})
    >>> member_applicability(model, training, env).values
    array([1., 0.])
    """
    predictors, asked = list(model.feature_names_in_), []
    for k in range(min(len(model.models_), n_members or len(model.models_))):
        index = dissimilarity(training, env, weights=gain_weights(model, member=k), folds=folds, predictors=predictors)
        index = index.mean(HOUR, keep_attrs=True) if HOUR in index.dims else index
        asked.append((index <= index.attrs["threshold"]).where(index.notnull()))
    share = sum(asked) / len(asked)
    said = {"units": "1", "long_name": "share of the members inside their area of applicability"}
    return share.rename("inside_share").drop_attrs().assign_attrs(said)


def _mean_of_day(area):
    """One value for the day, where predictors change with its hours."""
    if HOUR not in area.dims:
        return area
    known = area["dissimilarity_index"].notnull().all(HOUR)
    mean = area.mean(HOUR, keep_attrs=True)
    inside = (mean["dissimilarity_index"] <= area.attrs["threshold"]) & known
    density = mean["local_point_density"].round().astype(np.int32).assign_attrs(area["local_point_density"].attrs)
    inside = inside.astype(np.int8).assign_attrs(area["inside"].attrs)
    return mean.assign(inside=inside, local_point_density=density)


def dissimilarity(training, grid, *, weights=None, folds=None, predictors=None):
    """
    Dissimilarity index of each cell of a grid.

    Parameters
    ----------
    training : pandas.DataFrame
    grid : xarray.Dataset
    weights, folds
        As in `area_of_applicability`; folds move the threshold only.
    predictors : list of str, optional
        By default all columns of `training`.

    Returns
    -------
    xarray.DataArray
        Distance to the nearest training sample over the mean distance between them; NaN where a predictor is
        missing. Attribute ``threshold``: above it a cell is outside the area of applicability.

    Raises
    ------
    SchemaError, ValueError
        As `area_of_applicability`.

    Examples
    --------
    >>> training = pd.DataFrame({"temperature": [10.0, 12.0, 14.0]})
    >>> grid = xr.Dataset({"temperature": ("longitude", [12.0, 18.0])}, {"longitude": [0.5, 1.5]})
    >>> dissimilarity(training, grid).values
    array([0. , 1.5])
    """
    predictors = list(training.columns) if predictors is None else predictors
    space = PredictorSpace.of(training, predictors=predictors, weights=weights, folds=folds)
    (index,) = _over_cells(lambda cells: space.compare(cells)[:1], grid, predictors=predictors, dtypes=[float])
    attributes = {"units": "1", "long_name": "dissimilarity index", **_attributes(space)}
    return _like(index.rename("dissimilarity_index").assign_attrs(attributes), grid)


def mess(training, grid, *, predictors=None):
    """
    Multivariate environmental similarity surface: how deep inside the sampled ranges each cell lies.

    Parameters
    ----------
    training : pandas.DataFrame
    grid : xarray.Dataset
    predictors : list of str, optional
        By default all columns of `training`.

    Returns
    -------
    xarray.DataArray
        The least similarity over the predictors, percent: 100 at the median of the samples, 0 at the end of their
        range, negative beyond it by percents of the range. NaN where a predictor is missing.

    Raises
    ------
    SchemaError
        If a predictor is absent from the samples or the grid.
    ValueError
        If a predictor is constant.

    References
    ----------
    Elith, J., Kearney, M. and Phillips, S. (2010). The art of modelling range-shifting species. Methods in Ecology
    and Evolution 1, 330-342. As in the R package dismo, a sample that equals the cell counts as below it.

    Examples
    --------
    >>> training = pd.DataFrame({"temperature": [10.0, 12.0, 14.0, 20.0]})
    >>> grid = xr.Dataset({"temperature": ("longitude", [13.0, 22.0])}, {"longitude": [0.5, 1.5]})
    >>> mess(training, grid).values
    array([100., -20.])
    """
    predictors = list(training.columns) if predictors is None else predictors
    samples, _ = complete_samples(training, predictors)
    (similarity,) = _over_cells(
        lambda cells: (least_similarity(cells, samples),), grid, predictors=predictors, dtypes=[float]
    )
    attributes = {"units": "percent", "long_name": "multivariate environmental similarity"}
    return _like(similarity.rename("mess").assign_attrs(attributes), grid)


def gain_weights(model, *, member=None):
    """
    Importance of the predictors of an ensemble: their share of the total gain, averaged over the boosters.

    The gain of a predictor is the deviance that the splits on it take away. Shares let the two parts of a
    two-part model count alike, whose deviances have different units.

    Parameters
    ----------
    model : BoostedTrees
        Fitted on a DataFrame.
    member : int, optional
        Of which member alone; by default of all.

    Returns
    -------
    pandas.Series
        By predictor, sum 1; zero for one that no tree uses.

    Raises
    ------
    TypeError
        If the model is not a fitted ensemble of boosted trees.

    Examples
    --------
    >>> from aqqua_science.habitat import BoostedTrees
    >>> X = pd.DataFrame({"temperature": np.arange(200.0), "noise": np.arange(200) * 7 % 11})
    >>> model = BoostedTrees(n_members=2, n_trees=5).fit(X, X["temperature"])
    >>> gain_weights(model).idxmax()
    'temperature'
    """
    if not isinstance(model, BoostedTrees) or not hasattr(model, "feature_names_in_"):
        msg = (
            f"weights by gain need a BoostedTrees fitted on named columns; got {type(model).__name__}. "
            "Fit it on a DataFrame first; of another model take the importance that permutation_importance finds."
        )
        raise TypeError(msg)
    names = list(model.feature_names_in_)
    asked = model.models_ if member is None else [model.models_[member]]
    shares = [_gain_shares(booster, names) for boosters in asked for booster in boosters]
    return pd.Series(np.mean(shares, axis=0), index=names, name="gain")


def _gain_shares(booster, names):
    # Boosters are fitted on bare arrays, so xgboost calls the predictors by number: f0, f1, ...
    gain = booster.get_score(importance_type="total_gain")
    gain = np.array([gain.get(f"f{i}", 0.0) for i in range(len(names))])
    return gain / gain.sum() if gain.any() else gain


def _arrays(grid, predictors):
    for name in predictors:
        if name not in grid:
            msg = (
                f"the grid has no variable {name!r}.{schema.nearest_name(name, grid.data_vars)} "
                f"Its variables are: {', '.join(map(str, grid.data_vars))}."
            )
            raise schema.SchemaError(msg)
    return [grid[name] for name in predictors]


def _attributes(space):
    return {
        "threshold": space.threshold,
        "mean_training_distance": space.mean_distance,
        "n_training": len(space.samples),
        "n_training_dropped": space.n_dropped,
    }


def _over_cells(assess, grid, *, predictors, dtypes):
    """Apply a function of cells (n, predictors) to every cell, block by block."""
    results = xr.apply_ufunc(
        partial(_blockwise, assess=assess, dtypes=dtypes),
        *_arrays(grid, predictors),
        output_core_dims=[[] for _ in dtypes],
        dask="parallelized",
        output_dtypes=dtypes,
    )
    return results if isinstance(results, tuple) else (results,)


def _blockwise(*arrays, assess, dtypes):
    arrays = np.broadcast_arrays(*arrays)
    columns = [array.reshape(-1) for array in arrays]
    results = [np.full(columns[0].shape, np.nan if dtype is float else 0, dtype=dtype) for dtype in dtypes]
    for start in range(0, len(columns[0]), _BLOCK):
        cells = np.stack([column[start : start + _BLOCK] for column in columns], axis=-1).astype(float)
        known = np.flatnonzero(np.isfinite(cells).all(axis=1))
        for result, values in zip(results, assess(cells[known]), strict=True):
            result[start + known] = values
    results = tuple(result.reshape(arrays[0].shape) for result in results)
    return results if len(results) > 1 else results[0]


def _like(result, grid):
    """The result with the coordinates of the grid, their attributes and the order of our dimensions."""
    result = result.assign_coords({name: grid[name] for name in result.coords})
    return result.transpose(..., *(name for name in _ORDER if name in result.dims))
