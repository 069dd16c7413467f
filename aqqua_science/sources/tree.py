"""The files of a source, in a folder or a zip (and the zips within it), seen as one safe tree."""

import os
import stat
import zipfile
from contextlib import suppress
from functools import cached_property
from pathlib import Path, PurePosixPath

from aqqua_science.schema import SchemaError
from aqqua_science.sources.record import PictureError

MAX_FILE_BYTES = 4 * 2**30
"""A single file that unpacks to more is taken for a zip bomb."""

MAX_RATIO = 200
"""A zip member of over a megabyte that grows by more than this is taken for a bomb; plain text reaches about 50."""

_NEST_LEVELS = 2
_IGNORED = ("__MACOSX/", ".ipynb_checkpoints/")


class Tree:
    """
    Files under a folder, in a zip, or one file by itself.

    Names are relative, with ``/``, in sorted order. A zip inside is a folder with the zip's name. Names that lead out
    of the tree, symbolic links that do, encrypted members and bombs are not listed: `refused` has them with the reason.

    Parameters
    ----------
    path : str or pathlib.Path

    Attributes
    ----------
    names : list of str
    refused : dict of str to str
        Name -> reason.

    Raises
    ------
    SchemaError
        If there is no such file or folder, or a zip cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.txt").write_text("plankton")
    >>> tree = Tree(folder)
    >>> tree.names, tree.read("a.txt")
    (['a.txt'], b'plankton')
    """

    def __init__(self, path):
        self.path = Path(path)
        if not self.path.exists():
            msg = f"there is no file or folder {str(self.path)!r}. Check the path."
            raise SchemaError(msg)

    def __getstate__(self):
        return {"path": self.path}

    @cached_property
    def _listing(self):
        """Entries by name, and refused names with their reasons."""
        entries, refused = {}, {}
        if self.path.is_dir():
            _list_folder(self.path, entries, refused)
        elif zipfile.is_zipfile(self.path):
            _list_zip(_open_zip(self.path, self.path.name), "", entries, refused, level=1)
        elif self.path.suffix.lower() == ".zip":
            msg = f"{self.path.name} ends in .zip but is no zip file, or is cut short. Copy it again from its origin."
            raise SchemaError(msg)
        else:
            entries[self.path.name] = self.path
        return entries, refused

    @cached_property
    def names(self):
        """Names of all files, sorted."""
        return sorted(self._listing[0])

    @cached_property
    def refused(self):
        """What is not listed, with the reason."""
        return self._listing[1]

    def __contains__(self, name):
        return name in self._listing[0]

    def size(self, name):
        """Bytes of a file, unpacked."""
        entry = self._listing[0][name]
        return entry.stat().st_size if isinstance(entry, Path) else entry[1].file_size

    def read(self, name, *, limit=MAX_FILE_BYTES):
        """
        Read a file.

        Parameters
        ----------
        name : str
        limit : int
            Bytes above which it is refused.

        Returns
        -------
        bytes

        Raises
        ------
        KeyError
            If the tree has no such file.
        PictureError
            If it is larger than `limit`, damaged, or cannot be read.
        """
        if self.size(name) > limit:
            msg = f"the file is too large: {name} has {self.size(name):,} bytes, the limit is {limit:,}"
            raise PictureError(msg)
        entry = self._listing[0][name]
        try:
            if isinstance(entry, Path):
                return entry.read_bytes()
            archive, info = entry
            with archive.open(info) as file:
                return file.read(limit + 1)[: info.file_size]
        except (OSError, zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
            msg = f"the file cannot be read: {name}, {error}"
            raise PictureError(msg) from error
        except _zlib_errors() as error:
            msg = f"the file cannot be read: {name} is damaged in its archive, {error}"
            raise PictureError(msg) from error

    def matching(self, *suffixes):
        """Names that end in one of some suffixes, whatever their case."""
        wanted = tuple(s.lower() for s in suffixes)
        return [name for name in self.names if name.lower().endswith(wanted)]


def _zlib_errors():
    """Decompression errors of the zip methods that this Python was built with."""
    import lzma
    import zlib

    return (zlib.error, lzma.LZMAError)


def beside(name, other):
    """
    Name a file relative to the folder of another.

    Parameters
    ----------
    name : str
        A file of a tree.
    other : str
        Path relative to that file's folder; backslashes count as slashes.

    Returns
    -------
    str or None
        None when it leads out of the tree.

    Examples
    --------
    >>> beside("run/table.tsv", "img/1.png"), beside("table.tsv", "../1.png")
    ('run/img/1.png', None)
    """
    parts = []
    relative = PurePosixPath(other.replace("\\", "/"))
    if relative.is_absolute() or _is_drive(relative):
        return None
    for part in (*PurePosixPath(name).parent.parts, *relative.parts):
        if part == ".." and not parts:
            return None
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def _list_folder(root, entries, refused):
    """All files below a folder; links are followed only where they stay inside."""
    top = root.resolve()
    for folder, subfolders, files in os.walk(root):
        subfolders.sort()
        for name in [n for n in subfolders if Path(folder, n).is_symlink()]:
            subfolders.remove(name)
            refused[Path(folder, name).relative_to(root).as_posix()] = "a link to a folder is not followed"
        for name in sorted(files):
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            if name.startswith(".") or relative.startswith(_IGNORED):
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(top):
                refused[relative] = "a link that leads out of the source"
            elif not stat.S_ISREG(path.stat().st_mode) if path.exists() else True:
                refused[relative] = "not a regular file"
            else:
                _add(path, relative, entries, refused)


def _add(path, relative, entries, refused):
    """A file, or what a zip holds."""
    if path.suffix.lower() == ".zip":
        with suppress(SchemaError):
            _list_zip(_open_zip(path, relative), f"{relative}/", entries, refused, level=2)
            return
        refused[relative] = "a zip file that cannot be opened"
        return
    entries[relative] = path


def _open_zip(file, name):
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        msg = f"{name} is no readable zip file: {error}. Copy it again from its origin."
        raise SchemaError(msg) from error


def _list_zip(archive, prefix, entries, refused, *, level):
    for info in archive.infolist():
        if info.is_dir() or info.filename.startswith(_IGNORED):
            continue
        name = prefix + info.filename
        reason = _zip_fault(info) or ("named twice in its archive" if name in entries else "")
        if reason:
            refused[name] = reason
        elif info.filename.lower().endswith(".zip") and level <= _NEST_LEVELS:
            _list_nested(archive, info, name, entries, refused, level)
        else:
            entries[name] = (archive, info)


def _list_nested(archive, info, name, entries, refused, level):
    try:
        _list_zip(_open_zip(archive.open(info), name), f"{name}/", entries, refused, level=level + 1)
    except (SchemaError, RuntimeError, zipfile.BadZipFile, *_zlib_errors()):
        refused[name] = "a zip file that cannot be opened"


def _is_drive(path):
    """Whether a path begins with a drive of Windows, or is no path at all."""
    return not path.parts or path.parts[0].endswith(":")


def _zip_fault(info):
    """Why a member of a zip is not for us."""
    path = PurePosixPath(info.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or _is_drive(path) or "\0" in info.filename:
        return "its name leads out of the archive"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "a link in an archive is not followed"
    if info.flag_bits & 1:
        return "encrypted"
    if info.file_size > MAX_FILE_BYTES:
        return f"unpacks to more than {MAX_FILE_BYTES:,} bytes"
    if info.file_size > 2**20 and info.file_size > MAX_RATIO * max(info.compress_size, 1):
        return f"grows more than {MAX_RATIO} times when unpacked, as a zip bomb does"
    return ""
