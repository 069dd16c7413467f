"""Which names are of plankton, which of things that do not live, and which of what nobody named."""

import re

import numpy as np

# Crystal jellies, ghost shrimps and snow crabs live: these words count only where they end a name.
_THINGS = (
    r"aggregates?|art[ei]facts?|background|bad.?focus|beads?|blobs?|bubbles?|dead|detritus|dust|fa?ecal|fa?eces"
    r"|fib(?:re|er)s?|fluffy?|glue|junk|marine.snow|no[nt].?living|noise|plastics?|reflections?|scratch(?:es)?"
    r"|shadows?|smears?|streaks?|turbid|(?:crystals?|ghosts?|snow)(?=\s*(?:[<>]|$))"
)
_LEFTOVERS = r"missed|unknown|unidentified|unclassified"
_LIFELESS = re.compile(rf"(?:^|[\W_])(?:{_THINGS})(?:[\W_]|$)", re.IGNORECASE)
_NO_PLANKTON = re.compile(rf"(?:^|[\W_])(?:{_THINGS}|{_LEFTOVERS})(?:[\W_]|$)|^other", re.IGNORECASE)


def is_lifeless(names):
    """
    Tell what does not live, or no longer, by the name.

    Such are detritus, aggregates, pellets, carcasses, bubbles, plastic and faults of the picture, as EcoTaxa, ZooScan,
    ISIIS and FlowCam projects write them. What is ``unknown``, ``unidentified``, ``missed`` or ``other`` is not among
    them: it may live.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    numpy.ndarray of bool

    Examples
    --------
    >>> is_lifeless(["Calanidae<Calanoida", "detritus", "dead<Copepoda", "unknown"])
    array([False, True, True, False])
    """
    return np.array([bool(_LIFELESS.search(str(name))) for name in names], dtype=bool)


def is_plankton(names):
    """
    Tell the names of plankton from those of what does not live and of leftovers.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    numpy.ndarray of bool
        False for all that `is_lifeless` finds, and for classes of what nobody named (``unknown``, ``unidentified``,
        ``unclassified``, ``missed``, ``other...``): they may hold plankton, but are no taxon whose score would tell
        anything.

    Examples
    --------
    >>> is_plankton(["Calanidae<Calanoida", "detritus", "artefact", "Noctiluca", "unknown"])
    array([ True, False, False, True, False])
    """
    return np.array([not _NO_PLANKTON.search(str(name)) for name in names], dtype=bool)
