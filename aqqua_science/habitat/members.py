"""What every model of amounts has in common: members fitted to resampled samples, whose mean is the prediction."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from aqqua_science.files import plain
from aqqua_science.habitat import training
from aqqua_science.habitat.resampling import member_rows
from aqqua_science.schema import nearest_name

_BLOCK_ROWS = 65_536


class MemberEnsemble(RegressorMixin, BaseEstimator):
    """
    Base of the models that maps are made of: `predict_grid`, `calibrate` and `cross_validate` ask no more than this.

    A subclass has the parameters `scale`, `n_members`, `resampling`, `missing`, `n_jobs` and `random_state`, and
    ``_choices``, the values that some parameters may have. It defines ``_fit_member(samples, times, held_out, seed)``;
    ``_keep(fitted)``, which sets `models_` (one entry for each member) and whatever else it learned;
    ``_member_amount(member, X)``, in the units of the target; ``_stops()``, whether rows that a member has not seen
    end its growth or choose its settings; and ``_details()``, what `settings_` tells of it alone.
    """

    _choices: ClassVar[dict] = {
        "resampling": ("stratified", "blocks", "groups", None),
        "missing": ("refuse", "impute"),
    }
    objective = "log"
    volume_as = "weight"

    def fit(self, X, y, *, sample_weight=None, volume=None, groups=None):
        """
        Fit all members.

        Parameters
        ----------
        X : pandas.DataFrame or array_like, shape (n, p)
            Predictors.
        y : array_like, shape (n,)
            Non-negative amounts in their own units, e.g. mg m-3.
        sample_weight : array_like, shape (n,), optional
            Rows of weight 0 are left out.
        volume : array_like, shape (n,), optional
            Sampled volume, m3: a weight, unless `volume_as` says otherwise.
        groups : array_like, shape (n,), optional
            Label of the spatial block or cruise of each row.

        Returns
        -------
        MemberEnsemble
            Itself.

        Raises
        ------
        ValueError
            If a choice is unknown or does not fit the data; the message says what would.
        """
        self._check_choices()
        X, y, weight = self._checked_samples(X, y, sample_weight)
        samples = self._prepare(X, y, weight, volume, groups)
        draws = self._draw(samples)
        with ThreadPoolExecutor(effective_n_jobs(self.n_jobs)) as pool:
            fitted = list(pool.map(lambda draw: self._fit_member(samples, *draw), draws))
        self._keep(fitted)
        self.settings_ = self._record(samples)
        return self

    def predict(self, X):
        """
        Predict the mean of the members.

        Parameters
        ----------
        X : pandas.DataFrame or array_like, shape (n, p)

        Returns
        -------
        numpy.ndarray, shape (n,)
            In units of `y`.
        """
        X = self._checked_predictors(X)
        mean = np.empty(len(X))

        def fill(rows):
            block = X[rows]
            mean[rows] = sum(self._member_amount(m, block) for m in range(len(self.models_))) / len(self.models_)

        self._for_blocks(fill, len(X))
        return mean

    def predict_members(self, X):
        """
        Predict with every member on its own.

        Parameters
        ----------
        X : pandas.DataFrame or array_like, shape (n, p)

        Returns
        -------
        numpy.ndarray of float32, shape (n_members, n)
            In units of `y`. Their spread describes the fit, not the error of the prediction.
        """
        X = self._checked_predictors(X)
        amounts = np.empty((len(self.models_), len(X)), dtype=np.float32)

        def fill(rows):
            for m in range(len(self.models_)):
                amounts[m, rows] = self._member_amount(m, X[rows])

        self._for_blocks(fill, len(X))
        return amounts

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        tags.input_tags.allow_nan = self.missing != "refuse"
        return tags

    def _check_choices(self):
        for name, known in self._choices.items():
            value = getattr(self, name)
            if value not in known:
                msg = f"{name} must be one of {known}; got {value!r}.{nearest_name(value, known)}"
                raise ValueError(msg)
        if self.n_members < 1:
            msg = f"n_members must be at least 1; got {self.n_members}."
            raise ValueError(msg)

    def _checked_samples(self, X, y, sample_weight):
        X, y = validate_data(
            self, X, y, dtype=np.float32, order="C", ensure_all_finite=False, ensure_min_samples=2, y_numeric=True
        )
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        return X, y.astype(np.float64), weight

    def _prepare(self, X, y, weight, volume, groups):
        """Check the samples and bring them into the model's units; rows of weight 0 are left out."""
        used = weight > 0
        groups = training.numbered_groups(groups, used, resampling=self.resampling)
        exposure = training.checked_volume(volume, len(used))
        X, amount, weight = X[used], y[used], weight[used]
        training.check_amounts(amount, objective=self.objective)
        if exposure is not None:
            exposure = exposure[used]
            if self.volume_as == "weight":
                weight, exposure = weight * exposure / exposure.mean(), None
            else:
                amount = amount * exposure
        self.scale_ = training.checked_scale(self.scale, amount, objective=self.objective)
        self.log_constant_ = float(amount[amount > 0].min() / 2 * self.scale_)
        return training.TrainingSamples(
            X=self._learn_predictors(X),
            amount=amount * self.scale_,
            weight=weight,
            exposure=exposure,
            groups=groups,
        )

    def _learn_predictors(self, X):
        training.check_finite(X, names=self._names(), missing=self.missing)
        training.check_vary(X, names=self._names())
        self.medians_ = np.nanmedian(X, axis=0)
        counts = np.isnan(X).sum(axis=0) * (self.missing == "impute")
        self.n_imputed_ = {name: int(n) for name, n in zip(self._names(), counts, strict=True) if n}
        if self.n_imputed_:
            msg = f"missing predictors set to their training median: {training.listing(self._names(), counts)}."
            warnings.warn(msg, stacklevel=4)
        return self._filled(X)

    def _checked_predictors(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float32, order="C", ensure_all_finite=False)
        training.check_finite(X, names=self._names(), missing=self.missing)
        return self._filled(X)

    def _filled(self, X):
        return np.where(np.isnan(X), self.medians_, X) if self.missing == "impute" else X

    def _names(self):
        return list(getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)]))

    def _draw(self, samples):
        """Rows to learn from, rows to stop on and seed of each member."""
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        seeds = rng.integers(2**31 - 1, size=self.n_members).tolist()
        # An amount that rounds to no count is no presence to a Poisson member.
        draws = member_rows(
            np.round(samples.amount) if self.objective == "poisson" else samples.amount,
            samples.groups,
            resampling=self.resampling,
            n_members=self.n_members,
            stopping=self._stops(),
            rng=rng,
        )
        return [(*draw, seed) for draw, seed in zip(draws, seeds, strict=True)]

    def _for_blocks(self, fill, n):
        """Run `fill` on slices of n rows, in threads; small blocks keep memory flat."""
        n_threads = effective_n_jobs(self.n_jobs)
        step = max(1, min(_BLOCK_ROWS, -(-n // n_threads)))
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(fill, (slice(start, start + step) for start in range(0, n, step))))

    def _record(self, samples):
        return plain(
            {
                "estimator": type(self).__name__,
                "parameters": self.get_params(deep=False),
                **self._details(),
                "scale": self.scale_,
                "predictors": self._names(),
                "n_samples": len(samples.amount),
                "n_groups": None if samples.groups is None else int(samples.groups.max()) + 1,
                "n_imputed": self.n_imputed_,
            }
        )
