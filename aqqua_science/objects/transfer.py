"""The benchmark across places: instruments and regions that were left out, and how loudly an instrument speaks."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aqqua_science.objects.living import is_plankton
from aqqua_science.objects.protocol import DRAWN, coarse_name
from aqqua_science.objects.scores import confusion, plain_number, resampled, scores_of

BLOCK_DEGREES = 15
MOST_REGIONS = 10
MOST_PER_INSTRUMENT = 2_000


def leakage(data, *, rng=0):
    """
    Tell the instrument from the features: what an encoder for organisms should not shout.

    Parameters
    ----------
    data : Labelled
        Of several stores.
    rng : int

    Returns
    -------
    dict or None
        Balanced accuracy of a linear probe on equally many objects of each instrument, and that of guessing; None of
        one instrument, or where samples are too few to leave some out.
    """
    instruments = data.table["instrument"].to_numpy(str)
    names = np.unique(instruments)
    if len(names) < 2:
        return None
    rng = np.random.default_rng(rng)
    order = pd.Series(rng.permutation(len(instruments)))
    most = min(MOST_PER_INSTRUMENT, *(int((instruments == n).sum()) for n in names))
    rows = np.sort(order.groupby(instruments[order]).head(most))
    held = np.zeros(len(rows))
    chosen = data.take(rows)
    n_folds = min(5, len(np.unique(chosen.groups)))
    if n_folds < 2:
        return None
    folds = GroupKFold(n_folds, shuffle=True, random_state=0)
    for train, test in folds.split(rows, groups=chosen.groups):
        if len(np.unique(instruments[rows[train]])) < 2:
            return None
        head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
        head.fit(chosen.features[train], instruments[rows[train]])
        held[test] = head.predict(chosen.features[test]) == instruments[rows[test]]
    balanced = pd.Series(held).groupby(instruments[rows]).mean().mean()
    return {
        "balanced_accuracy": plain_number(balanced),
        "chance": plain_number(1 / len(names)),
        "instruments": list(names),
    }


def left_out(data, places, *, groups=None, rng=0):
    """
    Train everywhere else, and score one instrument or region at a time on the taxa that both have.

    Parameters
    ----------
    data : Labelled
    places : numpy.ndarray of str, shape (object,)
        Instrument or region of each object.
    groups : dict of str to str, optional
        Taxa are compared by these groups, or by `coarse_name`.
    rng : int

    Returns
    -------
    dict of str to dict
        Place -> scores on it by training elsewhere, or why there are none.
    """
    names = np.array([(groups or {}).get(t, coarse_name(t)).lower() for t in data.taxon])
    found = {}
    for place in pd.Series(places).value_counts().index[:MOST_REGIONS]:
        here = places == place
        common = np.intersect1d(names[here], names[~here])
        test, train = (np.flatnonzero(mask & np.isin(names, common)) for mask in (here, ~here))
        if len(common) < 2:
            found[str(place)] = {"reason": f"shares {len(common)} of its taxa with the others, and 2 are needed"}
            continue
        head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000, C=0.1, class_weight="balanced"))
        answers = head.fit(data.features[train], names[train]).predict(data.features[test])
        living = is_plankton(common)

        def score(weights, test=test, answers=answers, common=common, living=living):
            return scores_of(confusion(names[test], answers, classes=common, weights=weights), plankton=living)

        drawn = resampled(score, data.groups[test], **DRAWN, rng=rng)
        found[str(place)] = {"scores": drawn, "taxa": len(common), "objects": len(test)}
    return found


def regions_of(table):
    """
    Name the block of 15 degrees in which each object was taken.

    Parameters
    ----------
    table : pandas.DataFrame
        With `latitude` and `longitude`.

    Returns
    -------
    numpy.ndarray of str
        Its south-western corner, such as ``"60S 135E"``; empty where the position is unknown.
    """
    corner = {n: np.floor(table[n].to_numpy(float) / BLOCK_DEGREES) * BLOCK_DEGREES for n in ("latitude", "longitude")}
    known = np.isfinite(corner["latitude"]) & np.isfinite(corner["longitude"])
    texts = [
        f"{abs(a):g}{'S' if a < 0 else 'N'} {abs(o):g}{'W' if o < 0 else 'E'}" if k else ""
        for a, o, k in zip(*corner.values(), known, strict=True)
    ]
    return np.array(texts)
