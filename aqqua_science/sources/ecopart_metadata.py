"""The lists of profiles that come with exports of EcoPart: where and when, with which instrument."""

import re

import numpy as np
import pandas as pd

from aqqua_science.schema import SchemaError
from aqqua_science.sources.ecopart_tables import MAX_BYTES, load_table, to_numbers, to_times
from aqqua_science.sources.record import PictureError

_NAMES = {
    "profile": ("profile", "profileid", "sample_name", "station"),
    "rawfile": ("rawfilename", "filename"),
    "project": ("project", "ptitle", "ecopart_project_title"),
    "project_id": ("ecopart_project_id", "pprojid"),
    "cruise": ("cruise", "project_cruise_wmo"),
    "instrument": ("instrument", "instrumtype", "project_instrument_model_name"),
    "time": ("yyyy-mm-dd hh:mm", "sampledate", "sampling_utc_date_time"),
    "latitude": ("latitude", "sample_latitude", "latitude [degrees_north]"),
    "longitude": ("longitude", "sample_longitude", "longitude [degrees_east]"),
    "aa": ("aa", "acq_aa", "instrument_settings_aa"),
    "exp": ("exp", "acq_exp", "instrument_settings_exp"),
    "volume_l": ("acq_volimage", "instrument_settings_image_volume_l"),
    "offset_m": ("default_depthoffset", "project_override_depth_offset"),
    "own_offset_m": ("acq_depthoffset", "instrument_settings_depth_offset_m"),
    "by_depth": ("organizedbydeepth", "sample_type"),
    "quality": ("visual_qc_status",),
    "particles": ("particle filename",),
    "plankton": ("plankton filename",),
}
_NUMBERS = ("latitude", "longitude", "aa", "exp", "volume_l", "offset_m", "own_offset_m")
_CLOSE_DEGREES = 0.01
_PROFILES = re.compile(r"(?:.*/)?(?:[^/]*export_metadata_summary\.tsv|metadata/samples\.tsv)", re.IGNORECASE)
_PROJECTS = re.compile(r"(?:.*/)?metadata/projects\.tsv", re.IGNORECASE)


def read_profiles(tree):
    """
    Read all lists of profiles of a tree.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    profiles : pandas.DataFrame
        ``folder`` of the list and, as far as it has them, ``profile``, ``rawfile``, ``project``, ``cruise``,
        ``instrument``, ``time``, ``latitude``, ``longitude``, ``aa`` (mm2), ``exp``, ``volume_l`` (of one image),
        ``offset_m``, ``by_depth``, ``quality``, ``particles`` and ``plankton`` (names of files); "" or NaN elsewhere.
    rejected : pandas.DataFrame
        ``file``, ``line`` and ``reason`` of what cannot be read.
    """
    found, rejected = [pd.DataFrame(columns=["folder", *_NAMES])], []
    for name in filter(_PROFILES.fullmatch, tree.names):
        try:
            table, bad = load_table(tree.read(name, limit=MAX_BYTES), what=name)
            found.append(standard_columns(_with_project(tree, name, table)).assign(folder=_folder_of(name)))
            rejected.append(bad.assign(file=name))
        except (SchemaError, PictureError) as error:
            rejected.append(pd.DataFrame({"file": [name], "line": [0], "reason": [f"an unreadable table: {error}"]}))
    profiles = pd.concat(found[1:] or found, ignore_index=True)
    return profiles, pd.concat([pd.DataFrame(columns=["file", "line", "reason"]), *rejected], ignore_index=True)


def _folder_of(name):
    """The folder whose tables a list describes."""
    folder = name.rpartition("/")[0]
    return folder.rpartition("/")[0] if name.lower().endswith("metadata/samples.tsv") else folder


def _with_project(tree, name, table):
    """A raw export keeps what belongs to the project in a table of its own."""
    projects = name[: -len("samples.tsv")] + "projects.tsv"
    key = "ecopart_project_id"
    if not name.lower().endswith("samples.tsv") or projects not in tree or key not in table:
        return table
    other, _ = load_table(tree.read(projects, limit=MAX_BYTES), what=projects)
    if key not in other:
        return table
    new = [key, *(column for column in other if column not in table)]
    index = table.index
    return table.merge(other[new].drop_duplicates(key), on=key, how="left").fillna("").set_index(index)


def standard_columns(table):
    """
    Give the columns of a list of profiles, or of a table that repeats it, their standard names and types.

    Parameters
    ----------
    table : pandas.DataFrame of str

    Returns
    -------
    pandas.DataFrame
        All columns that `read_profiles` names but ``folder``.

    Examples
    --------
    >>> standard_columns(pd.DataFrame({"Profile": ["a"], "Latitude ": ["44.0905"]}))[["profile", "latitude"]]
      profile  latitude
    0       a   44.0905
    """
    present = {str(column).strip().lower(): column for column in table.columns}
    found = {}
    for name, others in _NAMES.items():
        column = next((present[other] for other in others if other in present), None)
        found[name] = pd.Series("", index=table.index, dtype=str) if column is None else table[column].str.strip()
    found |= {name: to_numbers(found[name]).replace([np.inf, -np.inf], np.nan) for name in _NUMBERS}
    found["time"] = to_times(found["time"])
    # The raw export has the coefficient of a UVP6 in um2; no UVP has pixels of a square millimetre.
    found["aa"] = found["aa"].where(found["aa"] < 1, found["aa"] / 1e6)
    found["offset_m"] = found["offset_m"].fillna(found["own_offset_m"])
    return pd.DataFrame(found)


def ambiguous_profiles(profiles):
    """
    Find the profiles whose name does not tell them apart.

    Parameters
    ----------
    profiles : pandas.DataFrame

    Returns
    -------
    set of str
        Names that stand for several raw files, as when two cruises each have a profile "001".
    """
    counts = profiles[profiles["rawfile"] != ""].groupby("profile")["rawfile"].nunique()
    return set(counts.index[counts > 1])


def find_profile(profiles, *, folder, profile, rawfile="", project=""):
    """
    Find what the lists say of a profile.

    Parameters
    ----------
    profiles : pandas.DataFrame
        As `read_profiles` gives them.
    folder : str
        Of the table that names it; lists in this folder or the nearest above it are asked, else all.
    profile, rawfile, project : str
        As the table names it, the project by its title or number; what is empty is not compared.

    Returns
    -------
    dict, reason
        Values on which all its entries agree (a profile may be in several projects), and why it cannot be used, or "".
    """
    same = profiles[profiles["profile"] == profile]
    same = same[same["folder"] == _nearest(folder, set(same["folder"]))] if len(same) else same
    if same.empty:
        return {}, f"the metadata do not name this profile: {profile}"
    if rawfile:
        known = same["rawfile"].str.removeprefix("HDR")
        same = same[(known == rawfile.removeprefix("HDR")) | (known == "")]
        if same.empty:
            return {}, f"the metadata name another raw file for this profile: {profile}, {rawfile}"
    is_meant = (same["project"] == project) | (same["project_id"] == project)
    same = same[is_meant] if is_meant.any() else same
    if (same["quality"].str.upper() == "REJECTED").all():
        return {}, f"rejected by visual quality control: {profile}"
    agreed = {name: _agreed(same[name]) for name in _NAMES}
    return {name: value for name, value in agreed.items() if value is not None}, ""


def _nearest(folder, folders):
    """The innermost of some folders that holds another; that itself when there is but one, or none does."""
    while folder and folder not in folders:
        folder = folder.rpartition("/")[0]
    return folder if folder in folders else next(iter(sorted(folders)))


def _agreed(column):
    """The value that all entries have; None when they differ or have none."""
    values = column[(column != "") & column.notna()].unique()
    if column.name in ("latitude", "longitude") and len(values) > 1 and np.ptp(values.astype(float)) <= _CLOSE_DEGREES:
        return values[0]
    return values[0] if len(values) == 1 else None
