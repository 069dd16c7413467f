"""How amounts respond to each predictor: accumulated local effects, partial dependence, and interactions."""

from itertools import combinations

import numpy as np
import pandas as pd

from aqqua_science import schema
from aqqua_science.habitat.training import skewed


def accumulated_effects(model, table, *, predictors=None, n_bins=20, n_points=40, scale="response", level=0.9):
    """
    Accumulated local effects (ALE): how the prediction changes along a predictor, with the others as they go with it.

    Within a narrow range of one predictor, the samples there are moved from its lower to its upper end; the mean
    change is summed from range to range. No sample is moved to a combination of predictors that the sea does not have,
    as partial dependence does.

    Parameters
    ----------
    model : scikit-learn regressor
        Fitted. The members of an ensemble with `predict_members` give the band.
    table : pandas.DataFrame
        Samples with their predictors; rows that lack one are left out.
    predictors : list of str, optional
        To show; by default all that `model` was fitted on.
    n_bins : int
        Ranges with equal numbers of samples.
    n_points : int
        Points of a curve, evenly over the range of the samples (over its logarithm for a skewed predictor).
    scale : {"response", "log"}
        "log": effects on the natural logarithm of the prediction, that is as factors.
    level : float
        Share of the members within the band.

    Returns
    -------
    pandas.DataFrame
        A row for each point of each curve: ``predictor``; ``value``; ``effect`` on the prediction, mean zero over the
        samples; ``low`` and ``high``, between which the effects of the members lie (which is no confidence interval;
        NaN for a model without); ``n_samples`` nearest to the point. NaN where neither the point nor its neighbours
        have a sample.

    Raises
    ------
    SchemaError
        If a predictor is absent.
    ValueError
        If a predictor is constant or unknown to the model, or a prediction is not positive on the log scale.

    References
    ----------
    Apley, D. W. and Zhu, J. (2020). Visualizing the effects of predictor variables in black box supervised learning
    models. Journal of the Royal Statistical Society B 82, 1059-1086.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> table = pd.DataFrame({"temperature": np.linspace(0, 30, 61), "noise": np.arange(61) % 7})
    >>> model = LinearRegression().fit(table, 2 * table["temperature"])
    >>> effects = accumulated_effects(model, table, predictors=["temperature"], n_points=3)
    >>> effects[["value", "effect", "n_samples"]].round(6).values.tolist()
    [[0.0, -30.0, 16.0], [15.0, 0.0, 30.0], [30.0, 30.0, 15.0]]
    """
    rows, shown = _samples(model, table, predictors)

    def curves(name, points):
        edges, jumps = _local_effects(model, rows, name, n_bins=n_bins, scale=scale)
        steps = np.concatenate([np.zeros((len(jumps), 1)), np.cumsum(jumps, axis=1)], axis=1)
        at_samples = np.stack([np.interp(rows[name], edges, curve) for curve in steps])
        steps -= at_samples.mean(axis=1, keepdims=True)
        return np.stack([np.interp(points, edges, curve) for curve in steps])

    return pd.concat([_curve(rows[name], curves, n_points, level) for name in shown], ignore_index=True)


def partial_dependence(model, table, *, predictors=None, n_points=40, n_rows=200, scale="response", level=0.9, rng=0):
    """
    Partial dependence: the mean prediction if every sample had one value of a predictor.

    Parameters
    ----------
    model, table, predictors, n_points, scale, level
        As in `accumulated_effects`.
    n_rows : int
        Samples drawn from the table, of which the mean is taken.
    rng : int or numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        As `accumulated_effects` gives it; ``effect`` is the mean prediction itself (or its mean logarithm), not
        centred. Where predictors are correlated it asks the model about water that does not exist: prefer
        `accumulated_effects`.

    Raises
    ------
    SchemaError, ValueError
        As `accumulated_effects`.

    References
    ----------
    Friedman, J. H. (2001). Greedy function approximation: a gradient boosting machine. Annals of Statistics 29,
    1189-1232.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> table = pd.DataFrame({"temperature": np.linspace(0, 30, 61), "noise": np.arange(61) % 7})
    >>> model = LinearRegression().fit(table, 2 * table["temperature"])
    >>> partial_dependence(model, table, predictors=["temperature"], n_points=3)["effect"].round(6).tolist()
    [0.0, 30.0, 60.0]
    """
    rows, shown = _samples(model, table, predictors)
    drawn = _draw(rows, n_rows, rng)

    def curves(name, points):
        values = np.repeat(points, len(drawn))
        predicted = _predict(model, _repeat(drawn, len(points)).assign(**{name: values}), scale)
        return predicted.reshape(len(predicted), len(points), len(drawn)).mean(axis=2)

    return pd.concat([_curve(rows[name], curves, n_points, level) for name in shown], ignore_index=True)


def interaction_strengths(model, table, *, predictors=None, n_rows=50, scale="response", rng=0):
    """
    Friedman and Popescu's H: how much of the joint effect of two predictors is not the sum of their own.

    Parameters
    ----------
    model : scikit-learn regressor
        Fitted.
    table : pandas.DataFrame
        Samples with their predictors; rows that lack one are left out.
    predictors : list of str, optional
        Of which all pairs are looked at; by default all that `model` was fitted on.
    n_rows : int
        Samples drawn from the table; the cost grows with its square.
    scale : {"response", "log"}
        Predictors that multiply interact in the response and not in its logarithm.
    rng : int or numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        One row for each pair, the strongest first: ``predictor``, ``other``; ``strength``, the standard deviation of
        the joint effect that is left over, in units of the prediction (or its logarithm); ``h``, that over the
        standard deviation of the joint effect, in 0..1 or so. A large ``h`` of a small ``strength`` is nothing.

    Raises
    ------
    SchemaError, ValueError
        As `accumulated_effects`.

    References
    ----------
    Friedman, J. H. and Popescu, B. E. (2008). Predictive learning via rule ensembles. Annals of Applied Statistics 2,
    916-954, equation 44.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"temperature": rng.normal(size=60), "nitrate": rng.normal(size=60)})
    >>> model = LinearRegression().fit(table, table["temperature"] + table["nitrate"])
    >>> interaction_strengths(model, table)[["predictor", "other"]].values.tolist()
    [['temperature', 'nitrate']]
    """
    rows, shown = _samples(model, table, predictors)
    drawn = _draw(rows, n_rows, rng)
    alone = {name: _joint(model, drawn, [name], scale) for name in shown}
    pairs = []
    for name, other in combinations(shown, 2):
        both = _joint(model, drawn, [name, other], scale)
        left = np.sqrt(np.mean((both - alone[name] - alone[other]) ** 2))
        whole = np.sqrt(np.mean(both**2))
        pairs.append({"predictor": name, "other": other, "strength": left, "h": left / whole if whole > 0 else 0.0})
    found = pd.DataFrame(pairs, columns=["predictor", "other", "strength", "h"])
    return found.sort_values("strength", ascending=False, kind="stable", ignore_index=True)


def _samples(model, table, predictors):
    """Rows of all predictors of the model, and the names of those to show."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        msg = (
            f"effects need a model fitted on named columns; this {type(model).__name__} was not. Fit it on a DataFrame."
        )
        raise ValueError(msg)
    names = list(names)
    schema.require_columns(table, names)
    shown = names if predictors is None else list(predictors)
    unknown = [name for name in shown if name not in names]
    if unknown:
        msg = f"the model has no predictor {unknown[0]!r}.{schema.nearest_name(unknown[0], names)} It has: {names}."
        raise ValueError(msg)
    rows = table[names].astype(float).dropna()
    constant = [name for name in shown if rows[name].nunique() < 2]
    if constant:
        msg = (
            f"a predictor must vary to have an effect; {constant[0]} is the same in all {len(rows)} rows. Leave it out."
        )
        raise ValueError(msg)
    return rows.reset_index(drop=True), shown


def _draw(rows, n_rows, rng):
    if n_rows >= len(rows):
        return rows
    chosen = np.random.default_rng(rng).choice(len(rows), n_rows, replace=False)
    return rows.iloc[np.sort(chosen)].reset_index(drop=True)


def _repeat(rows, times):
    return rows.iloc[np.tile(np.arange(len(rows)), times)].reset_index(drop=True)


def _predict(model, X, scale):
    """Predictions of the model, and below them those of its members: shape (1 + n_members, n)."""
    if scale not in ("response", "log"):
        msg = f"scale must be 'response' or 'log'; got {scale!r}."
        raise ValueError(msg)
    members = model.predict_members(X).astype(float) if hasattr(model, "predict_members") else np.empty((0, len(X)))
    whole = members.mean(axis=0) if len(members) else np.asarray(model.predict(X), dtype=float).ravel()
    predicted = np.vstack([whole, members])
    if scale == "response":
        return predicted
    if not (predicted > 0).all():
        msg = f"scale='log' needs positive predictions; the least is {predicted.min():g}. Use scale='response'."
        raise ValueError(msg)
    return np.log(predicted)


def _local_effects(model, rows, name, *, n_bins, scale):
    """Edges of the ranges, and mean change of the prediction across each: shape (1 + n_members, n_ranges)."""
    values = rows[name].to_numpy()
    # Edges are samples themselves, so that no range is empty.
    edges = np.unique(np.quantile(values, np.linspace(0, 1, n_bins + 1), method="inverted_cdf"))
    place = np.maximum(np.searchsorted(edges, values, side="left"), 1) - 1
    upper, lower = (_predict(model, rows.assign(**{name: edges[place + end]}), scale) for end in (1, 0))
    counts = np.bincount(place, minlength=len(edges) - 1)
    sums = np.stack([np.bincount(place, weights=change, minlength=len(counts)) for change in upper - lower])
    return edges, sums / counts


def _curve(values, curves, n_points, level):
    points, counts = _points(values.to_numpy(), n_points)
    whole, *members = curves(values.name, points)
    band = np.quantile(members, [(1 - level) / 2, (1 + level) / 2], axis=0) if len(members) > 1 else [np.nan, np.nan]
    near = counts + np.append(counts[1:], 0) + np.insert(counts[:-1], 0, 0)
    curve = pd.DataFrame({"effect": whole, "low": band[0], "high": band[1]}).where(pd.Series(near > 0), axis=0)
    curve.insert(0, "predictor", values.name)
    curve.insert(1, "value", points)
    return curve.assign(n_samples=counts)


def _points(values, n_points):
    """Evenly spaced points, by factors for a skewed predictor, and how many samples are nearest to each."""
    low, high = values.min(), values.max()
    by_factors = skewed(values)
    spaced = np.log if by_factors else np.asarray
    points = np.geomspace(low, high, n_points) if by_factors else np.linspace(low, high, n_points)
    middles = (spaced(points[1:]) + spaced(points[:-1])) / 2
    return points, np.bincount(np.searchsorted(middles, spaced(values)), minlength=n_points)


def _joint(model, rows, names, scale):
    """Centred partial dependence on some predictors at their values in each row."""
    n = len(rows)
    values = {name: np.repeat(rows[name].to_numpy(), n) for name in names}
    predicted = _predict(model, _repeat(rows, n).assign(**values), scale)[0].reshape(n, n).mean(axis=1)
    return predicted - predicted.mean()
