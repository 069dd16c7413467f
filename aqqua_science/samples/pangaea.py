"""Tables as PANGAEA gives them out: a comment block, then tab-separated columns with units in their names."""

import csv
import re
from pathlib import Path

import pandas as pd

from ..schema import SchemaError

_COMMENT = re.compile(r"(?P<name>.*?\S)\s+\((?P<comment>.*)\)$")


def read_pangaea(path):
    """
    Read a table of PANGAEA.

    Parameters
    ----------
    path : str or pathlib.Path
        A ``.tab`` file with its comment block ``/* DATA DESCRIPTION: ... */``.

    Returns
    -------
    pandas.DataFrame
        Columns by their short names with units, such as ``"POC flux [mg/m**2/day]"``; the comment that some carry in
        parentheses stays where a name would otherwise come twice. ``attrs`` holds ``citation``, ``licence``, ``doi``
        and ``comments`` (column -> comment) as far as the block tells them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SchemaError
        If the file has no comment block, or it does not end.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "flux.tab")
    >>> block = "/* DATA DESCRIPTION:\\nCitation:\\tDoe, J (2020): Traps.\\nLicense:\\tCC-BY-3.0\\n*/\\n"
    >>> _ = path.write_text(block + "Latitude\\tPOC flux [mg/m**2/day] (of traps)\\n1.5\\t12\\n")
    >>> table = read_pangaea(path)
    >>> list(table), table.attrs["licence"]
    (['Latitude', 'POC flux [mg/m**2/day]'], 'CC-BY-3.0')
    """
    path = Path(path)
    block = _comment_block(path)
    how = {"encoding_errors": "replace", "low_memory": False, "quoting": csv.QUOTE_NONE}
    table = pd.read_csv(path, sep="\t", skiprows=len(block), **how)
    split = {name: _COMMENT.match(name) for name in map(str, table.columns)}
    short = {name: found["name"] if found else name for name, found in split.items()}
    shared = {name for name in short.values() if list(short.values()).count(name) > 1}
    renames = {name: name if brief in shared else brief for name, brief in short.items()}
    table = table.rename(columns=renames)
    table.attrs = _described(block) | {"comments": {renames[n]: f["comment"] for n, f in split.items() if f}}
    return table


def is_pangaea(path):
    """
    Tell whether a text file begins as PANGAEA's tables do.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    bool

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "flux.tab")
    >>> _ = path.write_text("/* DATA DESCRIPTION:")
    >>> is_pangaea(path)
    True
    """
    with Path(path).open(encoding="utf-8-sig", errors="replace") as file:
        return file.read(2) == "/*"


def _comment_block(path):
    """Lines up to the end of the comment."""
    lines = []
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for line in file:
            lines.append(line.rstrip("\n"))
            if not lines[0].startswith("/*"):
                msg = f"{path.name} has no comment block of PANGAEA (/* DATA DESCRIPTION:) first. Read it with pandas."
                raise SchemaError(msg)
            if lines[-1].strip() == "*/":
                return lines
    msg = f"the comment block of {path.name} does not end (*/ on a line of its own). Is the download complete?"
    raise SchemaError(msg)


def _described(block):
    """Citation, licence and DOI of a comment block; entries may go on over several lines."""
    entries, key = {}, None
    for line in block[1:-1] if not block[0].partition(":")[2].strip() else block[:-1]:
        head, colon, rest = line.partition(":\t")
        if colon and not head.startswith("\t"):
            key, line = head, rest
        if key:
            entries.setdefault(key, []).append(line.strip())
    found = {"citation": " ".join(entries.get("Citation", [])), "licence": " ".join(entries.get("License", []))}
    doi = re.search(r"doi\.org/(10\.\S+?)[,;.]?(\s|$)", found["citation"])
    return {key: text for key, text in (found | {"doi": doi[1] if doi else ""}).items() if text}
