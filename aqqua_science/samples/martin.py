"""How carbon flux fades with depth: the Martin curve, its fit, and how much arrives."""

import numpy as np
import pandas as pd

from ..schema import SchemaError, require_columns, require_known

MARTIN_B = 0.858
"""Exponent of the open ocean composite of Martin et al. 1987."""


def martin_curve(depth, flux_ref, *, b=MARTIN_B, depth_ref=100.0):
    """
    Carbon flux at depth as a power of depth.

    Parameters
    ----------
    depth : float or array of float
        m, above 0.
    flux_ref : float or array of float
        Flux at `depth_ref`, in any unit.
    b : float or array of float
        Exponent; larger where flux fades faster.
    depth_ref : float
        m.

    Returns
    -------
    float or numpy.ndarray
        In the unit of `flux_ref`.

    Raises
    ------
    ValueError
        If a depth is not above 0.

    References
    ----------
    Martin et al. 1987, Deep-Sea Res. 34, 267-285.

    Examples
    --------
    >>> round(float(martin_curve(1000.0, 1.0)), 3)
    0.139
    """
    depth = np.asarray(depth, dtype=float)
    if (depth <= 0).any() or not depth_ref > 0:
        msg = "depths must be above 0 m: at the surface a power of depth has no value."
        raise ValueError(msg)
    return flux_ref * (depth / depth_ref) ** -np.asarray(b, dtype=float)


def fit_martin(profiles, *, flux="flux_mg_m2_d", by="sample_id", depth_ref=100.0, se=None):
    """
    Fit the Martin curve to profiles of flux: a line through the logarithms.

    Parameters
    ----------
    profiles : pandas.DataFrame
        One row per depth, with `by`, ``depth`` (m) and `flux`.
    flux : str
        Column of fluxes. Those that are not above 0, or not known, have no logarithm and are left out.
    by : str or list of str
        Columns that tell profiles apart.
    depth_ref : float
        Depth of ``flux_ref``, m.
    se : str, optional
        Column of standard errors of `flux`; a flux weighs as its relative error squared, inverted.

    Returns
    -------
    pandas.DataFrame
        One row per profile: `by`, ``b``, ``b_se``, ``flux_ref``, ``flux_ref_relative_se``, ``n`` depths used,
        ``left_out``, ``depth_min`` and ``depth_max`` (m). NaN with fewer than two depths, and errors with fewer than
        three.

    Raises
    ------
    SchemaError
        If a column is absent, or a depth is not above 0.

    References
    ----------
    Martin et al. 1987, Deep-Sea Res. 34, 267-285.

    Examples
    --------
    >>> profile = pd.DataFrame({"sample_id": "a", "depth": [100.0, 300.0, 1000.0]})
    >>> profile["flux_mg_m2_d"] = martin_curve(profile["depth"], 50.0)
    >>> fit_martin(profile)[["b", "flux_ref"]].round(3).to_dict("records")
    [{'b': 0.858, 'flux_ref': 50.0}]
    """
    by = [by] if isinstance(by, str) else list(by)
    require_columns(profiles, [*by, "depth", flux, *([se] if se else [])], what="profiles")
    require_known(profiles, by)
    depth, value = profiles["depth"].to_numpy(dtype=float), profiles[flux].to_numpy(dtype=float)
    if not (depth > 0).all():
        msg = f"depths must be above 0 m; {(~(depth > 0)).sum()} of {len(depth)} are not. Drop the surface."
        raise SchemaError(msg)
    weight = np.ones_like(value) if se is None else (value / profiles[se].to_numpy(dtype=float)) ** 2
    use = (value > 0) & np.isfinite(value) & (weight > 0) & np.isfinite(weight)
    group, names = (
        pd.factorize(pd.MultiIndex.from_frame(profiles[by])) if len(by) > 1 else pd.factorize(profiles[by[0]])
    )
    fitted = _fit_lines(group[use], np.log(depth[use] / depth_ref), np.log(value[use]), weight[use], len(names))
    table = pd.DataFrame(list(names), columns=by).assign(**fitted)
    table["left_out"] = np.bincount(group, minlength=len(names)) - table["n"]
    reach = profiles[use].groupby(group[use])["depth"]
    return table.assign(depth_min=reach.min().reindex(table.index), depth_max=reach.max().reindex(table.index))


def transfer_efficiency(fits, *, shallow=100.0, deep=1000.0):
    """
    The share of the flux at one depth that arrives at another, by fitted Martin curves.

    Parameters
    ----------
    fits : pandas.DataFrame
        With ``b`` and ``b_se``, as of `fit_martin`.
    shallow, deep : float
        m.

    Returns
    -------
    pandas.DataFrame
        Indexed like `fits`: ``transfer_efficiency`` and its standard error ``transfer_efficiency_se`` (first order).

    Raises
    ------
    ValueError
        If `shallow` is not above 0 and below `deep`.

    References
    ----------
    Buesseler et al. 2007, Science 316, 567-570.

    Examples
    --------
    >>> transfer_efficiency(pd.DataFrame({"b": [0.858], "b_se": [0.1]})).round(3).to_dict("records")
    [{'transfer_efficiency': 0.139, 'transfer_efficiency_se': 0.032}]
    """
    if not 0 < shallow < deep:
        msg = f"depths must be 0 < shallow < deep; got {shallow:g} and {deep:g} m."
        raise ValueError(msg)
    share, stretch = (deep / shallow) ** -fits["b"], np.log(deep / shallow)
    return pd.DataFrame({"transfer_efficiency": share, "transfer_efficiency_se": share * stretch * fits["b_se"]})


def _fit_lines(group, x, y, weight, n_groups):
    """Weighted regression within each group."""

    def total(values):
        return np.bincount(group, weights=values, minlength=n_groups)

    n = np.bincount(group, minlength=n_groups)
    lowest, highest = np.full(n_groups, np.inf), np.full(n_groups, -np.inf)
    np.minimum.at(lowest, group, x)
    np.maximum.at(highest, group, x)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = total(weight * x) / total(weight), total(weight * y) / total(weight)
        dx, dy = x - mean_x[group], y - mean_y[group]
        spread = total(weight * dx**2)
        slope = np.where(highest > lowest, total(weight * dx * dy) / spread, np.nan)
        variance = np.where(n > 2, total(weight * (dy - slope[group] * dx) ** 2) / np.maximum(n - 2, 1), np.nan)
        return {
            "b": -slope,
            "b_se": np.sqrt(variance / spread),
            "flux_ref": np.exp(mean_y - slope * mean_x),
            "flux_ref_relative_se": np.sqrt(variance * (1 / total(weight) + mean_x**2 / spread)),
            "n": n,
        }
