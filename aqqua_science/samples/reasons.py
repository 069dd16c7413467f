"""Why a sample lacks what was looked for, in words."""

import numpy as np
import pandas as pd


def join_reasons(faults):
    """
    Join the reasons that hold for each sample into one text.

    Parameters
    ----------
    faults : dict of str to numpy.ndarray of bool, shape (n,)
        At least one reason, and the samples that it holds for.

    Returns
    -------
    pandas.array of str, shape (n,)
        Empty where none holds.

    Examples
    --------
    >>> list(join_reasons({"no depth": np.array([True, False]), "no time": np.array([True, False])}))
    ['no depth; no time', '']
    """
    codes, texts = np.zeros(len(next(iter(faults.values()))), dtype=np.int64), [()]
    for reason, rows in faults.items():
        if rows.any():
            codes, pairs = pd.factorize(2 * codes + rows)
            texts = [texts[pair // 2] + (reason,) * (pair % 2) for pair in pairs]
    return pd.array(["; ".join(text) for text in texts], dtype="str").take(codes)
