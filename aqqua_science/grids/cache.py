"""The folder of fetched files: each whole or absent, with a note beside it that tells what it was."""

import json
import os
import sys
from pathlib import Path

from aqqua_science.files import file_hash, write_json

CACHE_VARIABLE = "AQQUA_CACHE"
"""Environment variable that may name the folder."""


def cache_folder():
    """
    Where fetched files lie when nothing else is said.

    Returns
    -------
    pathlib.Path
        Of the environment variable AQQUA_CACHE, or the platform's place for caches.
    """
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE]).expanduser()
    home = Path.home()
    places = {"win32": os.environ.get("LOCALAPPDATA"), "darwin": home / "Library" / "Caches"}
    place = places.get(sys.platform) or os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(place) / "aqqua_science"


def note_of(path):
    """
    Where the note of a file lies.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    pathlib.Path
    """
    return path.with_name(f"{path.name}.json")


def is_kept(path):
    """
    Tell whether a file is there, and refuse one that has changed.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    bool

    Raises
    ------
    OSError
        If it is not what its note says.
    """
    note = note_of(path)
    if not (path.exists() and note.exists()):
        return False
    noted, found = json.loads(note.read_text("utf-8"))["sha256"], file_hash(path)
    if noted != found:
        msg = (
            f"{path} has the SHA-256 {found}, but had {noted} when it was made ({note.name}). "
            "Remove both, and run it again."
        )
        raise OSError(msg)
    return True


def keep(fields, path, *, about):
    """
    Write fields to a file, and a note beside it.

    Parameters
    ----------
    fields : xarray.Dataset
    path : pathlib.Path
    about : dict
        What the note tells beside the SHA-256.
    """
    part = path.with_name(f"{path.name}.part")
    packed = {name: {"zlib": True, "complevel": 4} for name in fields.data_vars}
    fields.to_netcdf(part, engine="netcdf4", encoding=packed)
    # The note first: a file without its note would be taken for one that is not whole.
    write_json({"sha256": file_hash(part)} | about, note_of(path))
    part.replace(path)
