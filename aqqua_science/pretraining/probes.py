"""What a frozen embedding knows: probes for taxa, sizes and instruments, and how widely it spreads."""

import warnings

import numpy as np
import pandas as pd

_TEMPERATURE = 0.07
_BLOCK = 1_024
_MOST = 2_000
_STRENGTHS = (0.001, 0.01, 0.1, 1.0)


def split(labels, *, rng=0, test_share=0.3):
    """
    Part rows at random into training and test, class by class.

    Parameters
    ----------
    labels : array of str or int, shape (row,)
        Rows without a label (missing or empty) come on neither side.
    rng : int or numpy.random.Generator
    test_share : float
        Of every class; yet each class of two or more is on both sides, and those of one are for training.

    Returns
    -------
    train, test : numpy.ndarray of int
        Row numbers, ascending.

    Raises
    ------
    ValueError
        If `test_share` is not between 0 and 1.

    Examples
    --------
    >>> train, test = split(["a"] * 10 + ["b"] * 3 + ["c"])
    >>> len(train), len(test)
    (10, 4)
    """
    if not 0 < test_share < 1:
        msg = f"test_share must lie between 0 and 1; got {test_share}. Pass 0.3 to test on three rows in ten."
        raise ValueError(msg)
    codes = _codes(labels)
    rank, size = _places_in_class(codes, np.random.default_rng(rng))
    n_test = np.where(size > 1, np.clip(np.round(test_share * size), 1, size - 1), 0)
    known = codes >= 0
    return np.flatnonzero(known & (rank >= n_test)), np.flatnonzero(known & (rank < n_test))


def knn_accuracy(features, labels, *, train, test, k=10):
    """
    Share of test images whose nearest training images vote for the right class.

    Neighbours are those of the largest cosine; each votes with exp(cosine / 0.07) (Wu et al. 2018, CVPR; Caron et al.
    2021, ICCV).

    Parameters
    ----------
    features : array of float, shape (row, feature)
    labels : array of str or int, shape (row,)
    train, test : array of int
    k : int
        Neighbours; all of `train` if it has fewer.

    Returns
    -------
    float
    """
    directions, codes = _directions(features), _classes(labels, [*train, *test])
    found, cosines = _nearest(directions[test], directions[train], k)
    votes = np.zeros((len(test), codes.max() + 1))
    np.add.at(votes, (np.arange(len(test))[:, None], codes[train][found]), np.exp(cosines / _TEMPERATURE))
    return float(np.mean(votes.argmax(axis=1) == codes[test]))


def linear_probe(features, labels, *, train, test):
    """
    Judge a logistic regression on standardised features, all classes weighing the same.

    Its penalty is the best of four on an inner split of `train`.

    Parameters
    ----------
    features : array of float, shape (row, feature)
    labels : array of str or int, shape (row,)
    train, test : array of int

    Returns
    -------
    dict
        `accuracy`, the share of test images told rightly, and `balanced_accuracy`, the mean of that share over the
        classes in `test`.

    Raises
    ------
    ValueError
        If `train` has fewer than two classes.
    """
    values, codes = _standardised(features, train), _classes(labels, [*train, *test])
    if len(np.unique(codes[train])) < 2:
        msg = "a probe tells classes apart; the training rows have only one. Pass rows of two classes or more."
        raise ValueError(msg)
    strength = _best_strength(values[train], codes[train])
    right = _hits(values, codes, strength, train=train, test=test)
    return {"accuracy": float(np.mean(right)), "balanced_accuracy": _balanced(right, codes[test])}


def regression_probe(features, target, *, train, test):
    """
    Judge a ridge regression on standardised features; its penalty is chosen by leaving one out.

    Parameters
    ----------
    features : array of float, shape (row, feature)
    target : array of float, shape (row,)
    train, test : array of int

    Returns
    -------
    float
        R2: 1 if the target is known exactly, 0 if no better than its mean over `test`.
    """
    from sklearn.linear_model import RidgeCV

    values, target = _standardised(features, train), np.asarray(target, float)
    model = RidgeCV(np.logspace(-3, 5, 17)).fit(values[train], target[train])
    return float(model.score(values[test], target[test]))


def leakage(features, instruments, *, train, test):
    """
    Tell how well the instrument can be read off an embedding: the less, the better they share one space.

    Parameters
    ----------
    features : array of float, shape (row, feature)
    instruments : array of str, shape (row,)
    train, test : array of int

    Returns
    -------
    dict
        `leakage`, the balanced accuracy of a linear probe, and `leakage_chance`, what guessing gives.
    """
    found = linear_probe(features, instruments, train=train, test=test)
    n_instruments = len(np.unique(_codes(instruments)[test]))
    return {"leakage": found["balanced_accuracy"], "leakage_chance": 1 / n_instruments}


def rank_me(features):
    """
    Count the dimensions that an embedding fills: the effective rank; 1 if it has collapsed.

    Parameters
    ----------
    features : array of float, shape (row, feature)

    Returns
    -------
    float
        Exponential of the entropy of the singular values, scaled to a sum of 1 (RankMe; Garrido et al. 2023, ICML).
    """
    from scipy.special import entr

    spectrum = np.linalg.svd(_matrix(features), compute_uv=False)
    return float(np.exp(entr(spectrum / spectrum.sum()).sum())) if spectrum.any() else 0.0


def uniformity(features, *, t=2):
    """
    Tell how evenly directions cover the sphere: 0 if they are all the same, the lower the more even.

    Parameters
    ----------
    features : array of float, shape (row, feature)
        Of more than 2,000 rows, so many are taken at equal steps.
    t : float

    Returns
    -------
    float
        Logarithm of the mean of exp(-t * squared distance) over all pairs (Wang and Isola 2020, ICML).
    """
    directions = _directions(features)
    n = min(len(directions), _MOST)
    directions = directions[np.linspace(0, len(directions) - 1, n).astype(int)]
    pairs = np.exp(2 * t * (directions @ directions.T - 1))
    return float(np.log((pairs.sum() - np.trace(pairs)) / (n * (n - 1))))


def purity(features, labels, *, k=10):
    """
    Tell how many of an image's neighbours are of its own class, without training or test.

    Parameters
    ----------
    features : array of float, shape (row, feature)
    labels : array of str or int, shape (row,)
    k : int
        Neighbours by cosine, the image itself left out.

    Returns
    -------
    dict
        `purity`, the mean share of neighbours of the same class, and `purity_above_chance`, the same, but 0 is what
        random neighbours give and 1 perfect; NaN if there is one class only.
    """
    directions, codes = _directions(features), _classes(labels)
    found, _ = _nearest(directions, directions, k, leave_self=True)
    mean, n, counts = float(np.mean(codes[found] == codes[:, None])), len(codes), np.bincount(codes)
    chance = float((counts * (counts - 1)).sum() / (n * (n - 1)))
    above = (mean - chance) / (1 - chance) if chance < 1 else float("nan")
    return {"purity": mean, "purity_above_chance": above}


def evaluate(features, table, *, label="taxon", rng=0, limit=2_000):
    """
    Judge an embedding by everything that its images' table allows, in seconds.

    Parameters
    ----------
    features : array of float, shape (image, feature)
    table : pandas.DataFrame
        Metadata of the same images, in the same order; `instrument` and `esd_um` are looked at if they are there.
    label : str
        Column of the classes.
    rng : int or numpy.random.Generator
        Draws the images and splits them; the same for the same seed.
    limit : int
        Images at most; more are thinned class by class.

    Returns
    -------
    dict
        Always `images`, `rank_me` and `uniformity`. With two classes or more `labelled`, `classes`, `knn_accuracy`,
        `accuracy`, `balanced_accuracy`, `purity` and `purity_above_chance`; with two instruments or more `leakage` and
        `leakage_chance`; with sizes `esd_r2`, of the logarithm.

    Raises
    ------
    ValueError
        If features and table differ in length, or a feature is not finite.

    Examples
    --------
    >>> table = pd.DataFrame({"taxon": ["Copepoda"] * 20 + ["detritus"] * 20})
    >>> features = np.random.default_rng(0).normal(size=(40, 4)) + np.repeat([[5], [-5]], 20, axis=0)
    >>> evaluate(features, table)["knn_accuracy"]
    1.0
    """
    features = _matrix(features)
    if len(features) != len(table):
        msg = f"features has {len(features)} rows, table {len(table)}. Pass the table of the embedded images."
        raise ValueError(msg)
    seed = int(np.random.default_rng(rng).integers(2**32))
    instruments = _column(table, "instrument")
    some = _thin(instruments, limit, seed)
    return (
        {"images": len(some), "rank_me": rank_me(features[some]), "uniformity": uniformity(features[some])}
        | _judge_classes(features, _column(table, label), limit, seed)
        | _judge_instruments(features[some], instruments[some], seed)
        | _judge_sizes(features, _column(table, "esd_um"), limit, seed)
    )


def _judge_classes(features, labels, limit, seed):
    """What the embedding knows of the classes."""
    codes = _codes(labels)
    kept = np.flatnonzero(codes >= 0)
    kept = kept[_thin(codes[kept], limit, seed)]
    features, codes = features[kept], codes[kept]
    train, test = split(codes, rng=seed)
    if len(np.unique(codes[test])) < 2:
        return {}
    return {
        "labelled": len(kept),
        "classes": len(np.unique(codes)),
        "knn_accuracy": knn_accuracy(features, codes, train=train, test=test),
        **linear_probe(features, codes, train=train, test=test),
        **purity(features, codes),
    }


def _judge_instruments(features, instruments, seed):
    """How far the instrument shows through."""
    train, test = split(instruments, rng=seed)
    if len(np.unique(_codes(instruments)[test])) < 2:
        return {}
    return leakage(features, instruments, train=train, test=test)


def _judge_sizes(features, sizes, limit, seed):
    """What the embedding knows of the logarithm of the size."""
    sizes = pd.to_numeric(pd.Series(sizes), errors="coerce").to_numpy(float)
    known = np.flatnonzero((sizes > 0) & np.isfinite(sizes))
    known = known[_thin(np.zeros(len(known), int), limit, seed)]
    if len(known) < 10 or np.ptp(sizes[known]) == 0:
        return {}
    train, test = split(np.zeros(len(known), int), rng=seed)
    return {"esd_r2": regression_probe(features[known], np.log10(sizes[known]), train=train, test=test)}


def _column(table, name):
    """A column of the table; empty if it is not there."""
    return table[name].to_numpy() if name in table else np.full(len(table), None, object)


def _matrix(features):
    """Features as a matrix of finite numbers."""
    features = np.asarray(features, float)
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        msg = f"{len(bad)} of {len(features)} rows are not finite, the first is row {bad[0]}. Leave them out."
        raise ValueError(msg)
    return features


def _directions(features):
    """Features scaled to unit length; zero stays zero."""
    features = _matrix(features)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1)


def _standardised(features, train):
    """Features with mean 0 and variance 1 over the training rows."""
    features = _matrix(features)
    mean, spread = features[train].mean(axis=0), features[train].std(axis=0)
    return (features - mean) / np.where(spread > 1e-12 * np.abs(mean), spread, 1)


def _codes(labels):
    """Classes as numbers from 0 in sorted order; -1 where there is none."""
    series = pd.Series(np.asarray(labels))
    return pd.factorize(series.mask(series.isin([""])), sort=True)[0]


def _classes(labels, rows=slice(None)):
    """Classes as numbers, where rows must have one."""
    codes = _codes(labels)
    if (codes[rows] < 0).any():
        msg = f"{(codes[rows] < 0).sum()} rows have no label. Leave them out; split(labels) does."
        raise ValueError(msg)
    return codes


def _places_in_class(codes, rng):
    """Each row's place in a random order of its class, and the size of the class."""
    order = rng.permutation(len(codes))
    rank = np.empty(len(codes), int)
    rank[order] = pd.Series(order).groupby(codes[order]).cumcount()
    return rank, np.bincount(codes + 1)[codes + 1]


def _thin(labels, limit, seed):
    """At most so many rows, ascending: two of every class first, then the same share of each."""
    rank, size = _places_in_class(_codes(labels), np.random.default_rng(seed))
    share = np.where(rank < 2, rank - 2, rank / size)
    return np.sort(np.argsort(share, kind="stable")[:limit])


def _nearest(queries, references, k, *, leave_self=False):
    """Places in `references` and cosines of the nearest ones, in no order."""
    k = min(k, len(references) - leave_self)
    found, cosines = [], []
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK] @ references.T
        if leave_self:
            block[np.arange(len(block)), start + np.arange(len(block))] = -np.inf
        found.append(np.argpartition(-block, k - 1, axis=1)[:, :k])
        cosines.append(np.take_along_axis(block, found[-1], axis=1))
    return np.concatenate(found), np.concatenate(cosines)


def _hits(values, codes, strength, *, train, test):
    """Which test rows a logistic regression gets right; one that stops early is near enough for a judgement."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(values[train], codes[train]).predict(values[test]) == codes[test]


def _best_strength(values, codes):
    """The inverse penalty that does best on an inner split."""
    fit, judge = split(codes)
    if not len(judge):
        return _STRENGTHS[1]
    hits = [_hits(values, codes, s, train=fit, test=judge) for s in _STRENGTHS]
    return _STRENGTHS[int(np.argmax([_balanced(h, codes[judge]) for h in hits]))]


def _balanced(right, codes):
    """Mean over the classes of the share that is right."""
    counts = np.bincount(codes)
    return float(np.mean((np.bincount(codes, weights=right) / np.maximum(counts, 1))[counts > 0]))
