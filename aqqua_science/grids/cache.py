"""The folder of fetched files: each whole or absent, with a note beside it that tells what it was."""

import json
import os
from pathlib import Path

import platformdirs

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
    return platformdirs.user_cache_path("aqqua_science", appauthor=False)


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


def is_kept(path, *, out_of=()):
    """
    Tell whether a file is there, and refuse one that has changed.

    Parameters
    ----------
    path : pathlib.Path
    out_of : iterable of pathlib.Path
        Files of somebody's folder: what was made out of others is not what is asked for.

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
    told = json.loads(note.read_text("utf-8"))
    noted, found = told["sha256"], file_hash(path)
    if noted != found:
        msg = (
            f"{path} has the SHA-256 {found}, but had {noted} when it was made ({note.name}). "
            "Remove both, and run it again."
        )
        raise OSError(msg)
    return not out_of or [file_hash(part) for part in out_of] == told["sha256_of_downloads"]


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
