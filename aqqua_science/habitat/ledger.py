"""What the uncertainty of a total is made of: from counting objects to mapping unvisited water."""

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import clone

from aqqua_science.habitat.budget import integrate, member_variable
from aqqua_science.habitat.inputs import check_sources
from aqqua_science.habitat.layers import SEA_FLOOR
from aqqua_science.habitat.prediction import predict_grid
from aqqua_science.habitat.validation import fit_rows
from aqqua_science.schema import require_columns

N_DRAWS, N_MEMBERS = 20, 3
"""Redrawn surveys, and members of the ensemble that is fitted to each."""


def uncertainty_ledger(
    model, table, field, *, target, environment, row, counts=None, draws=None, factors=None, alternatives=None,
    volume=None, outside=0.0, arguments=None,
):  # fmt: skip
    """
    Take the uncertainty of a total apart, source by source.

    Parameters
    ----------
    model : BoostedTrees
        Fitted on `table`.
    table : pandas.DataFrame
    field : xarray.Dataset
        Of `calibrate`.
    target : str
    environment : xarray.Dataset
        Predictors on the grid of `field`.
    row : mapping
        The global annual row of `integrate`: its ``median, low, high`` and ``level``.
    counts : str, optional
        Column of the numbers of objects behind each sample: surveys are redrawn with Poisson counts.
    draws : dict of str to list of str, optional
        Source -> columns, each the target as it would be under one draw of that source, such as those of
        `aqqua_science.objects.propagation.sample_draws` for classification, size and carbon.
    factors : dict of str to float, optional
        Source -> standard deviation of the natural logarithm of a factor that all samples have in common.
    alternatives : dict of str to estimator, optional
        Other models of the same table.
    volume : str, optional
        Column of sampled volumes.
    outside : float
        Share of the total that lies outside the area of applicability.
    arguments : dict, optional
        Of `integrate`.

    Returns
    -------
    pandas.DataFrame
        A row per source, in the order of the chain: ``source``, ``log_sd`` (standard deviation of the logarithm of the
        total from this source alone), ``share`` of the variance, and ``low``, ``high``: the interval when this source
        is added to those above it, at the level of `row`. The last holds all. ``ratios`` is a dict: what each draw and
        each alternative makes of the total, over what the model makes of the samples as they are; empty for others.

    Raises
    ------
    SchemaError
        If a column is absent, or two sources have one name.
    ValueError
        If `row` has no interval.

    Notes
    -----
    Errors that each sample has for itself, such as of counting, are in every resampled survey: "counting" is taken out
    of "sampling", not added to it. Common errors, of a carbon relation or a classifier, are in no resampling and are
    added. Model choice is the variance among the alternatives and the model. Water outside the area of applicability
    is taken to err as a whole as one held-out block does. On the logarithmic scale the variances add up.

    Examples
    --------
    >>> from aqqua_science import habitat, synthetic
    >>> from aqqua_science.samples import join_environment
    >>> ocean = synthetic.virtual_ocean(step=10, n_months=1, rng=1)
    >>> predictors = ocean[["temperature", "nitrate"]]
    >>> table = join_environment(synthetic.sample_ocean(ocean, n_samples=200, rng=1), predictors)
    >>> names, target = list(predictors), "biomass_mg_m3"
    >>> table = table.dropna(subset=names)
    >>> model = habitat.BoostedTrees(n_members=2, n_trees=20).fit(table[names], table[target])
    >>> field = habitat.predict_grid(model, predictors, units="mg m-3")
    >>> field = habitat.calibrate(field, model, table, target=target, environment=predictors, n_replicates=5)
    >>> given = {"target": target, "environment": predictors, "arguments": {"depth": (0, 200)}}
    >>> row = habitat.integrate(field, depth=(0, 200)).iloc[0]
    >>> uncertainty_ledger(model, table, field, row=row, factors={"carbon relation": 0.3}, **given)["source"].tolist()
    ['sampling', 'carbon relation']
    """
    draws, factors = dict(draws or {}), dict(factors or {})
    check_sources(draws, factors)
    if not np.isfinite(row["low"]):
        msg = "the total has no interval to take apart: its low is not known. Calibrate the field first."
        raise ValueError(msg)
    require_columns(table, [*([counts] if counts else []), *(c for columns in draws.values() for c in columns)])
    light, arguments = _light(model), dict(arguments or {})
    units = field[member_variable(field)].attrs["units"]

    def log_total(rows, estimator=light, column=target):
        fitted = fit_rows(estimator, rows, target=column, predictors=list(model.feature_names_in_), volume=volume)
        mapped = predict_grid(fitted, environment, units=units)
        floor = field[[SEA_FLOOR]] if SEA_FLOOR in field else {}
        return np.log(integrate(mapped.assign(floor), by="global", **arguments)["mean"].iloc[0])

    tail = stats.norm.ppf((1 + row["level"]) / 2)
    sampling = ((np.log(row["high"]) - np.log(row["low"])) / 2 / tail) ** 2
    variances, ratios = {}, {}
    as_it_is = log_total(table) if draws or alternatives else None
    if counts:
        variances["counting"] = min(_of_counting(log_total, table, target, counts), sampling)
        sampling -= variances["counting"]
    for source, columns in draws.items():
        totals = [log_total(table, column=column) for column in columns]
        variances[source], ratios[source] = float(np.var(totals)), _over(as_it_is, columns, totals)
    variances["sampling"] = sampling
    variances |= {source: sd**2 for source, sd in factors.items()}
    if alternatives:
        totals = [log_total(table, estimator=_light(other)) for other in alternatives.values()]
        variances["choice of model"] = float(np.var([as_it_is, *totals], ddof=1))
        ratios["choice of model"] = _over(as_it_is, alternatives, totals)
    if outside > 0:
        variances["extrapolation"] = outside**2 * float(field.attrs["calibration_block_variance"])
    ledger = _cumulated(variances, row["median"], row["level"])
    return ledger.assign(ratios=[ratios.get(source, {}) for source in ledger["source"]])


def _light(model):
    """A model with few members that all resample alike, so that totals differ by their data alone."""
    model = clone(model)
    if "n_members" in model.get_params():
        model.set_params(n_members=min(model.n_members, N_MEMBERS))
    return model


def _over(as_it_is, names, log_totals):
    return {name: float(np.exp(total - as_it_is)) for name, total in zip(names, log_totals, strict=True)}


def _of_counting(log_total, table, target, counts):
    """Variance of the logarithm of the total over surveys whose counts are drawn anew."""
    rng, n = np.random.default_rng(0), table[counts].to_numpy(dtype=float)
    per_object = np.divide(table[target].to_numpy(dtype=float), n, out=np.zeros_like(n), where=n > 0)
    surveys = (table.assign(**{target: per_object * rng.poisson(np.nan_to_num(n))}) for _ in range(N_DRAWS))
    return float(np.var([log_total(survey) for survey in surveys], ddof=1))


def _cumulated(variances, centre, level):
    """Sources with their shares, and the interval as they are added one by one."""
    rows = pd.DataFrame({"source": list(variances), "variance": list(variances.values())})
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt(rows["variance"].cumsum())
    return pd.DataFrame(
        {
            "source": rows["source"],
            "log_sd": np.sqrt(rows["variance"]),
            "share": rows["variance"] / rows["variance"].sum(),
            "low": centre * np.exp(-half),
            "high": centre * np.exp(half),
        }
    )
