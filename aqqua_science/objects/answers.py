"""Answers that somebody else gives: read, checked, and told from others."""

import hashlib
import json
from pathlib import Path

import pandas as pd

from aqqua_science.features.encoders import DIGITS
from aqqua_science.schema import SchemaError, nearest_name, require_columns

_SEPARATORS = ",;\t"
_MOST_BYTES = 65_536
"""Of the line with the names of the columns."""


def read_answers(path):
    """
    Read answers from a file.

    Parameters
    ----------
    path : str or pathlib.Path
        Parquet, or CSV with columns parted by commas, semicolons or tabs.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    SchemaError
        If it cannot be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.readline(_MOST_BYTES)
        if head.startswith(b"PAR1"):
            return pd.read_parquet(path)
        parted_by = max(_SEPARATORS, key=lambda mark: head.count(mark.encode()))
        return pd.read_csv(path, sep=parted_by, dtype=str, encoding="utf-8-sig", compression=None)
    except (OSError, ValueError) as error:
        msg = f"the predictions {path} cannot be read: {error}. Pass a Parquet or CSV file with object_id and taxon."
        raise SchemaError(msg) from error


def check_answers(predictions):
    """
    Take answers of somebody else.

    Parameters
    ----------
    predictions : pandas.DataFrame
        With `object_id` and `taxon`; a row without a taxon is no answer.

    Returns
    -------
    pandas.Series of str
        Taxon by object_id, in the order of these.

    Raises
    ------
    SchemaError
        If a column is absent, there is no answer, or an object has two.
    """
    require_columns(predictions, ["object_id", "taxon"], what="the table of predictions")
    given = predictions["taxon"].astype(object)
    given = predictions[given.notna() & (given != "")]
    ids = given["object_id"].astype(str)
    if ids.empty or ids.duplicated().any():
        first = "there is none" if ids.empty else f"{ids[ids.duplicated()].iloc[0]!r} has several"
        msg = f"predictions give one answer for an object; {first}. Keep one row with a taxon for each object_id."
        raise SchemaError(msg)
    return pd.Series(given["taxon"].to_numpy(str), index=ids.to_numpy(str), dtype=object).sort_index()


def unknown_names(told, taxa):
    """
    Find answers by names that no object has: misspelled ones, or taxa that were not looked for.

    Parameters
    ----------
    told : pandas.Series of str
        Answers; missing where there is none.
    taxa : iterable of str
        Names that objects have.

    Returns
    -------
    dict or None
        How many `answers` there are, the `first` of their names, and a `hint` of the nearest taxon; None without any.
    """
    strange = told[told.notna() & ~told.isin(list(taxa))]
    if strange.empty:
        return None
    return {"answers": len(strange), "first": strange.iloc[0], "hint": nearest_name(strange.iloc[0], taxa).strip()}


def describe_answers(answers):
    """
    Tell answers apart from others.

    Parameters
    ----------
    answers : pandas.Series of str
        As `check_answers` gives them.

    Returns
    -------
    dict
        How many there are, and their fingerprint.
    """
    told = json.dumps(list(answers.items())).encode()
    return {"answers": len(answers), "fingerprint": hashlib.sha256(told).hexdigest()[:DIGITS]}
