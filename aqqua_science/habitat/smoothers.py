"""Smooth relations as scikit-learn regressors: penalised splines with a log link, and a Gaussian process."""

import numpy as np
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import TweedieRegressor
from sklearn.preprocessing import SplineTransformer
from sklearn.utils.validation import check_is_fitted, validate_data

_LINEAR_PENALTY = 0.1
"""Weight of the plain ridge beside that of curvature: without it, straight lines and constants would be free."""

_MAX_STEPS = 30
"""Of the search for length scales; the likelihood is nearly flat from there on."""


class PenalisedSplines(RegressorMixin, BaseEstimator):
    """
    Generalised additive model: the log amount is a sum of one smooth curve for each predictor.

    Curves are cubic splines whose knots are quantiles of the predictor; beyond its range they are flat. Their
    curvature, the integral of the squared second derivative, is penalised, so that little data makes a straight line
    and not a wild one.

    Parameters
    ----------
    n_knots : int
        Of each curve, the ends included.
    alpha : float
        Weight of the penalty.
    power : float
        Of the variance as a function of the mean: 1 for Poisson, between 1 and 2 for compound Poisson-gamma.

    References
    ----------
    Wood, S. N. (2017). Generalized Additive Models: An Introduction with R, 2nd edition, chapter 5.

    Examples
    --------
    >>> x = np.linspace(0, 1, 50)[:, None]
    >>> fitted = PenalisedSplines(alpha=1e-6).fit(x, np.exp(np.sin(6 * x[:, 0])))
    >>> bool(np.allclose(fitted.predict(x), np.exp(np.sin(6 * x[:, 0])), rtol=0.02))
    True
    """

    def __init__(self, n_knots=8, *, alpha=1e-3, power=1.0):
        self.n_knots = n_knots
        self.alpha = alpha
        self.power = power

    def fit(self, X, y, sample_weight=None):
        """
        Fit all curves at once.

        Parameters
        ----------
        X : array_like, shape (n, p)
            Predictors of a standard deviation near 1.
        y : array_like, shape (n,)
            Non-negative amounts.
        sample_weight : array_like, shape (n,), optional

        Returns
        -------
        PenalisedSplines
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        self.curves_ = [_curve(column[:, None], self.n_knots) for column in X.T]
        self.model_ = TweedieRegressor(power=self.power, link="log", alpha=self.alpha, solver="newton-cholesky")
        self.model_.fit(self._columns(X), y, sample_weight=sample_weight)
        return self

    def predict(self, X):
        """
        Predict amounts.

        Parameters
        ----------
        X : array_like, shape (n, p)

        Returns
        -------
        numpy.ndarray, shape (n,)
        """
        check_is_fitted(self)
        return self.model_.predict(self._columns(validate_data(self, X, reset=False, dtype=np.float64)))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags

    def _columns(self, X):
        parts = [basis.transform(x[:, None]) @ turned for (basis, turned), x in zip(self.curves_, X.T, strict=True)]
        return np.hstack(parts)


def _curve(x, n_knots):
    """Splines of one predictor, and the coordinates of their coefficients in which the penalty is a plain ridge."""
    knots = np.unique(np.quantile(x, np.linspace(0, 1, n_knots)))
    if len(knots) < 2:
        knots = knots[0] + np.array([-0.5, 0.5])
    basis = SplineTransformer(knots=knots[:, None], degree=3, extrapolation="constant").fit(x)
    # Two Gauss points in each interval: exact for the square of a second derivative, which is quadratic there.
    half = np.diff(knots) / 2
    points = (knots[:-1] + half) + np.array([[-1], [1]]) * half / np.sqrt(3)
    bending = basis.bsplines_[0].derivative(2)(points.ravel())
    penalty = bending.T @ (bending * np.tile(half, 2)[:, None])
    values, vectors = np.linalg.eigh(penalty + _LINEAR_PENALTY * np.eye(len(penalty)))
    return basis, vectors / np.sqrt(values)


class GaussianProcess(RegressorMixin, BaseEstimator):
    """
    Gaussian process with noise, and a length scale for each predictor.

    A predictor of a long scale hardly matters, one of a short scale makes the amount change quickly. Scales and noise
    maximise the likelihood of the samples. Cost grows with the cube of their number: give it hundreds.

    Parameters
    ----------
    length_scale : float
        Where the search begins, in units of `X`.
    noise : float
        Where that for the variance of the noise begins, in units of the variance of `y`.

    References
    ----------
    Rasmussen, C. E. and Williams, C. K. I. (2006). Gaussian Processes for Machine Learning, chapter 5.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 2))
    >>> fitted = GaussianProcess().fit(X, np.sin(2 * X[:, 0]))
    >>> bool(fitted.length_scales_[1] > 5 * fitted.length_scales_[0])
    True
    """

    def __init__(self, length_scale=2.0, *, noise=0.3):
        self.length_scale = length_scale
        self.noise = noise

    def fit(self, X, y):
        """
        Find scales and noise, and condition on the samples.

        Parameters
        ----------
        X : array_like, shape (n, p)
            Predictors of a standard deviation near 1.
        y : array_like, shape (n,)

        Returns
        -------
        GaussianProcess
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        smooth = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(np.full(X.shape[1], self.length_scale), (0.1, 100.0))
        start = GaussianProcessRegressor(smooth + WhiteKernel(self.noise, (1e-3, 10.0)), optimizer=None)
        start = start.set_params(normalize_y=True).fit(X, y)

        def cost(theta):
            likelihood, slope = start.log_marginal_likelihood(theta, eval_gradient=True, clone_kernel=False)
            return -likelihood, -slope

        # scikit-learn's own search warns of every predictor that does not matter, whose scale has no upper end.
        first, bounds = start.kernel_.theta.copy(), start.kernel_.bounds
        found = minimize(cost, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _MAX_STEPS})
        kernel = start.kernel_.clone_with_theta(found.x)
        self.process_ = GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True).fit(X, y)
        self.length_scales_ = kernel.k1.k2.length_scale
        return self

    def predict(self, X):
        """
        Predict the mean of the process.

        Parameters
        ----------
        X : array_like, shape (n, p)

        Returns
        -------
        numpy.ndarray, shape (n,)
        """
        check_is_fitted(self)
        return self.process_.predict(validate_data(self, X, reset=False, dtype=np.float64))
