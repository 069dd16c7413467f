"""The names of instruments, one for each, however a file spells it."""

import re

_PATTERNS = {
    "UVP6": r"uvp[\s_-]*6",
    "UVP5": r"uvp[\s_-]*5|uvp[\s_-]*(sd|hd)",
    "IFCB": r"ifcb|imaging[\s_-]*flow[\s_-]*cytobot",
    "ISIIS": r"isiis|in[\s_-]*situ ichthyoplankton",
    "PlanktonImager": r"plankton[\s_-]*imager|pi[\s_-]*10|\bpia\b",
    "CPICS": r"cpics",
    "FlowCam": r"flow[\s_-]*cam",
    "ZooScan": r"zoo[\s_-]*scan|hydroptic",
    "ZooCam": r"zoo[\s_-]*cam",
    "PlanktoScope": r"plankt[\s_-]*o?[\s_-]*scope",
    "LOKI": r"\bloki",
    "VPR": r"\bvpr|video plankton recorder",
    "DSPC": r"dspc|dual[\s_-]*scripps|scripps plankton camera",
    "CytoSense": r"cyto[\s_-]*(sense|buoy|sub)",
}


def instrument_name(text):
    """
    Name an instrument as the vocabulary does.

    Parameters
    ----------
    text : str
        As a file has it.

    Returns
    -------
    str
        One of our names where it is recognised, else the text itself.

    Examples
    --------
    >>> instrument_name("uvp6 remote"), instrument_name("zooscan_hydroptic_v3"), instrument_name("AMNIS")
    ('UVP6', 'ZooScan', 'AMNIS')
    """
    text = text.strip()
    found = (name for name, pattern in _PATTERNS.items() if re.search(pattern, text, re.IGNORECASE))
    return next(found, text)
