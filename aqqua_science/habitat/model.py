"""The relation between amounts of plankton and their environment: an ensemble of boosted trees."""

from typing import ClassVar

import numpy as np
import xgboost as xgb

from aqqua_science.habitat import objectives, training
from aqqua_science.habitat.members import MemberEnsemble


class BoostedTrees(MemberEnsemble):
    """
    Ensemble of boosted regression trees for skewed amounts with many zeros.

    Each member is a gradient-boosted model (xgboost) of a resampled part of the data; the prediction is
    their mean. Everything that shapes the numbers is passed to xgboost explicitly and kept in `settings_`,
    because its defaults change between versions and the intercept alone can move a global budget by a fifth.

    Parameters
    ----------
    objective : {"poisson", "tweedie", "gamma", "two-part", "log"}
        "poisson": counts ``round(y * scale)``. "tweedie": compound Poisson-gamma of power 1.5. "gamma":
        positive amounts only. "two-part": chance of presence (logistic) times amount where present (gamma).
        "log": squared error of ``log(y + c)``, c half the smallest positive amount, corrected so that each
        member keeps the total of its own samples (see `objectives.smearing_ratio`).
    scale : float, optional
        Multiplies the amounts inside the model; predictions are always in the units of `y`. By default
        chosen by `objectives.choose_scale` and kept in `scale_`.
    n_members : int
    resampling : {"stratified", "blocks", "groups", None}
        What a member learns from: four of five stratified folds; whole groups drawn with replacement; four of
        five folds of whole groups; all rows. See `resampling.member_rows`.
    n_trees : int, optional
        By default each member grows until the deviance of samples it has not seen stops falling: those that
        its resampling left out, or a fifth of the groups if groups are given and resampling is "stratified".
    learning_rate, max_depth, min_child_weight, subsample : float
        As in xgboost; `min_child_weight` is a sum of curvatures, which for "poisson" grows with `scale`.
    tree_method : {"hist", "exact", "approx"}
        As in xgboost. "exact" tries every split, as gradient boosting in R used to do.
    base_score : "mean" or float
        Where the trees start: the weighted mean label of the member, or this number in units of the scaled
        label (xgboost before version 2 used 0.5). The presences of "two-part" always start from their mean.
    missing : {"refuse", "impute", "allow"}
        NaN among predictors: an error; the median of the training samples; or the branch that xgboost
        learns for missing values, which can be far off where training has few of them.
    monotone : dict, optional
        Predictor name to 1 (amounts never fall as it rises), -1 or 0.
    volume_as : {"weight", "offset"}
        Role of the sampled volume in `fit`: a weight proportional to it, or the exposure of an amount
        ``y * volume``, with log(volume) as offset (log-link objectives only).
    n_jobs : int, optional
        Threads over members; results do not depend on it.
    random_state : int, RandomState or None

    Attributes
    ----------
    models_ : list of tuple of xgboost.Booster
        One tuple per member; two boosters for "two-part", else one.
    n_trees_, base_score_ : numpy.ndarray, shape (n_members, n_boosters)
    smearing_ : numpy.ndarray, shape (n_members,)
        Correction factors of "log"; 1 otherwise.
    scale_ : float
    log_constant_ : float
        The c of "log" times `scale_`.
    medians_ : numpy.ndarray, shape (n_features_in_,)
        Of the training predictors.
    n_imputed_ : dict
        Predictor name to the number of training values that were imputed.
    n_features_in_, feature_names_in_
        As in scikit-learn.
    settings_ : dict
        All of the above choices with the backend's version, fit for JSON.

    Examples
    --------
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"temperature": rng.uniform(0, 30, 200), "nitrate": rng.uniform(0, 20, 200)})
    >>> y = rng.poisson(np.exp(0.1 * X["temperature"]))
    >>> model = BoostedTrees(n_members=5, n_trees=30, random_state=0).fit(X, y)
    >>> model.predict_members(X).shape
    (5, 200)
    >>> bool(model.score(X, y) > 0.6)
    True
    """

    _choices: ClassVar[dict] = {
        "objective": tuple(objectives.LIKELIHOODS),
        "resampling": ("stratified", "blocks", "groups", None),
        "tree_method": ("hist", "exact", "approx"),
        "missing": ("refuse", "impute", "allow"),
        "volume_as": ("weight", "offset"),
    }

    def __init__(
        self,
        objective="poisson",
        *,
        scale=None,
        n_members=20,
        resampling="stratified",
        n_trees=None,
        learning_rate=0.075,
        max_depth=4,
        min_child_weight=3,
        subsample=0.5,
        tree_method="hist",
        base_score="mean",
        missing="refuse",
        monotone=None,
        volume_as="weight",
        n_jobs=None,
        random_state=0,
    ):
        self.objective = objective
        self.scale = scale
        self.n_members = n_members
        self.resampling = resampling
        self.n_trees = n_trees
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.min_child_weight = min_child_weight
        self.subsample = subsample
        self.tree_method = tree_method
        self.base_score = base_score
        self.missing = missing
        self.monotone = monotone
        self.volume_as = volume_as
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _check_choices(self):
        super()._check_choices()
        if self.volume_as == "offset" and self.objective not in objectives.OFFSET_OBJECTIVES:
            msg = (
                f"volume_as='offset' needs one of {objectives.OFFSET_OBJECTIVES}; objective is {self.objective!r}. "
                "Use volume_as='weight'."
            )
            raise ValueError(msg)
        if self.resampling is None and self.n_trees is None:
            msg = "resampling=None holds no sample out, so growth has nothing to stop on. Set n_trees."
            raise ValueError(msg)

    def _stops(self):
        return self.n_trees is None

    def _fit_member(self, samples, times, held_out, seed):
        """Boosters, their starting values and the smearing ratio of one member."""
        weight = samples.weight * times
        labels = objectives.labels(self.objective, samples.amount, log_constant=self.log_constant_)
        boosters, starts = [], []
        for likelihood, (label, used) in zip(objectives.LIKELIHOODS[self.objective], labels, strict=True):
            rows = used & (times > 0)
            start = self._start(likelihood, label[rows], weight[rows], samples.take(rows).exposure)
            chain = objectives.grow(
                samples.matrix(label, weight=weight, start=start, rows=rows),
                samples.matrix(label, weight=samples.weight, start=start, rows=used & held_out),
                parameters=self._parameters(likelihood) | {"base_score": start, "seed": seed},
                metric=likelihood.metric,
                n_trees=self.n_trees,
            )
            boosters.append(chain)
            starts.append(start)
        return tuple(boosters), starts, self._smearing(boosters, samples, weight)

    def _keep(self, fitted):
        self.models_ = [boosters for boosters, _, _ in fitted]
        self.base_score_ = np.array([starts for _, starts, _ in fitted])
        self.smearing_ = np.array([ratio for _, _, ratio in fitted])
        self.n_trees_ = np.array([[b.num_boosted_rounds() for b in boosters] for boosters in self.models_])

    def _start(self, likelihood, label, weight, exposure):
        if self.base_score == "mean" or likelihood.objective == "binary:logistic":
            return objectives.mean_label(label, weight=weight, exposure=exposure, likelihood=likelihood)
        return float(self.base_score)

    def _smearing(self, boosters, samples, weight):
        if self.objective != "log":
            return 1.0
        predicted = self._scaled_amount(boosters, samples.X)
        return objectives.smearing_ratio(samples.amount, predicted, weight=weight)

    def _parameters(self, likelihood):
        return objectives.parameters(
            likelihood,
            learning_rate=self.learning_rate,
            max_depth=self.max_depth,
            min_child_weight=self.min_child_weight,
            subsample=self.subsample,
            tree_method=self.tree_method,
            nthread=1,
            **training.constraints(self.monotone, self._names()),
        )

    def _scaled_amount(self, boosters, X):
        parts = [booster.inplace_predict(X) for booster in boosters]
        return objectives.combine(self.objective, parts, log_constant=self.log_constant_)

    def _member_amount(self, member, X):
        return self._scaled_amount(self.models_[member], X) * (self.smearing_[member] / self.scale_)

    def _details(self):
        return {
            "backend": "xgboost",
            "backend_version": xgb.__version__,
            "chains": [self._parameters(likelihood) for likelihood in objectives.LIKELIHOODS[self.objective]],
        }
