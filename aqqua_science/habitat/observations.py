"""The observations of a recipe: read, selected, summed and screened, with nothing lost on the way."""

import fnmatch
from pathlib import Path

import numpy as np
import pandas as pd

from aqqua_science.habitat.targets import with_target
from aqqua_science.samples.pangaea import is_pangaea, read_pangaea
from aqqua_science.samples.traps import pool_fluxes, trap_fluxes
from aqqua_science.schema import VOCABULARY, SchemaError, add_standard_names, nearest_name, require_columns, screen

_KEY = [
    *("sample_id", "time", "month", "latitude", "longitude", "depth", "depth_min", "depth_max", "volume_m3", "water"),
    "contributors",
]

NO_CONSENT = "its contributors have not agreed that maps are made of it (use_for_maps)"
"""Why a sample of a store whose source is not for maps is left out."""


def find_file(name, *, folders):
    """
    Find a file of a recipe.

    Parameters
    ----------
    name : str
        Absolute, or relative to one of the folders; may hold ``*`` for several files.
    folders : iterable of pathlib.Path
        Looked into in this order.

    Returns
    -------
    list of pathlib.Path

    Raises
    ------
    SchemaError
        If it is in none of them.

    Examples
    --------
    >>> find_file("nowhere.csv", folders=[Path("data")])
    Traceback (most recent call last):
    ...
    aqqua_science.schema.SchemaError: the file 'nowhere.csv' was looked for in data and is not there. ...
    """
    for folder in folders:
        path = Path(folder, name)
        if path.exists():
            return [path]
        found = sorted(path.parent.glob(path.name)) if "*" in path.name else []
        if found:
            return found
    siblings = [p.name for folder in folders for p in Path(folder, name).parent.glob("*")]
    msg = (
        f"the file {name!r} was looked for in {', '.join(map(str, folders))} and is not there."
        f"{nearest_name(Path(name).name, siblings)} Pass --data with the folder that holds it."
    )
    raise SchemaError(msg)


def read_table(path):
    """
    Read a table of samples.

    Parameters
    ----------
    path : pathlib.Path
        Text separated by comma, semicolon or tab (PANGAEA's .tab too), or Parquet.

    Returns
    -------
    pandas.DataFrame
        With latitude, longitude, depth and time also under these names where they go by a well-known other.

    Raises
    ------
    SchemaError
        If the file is neither.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "samples.csv")
    >>> _ = path.write_text("decimalLatitude,decimalLongitude\\n1,2\\n")
    >>> list(read_table(path))
    ['decimalLatitude', 'decimalLongitude', 'latitude', 'longitude']
    """
    try:
        table = pd.read_parquet(path) if path.suffix in (".parquet", ".pq") else _read_text(path)
    except (ValueError, OSError) as error:
        msg = f"{path.name} cannot be read as a table: {error}. Give CSV with one header line, or Parquet."
        raise SchemaError(msg) from error
    return add_standard_names(table)


def _read_text(path):
    """A table in text: PANGAEA's, or one whose header tells the separator."""
    if is_pangaea(path):
        return read_pangaea(path)
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        separator = max("\t;,", key=file.readline().count)
    return pd.read_csv(path, sep=separator, encoding="utf-8-sig", encoding_errors="replace", low_memory=False)


def read_observations(path, observations):
    """
    Read the table of a recipe, and make its target where the recipe says how.

    Fluxes of traps become one row per place and season; transformed amounts and diversity come from `with_target`.

    Parameters
    ----------
    path : pathlib.Path
    observations : Observations

    Returns
    -------
    table, rejected : pandas.DataFrame
        `rejected` holds deployments that cannot be used, with a ``reason``.

    Raises
    ------
    SchemaError
        If the file is no table, or no table of deployments where the recipe says so; as in `with_target`.
    """
    table, traps = read_table(path), observations.traps
    if traps is None:
        return with_target(table, observations), pd.DataFrame({"reason": pd.Series(dtype=str)})
    fluxes, rejected = trap_fluxes(table)
    top, bottom = traps.between or (traps.horizon / 2, 3 * traps.horizon)
    outside = ~fluxes["depth"].between(top, bottom)
    reason = f"outside the depths that are used, {top:g} to {bottom:g} m"
    rejected = pd.concat([rejected, fluxes[outside].assign(reason=reason)], ignore_index=True)
    how = {"horizon": traps.horizon, "between": traps.between, "cell_degrees": traps.cell_degrees}
    pooled = pool_fluxes(fluxes, b=traps.exponent, **how)
    for name, shift in (("martin_low", -traps.exponent_sd), ("martin_high", traps.exponent_sd)):
        if shift:
            pooled[name] = pool_fluxes(fluxes, b=traps.exponent + shift, **how)["flux_mg_m2_d"]
    return pooled, rejected


def select(table, observations, *, beside=()):
    """
    Take the rows and columns that a recipe asks for.

    Parameters
    ----------
    table : pandas.DataFrame
    observations : Observations
    beside : iterable of str
        Patterns of columns, with ``*``, that are added up as the target is: its draws, and counts.

    Returns
    -------
    accepted, rejected : pandas.DataFrame
        `accepted` has the target and every column that matters for a match-up under its standard name, and
        `group` when the recipe names one; `rejected` has a column ``reason``.

    Raises
    ------
    SchemaError
        If a column or a value of `where` is missing, or nothing is left.

    Examples
    --------
    >>> from aqqua_science.habitat.recipe import Observations
    >>> table = pd.DataFrame({"latitude": [0.0, 99.0], "longitude": 0.0, "biomass": 1.0})
    >>> wanted = Observations(file="samples.csv", target="biomass", units="mg m-3")
    >>> [len(part) for part in select(table, wanted)]
    [1, 1]
    """
    renames = {observations.time: "time", observations.volume: "volume_m3", observations.group: "group"}
    renames.pop(None, None)
    require_columns(table, [*renames, observations.target, "latitude", "longitude"], what=observations.file)
    doubled = [new for old, new in renames.items() if new in table.columns and new != old]
    if table.empty:
        msg = f"{observations.file} has a header and no rows. Is it the right file?"
        raise SchemaError(msg)
    table, withheld = _consented(_filtered(table, observations).reset_index(drop=True), observations)
    twice = table.duplicated()
    doubles = table[twice].assign(reason="the same row stands earlier in the table")
    table = table[~twice].drop(columns=doubled).rename(columns=renames)
    if "time" in table.columns:
        table["time"] = _dates(table["time"], observations)
    table = _turned(table)
    target = pd.to_numeric(table[observations.target], errors="coerce")
    table[observations.target] = target.astype(float)
    accepted, rejected = _screened(_summed(table, observations, beside), observations)
    return accepted, pd.concat([withheld, doubles, rejected], ignore_index=True)


def _consented(table, observations):
    """Split off samples whose contributors keep them out of maps."""
    if "use_for_maps" not in table.columns:
        return table, table.iloc[:0]
    agreed = table["use_for_maps"].isin([True, 1, "True", "true", "1"])
    if not agreed.any():
        msg = (
            f"no row of {observations.file} may be used: use_for_maps is false in all {len(table)}. "
            "Ask the contributors, and record their consent with `aqqua ingest --use-for-maps`."
        )
        raise SchemaError(msg)
    return table[agreed], table[~agreed].assign(reason=NO_CONSENT)


def contributors_of(table):
    """
    List who gave the observations of a table.

    Parameters
    ----------
    table : pandas.DataFrame
        With or without a column ``contributors``, names separated by semicolons.

    Returns
    -------
    list of str

    Examples
    --------
    >>> contributors_of(pd.DataFrame({"contributors": ["A. Person; B. Person", "A. Person", None]}))
    ['A. Person', 'B. Person']
    """
    texts = table["contributors"].dropna().unique() if "contributors" in table.columns else []
    return list(dict.fromkeys(name.strip() for text in texts for name in str(text).split(";") if name.strip()))


def _dates(values, observations):
    """Dates in UTC, or a refusal of a column that holds none."""
    dates = pd.to_datetime(values, errors="coerce", utc=True, format="mixed").dt.tz_localize(None)
    if dates.isna().all() and values.notna().any():
        msg = (
            f"the column {observations.time or 'time'!r} of {observations.file} holds no dates; its first value is "
            f"{values.dropna().iloc[0]!r}. Write dates as 2020-03-31, or name another column in time."
        )
        raise SchemaError(msg)
    return dates


def _turned(table):
    """Longitudes of 180..360 brought to -180..180; exchanged positions refused."""
    position = table[["latitude", "longitude"]].apply(pd.to_numeric, errors="coerce")
    off = position["latitude"].abs() > 90
    if off.sum() >= 3 and off.mean() > 0.1 and (position["longitude"].abs() <= 90).all():
        worst = position["latitude"].abs().idxmax()
        msg = (
            f"latitude and longitude look exchanged: latitude is {position['latitude'][worst]:g} in row {worst}, "
            "and no longitude is beyond 90. Swap the two column names."
        )
        raise SchemaError(msg)
    beyond = position["longitude"].between(180, 360, inclusive="right")
    return table.assign(longitude=position["longitude"] - 360 * beyond) if beyond.any() else table


def _filtered(table, observations):
    """Rows that satisfy `where` and `between`."""
    require_columns(table, [*observations.where, *observations.between], what=observations.file)
    for name, wanted in observations.where.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        present = set(table[name].dropna().unique())
        for value in values:
            if value not in present:
                shown = sorted(map(str, present))
                msg = (
                    f"nothing is left after where: no row has {name} = {value!r}.{nearest_name(value, shown)} "
                    f"{name} holds {', '.join(shown[:12])}{' ...' if len(shown) > 12 else ''}."
                )
                raise SchemaError(msg)
        table = table[table[name].isin(values)]
    for name, (low, high) in observations.between.items():
        numbers = pd.to_numeric(table[name], errors="coerce")
        table = table[numbers.between(low, high)]
        if table.empty:
            span = f"{name} runs from {numbers.min():g} to {numbers.max():g}"
            msg = f"nothing is left after between: {span}, and {low:g} to {high:g} was asked for."
            raise SchemaError(msg)
    if table.empty:
        msg = f"nothing is left of {observations.file} after where {observations.where}. Ask for fewer conditions."
        raise SchemaError(msg)
    return table


def _summed(table, observations, beside):
    """Add the target up over one column, or refuse a table in which several taxa stand side by side."""
    over = observations.sum_over
    if over is None:
        if "taxon" in table.columns and table["taxon"].nunique() > 1:
            msg = (
                f"{observations.file} holds {table['taxon'].nunique()} taxa for each sample. "
                f'Choose with where = {{ taxon = "{table["taxon"].iloc[0]}" }} or add up with sum_over = "taxon".'
            )
            raise SchemaError(msg)
        return table
    require_columns(table, [over], what=observations.file)
    keys = [c for c in [*_KEY, "group"] if c in table.columns]
    rows = table.groupby(keys, sort=False, dropna=False, as_index=False)
    columns = {observations.target, *(name for pattern in beside for name in fnmatch.filter(table.columns, pattern))}
    return rows.agg({name: lambda values: values.sum(min_count=len(values)) for name in columns - set(keys)})


def _screened(table, observations):
    """Split off the rows that cannot be used, each with its reason."""
    required = ["latitude", "longitude", observations.target]
    required += [c for c, wanted in [("time", observations.time), ("volume_m3", observations.volume)] if wanted]
    accepted, rejected = screen(table, required=required)
    negative = accepted[observations.target] < 0
    infinite = ~np.isfinite(accepted[observations.target])
    for rows, reason in [(infinite, "is infinite"), (negative & ~infinite, "is negative")]:
        rejected = pd.concat([rejected, accepted[rows].assign(reason=f"{observations.target} {reason}")])
    accepted = accepted[~negative & ~infinite]
    if accepted.empty:
        first = rejected["reason"].iloc[0]
        column = VOCABULARY.get(first.split(" ")[0])
        msg = (
            f"no row of {observations.file} can be used; of {len(rejected)} the first: {first}. "
            f"{column.remedy if column else 'Correct the column.'}"
        )
        raise SchemaError(msg)
    if not (accepted[observations.target] > 0).any():
        msg = f"{observations.target} is zero in all {len(accepted)} rows; there is nothing to map. Check where."
        raise SchemaError(msg)
    return accepted, rejected
