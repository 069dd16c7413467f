"""The sizes that an instrument counts fully, and what several instruments have in common."""

import numpy as np
import pandas as pd

from ..schema import SchemaError, nearest_name, require_columns
from .spectra import octave_edges

SIZE_WINDOWS = pd.DataFrame(
    [
        (
            "IFCB",
            "organisms",
            7.0,
            100.0,
            "Dugenne et al. 2024, Earth Syst. Sci. Data 16, 2971 (from 7 um); Zhang et al. 2023, Elementa 11, 00094 "
            "(to 100 um)",
        ),
        (
            "UVP5",
            "organisms",
            765.0,
            37_500.0,
            "Drago et al. 2022, Front. Mar. Sci. 9, 894372",
        ),
        (
            "UVP5",
            "particles",
            102.0,
            26_000.0,
            "Zhang et al. 2023, Elementa 11, 00094 (from 100 um); Kiko et al. 2022, Earth Syst. Sci. Data 14, 4315 "
            "(to about 50 mm; here to the last closed class of EcoPart)",
        ),
    ],
    columns=["instrument", "kind", "esd_min_um", "esd_max_um", "source"],
)
"""Diameters that an instrument counts fully, um, with the source. Those of other instruments depend on optics, nets and
settings: give them, or find them in the data with `fully_counted`."""

_FEW = 10


def size_window(instrument, *, kind="organisms", windows=None):
    """
    Smallest and largest diameter that an instrument counts fully.

    Parameters
    ----------
    instrument : str
        As in the column ``instrument``.
    kind : str
        ``"organisms"``, whose images are kept, or ``"particles"``, which are only counted.
    windows : mapping of str to (float, float), optional
        Windows of instruments, um; they win over those of `SIZE_WINDOWS`.

    Returns
    -------
    tuple of float
        um.

    Raises
    ------
    ValueError
        If no window is known, or a given one is not a range.

    Examples
    --------
    >>> size_window("UVP5", kind="particles")
    (102.0, 26000.0)
    >>> size_window("PlanktoScope", windows={"PlanktoScope": (20, 200)})
    (20.0, 200.0)
    """
    if windows and instrument in windows:
        return check_window(windows[instrument], f"the window of {instrument}")
    known = SIZE_WINDOWS[SIZE_WINDOWS["kind"] == kind].set_index("instrument")
    if instrument not in known.index:
        msg = (
            f"no size window of {kind} is known for {instrument!r}.{nearest_name(instrument, known.index)} Known are "
            f"those of {', '.join(known.index) or 'none'}. Give windows={{{instrument!r}: (esd_min_um, esd_max_um)}}; "
            "fully_counted finds one in the data."
        )
        raise ValueError(msg)
    row = known.loc[instrument]
    return float(row["esd_min_um"]), float(row["esd_max_um"])


def common_window(instruments, *, kind="organisms", windows=None):
    """
    The diameters that all of several instruments count fully.

    Parameters
    ----------
    instruments : pandas.DataFrame or iterable of str
        Names, or a table with the column ``instrument``.
    kind, windows
        As in `size_window`.

    Returns
    -------
    tuple of float
        um.

    Raises
    ------
    ValueError
        If nothing is common to all, or a window is not known.
    SchemaError
        If a table has no column ``instrument``, or a row without one.

    Examples
    --------
    >>> common_window(["UVP5", "net"], windows={"net": (300, 5000)})
    (765.0, 5000.0)
    """
    names = _names(instruments)
    found = {name: size_window(name, kind=kind, windows=windows) for name in names}
    low, high = max(w[0] for w in found.values()), min(w[1] for w in found.values())
    if low >= high:
        shown = ", ".join(f"{name} {w[0]:g}..{w[1]:g} um" for name, w in found.items())
        msg = f"no size is counted fully by all of {shown}. Treat these instruments apart."
        raise ValueError(msg)
    return low, high


def within(objects, window):
    """
    Keep the objects in a window of sizes, and say so.

    Parameters
    ----------
    objects : pandas.DataFrame
        With ``esd_um``.
    window : tuple of float
        Smallest and largest diameter, um; the largest is excluded.

    Returns
    -------
    pandas.DataFrame
        The rows within; ``attrs["size_window"]`` is a sentence that tells the window and what was left out, and
        ``attrs["size_window_um"]`` the window, by which `size_spectrum` cuts its classes.

    Raises
    ------
    SchemaError
        If ``esd_um`` is absent or not known for an object: whether it lies in the window cannot be told.

    Examples
    --------
    >>> kept = within(pd.DataFrame({"esd_um": [50.0, 800.0]}), (102, 26_000))
    >>> kept.attrs["size_window"]
    'ESD 102 to 26000 um; 1 of 2 objects lie outside and are left out'
    """
    low, high = check_window(window, "window")
    require_columns(objects, ["esd_um"], what="objects")
    esd = objects["esd_um"].to_numpy(dtype=float, na_value=np.nan)
    if np.isnan(esd).any():
        msg = f"esd_um is missing in {np.isnan(esd).sum()} of {len(esd)} objects. Measure or drop them first."
        raise SchemaError(msg)
    inside = (esd >= low) & (esd < high)
    kept = objects[inside].copy()
    kept.attrs["size_window"] = (
        f"ESD {low:g} to {high:g} um; {(~inside).sum()} of {len(inside)} objects lie outside and are left out"
    )
    kept.attrs["size_window_um"] = (low, high)
    return kept


def fully_counted(esd_um, *, min_count=_FEW):
    """
    Find in the data which diameters were counted fully.

    From the class of diameters (three to the octave) that holds most objects, below which an instrument loses them, up
    to the first class with fewer than `min_count`, where chance rules.

    Parameters
    ----------
    esd_um : array-like of float
        Diameters of all objects of one instrument, um.
    min_count : int
        Fewest objects in a class.

    Returns
    -------
    tuple of float
        um.

    Raises
    ------
    ValueError
        If there are too few objects, or diameters that are not above 0.

    References
    ----------
    After the selection of classes in Dugenne et al. 2024, Earth Syst. Sci. Data 16, 2971-2999.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> low, high = fully_counted(rng.pareto(3, 10_000) * 100 + 100)
    >>> bool(80 < low <= 126 and high > 500)
    True
    """
    esd = np.asarray(esd_um, dtype=float)
    if not (esd > 0).all():
        msg = f"diameters must be above 0 um; {(~(esd > 0)).sum()} of {esd.size} are not. Drop these objects."
        raise ValueError(msg)
    edges = octave_edges(esd.min(), esd.max()) if esd.size else np.ones(2)
    counts = np.bincount(np.searchsorted(edges, esd, side="right") - 1, minlength=edges.size - 1)
    first = int(counts.argmax())
    if counts[first] < min_count:
        msg = f"no class of diameters holds {min_count} objects; there are {esd.size}. Pool more samples."
        raise ValueError(msg)
    few = np.flatnonzero(counts[first:] < min_count)
    last = first + (int(few[0]) if few.size else counts.size - first)
    return float(edges[first]), float(edges[last])


def check_window(window, what="window"):
    """
    Refuse a window that is not a range of diameters.

    Parameters
    ----------
    window : (float, float)
        um.
    what : str
        How the message calls it.

    Returns
    -------
    tuple of float

    Raises
    ------
    ValueError
        If it is not two numbers above or equal to 0, the smaller first.
    """
    low, high = (float(value) for value in window)
    if not 0 <= low < high:
        msg = f"{what} must be two diameters in um, the smaller first; got ({low:g}, {high:g})."
        raise ValueError(msg)
    return low, high


def _names(instruments):
    """Distinct names, from a table or a list."""
    if isinstance(instruments, pd.DataFrame):
        require_columns(instruments, ["instrument"], what="samples")
        if instruments["instrument"].isna().any():
            msg = f"instrument is missing in {instruments['instrument'].isna().sum()} rows. Name it, or drop the rows."
            raise SchemaError(msg)
        instruments = instruments["instrument"]
    names = list(dict.fromkeys([instruments] if isinstance(instruments, str) else instruments))
    if not names:
        msg = "no instrument is given. Name at least one."
        raise ValueError(msg)
    return names
