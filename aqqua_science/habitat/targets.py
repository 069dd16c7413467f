"""The target of a recipe, where it is not a column as it stands: transformed amounts, and diversity."""

from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

from aqqua_science.habitat.recipe import HILL
from aqqua_science.samples.rarefaction import hill_numbers
from aqqua_science.schema import SchemaError, nearest_name, require_columns

# Odd roots and powers keep the sign, so that an amount below zero is told as such later.
_INVERSES = {
    "log": np.exp,
    "log10": lambda values: 10.0**values,
    "log1p": np.expm1,
    "square root": lambda values: values * np.abs(values),
    "cube root": lambda values: values**3,
}


def with_target(table, observations):
    """
    Undo the transformation of amounts, and take the diversity of each sample, where a recipe asks for either.

    Parameters
    ----------
    table : pandas.DataFrame
    observations : Observations

    Returns
    -------
    pandas.DataFrame
        With the target untransformed; with ``hill_number``, NaN where the amount of a taxon is not known, in the case
        of `diversity`.

    Raises
    ------
    SchemaError
        If a column is not there, or the amount of a taxon is negative.

    References
    ----------
    Hill 1973, Ecology 54, 427-432.

    Examples
    --------
    >>> from aqqua_science.habitat.recipe import Observations
    >>> told = {"file": "a.csv", "target": "hill_number", "units": "1", "transformed": "cube root"}
    >>> wanted = Observations(**told, diversity={"taxa": ["n_*"], "order": 2})
    >>> with_target(pd.DataFrame({"n_a": [2.0, 1.0], "n_b": [2.0, 0.0]}), wanted)["hill_number"].tolist()
    [2.0, 1.0]
    """
    if observations.diversity is None:
        return _undone(table, [observations.target], observations) if observations.transformed else table
    taxa = _matching(table, observations)
    amounts = _undone(table, taxa, observations)[taxa]
    try:
        return table.assign(**{HILL: hill_numbers(amounts, observations.diversity.order)})
    except ValueError as error:
        msg = f"no diversity of {observations.file}: {error} Check observations.transformed."
        raise SchemaError(msg) from error


def _undone(table, columns, observations):
    """Numbers of some columns as they were before their transformation."""
    require_columns(table, columns, what=observations.file)
    inverse = _INVERSES.get(observations.transformed, lambda values: values)
    with np.errstate(over="ignore"):
        return table.assign(**{name: inverse(pd.to_numeric(table[name], errors="coerce")) for name in columns})


def _matching(table, observations):
    """Columns that the patterns of taxa name, each once."""
    found = {}
    for pattern in observations.diversity.taxa:
        names = [name for name in table.columns if fnmatchcase(name, pattern)]
        if not names:
            hint = nearest_name(pattern, table.columns)
            msg = f"{observations.file} has no column for observations.diversity.taxa = {pattern!r}.{hint}"
            raise SchemaError(msg)
        found |= dict.fromkeys(names)
    return list(found)
