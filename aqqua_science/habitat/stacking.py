"""A weighted mean of learners, whose weights are what held-out blocks of water make of them."""

from numbers import Integral

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.model_selection import GroupKFold
from sklearn.utils import check_random_state

from aqqua_science.habitat.folds import StratifiedFolds
from aqqua_science.habitat.learners import learner
from aqqua_science.habitat.losses import choose_loss
from aqqua_science.habitat.members import MemberEnsemble
from aqqua_science.habitat.validation import FOLD_MEMBERS


class WeightedEnsemble(MemberEnsemble):
    """
    Weighted mean of several learners (stacking).

    Whole groups are held out, each learner predicts them, and the weights are those, none negative and with sum 1, by
    which the mean of the predictions has the least deviance there. Then all learners learn from all samples. A
    learner that knows its samples by heart gains nothing: weights never see a prediction of a sample that was learnt.
    The same must hold for the score of the whole: `cross_validate` finds the weights anew without each of its folds.

    Parameters
    ----------
    learners : dict of str to learner, optional
        Of `aqqua_science.habitat.learners.learner`, or any `BoostedTrees` or `RegressorEnsemble`. By default trees,
        forest and splines. `n_members`, `resampling` and `random_state` below go over theirs, so that the members of
        all have seen the same blocks.
    n_splits : int
        Folds that the weights come from.
    n_members : int
        Of each learner; a member of the whole is the weighted mean of one member of each.
    resampling : {"blocks", "groups", "stratified", None}
        As in `BoostedTrees`. With "stratified" members see more of the samples, and groups need not be given: without
        them the folds are random, which flatters the learners that fill gaps between neighbours.
    scale : float, optional
        As in `aqqua_science.habitat.learners.RegressorEnsemble`.
    n_jobs : int, optional
        Threads over the members of a learner.
    random_state : int, RandomState or None

    Attributes
    ----------
    weights_ : pandas.Series
        By learner.
    held_out_ : pandas.DataFrame
        Predictions of each learner for samples it had not seen, one row per sample of a positive weight.
    learners_ : dict of str to fitted learner
    models_ : list of tuple
        For each member the models of all learners.
    scale_, n_features_in_, feature_names_in_, settings_
        As in `BoostedTrees`.

    References
    ----------
    Breiman, L. (1996). Stacked regressions. Machine Learning 24, 49-64.
    van der Laan, M. J., Polley, E. C. and Hubbard, A. E. (2007). Super learner. Statistical Applications in Genetics
    and Molecular Biology 6, 25.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"temperature": rng.uniform(0, 30, 200), "nitrate": rng.uniform(0, 20, 200)})
    >>> y = rng.poisson(np.exp(0.1 * X["temperature"]))
    >>> learners = {"trees": learner("trees", n_trees=20), "splines": learner("splines")}
    >>> model = WeightedEnsemble(learners, n_members=2).fit(X, y, groups=np.arange(200) // 10)
    >>> model.weights_.index.tolist(), float(model.weights_.sum()).__round__(6)
    (['trees', 'splines'], 1.0)
    """

    missing = "refuse"
    wants_groups = True

    def __init__(
        self,
        learners=None,
        *,
        n_splits=5,
        n_members=20,
        resampling="blocks",
        scale=None,
        n_jobs=None,
        random_state=0,
    ):
        self.learners = learners
        self.n_splits = n_splits
        self.n_members = n_members
        self.resampling = resampling
        self.scale = scale
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X, y, *, sample_weight=None, volume=None, groups=None):
        """
        Find the weights, and fit all learners.

        Parameters
        ----------
        X : pandas.DataFrame or array_like, shape (n, p)
            Predictors.
        y : array_like, shape (n,)
            Non-negative amounts.
        sample_weight, volume, groups : array_like, shape (n,), optional
            As in `BoostedTrees`.

        Returns
        -------
        WeightedEnsemble
            Itself.

        Raises
        ------
        ValueError
            If a choice is unknown, there are fewer groups than folds, or a learner refuses the samples.
        """
        self._check_choices()
        X, y, weight = self._checked_samples(X, y, sample_weight)
        samples = self._prepare(X, y, weight, volume, groups)
        table = pd.DataFrame(samples.X, columns=self._names())
        amount = y[weight > 0]
        seed = self._seed()
        learners = self._clones(seed)
        volume = None if volume is None else np.asarray(volume)[weight > 0]
        columns = {"sample_weight": weight[weight > 0], "volume": volume, "groups": samples.groups}
        self.held_out_ = self._held_out(learners, table, amount, seed=seed, **columns)
        self.weights_ = stacking_weights(self.held_out_, amount, weight=samples.weight)
        self.learners_ = {name: model.fit(table, amount, **columns) for name, model in learners.items()}
        self.models_ = list(zip(*(model.models_ for model in self.learners_.values()), strict=True))
        self.settings_ = self._record(samples)
        return self

    def _check_choices(self):
        super()._check_choices()
        if self.learners is not None and not self.learners:
            msg = "learners is empty: there is nothing to weight. Pass {'trees': BoostedTrees(), ...}, or None."
            raise ValueError(msg)
        for name, model in (self.learners or {}).items():
            if not isinstance(model, MemberEnsemble):
                msg = (
                    f"learners[{name!r}] must be a learner of this package; got {type(model).__name__}. "
                    "Wrap a regressor of scikit-learn: RegressorEnsemble(regressor)."
                )
                raise ValueError(msg)
        if self.n_splits < 2:
            msg = f"n_splits is into how many folds the samples are dealt and must be 2 or more; got {self.n_splits}."
            raise ValueError(msg)

    def _seed(self):
        """One number for all learners, so that their members draw alike."""
        if isinstance(self.random_state, Integral):
            return self.random_state
        return check_random_state(self.random_state).randint(2**31 - 1)

    def _clones(self, seed):
        chosen = self.learners or {name: learner(name) for name in ("trees", "forest", "splines")}
        shared = {name: getattr(self, name) for name in ("n_members", "resampling", "n_jobs")}
        return {name: clone(model).set_params(random_state=seed, **shared) for name, model in chosen.items()}

    def _held_out(self, learners, table, amount, *, seed, **columns):
        """Predictions of each learner for the samples of folds that it has not seen."""
        found = pd.DataFrame(np.nan, index=table.index, columns=list(learners))
        for train, test in self._splits(amount, columns["groups"], seed):
            rows = {name: None if column is None else column[train] for name, column in columns.items()}
            for name, model in learners.items():
                light = clone(model).set_params(n_members=min(self.n_members, FOLD_MEMBERS))
                found.loc[test, name] = light.fit(table.iloc[train], amount[train], **rows).predict(table.iloc[test])
        return found

    def _splits(self, amount, groups, seed):
        if groups is None:
            return StratifiedFolds(self.n_splits, random_state=seed).split(amount, amount)
        if groups.max() + 1 < self.n_splits:
            msg = (
                f"n_splits={self.n_splits} folds need as many groups; there are {groups.max() + 1}. "
                "Use smaller groups or fewer folds."
            )
            raise ValueError(msg)
        return GroupKFold(self.n_splits).split(amount, groups=groups)

    def _member_amount(self, member, X):
        parts = zip(self.weights_, self.learners_.values(), strict=True)
        return sum(share * model._member_amount(member, X) for share, model in parts)

    def _details(self):
        return {
            "weights": self.weights_.to_dict(),
            "learners": {name: model.settings_ for name, model in self.learners_.items()},
        }


def stacking_weights(predictions, observed, *, weight=None):
    """
    Find weights, none negative and with sum 1, by which a mean of predictions has the least deviance.

    Parameters
    ----------
    predictions : pandas.DataFrame
        One column for each learner, of samples it has not seen.
    observed : numpy.ndarray, shape (n,)
        Non-negative amounts.
    weight : numpy.ndarray, shape (n,), optional
        Of the samples.

    Returns
    -------
    pandas.Series
        By column.

    Examples
    --------
    >>> predictions = pd.DataFrame({"low": [1.0, 2.0], "high": [3.0, 6.0]})
    >>> stacking_weights(predictions, np.array([2.0, 4.0])).round(3).tolist()
    [0.5, 0.5]
    """
    columns = predictions.to_numpy(dtype=float)
    loss = choose_loss("deviance", observed)
    size = np.average(observed, weights=weight)
    start = np.full(columns.shape[1], 1 / columns.shape[1])
    found = minimize(
        lambda shares: np.average(loss(observed, columns @ shares), weights=weight) / size,
        start,
        method="SLSQP",
        bounds=[(0, 1)] * len(start),
        constraints={"type": "eq", "fun": lambda shares: shares.sum() - 1},
    )
    shares = np.clip(found.x, 0, 1)
    return pd.Series(shares / shares.sum(), index=predictions.columns, name="weight")
