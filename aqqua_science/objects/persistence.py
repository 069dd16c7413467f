"""What a file keeps of a classifier or a novelty scorer, and what is made of it."""

import numpy as np

from aqqua_science.objects.array_files import read_arrays, write_arrays
from aqqua_science.objects.calibration import SCALINGS
from aqqua_science.objects.taxonomy import Taxonomy

_CLASSIFIER = "TaxonClassifier"
_SCORER = "NoveltyScorer"
_KEPT = ("calibration_", "scores_", "untested_classes_", "n_unlabelled_", "n_features_in_", "fingerprint_")


def write_classifier(model, path):
    """
    Write a fitted classifier.

    Parameters
    ----------
    model : TaxonClassifier
    path : str or pathlib.Path

    Raises
    ------
    ValueError
        If the name does not end in ``.npz``, or classes are neither text nor numbers.
    """
    kind = "text" if all(isinstance(c, str) for c in model.classes_.tolist()) else "numbers"
    if kind == "numbers" and model.classes_.dtype.kind not in "iufb":
        msg = f"classes must all be text or all numbers to be saved; they are of type {model.classes_.dtype}."
        raise ValueError(msg)
    parameters = {name: value for name, value in model.get_params(deep=False).items() if name != "taxonomy"}
    if not isinstance(model.random_state, int):
        parameters["random_state"] = None
    if isinstance(model.class_weight, dict):
        parameters["class_weight"] = list(model.class_weight.items())
    about = {
        "parameters": parameters,
        "classes": model.classes_.tolist() if kind == "text" else str(model.classes_.dtype),
        "text_classes": model.classes_.dtype.kind if kind == "text" else None,
        "features": list(model.feature_names_in_) if hasattr(model, "feature_names_in_") else None,
        "taxonomy": model.taxonomy and {"parents": model.taxonomy.parents, "ranks": model.taxonomy.ranks},
        "scaling": next(name for name, scaling in SCALINGS.items() if isinstance(model.scaling_, scaling)),
        "state": {name: getattr(model, name) for name in _KEPT},
    }
    arrays = {f"head_{name}": array for name, array in model.head_.arrays().items()}
    arrays |= {f"scaling_{name}": array for name, array in model.scaling_.arrays().items()}
    if kind == "numbers":
        arrays["classes"] = model.classes_
    write_arrays(path, arrays, kind=_CLASSIFIER, about=about)


def read_classifier(kind, path):
    """
    Read a fitted classifier.

    Parameters
    ----------
    kind : type
        TaxonClassifier.
    path : str or pathlib.Path

    Returns
    -------
    TaxonClassifier

    Raises
    ------
    ValueError
        If the file is none, is damaged or is of a later version.
    """
    about, arrays = read_arrays(path, kind=_CLASSIFIER)
    parameters = about["parameters"]
    if isinstance(parameters["class_weight"], list):
        parameters["class_weight"] = dict(parameters["class_weight"])
    model = kind(**parameters, taxonomy=about["taxonomy"] and Taxonomy(**about["taxonomy"]))
    for name, value in about["state"].items():
        setattr(model, name, value)
    if about["features"]:
        model.feature_names_in_ = np.array(about["features"], dtype=object)
    if about["text_classes"]:
        model.classes_ = np.array(about["classes"], dtype=object if about["text_classes"] == "O" else str)
    else:
        model.classes_ = arrays["classes"]
    model.held_out_ = None
    model.scaling_ = SCALINGS[about["scaling"]].from_arrays(_under(arrays, "scaling_"))
    model.head_ = model._new_head().restore(_under(arrays, "head_"))
    return model


def write_scorer(model, path):
    """
    Write a fitted scorer of novelty.

    Parameters
    ----------
    model : NoveltyScorer
    path : str or pathlib.Path

    Raises
    ------
    ValueError
        If the name does not end in ``.npz``, or the scorer has a head, which is code.
    """
    if model.head is not None:
        msg = "a scorer with a head of your own cannot be saved: a file of arrays holds no code. Fit one without head."
        raise ValueError(msg)
    parameters = {name: value for name, value in model.get_params().items() if name != "head"}
    if not isinstance(model.random_state, int):
        parameters["random_state"] = None
    state = {"n_features_in_": model.n_features_in_, "fingerprint_": model.fingerprint_}
    about = {"parameters": parameters, "classes": model.classes_.tolist(), "state": state}
    arrays = {f"model_{name}": array for name, array in model._model.arrays().items()}
    # Not as JSON, which knows no infinite threshold.
    arrays |= {"threshold": np.array(model.threshold_), "known_scores": model.known_scores_}
    write_arrays(path, arrays, kind=_SCORER, about=about)


def read_scorer(kind, path):
    """
    Read a fitted scorer of novelty.

    Parameters
    ----------
    kind : type
        NoveltyScorer.
    path : str or pathlib.Path

    Returns
    -------
    NoveltyScorer

    Raises
    ------
    ValueError
        If the file is none, is damaged or is of a later version.
    """
    about, arrays = read_arrays(path, kind=_SCORER)
    model = kind(**about["parameters"])
    for name, value in about["state"].items():
        setattr(model, name, value)
    model.classes_ = np.array(about["classes"], dtype=str)
    model.threshold_, model.known_scores_ = float(arrays["threshold"]), arrays["known_scores"]
    model._model = model._new_model().restore(_under(arrays, "model_"))
    return model


def _under(arrays, prefix):
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
