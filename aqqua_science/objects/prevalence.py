"""Prevalences from class probabilities: what a classifier reports, corrected for what it confuses."""

import warnings

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.exceptions import ConvergenceWarning

_SMALLEST, _LARGEST_FLOOR = 1e-12, 1e-3
_SLOPES = (0.05, 20.0)
_RIDGE = 1.0
_MAX_STEPS = 5000


def log_probabilities(probabilities, *, floor=None):
    """
    Logarithms of probabilities of which some may be zero.

    A forest of trees says zero where it means "fewer than one tree", and no evidence could ever overrule a zero.

    Parameters
    ----------
    probabilities : numpy.ndarray, shape (n_objects, n_taxa)
    floor : float, optional
        Smallest probability allowed; by default half the smallest positive one, within 1e-12 and 1e-3.

    Returns
    -------
    numpy.ndarray
    """
    return np.log(np.maximum(probabilities, probability_floor(probabilities) if floor is None else floor))


def probability_floor(probabilities):
    """
    Half the smallest positive probability, within 1e-12 and 1e-3.

    Parameters
    ----------
    probabilities : numpy.ndarray

    Returns
    -------
    float
    """
    positive = probabilities[probabilities > 0]
    return float(np.clip(positive.min() / 2, _SMALLEST, _LARGEST_FLOOR)) if positive.size else _SMALLEST


def fit_recalibration(logs, labels):
    """
    Fit bias-corrected temperature scaling: the class log-probabilities times a slope plus one number per class.

    Parameters
    ----------
    logs : numpy.ndarray, shape (n_objects, n_taxa)
        Log-probabilities of labelled objects that the classifier has not learnt from.
    labels : numpy.ndarray of int, shape (n_objects,)
        Column of each object's true taxon.

    Returns
    -------
    slope : float
        The inverse temperature.
    bias : numpy.ndarray, shape (n_taxa,)

    References
    ----------
    Alexandari, Kundaje and Shrikumar 2020, Maximum likelihood with bias-corrected calibration is hard-to-beat at
    label shift adaptation, ICML, arXiv 1901.06852.
    """
    rows = np.arange(len(logs))

    def loss(parameters):
        slope, bias = np.exp(parameters[0]), parameters[1:]
        scores = log_softmax(slope * logs + bias, axis=1)
        residual = np.exp(scores)
        residual[rows, labels] -= 1
        gradient = np.concatenate([[slope * np.sum(residual * logs)], residual.sum(0) + _RIDGE * bias])
        return -scores[rows, labels].sum() + _RIDGE / 2 * bias @ bias, gradient

    bounds = [tuple(np.log(_SLOPES)), *[(None, None)] * logs.shape[1]]
    found = minimize(loss, np.zeros(1 + logs.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(np.exp(found.x[0])), found.x[1:]


def fit_biases(scores, labels, *, weights, start):
    """
    Fit the class biases again to weighted objects, by Newton's method.

    Parameters
    ----------
    scores : numpy.ndarray, shape (n_objects, n_taxa)
        Log-probabilities times the slope.
    labels : numpy.ndarray of int, shape (n_objects,)
    weights : numpy.ndarray, shape (n_objects,)
    start : numpy.ndarray, shape (n_taxa,)

    Returns
    -------
    numpy.ndarray, shape (n_taxa,)
    """
    bias = start.copy()
    wanted = np.bincount(labels, weights=weights, minlength=len(start))
    for _ in range(20):
        fitted = softmax(scores + bias, axis=1)
        weighted = fitted * weights[:, None]
        total = weighted.sum(0)
        curvature = np.diag(total + _RIDGE) - fitted.T @ weighted
        step = np.linalg.solve(curvature, total - wanted + _RIDGE * bias)
        # A class of few objects can overshoot its optimum by orders of magnitude.
        bias -= np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-6:
            break
    return bias


def maximise_likelihood(ratios, weights, *, scale, start, tolerance=1e-6):
    """
    Prevalences under which the objects of a sample are most likely, by expectation maximisation.

    Solves many problems that share their objects at once, one per column of `weights` and `scale`.

    Parameters
    ----------
    ratios : numpy.ndarray, shape (n_objects, n_taxa)
        Proportional, in each row, to how likely the object's image is under each taxon.
    weights : numpy.ndarray, shape (n_objects, n_problems)
        Of the objects; columns sum to one.
    scale : numpy.ndarray, shape (n_taxa, n_problems)
        Multiplies the columns of `ratios`.
    start : numpy.ndarray, shape (n_taxa, n_problems)
        First guess, positive: a prevalence of zero stays zero.
    tolerance : float
        Stop when no prevalence changes by more in one step.

    Returns
    -------
    numpy.ndarray, shape (n_taxa, n_problems)

    Warns
    -----
    ConvergenceWarning
        If 5,000 steps do not suffice.

    References
    ----------
    Saerens, Latinne and Decaestecker 2002, Adjusting the outputs of a classifier to new a priori probabilities,
    Neural Computation 14(1), doi 10.1162/089976602753284446.
    """
    prevalence = start.copy()
    active = np.arange(start.shape[1])
    for _ in range(_MAX_STEPS):
        share = prevalence[:, active] * scale[:, active]
        new = share * (ratios.T @ (weights[:, active] / (ratios @ share)))
        moved = np.abs(new - prevalence[:, active]).max(axis=0)
        prevalence[:, active] = new
        active = active[moved > tolerance]
        if not active.size:
            break
    else:
        warnings.warn(
            f"prevalences still change by {moved.max():.2g} after {_MAX_STEPS} steps of expectation maximisation; "
            "some taxa can hardly be told apart. Merge them, or read their sum.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return prevalence


def confusion_matrix(reported, labels, *, weights):
    """
    What a classifier reports of each true taxon, on average.

    Parameters
    ----------
    reported : numpy.ndarray, shape (n_objects, n_taxa)
        Probabilities, or ones at the most probable taxon.
    labels : numpy.ndarray of int, shape (n_objects,)
    weights : numpy.ndarray, shape (n_objects,)

    Returns
    -------
    numpy.ndarray, shape (n_taxa, n_taxa)
        Row: reported taxon, column: true taxon; columns sum to one.
    """
    members = np.zeros_like(reported)
    members[np.arange(len(labels)), labels] = weights
    sums = reported.T @ members
    return sums / sums.sum(axis=0)


def invert_confusion(reported, confusion, *, tolerance=1e-7):
    """
    Least-squares prevalences on the simplex that explain what a classifier reports.

    Where the matrix is singular, of all solutions the one nearest to the report is taken.

    Parameters
    ----------
    reported : numpy.ndarray, shape (n_samples, n_taxa)
        Reported prevalences; rows sum to one.
    confusion : numpy.ndarray, shape (n_taxa, n_taxa)
        As from `confusion_matrix`.
    tolerance : float
        Stop when no prevalence changes by more in one step.

    Returns
    -------
    numpy.ndarray, shape (n_samples, n_taxa)

    References
    ----------
    Forman 2008, Quantifying counts and costs via classification, Data Mining and Knowledge Discovery 17,
    doi 10.1007/s10618-008-0097-y. Bella et al. 2010, Quantification via probability estimators, ICDM,
    doi 10.1109/ICDM.2010.75. Steps by Beck and Teboulle 2009 (FISTA), doi 10.1137/080716542.
    """
    ridge = 1e-6
    gram = confusion.T @ confusion + ridge * np.eye(len(confusion))
    target = reported @ confusion + ridge * reported
    step = 1 / np.linalg.eigvalsh(gram)[-1]
    current = ahead = project_simplex(reported)
    pace = 1.0
    for _ in range(_MAX_STEPS):
        new = project_simplex(ahead - step * (ahead @ gram - target))
        change = new - current
        if np.abs(change).max(initial=0) < tolerance:
            return new
        # Momentum that points uphill is dropped, which keeps the steps from circling.
        pace = 1.0 if np.sum((ahead - new) * change) > 0 else pace
        faster = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        ahead, current, pace = new + (pace - 1) / faster * change, new, faster
    return current


def project_simplex(points):
    """
    Nearest points whose coordinates are not negative and sum to one.

    Parameters
    ----------
    points : numpy.ndarray, shape (n, n_taxa)

    Returns
    -------
    numpy.ndarray, shape (n, n_taxa)

    References
    ----------
    Held, Wolfe and Crowder 1974, Validation of subgradient optimization, doi 10.1007/BF01580223.
    """
    descending = -np.sort(-points, axis=1)
    excess = (np.cumsum(descending, axis=1) - 1) / np.arange(1, points.shape[1] + 1)
    last = np.count_nonzero(descending > excess, axis=1) - 1
    return np.maximum(points - excess[np.arange(len(points)), last][:, None], 0)
