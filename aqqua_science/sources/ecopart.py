"""
EcoPart: particles and zooplankton per cubic metre, as tables, from its exports.

Read are detailed (45 size classes) and reduced (15) exports, by profile or aggregated, as tab-separated text or for
Ocean Data View; raw exports (``*_PAR_raw_*.tsv``, ``*_rawfiles.zip``); and the archives ``ecopart_export_raw_<id>.zip``
with the ``particules.csv`` of UVP6. Black frames, taken without light, and over-exposed ones are left out. EcoPart
counts particles per litre and organisms per cubic metre: here all is per cubic metre.
"""

import re

import numpy as np
import pandas as pd

from aqqua_science.schema import SchemaError
from aqqua_science.sources.ecopart_bins import Bins, bins_of_table, complete, screen_bins
from aqqua_science.sources.ecopart_headers import size_classes, taxa
from aqqua_science.sources.ecopart_long import BIN_COLUMNS, OPTICS, absent_profiles, long_particles, long_zooplankton
from aqqua_science.sources.ecopart_metadata import ambiguous_profiles, read_profiles
from aqqua_science.sources.ecopart_raw import COLUMNS, bins_of_classes, bins_of_frames, bins_of_raw_table
from aqqua_science.sources.ecopart_tables import MAX_BYTES, load_table
from aqqua_science.sources.tree import Tree

_REJECTED = ["file", "line", *BIN_COLUMNS, "reason"]
_NO_BINS = Bins(
    pd.DataFrame(columns=[*BIN_COLUMNS, *OPTICS], index=pd.RangeIndex(0)),
    [],
    dict.fromkeys(("count", "biovolume", "esd"), np.zeros((0, 0))),
)
_NO_LINES = pd.DataFrame(columns=["line", "reason"])
_PARTICLES = re.compile(r".*_PAR_.*\.(?:tsv|txt)|(?:.*/)?particules\.csv|(?:.*/)?LPM\.txt|.*_work\.zip/.*\.bru", re.I)
_BLACK = re.compile(r".*_black\.tsv", re.I)
_ZOOPLANKTON = re.compile(r".*_ZOO_.*\.(?:tsv|txt)", re.I)


def read_particles(path):
    r"""
    Read the size spectra of particles of an export of EcoPart.

    Parameters
    ----------
    path : str or pathlib.Path
        A folder, an archive, or one table with the list of profiles (``*_Export_metadata_summary.tsv``) beside it.

    Returns
    -------
    accepted : pandas.DataFrame
        One row per volume of water and size class: ``sample_id`` (the profile; with its raw file where several have one
        name), ``cruise``, ``project``, ``instrument``, ``time``, ``latitude``, ``longitude``, ``depth`` (middle of the
        layer, or mean of an hour of a time series), ``depth_min`` and ``depth_max`` (NaN in time series),
        ``volume_m3``, ``esd_min_um`` and ``esd_max_um`` (bounds of the class, the upper one excluded, infinite for the
        last), ``concentration_m3`` (particles per m3), ``biovolume_mm3_m3``, ``file``. Classes that were not looked at
        have no rows: those that the file leaves blank, and those below one pixel, for which EcoPart writes 0.
    rejected : pandas.DataFrame
        ``reason`` for every bin, line, table and listed profile that cannot be used, with ``file``, ``line`` and what
        else is known of it.

    Raises
    ------
    SchemaError
        If there is nothing of the kind at `path`.

    Notes
    -----
    A layer that two exports hold (a detailed and a reduced one) is accepted once. Frames without pressure are left out
    of profiles. Depths of ``particules.csv`` and ``LPM.txt`` are converted from pressure, while EcoPart takes 1 dbar
    for 1 m: at 1000 dbar its depth is 10 m larger.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "x_Export_metadata_summary.tsv").write_text(
    ...     "profile\tRawfilename\tInstrument\tLatitude \tLongitude\na\tHDR1\tuvp5\t43.7\t7.3\n")
    >>> _ = (folder / "x_PAR_a.tsv").write_text(
    ...     "Profile\tRawfilename\tyyyy-mm-dd hh:mm\tDepth [m]\tSampled volume [L]\tLPM (0.813-1.02 mm) [# l-1]\n"
    ...     "a\tHDR1\t2020-07-07 06:06\t2.5\t8.0\t0.25\na\tHDR1\t2020-07-07 06:06\t7.5\t0\t\n")
    >>> accepted, rejected = read_particles(folder)
    >>> accepted[["depth", "esd_min_um", "concentration_m3"]].to_dict("records")
    [{'depth': 2.5, 'esd_min_um': 813.0, 'concentration_m3': 250.0}]
    >>> rejected["reason"].tolist()
    ['volume_m3 0 is not above 0 m3']
    """
    return _read(path, _PARTICLES, _particle_bins, "particles")


def read_zooplankton(path):
    """
    Read the concentrations of taxa of an export of EcoPart.

    Parameters
    ----------
    path : str or pathlib.Path
        As in `read_particles`.

    Returns
    -------
    accepted : pandas.DataFrame
        One row per volume of water and taxon: the columns of `read_particles` up to ``volume_m3``, then ``taxon``,
        ``lineage`` (names from the root, joined by ``>``), ``concentration_m3``, ``biovolume_mm3_m3``, ``esd_um`` (mean
        diameter; NaN where there is none) and ``file``. A blank is 0: none was found.
    rejected : pandas.DataFrame
        As in `read_particles`.

    Raises
    ------
    SchemaError
        If there is nothing of the kind at `path`.

    Notes
    -----
    In detailed exports a taxon includes all below it: "living" is the sum of the living, so never add taxa of which one
    is in the lineage of another. Layers in which no organism was found may be absent; `read_particles` has all layers.
    In time series EcoPart writes the start of the series at every hour, so that only the first can be accepted.
    """
    return _read(path, _ZOOPLANKTON, _zooplankton_bins, "plankton")


def _read(path, pattern, make_bins, kind):
    """Bins of all tables, screened, in long form."""
    tree, names, profiles, rejected = _open(path, pattern)
    found, faults = [], [rejected]
    for name in names:
        try:
            bins, lines = make_bins(tree, name, profiles)
            found += [bins] if len(bins.about) else []
            faults.append(lines.assign(file=name))
        except (ValueError, KeyError, OverflowError) as error:
            faults.append(pd.DataFrame({"file": [name], "line": [0], "reason": [f"an unreadable table: {error}"]}))
    accepted, refused, ends = _screen(found, profiles)
    make_long = long_particles if kind == "particles" else long_zooplankton
    pieces = [make_long(_NO_BINS, accepted[:0], 0)]
    for bins, i, j in zip(found, [0, *ends], ends, strict=False):
        pieces.append(make_long(bins, accepted.loc[i : j - 1], i))
    faults += [refused, absent_profiles(profiles, accepted, refused, kind=kind)]
    return _joined(pieces), _joined(faults).reindex(columns=_REJECTED)


def _screen(found, profiles):
    """Bins that can be used, those that cannot, and up to which row each table's reach."""
    ends = np.cumsum([len(bins.about) for bins in found], dtype=int).tolist()
    if not found:
        return _NO_BINS.about, _NO_BINS.about, ends
    every = complete(pd.concat([bins.about for bins in found], ignore_index=True), profiles)
    doubled = every["profile"].isin(ambiguous_profiles(profiles))
    every["sample_id"] = every["profile"].mask(doubled, every["profile"] + " " + every["rawfile"])
    accepted, refused = screen_bins(every)
    return accepted[[*BIN_COLUMNS, *OPTICS]], refused, ends


def _joined(tables):
    """Tables below each other; the empty ones have no say in the types of columns."""
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def _open(path, pattern):
    """The tables of an export, and its lists of profiles; those of a table by itself lie beside it."""
    tree = Tree(path)
    names = [name for name in tree.names if pattern.fullmatch(name) and not _BLACK.fullmatch(name)]
    trees = [tree]
    if not tree.path.is_dir() and tree.names == [tree.path.name]:
        names, trees = tree.names, [Tree(beside) for beside in sorted(tree.path.parent.glob("*_metadata_summary.tsv"))]
    if not names:
        shown = ", ".join(tree.names[:5]) or "no files"
        msg = (
            f"{tree.path} has no such table of EcoPart; it holds {shown}. Looked for: *_PAR_*.tsv, *_ZOO_*.tsv, "
            "*_odv.txt, particules.csv, LPM.txt. Give the folder or zip that EcoPart exported."
        )
        raise SchemaError(msg)
    lists = [read_profiles(one) for one in trees or [tree]]
    profiles, rejected = (_joined(tables) for tables in zip(*lists, strict=True))
    refused = [(name, 0, f"not read: {reason}") for name, reason in tree.refused.items() if pattern.fullmatch(name)]
    return tree, names, profiles, _joined([rejected, pd.DataFrame(refused, columns=["file", "line", "reason"])])


def _particle_bins(tree, name, profiles):
    """Bins of one file, whichever kind of export it comes from, and its lines that are not read."""
    kind = name.lower().rpartition("/")[2]
    if kind == "particules.csv":
        return bins_of_frames(tree, name, profiles), _NO_LINES
    if kind.endswith(".bru"):
        msg = "raw files of a UVP5 (.dat, .bru) are not read. Export its particles as detailed tables instead."
        raise SchemaError(msg)
    table, lines = load_table(tree.read(name, limit=MAX_BYTES), what=name)
    if table.empty:
        return _NO_BINS, _why_empty(lines)
    if kind == "lpm.txt":
        return bins_of_classes(tree, table, profiles, name=name), lines
    if set(COLUMNS) <= set(table.columns):
        return bins_of_raw_table(table, profiles, name=name), lines
    return bins_of_table(table, size_classes(table.columns), name=name), lines


def _zooplankton_bins(tree, name, profiles):
    """Bins of one table, and its lines that are not read."""
    table, lines = load_table(tree.read(name, limit=MAX_BYTES), what=name)
    if table.empty:
        return _NO_BINS, _why_empty(lines)
    return bins_of_table(table, taxa(table.columns), name=name), lines


def _why_empty(lines):
    """A table has no line, or none that can be read."""
    return lines if len(lines) else pd.DataFrame([(0, "a table without lines")], columns=_NO_LINES.columns)
