"""Folds in time: whole years held out, and late samples predicted from early ones."""

import numpy as np
import pandas as pd
from sklearn.model_selection import BaseCrossValidator

from aqqua_science.habitat.folds import LabelledFolds, deal_blocks
from aqqua_science.schema import SchemaError, require_columns


class TimeBlocks(LabelledFolds):
    """
    Hold out whole years.

    Samples of one year share its weather, its blooms and often its cruise; held out singly they are guessed from each
    other. Held out whole, a year is as new as next year will be, but for what the years around it tell.

    Parameters
    ----------
    years : int
        Length of a block. Blocks are counted from the first year of the table.
    n_splits : int
        Blocks are shuffled and dealt to the fold that has the fewest samples.
    random_state : int

    References
    ----------
    Roberts, D. R. et al. (2017). Cross-validation strategies for data with temporal, spatial, hierarchical,
    or phylogenetic structure. Ecography 40, 913-929.

    Examples
    --------
    >>> table = pd.DataFrame({"time": pd.to_datetime(["2010-01-05", "2010-12-30", "2011-01-02", "2013-06-01"])})
    >>> sorted(test.tolist() for train, test in TimeBlocks(n_splits=3).split(table))
    [[0, 1], [2], [3]]
    """

    def __init__(self, years=1, n_splits=5, *, random_state=0):
        self.years = years
        self.n_splits = n_splits
        self.random_state = random_state

    def blocks(self, table):
        """
        Number of the block of years that each sample lies in.

        Parameters
        ----------
        table : pandas.DataFrame
            With a column `time`.

        Returns
        -------
        numpy.ndarray of int, shape (n,)

        Raises
        ------
        SchemaError
            If there is no column `time`, or a time is missing.
        ValueError
            If `years` is less than 1 or no whole number.
        """
        if not self.years >= 1 or self.years % 1:
            msg = f"years is the length of a block and must be a whole number, 1 or more; got {self.years}."
            raise ValueError(msg)
        year = times_of(table).dt.year.to_numpy()
        return (year - year.min()) // int(self.years)

    def _labels(self, table, rng):
        blocks = self.blocks(table)
        found = len(np.unique(blocks))
        if found < self.n_splits:
            msg = (
                f"n_splits={self.n_splits} folds need as many blocks of {self.years} years with samples; there are "
                f"{found}. Use shorter blocks (years) or fewer folds (n_splits)."
            )
            raise ValueError(msg)
        return deal_blocks(blocks, self.n_splits, rng)


class Before(BaseCrossValidator):
    """
    Train on the samples before a date and hold out those from it on: can the model be carried forward in time?

    Parameters
    ----------
    date : str or datetime
        UTC.

    References
    ----------
    Yates, K. L. et al. (2018). Outstanding challenges in the transferability of ecological models. Trends in Ecology
    and Evolution 33, 790-802.

    Examples
    --------
    >>> table = pd.DataFrame({"time": pd.to_datetime(["2013-06-01", "2009-01-05", "2010-12-30", "2011-01-02"])})
    >>> [(train.tolist(), test.tolist()) for train, test in Before("2011").split(table)]
    [([1, 2], [0, 3])]
    """

    def __init__(self, date):
        self.date = date

    def get_n_splits(self, X=None, y=None, groups=None):
        """
        Number of train-test pairs.

        Parameters
        ----------
        X, y, groups : object
            Ignored; there by the contract of scikit-learn.

        Returns
        -------
        int
        """
        return 1

    def _iter_test_indices(self, X=None, y=None, groups=None):
        times, date = times_of(X), pd.to_datetime(self.date, utc=True, errors="coerce")
        if pd.isna(date):
            msg = f"date={self.date!r} is no date. Write it as 2015 or 2015-06-30."
            raise ValueError(msg)
        late = (times >= date).to_numpy()
        if late.all() or not late.any():
            msg = (
                f"date={self.date!r} must have samples on both sides; they lie between {times.min():%Y-%m-%d} and "
                f"{times.max():%Y-%m-%d}. Choose a date between."
            )
            raise ValueError(msg)
        yield np.flatnonzero(late)


def times_of(table):
    """
    Times of a table, in UTC.

    Parameters
    ----------
    table : pandas.DataFrame
        With a column `time`.

    Returns
    -------
    pandas.Series

    Raises
    ------
    SchemaError
        If there is no column `time`, or a time is missing or cannot be read.

    Examples
    --------
    >>> times_of(pd.DataFrame({"time": ["2010-01-05"]})).dt.year.tolist()
    [2010]
    """
    require_columns(table, ["time"])
    times = pd.to_datetime(table["time"], utc=True, errors="coerce")
    missing = int(times.isna().sum())
    if missing:
        msg = f"time must be known in every row; {missing} of {len(table)} are missing or no times. Drop these rows."
        raise SchemaError(msg)
    return times
