"""The depth of each sample on the levels of a grid: the nearest one, or all that its layer crosses."""

import numpy as np

from ..grids.layers import OUTER_REACH_M, layer_bounds, shared_thickness
from ..schema import SchemaError
from .lookup import blockwise

_POINT_M = 1e-3  # a layer without thickness is given a millimetre, so that it falls into one level's layer


def nearest_level(env, depth, *, max_depth_m=None):
    """
    Find the depth level nearest to each sample.

    Parameters
    ----------
    env : xarray.Dataset
        With ascending `depth`.
    depth : numpy.ndarray, shape (n,)
        Metres, positive down.
    max_depth_m : float, optional
        The furthest level that may be taken. By default any level between the first and the last, and the
        outermost for samples up to half a level spacing or 25 m beyond it, whichever is more.

    Returns
    -------
    level : numpy.ndarray of int32, shape (n,)
        -1 where none is near enough or `depth` is NaN.
    offset : numpy.ndarray, shape (n,)
        Metres between sample and level; NaN where there is none.

    Examples
    --------
    >>> import xarray as xr
    >>> nearest_level(xr.Dataset(coords={"depth": np.float32([0.494, 10.0])}), np.array([0.0, 9.0, 80.0]))
    (array([ 0,  1, -1], dtype=int32), array([0.494, 1.   ,   nan]))
    """
    levels = env["depth"].values.astype(float)
    level = np.searchsorted((levels[1:] + levels[:-1]) / 2, depth).astype(np.int32)
    offset = np.abs(depth - levels[level])
    if max_depth_m is None:
        upper, lower = layer_bounds(env)
        highest, deepest = min(upper[0], levels[0] - OUTER_REACH_M), max(lower[-1], levels[-1] + OUTER_REACH_M)
        near = (depth >= highest) & (depth <= deepest)
    else:
        near = offset <= max_depth_m
    return np.where(near, level, -1).astype(np.int32), np.where(near, offset, np.nan)


def layer_weights(env, depth_min, depth_max):
    """
    Thickness that each level's layer shares with the layer of each sample.

    Parameters
    ----------
    env : xarray.Dataset
        With ascending `depth`.
    depth_min, depth_max : numpy.ndarray, shape (n,)
        Metres, positive down. A layer of no thickness counts as one millimetre.

    Returns
    -------
    numpy.ndarray, shape (n, n_levels)
        Metres.

    Examples
    --------
    >>> import xarray as xr
    >>> env = xr.Dataset(coords={"depth": [5.0, 15.0, 25.0]})
    >>> layer_weights(env, np.array([0.0]), np.array([12.0]))
    array([[10.,  2.,  0.]])
    """
    bottom = np.maximum(depth_max, depth_min + _POINT_M)[:, None]
    return shared_thickness(layer_bounds(env), depth_min[:, None], bottom)


def nearest_layers(env, depth_min, depth_max, *, max_depth_m=None):
    """
    Find the levels whose layers a sample's layer crosses.

    Parameters
    ----------
    env : xarray.Dataset
        With ascending `depth`.
    depth_min, depth_max : numpy.ndarray, shape (n,)
        Metres, positive down.
    max_depth_m : float, optional
        Metres of the sample's layer that may lie beyond the grid's layers; 25 by default.

    Returns
    -------
    level : numpy.ndarray of int32, shape (n,)
        The shallowest of these levels, -1 where the grid does not describe the layer.
    offset : numpy.ndarray, shape (n,)
        Metres between the middle of the sample's layer and the mean depth of the levels, weighted by
        thickness; NaN where there is none.

    Examples
    --------
    >>> import xarray as xr
    >>> env = xr.Dataset(coords={"depth": [5.0, 15.0, 25.0]})
    >>> nearest_layers(env, np.array([10.0, 0.0]), np.array([30.0, 200.0]))
    (array([ 1, -1], dtype=int32), array([ 0., nan]))
    """
    weights = layer_weights(env, depth_min, depth_max)
    thickness = weights.sum(axis=1)
    beyond = (depth_max - depth_min) - thickness
    near = (thickness > 0) & (beyond <= (OUTER_REACH_M if max_depth_m is None else max_depth_m))
    mean = weights @ env["depth"].values.astype(float) / np.where(near, thickness, 1)
    level = np.where(near, (weights > 0).argmax(axis=1), -1).astype(np.int32)
    return level, np.where(near, np.abs(mean - (depth_min + depth_max) / 2), np.nan)


def match_depths(samples, env, *, depth, max_depth_m=None, block=100_000):
    """
    Match samples to levels, by `depth` or by the layer `depth_min`..`depth_max`.

    Parameters
    ----------
    samples : pandas.DataFrame
    env : xarray.Dataset
        With ascending `depth`.
    depth : {"nearest", "mean"}
    max_depth_m : float, optional
        As in `nearest_level` and `nearest_layers`.
    block : int
        Samples at a time.

    Returns
    -------
    level : numpy.ndarray of int32, shape (n,)
        The (shallowest) level of each sample, -1 where there is none.
    offset : numpy.ndarray, shape (n,)
        Metres; NaN where there is no level.
    missing : numpy.ndarray of bool, shape (n,)
        Where the sample has no usable depth.

    Raises
    ------
    SchemaError
        If `samples` lack the columns.

    Examples
    --------
    >>> import pandas as pd
    >>> import xarray as xr
    >>> env = xr.Dataset(coords={"depth": [5.0, 15.0]})
    >>> match_depths(pd.DataFrame({"depth": [0.0, np.nan]}), env, depth="nearest")
    (array([ 0, -1], dtype=int32), array([ 5., nan]), array([False,  True]))
    """
    if depth == "nearest":
        at = _depths(samples, "depth", 'pass depth="mean" where samples have depth_min and depth_max')
        level, offset = nearest_level(env, at, max_depth_m=max_depth_m)
        return level, offset, np.isnan(at)
    top, bottom = sample_layers(samples)

    def match(*layer):
        return nearest_layers(env, *layer, max_depth_m=max_depth_m)

    level, offset = blockwise(match, top, bottom, block=block)
    layer = bottom >= top
    return np.where(layer, level, -1), np.where(layer, offset, np.nan), ~layer


def sample_layers(samples):
    """
    Upper and lower bound of the layer that each sample stands for.

    Parameters
    ----------
    samples : pandas.DataFrame
        With `depth_min` and `depth_max`, metres.

    Returns
    -------
    depth_min, depth_max : numpy.ndarray, shape (n,)

    Raises
    ------
    SchemaError
        If `samples` lack the columns.

    Examples
    --------
    >>> import pandas as pd
    >>> sample_layers(pd.DataFrame({"depth_min": [0], "depth_max": [200]}))
    (array([0.]), array([200.]))
    """
    remedy = 'pass depth="nearest" where samples have one depth'
    return _depths(samples, "depth_min", remedy), _depths(samples, "depth_max", remedy)


def _depths(samples, name, otherwise):
    if name not in samples.columns:
        msg = (
            f"env has depth levels and samples have no column {name!r}. Add it, {otherwise}, "
            'or take one level: env.sel(depth=0, method="nearest").'
        )
        raise SchemaError(msg)
    return samples[name].to_numpy(dtype=float, na_value=np.nan)
