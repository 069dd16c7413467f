"""
The bins of an Imaging FlowCytobot: what their names say and which files belong together.

A bin is three files of one name in one folder: ``.hdr`` (text), ``.adc`` (one trigger a line), ``.roi`` (the pixels).
The name is the bin's identifier and holds the instrument's number and when the sample began, in UTC:
``DyyyymmddTHHMMSS_IFCBnnn`` (version 2) or ``IFCBn_yyyy_DDD_HHMMSS`` (version 1, the prototypes, day of the year).
"""

import re
from dataclasses import dataclass
from datetime import datetime

ENDINGS = (".adc", ".hdr", ".roi")
"""Endings of the three files of a bin."""

_NAMES = (
    (1, re.compile(r"IFCB(?P<number>\d{1,4})_(?P<start>\d{4}_\d{3}_\d{6})", re.ASCII), "%Y_%j_%H%M%S"),
    (2, re.compile(r"D(?P<start>\d{8}T\d{6})_IFCB(?P<number>\d{1,4})", re.ASCII), "%Y%m%dT%H%M%S"),
)


@dataclass(frozen=True, slots=True)
class Pid:
    """
    What the name of a bin says.

    Attributes
    ----------
    text : str
        The name itself.
    version : int
        1 for the prototypes (``IFCB5_...``), 2 for those built since (``D2013...``).
    number : int
        Of the instrument.
    start : datetime.datetime
        When the sample began, UTC.
    """

    text: str
    version: int
    number: int
    start: datetime


def parse_pid(text):
    """
    Read the name of a bin.

    Parameters
    ----------
    text : str
        Without folder and ending.

    Returns
    -------
    Pid or None
        None when it is no name of a bin, or names a moment that never was.

    Examples
    --------
    >>> pid = parse_pid("IFCB5_2012_028_081515")
    >>> pid.version, pid.number, pid.start.isoformat()
    (1, 5, '2012-01-28T08:15:15')
    >>> parse_pid("IFCB5_2013_366_081515"), parse_pid("decoy")
    (None, None)
    """
    for version, pattern, style in _NAMES:
        match = pattern.fullmatch(text)
        if match:
            try:
                start = datetime.strptime(match["start"], style)
            except ValueError:
                return None
            # The 366th day of other years would be the first of the next.
            if start.strftime(style) != match["start"]:
                return None
            return Pid(text, version, int(match["number"]), start)
    return None


def find_bins(tree):
    """
    Find the bins of a tree, and the files that look like parts of one but are not.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    bins : list of tuple
        Identifier (`Pid`) and files by ending, in the order of their paths.
    faults : dict of str to str
        File -> why it cannot be read: its name is no bin's, a file of the bin is missing, or the bin is there twice.
        A ``.hdr`` by itself whose name is no bin's is not ours (other formats have such files) and is not told of.
    """
    groups = {}
    for name in tree.matching(*ENDINGS):
        groups.setdefault(name[:-4], {}).setdefault(name[-4:].lower(), name)
    bins, faults = [], {}
    for stem, files in sorted(groups.items()):
        pid = parse_pid(stem.rpartition("/")[2])
        if pid and {".adc", ".roi"} <= files.keys():
            bins.append((pid, files))
        elif pid or files.keys() != {".hdr"}:
            faults[files[min(files)]] = _fault_of(pid, files)
    kept = _choose(bins)
    for pid, files in bins:
        if files is not kept[pid.text]:
            faults[files[".adc"]] = f"the bin is there twice: {kept[pid.text]['.adc']} is read"
    return [(pid, files) for pid, files in bins if files is kept[pid.text]], faults


def _fault_of(pid, files):
    """Why files of one name make no bin."""
    if pid is None:
        return "the name is no IFCB bin's: neither DyyyymmddTHHMMSS_IFCBnnn nor IFCBn_yyyy_DDD_HHMMSS"
    missing = [ending for ending in (".adc", ".roi") if ending not in files]
    return f"the bin has no {missing[0]}: {pid.text} has only {', '.join(sorted(files))}"


def _choose(bins):
    """Files of each bin by its name: the first copy in the order of paths, one with a .hdr before one without."""
    kept = {}
    for pid, files in bins:
        if pid.text not in kept or (".hdr" in files and ".hdr" not in kept[pid.text]):
            kept[pid.text] = files
    return kept
