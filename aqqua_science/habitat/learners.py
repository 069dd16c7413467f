"""Learners beside boosted trees, one protocol for all: forest, splines, Gaussian process, small network."""

from typing import ClassVar

import numpy as np
import sklearn
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import ParameterGrid
from sklearn.neural_network import MLPRegressor
from sklearn.utils.validation import has_fit_parameter

from aqqua_science.habitat import objectives, training
from aqqua_science.habitat.losses import choose_loss
from aqqua_science.habitat.members import MemberEnsemble
from aqqua_science.habitat.model import BoostedTrees
from aqqua_science.habitat.smoothers import GaussianProcess, PenalisedSplines
from aqqua_science.schema import nearest_name

LEARNERS = ("trees", "forest", "splines", "process", "network")
"""Names that `learner` knows."""


def learner(name, **settings):
    """
    Make a model of amounts by the name of its kind.

    Parameters
    ----------
    name : {"trees", "forest", "splines", "process", "network"}
        "trees": `BoostedTrees`. "forest": random forest, robust and blunt. "splines": smooth additive curves with a
        log link (a GAM), for few samples and effects that multiply. "process": Gaussian process of 300 samples, smooth
        with interactions. "network": small neural network, for many predictors that tell something together, such as
        mean image embeddings beside the environment.
    **settings
        Of `BoostedTrees`, or of `RegressorEnsemble` and, with ``regressor__`` before it, of what that wraps:
        ``learner("forest", n_members=10, regressor__min_samples_leaf=5)``.

    Returns
    -------
    BoostedTrees or RegressorEnsemble
        Not fitted.

    Raises
    ------
    ValueError
        If the name or a setting is unknown.

    Examples
    --------
    >>> learner("splines", n_members=5, regressor__n_knots=6).regressor
    PenalisedSplines(n_knots=6)
    >>> learner("forest", regressor__min_samples_leaf=5).regressor.min_samples_leaf
    5
    """
    makers = {
        "trees": BoostedTrees,
        "forest": lambda: RegressorEnsemble(_forest()),
        "splines": lambda: RegressorEnsemble(PenalisedSplines(), candidates={"alpha": [1e-4, 1e-3, 1e-2, 0.1, 1.0]}),
        "process": lambda: RegressorEnsemble(GaussianProcess(), objective="log", n_rows=300),
        "network": lambda: RegressorEnsemble(
            MLPRegressor(hidden_layer_sizes=(32,), learning_rate_init=0.005, max_iter=5000),
            objective="log",
            candidates={"alpha": [1.0, 10.0, 30.0]},
        ),
    }
    if name not in makers:
        msg = f"name must be one of {LEARNERS}; got {name!r}.{nearest_name(name, LEARNERS)}"
        raise ValueError(msg)
    return makers[name]().set_params(**settings)


class RegressorEnsemble(MemberEnsemble):
    """
    Ensemble of any regressor of scikit-learn, for skewed amounts with many zeros.

    Each member is a clone of the regressor, fitted to a resampled part of the data; the prediction is their mean. What
    `BoostedTrees` gives to maps, budgets and validation this gives too. Predictors are centred and divided by their
    standard deviation, skewed ones such as chlorophyll as logarithms. Beyond the range of the samples they count as at
    its end, since a curve that goes on rising on the log scale makes a budget of anything.

    Parameters
    ----------
    regressor : scikit-learn regressor, optional
        By default a random forest of 50 trees, as ``learner("forest")``.
    objective : {"amount", "log"}
        What the regressor learns: the amount over its mean; or ``log(y + c)``, c half the smallest positive amount.
        Either way each member keeps the total of its own samples (see `objectives.smearing_ratio`).
    candidates : dict of str to list, optional
        Settings of the regressor. Each member takes those whose deviance is least on samples it has not seen: those
        that its resampling left out, or a fifth of the groups if groups are given and resampling is "stratified".
    n_rows : int, optional
        Most samples that a member learns from; if there are more, they are drawn by weight.
    scale : float, optional
        Chosen by `objectives.choose_scale` and kept in `scale_`; here it matters to scores and intervals alone.
    n_members : int
    resampling : {"stratified", "blocks", "groups", None}
        As in `BoostedTrees`.
    missing : {"refuse", "impute"}
        NaN among predictors: an error, or the median of the training samples.
    n_jobs : int, optional
        Threads over members.
    random_state : int, RandomState or None

    Attributes
    ----------
    models_ : list of scikit-learn regressors
    chosen_ : list of dict
        The candidate that each member took.
    smearing_ : numpy.ndarray, shape (n_members,)
    skewed_ : numpy.ndarray of bool, shape (n_features_in_,)
        Predictors that count by their logarithm.
    scale_, log_constant_, medians_, n_imputed_, n_features_in_, feature_names_in_, settings_
        As in `BoostedTrees`.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"temperature": rng.uniform(0, 30, 200), "nitrate": rng.uniform(0, 20, 200)})
    >>> y = rng.poisson(np.exp(0.1 * X["temperature"]))
    >>> model = RegressorEnsemble(KNeighborsRegressor(), n_members=3, candidates={"n_neighbors": [3, 20]}).fit(X, y)
    >>> model.predict_members(X).shape, model.chosen_[0]
    ((3, 200), {'n_neighbors': 20})
    """

    _choices: ClassVar[dict] = {**MemberEnsemble._choices, "objective": ("amount", "log")}

    def __init__(
        self,
        regressor=None,
        *,
        objective="amount",
        candidates=None,
        n_rows=None,
        scale=None,
        n_members=20,
        resampling="stratified",
        missing="refuse",
        n_jobs=None,
        random_state=0,
    ):
        self.regressor = regressor
        self.objective = objective
        self.candidates = candidates
        self.n_rows = n_rows
        self.scale = scale
        self.n_members = n_members
        self.resampling = resampling
        self.missing = missing
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _check_choices(self):
        super()._check_choices()
        if self.resampling is None and self.candidates:
            msg = "resampling=None holds no sample out, so nothing tells candidates apart. Set candidates=None."
            raise ValueError(msg)
        if self.n_rows is not None and self.n_rows < 2:
            msg = f"n_rows is how many samples a member learns from and must be 2 or more; got {self.n_rows}."
            raise ValueError(msg)

    def _stops(self):
        return bool(self.candidates)

    def _prepare(self, X, y, weight, volume, groups):
        samples = super()._prepare(X, y, weight, volume, groups)
        self.ends_ = [end.astype(np.float64) for end in (samples.X.min(axis=0), samples.X.max(axis=0))]
        self.skewed_ = training.skewed(samples.X)
        rows = self._unskewed(samples.X)
        self.center_ = np.average(rows, axis=0, weights=samples.weight)
        self.spread_ = np.sqrt(np.average((rows - self.center_) ** 2, axis=0, weights=samples.weight))
        learnt = self._logs(samples.amount) if self.objective == "log" else samples.amount
        self.label_mean_ = float(np.average(learnt, weights=samples.weight))
        self.label_sd_ = float(np.sqrt(np.average((learnt - self.label_mean_) ** 2, weights=samples.weight))) or 1.0
        return samples

    def _logs(self, amount):
        return objectives.labels("log", amount, log_constant=self.log_constant_)[0][0]

    def _label(self, amount):
        if self.objective == "amount":
            return amount / self.label_mean_
        return (self._logs(amount) - self.label_mean_) / self.label_sd_

    def _scaled_amount(self, regressor, X):
        found = np.asarray(regressor.predict(self._standard(X)), dtype=np.float64)
        if self.objective == "amount":
            return np.maximum(found, 0) * self.label_mean_
        logs = found * self.label_sd_ + self.label_mean_
        return objectives.combine("log", [logs], log_constant=self.log_constant_)

    def _standard(self, X):
        return (self._unskewed(X) - self.center_) / self.spread_

    def _unskewed(self, X):
        X = np.clip(X.astype(np.float64), *self.ends_)
        X[:, self.skewed_] = np.log(X[:, self.skewed_])
        return X

    def _fit_member(self, samples, times, held_out, seed):
        """Regressor, settings and smearing ratio of one member: of all candidates those of the best."""
        tried = [
            (*self._fit_candidate(samples, times, candidate, seed), candidate)
            for candidate in ParameterGrid(self.candidates or {})
        ]
        if len(tried) == 1:
            return tried[0]
        unseen = samples.take(held_out)
        loss = choose_loss("deviance", samples.amount)

        def cost(fitted):
            regressor, ratio, _ = fitted
            predicted = self._scaled_amount(regressor, unseen.X) * ratio
            return np.average(loss(unseen.amount, predicted), weights=unseen.weight)

        return min(tried, key=cost)

    def _fit_candidate(self, samples, times, candidate, seed):
        weight = samples.weight * times
        regressor = clone(_forest() if self.regressor is None else self.regressor).set_params(**candidate)
        seeds = [name for name in regressor.get_params() if name.split("__")[-1] == "random_state"]
        regressor.set_params(**dict.fromkeys(seeds, seed))
        limit = int(min(times.sum(), self.n_rows or np.inf))
        if has_fit_parameter(regressor, "sample_weight") and np.count_nonzero(weight) <= limit:
            rows = np.flatnonzero(weight)
            weights = {"sample_weight": weight[rows] / weight[rows].mean()}
        else:
            rows, weights = _drawn(weight, limit, seed), {}
        regressor.fit(self._standard(samples.X[rows]), self._label(samples.amount[rows]), **weights)
        predicted = self._scaled_amount(regressor, samples.X)
        return regressor, objectives.smearing_ratio(samples.amount, predicted, weight=weight)

    def _keep(self, fitted):
        self.models_ = [regressor for regressor, _, _ in fitted]
        self.smearing_ = np.array([ratio for _, ratio, _ in fitted])
        self.chosen_ = [candidate for _, _, candidate in fitted]

    def _member_amount(self, member, X):
        return self._scaled_amount(self.models_[member], X) * (self.smearing_[member] / self.scale_)

    def _details(self):
        return {"backend": "scikit-learn", "backend_version": sklearn.__version__, "chosen": self.chosen_}


def _forest():
    return RandomForestRegressor(50, min_samples_leaf=3, max_features=1 / 3)


def _drawn(weight, n, seed):
    """Draw n rows by weight in even steps of its sum: equal weights and as many rows take each row once."""
    rng = np.random.default_rng(seed)
    # Shuffled, since in the order of a table even steps may meet one depth of every cast.
    order = rng.permutation(np.flatnonzero(weight))
    ends = np.cumsum(weight[order])
    steps = (np.arange(n) + rng.random()) / n * ends[-1]
    return np.sort(order[np.searchsorted(ends, steps, side="right").clip(max=len(order) - 1)])
