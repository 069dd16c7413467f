"""The first two lines of an EcoTaxa import table: names of columns and their types."""

import re
from collections import Counter

from aqqua_science.sources.ecotaxa_values import FREE_TEXT, PREDEFINED

TYPES = {"[f]": "number", "[t]": FREE_TEXT}
"""How the second line writes a type -> kind of value."""

FREE_COLUMNS = {
    ("object", "[f]"): 500,
    ("object", "[t]"): 20,
    ("acq", "[t]"): 30,
    ("process", "[t]"): 30,
    ("sample", "[t]"): 60,
}
"""Prefix and type -> free columns that a project has room for."""

_PREFIXES = ("object", "acq", "process", "sample")
_NAMES = {"[f]": "numeric", "[t]": "text"}


class FreeColumns:
    """
    The free columns of a bundle, which all its tables share.

    Attributes
    ----------
    types : dict of str to str
        Column -> its type in the first table that has it.
    """

    def __init__(self):
        self.types = {}
        self._counts = Counter()

    def add(self, column, kind):
        """
        Take up a column.

        Parameters
        ----------
        column : str
        kind : str
            ``[f]`` or ``[t]``.

        Returns
        -------
        int
            0, or how many columns of its sort there is room for, when it is one too many.
        """
        self.types[column] = kind
        sort = column.partition("_")[0], kind
        self._counts[sort] += 1
        return FREE_COLUMNS[sort] if self._counts[sort] > FREE_COLUMNS[sort] else 0


def column_names(header):
    """
    Name the columns as EcoTaxa knows them.

    Parameters
    ----------
    header : list of str

    Returns
    -------
    list of str

    Examples
    --------
    >>> column_names(["Object_ID ", "acq_id"])
    ['object_id', 'acq_id']
    """
    return [column.strip().lower() for column in header]


def has_types(fields):
    """
    Tell whether the second line of a table gives types.

    Parameters
    ----------
    fields : list of str

    Returns
    -------
    bool

    Examples
    --------
    >>> has_types(["[t]", "[H]"]), has_types(["a.png", "1"])
    (True, False)
    """
    return any(re.fullmatch(r"\s*\[[^\]]*\]\s*", field) for field in fields)


def check_header(names, types, free):
    """
    Check the names and types of the columns of a table.

    Parameters
    ----------
    names : list of str
        As `column_names` gives them.
    types : list of str or None
        The second line; None when it gives no types, which is told elsewhere.
    free : FreeColumns
        Free columns of the tables before; this table's are added.

    Returns
    -------
    kinds : dict of str to (str or number)
        Column -> kind of its values, as in `ecotaxa_values.PREDEFINED`; without the columns that EcoTaxa ignores.
    faults : list of tuple
        Line, rule and message.

    Examples
    --------
    >>> check_header(["img_file_name", "object_id", "area"], ["[t]", "[t]", "[f]"], FreeColumns())[1][0][1]
    'header-without-underscore'
    """
    kinds, faults = {}, _doubled_faults(names)
    for position, name in enumerate(names):
        if name in kinds or name in names[:position]:
            continue
        fault = _name_fault(name)
        if fault:
            faults.append((1, *fault))
        elif name in PREDEFINED:
            kinds[name] = PREDEFINED[name]
        else:
            given = None if types is None else types[position] if position < len(types) else ""
            _add_free(name, given, free, kinds, faults)
    return kinds, faults + _missing_faults(names)


def _doubled_faults(names):
    doubled = [name for name, count in Counter(names).items() if name and count > 1]
    remedy = "EcoTaxa keeps the last one only; rename or remove the others."
    return [(1, "doubled-column", f"Header '{name}' is there more than once. {remedy}") for name in doubled]


def _name_fault(name):
    """Rule and message for a name that EcoTaxa does not take, else None."""
    if not name:
        message = "Invalid Header ''. Format must be Table_Field; name the column, or remove it and its tab."
        return "empty-header", message
    prefix, underscore, _ = name.partition("_")
    if not underscore:
        return (
            "header-without-underscore",
            f"Invalid Header '{name}'. Format must be Table_Field; call it for instance object_{name}.",
        )
    if name not in PREDEFINED and prefix not in _PREFIXES:
        return (
            "unknown-prefix",
            f"Invalid Header '{name}'. Unknown table prefix '{prefix}'; free columns begin with object_, acq_, "
            "process_ or sample_.",
        )
    return None


def _add_free(name, given, free, kinds, faults):
    """Check a free column, and take it up where EcoTaxa would; only those of objects keep their type."""
    wanted = given if name.startswith("object_") else "[t]"
    known = free.types.get(name)
    if known is None and wanted is None:
        return
    if known is None and wanted not in TYPES:
        message = f"Invalid Type '{given}' for field '{name}'. The second line must say [f] or [t], exactly."
        faults.append((2, "invalid-type", message))
        return
    if known is None:
        room = free.add(name, wanted)
        if room:
            faults.append((1, "too-many-free-columns", _room_message(name, wanted, room)))
    elif wanted is not None and wanted != known:
        message = (
            f"Invalid Type '{given}' for field '{name}'. An earlier table of the bundle gave it {known}, which "
            "EcoTaxa keeps; give it the same type in all tables, or another name."
        )
        faults.append((2, "type-differs", message))
    kinds[name] = TYPES[free.types[name]]


def _room_message(name, kind, room):
    prefix = name.partition("_")[0]
    return (
        f"Field {name} cannot be mapped. Too many custom fields: a project has room for {room} free {_NAMES[kind]} "
        f"columns of {prefix}_, over all tables of the bundle; leave some out."
    )


def _missing_faults(names):
    faults = []
    for name in ("img_file_name", "object_id"):
        if name not in names:
            message = f"Field {name} is mandatory; add it, with a value on every line."
            faults.append((1, "missing-column", message))
    for prefix in ("acq", "process", "sample"):
        some = sorted({name for name in names if name.startswith(f"{prefix}_")})
        if some and f"{prefix}_id" not in some:
            shown = ", ".join(some[:5]) + (" ..." if len(some) > 5 else "")
            message = f"Field {prefix}_id is mandatory as there are some {prefix} columns: {shown}. Add it."
            faults.append((1, "missing-parent-id", message))
    return faults
