"""Which taxon is it? A classifier on frozen features, with probabilities that were tested on objects held out."""

import warnings

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from aqqua_science.objects import crossfitting, labels, persistence
from aqqua_science.objects.calibration import SCALINGS, TemperatureScaling
from aqqua_science.objects.feature_input import (
    blocks,
    check_fingerprint,
    check_finite,
    check_order,
    fingerprint_of,
    is_labelled,
    names_of,
    orient,
)
from aqqua_science.objects.heads import HEADS
from aqqua_science.objects.hierarchy import check_threshold, class_table, hierarchical_scores
from aqqua_science.schema import nearest_name


class TaxonClassifier(ClassifierMixin, BaseEstimator):
    """
    Name objects by their features, and say how sure each name is.

    Parameters
    ----------
    head : {"logistic", "knn", "forest", "boosting"}
        Multinomial logistic regression; nearest neighbours by cosine, weighted by 1 / distance; 50 principal
        components and a random forest; gradient boosting. All standardise the features first. `heads` tells the
        details.
    class_weight : {"balanced"}, dict or None
        "balanced" makes all taxa count alike, however rare: objects are weighted in the fit of "logistic", "forest"
        and "boosting", votes of neighbours in "knn". A dict maps taxa to weights, 1 where it has none.
    calibration : {"temperature", "isotonic"} or None
        How held-out objects mend the probabilities. "temperature" never changes an answer, and keeps the equally
        common taxa of "balanced": added up, its probabilities count too many of the rare ones, which
        `counting.quantify` corrects. "isotonic" may change answers: it moves them back towards how common the taxa are
        among the labelled objects. None holds nothing out: faster, and neither probabilities nor answers are tested.
    abstain_below : float, optional
        `classify` gives no taxon to objects whose probability is below this, or with `taxonomy` the deepest taxon
        that reaches it.
    taxonomy : Taxonomy, optional
        Must hold every class.
    settings : dict, optional
        Of the head, such as ``{"n_neighbours": 20}``.
    n_folds : int
        Parts into which the labelled objects are dealt for calibration.
    n_jobs : int, optional
        Threads of "knn" and "forest".
    random_state : int, RandomState or None

    Attributes
    ----------
    classes_ : numpy.ndarray, shape (k,)
    calibration_ : dict or None
        Expected calibration error and likelihood of held-out objects before and after, see
        `crossfitting.calibration_record`; "after" is of folds whose calibration was fitted on the others.
    scores_ : dict or None
        Of held-out objects, see `crossfitting.held_out_scores`; with `taxonomy` also those of
        `hierarchy.hierarchical_scores`, as ``hierarchical_...`` and ``parent_error_rate``.
    held_out_ : pandas.DataFrame or None
        Calibrated probabilities of the held-out objects (columns are the classes; indexed as `classify` does: by the
        coordinate ``object`` or the index of X, else by place), their true ``taxon`` and, with groups, ``sample_id``:
        what `counting.quantify` wants as calibration. Not saved.
    untested_classes_ : list
        Classes that could not be held out.
    n_unlabelled_ : int
        Rows that were left out for want of a label.
    fingerprint_ : str or None
        Of the encoder of the features, where these told it.

    References
    ----------
    Guo et al. 2017, On calibration of modern neural networks, ICML.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> taxon = np.repeat(["Copepoda", "Rhizaria"], 50)
    >>> features = rng.normal(size=(100, 4)) + 3 * (taxon == "Rhizaria")[:, None]
    >>> model = TaxonClassifier().fit(features, taxon)
    >>> model.scores_["accuracy"] > 0.9
    True
    >>> model.classify(features[:1])["taxon"].tolist()
    ['Copepoda']
    """

    def __init__(
        self,
        head="logistic",
        *,
        class_weight="balanced",
        calibration="temperature",
        abstain_below=None,
        taxonomy=None,
        settings=None,
        n_folds=5,
        n_jobs=None,
        random_state=0,
    ):
        self.head = head
        self.class_weight = class_weight
        self.calibration = calibration
        self.abstain_below = abstain_below
        self.taxonomy = taxonomy
        self.settings = settings
        self.n_folds = n_folds
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X, y, *, groups=None):
        """
        Learn from labelled objects.

        Parameters
        ----------
        X : array_like or xarray.DataArray, shape (n, d)
            Features; finite.
        y : array_like, shape (n,)
            Taxa. Rows with None, NaN or "" are left out and counted in `n_unlabelled_`.
        groups : array_like, shape (n,), optional
            Sample or cruise of each object. Objects of one sample resemble each other, so without groups calibration
            and scores flatter.

        Returns
        -------
        TaxonClassifier

        Raises
        ------
        ValueError
            If features are not finite, labels are of one class only, groups are missing or one, a choice is
            unknown, or `y` or `groups` are a Series whose index tells other objects than that of X.

        Warns
        -----
        UserWarning
            If classes have one object, or lie in one group: they are learned, but cannot be tested.
        """
        self._check_choices()
        X, self.fingerprint_ = orient(X), fingerprint_of(X)
        check_order(X, y=y, groups=groups)
        y, known = labels.split_labels(y)
        check_consistent_length(X, y)
        index, _ = names_of(X, slice(0, len(y)))
        self.n_unlabelled_ = int((~known).sum())
        X, y = self._labelled_rows(X, y, known)
        groups, names = labels.number_groups(groups, known)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._check_classes()
        labels.check_class_weight(self.class_weight, self.classes_)
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self._calibrate(X, codes, groups, sample_id=names, index=index[known])
        self.head_ = self._fit_head(X, codes)
        return self

    def predict(self, X):
        """
        Name the most probable class.

        Parameters
        ----------
        X : array_like or xarray.DataArray, shape (n, d)

        Returns
        -------
        numpy.ndarray, shape (n,)
        """
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X):
        """
        Tell the calibrated probability of each class.

        Parameters
        ----------
        X : array_like or xarray.DataArray, shape (n, d)

        Returns
        -------
        numpy.ndarray, shape (n, k)
            In the order of `classes_`.
        """
        return np.concatenate([probability for _, probability in self._answer_blocks(X)])

    def classify(self, features):
        """
        Name objects, with all that tells how sure the name is.

        Parameters
        ----------
        features : array_like or xarray.DataArray, shape (n, d)
            One that lies on disk is read block by block.

        Returns
        -------
        pandas.DataFrame
            ``object_id`` where the features carry it; ``taxon`` (None where abstained), its ``probability``, ``level``
            (number of its ancestors in the taxonomy), ``rank`` and ``abstained``; ``entropy`` (nats) of the classes and
            ``margin`` between the first two; ``taxon_1``, ``probability_1`` and so on for up to five classes.
        """
        parts = [self._table(features, rows, p) for rows, p in self._answer_blocks(features)]
        return pd.concat(parts)

    def classify_held_out(self):
        """
        Name the objects of the fit as classifiers do that have not learned from them; `classify` remembers them.

        Returns
        -------
        pandas.DataFrame
            As of `classify`, without ``object_id``; the rows of `held_out_`.

        Raises
        ------
        ValueError
            If nothing was held out.
        """
        check_is_fitted(self)
        if self.held_out_ is None:
            msg = "nothing was held out, or it was not saved. Fit with a calibration, and two objects of each taxon."
            raise ValueError(msg)
        return self._named(self.held_out_.iloc[:, : len(self.classes_)].to_numpy(float), self.held_out_.index)

    def save(self, path):
        """
        Write the classifier to a file of arrays and JSON, which runs no code when it is read.

        Parameters
        ----------
        path : str or pathlib.Path
            Ends in ``.npz``.
        """
        check_is_fitted(self)
        persistence.write_classifier(self, path)

    @classmethod
    def load(cls, path):
        """
        Read what `save` wrote.

        Parameters
        ----------
        path : str or pathlib.Path

        Returns
        -------
        TaxonClassifier

        Raises
        ------
        ValueError
            If the file is none, is damaged or is of a later version.
        """
        return persistence.read_classifier(cls, path)

    def _check_choices(self):
        for name, known in (("head", list(HEADS)), ("calibration", [*SCALINGS, None])):
            value = getattr(self, name)
            if value not in known:
                msg = f"{name} must be one of {known}; got {value!r}.{nearest_name(value, known)}"
                raise ValueError(msg)
        if self.abstain_below is not None:
            check_threshold(self.abstain_below)
        if self.n_folds < 2:
            msg = f"n_folds must be at least 2; got {self.n_folds}. To hold nothing out, pass calibration=None."
            raise ValueError(msg)
        self._new_head()

    def _new_head(self, seed=0):
        try:
            return HEADS[self.head](seed=seed, n_jobs=self.n_jobs, **(self.settings or {}))
        except TypeError as error:
            msg = (
                f"settings of head {self.head!r}: {error}. See aqqua_science.objects.heads.{HEADS[self.head].__name__}."
            )
            raise ValueError(msg) from error

    def _labelled_rows(self, X, y, known):
        """Features and labels of the rows that have one."""
        if not known.any():
            msg = (
                f"none of the {len(y)} rows has a label, so there is nothing to learn. Label some, of two taxa or more."
            )
            raise ValueError(msg)
        if is_labelled(X):
            X = np.asarray(X.isel(object=np.flatnonzero(known)))
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_all_finite=False, ensure_min_samples=2)
        X = X if len(X) == known.sum() else X[known]
        check_finite(X, numbers=np.flatnonzero(known))
        y = y[known]
        check_classification_targets(y)
        return X, y

    def _check_classes(self):
        if len(self.classes_) < 2:
            msg = f"all labels are of one class, {self.classes_.tolist()[0]!r}. A classifier needs two classes or more."
            raise ValueError(msg)
        if self.taxonomy is not None:
            self.taxonomy.memberships(map(str, self.classes_))

    def _fit_head(self, X, codes):
        """A fresh head of the classes that are present."""
        present, codes = np.unique(codes, return_inverse=True)
        weight = labels.class_weights(self.class_weight, codes, names=self.classes_[present])
        return self._new_head(self._seed).fit(X, codes, weight)

    def _calibrate(self, X, codes, groups, *, sample_id, index):
        """Hold objects out, score what is said of them, and learn how to mend it."""
        self.scaling_, self.untested_classes_ = TemperatureScaling(), []
        self.calibration_ = self.scores_ = self.held_out_ = None
        if self.calibration is None:
            return
        folds = crossfitting.deal_folds(codes, groups, n_folds=self.n_folds, rng=self._seed)
        said, tested = crossfitting.hold_out(self._fit_head, X, codes, folds=folds)
        self._warn_of_untested(codes[tested], grouped=groups is not None)
        if not tested.any():
            return
        said, codes, folds = said[tested], codes[tested], folds[tested]
        scaling = SCALINGS[self.calibration]
        probability = crossfitting.calibrate_folds(said, codes, folds=folds, scaling=scaling)
        self.scaling_ = scaling.fit(said, codes)
        self.calibration_ = {"method": self.calibration, "n_folds": len(np.unique(folds))}
        self.calibration_ |= crossfitting.calibration_record(said, probability, codes)
        self.scores_ = self._scores(probability, codes)
        self.held_out_ = pd.DataFrame(probability.astype(np.float32), index=index[tested], columns=self.classes_)
        self.held_out_["taxon"] = self.classes_[codes]
        if groups is not None:
            self.held_out_["sample_id"] = sample_id[groups[tested]]

    def _scores(self, probability, codes):
        scores = crossfitting.held_out_scores(probability, codes)
        if self.taxonomy is None:
            return scores
        names = self.classes_.astype(str)
        found = hierarchical_scores(names[codes], names[probability.argmax(axis=1)], self.taxonomy)
        parent = {"parent_error_rate": found.pop("parent_error_rate")}
        return scores | {f"hierarchical_{name}": value for name, value in found.items()} | parent

    def _warn_of_untested(self, codes, *, grouped):
        left = np.setdiff1d(np.arange(len(self.classes_)), codes)
        self.untested_classes_ = self.classes_[left].tolist()
        if len(left):
            why = "all their objects lie in one group" if grouped else "they have one object each"
            named = ", ".join(map(repr, self.untested_classes_[:10])) + ", ..." * (len(left) > 10)
            msg = (
                f"{len(left)} of {len(self.classes_)} classes cannot be held out, since {why}: {named}. They are "
                "learned, but their probabilities and scores are untested. Label more of them, or leave them out."
            )
            warnings.warn(msg, stacklevel=4)

    def _answer_blocks(self, X):
        """Yield (rows, calibrated probabilities), block by block."""
        check_is_fitted(self)
        check_fingerprint(X, self.fingerprint_)
        X = orient(X)
        if not is_labelled(X):
            X = self._checked(X)
        for rows in blocks(len(X)):
            block = self._checked(np.asarray(X.isel(object=rows))) if is_labelled(X) else X[rows]
            check_finite(block, numbers=range(rows.start, rows.stop))
            yield rows, self.scaling_.apply(self.head_.log_probability(block))

    def _checked(self, X):
        return validate_data(self, X, reset=False, dtype=[np.float64, np.float32], ensure_all_finite=False)

    def _table(self, features, rows, probability):
        """Answers of one block."""
        index, object_id = names_of(features, rows)
        found = self._named(probability, index)
        if object_id is not None:
            found.insert(0, "object_id", object_id)
        return found

    def _named(self, probability, index):
        """Answers by their probabilities."""
        classes = self.classes_.astype(str).astype(object) if self.taxonomy else self.classes_
        table = pd.DataFrame(probability, index=index, columns=classes)
        return class_table(table, threshold=self.abstain_below, taxonomy=self.taxonomy)
