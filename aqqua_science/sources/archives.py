"""Archives that are unpacked to a folder and nowhere else."""

import shutil
import stat
import tarfile
import zipfile
import zlib
from functools import partial

from aqqua_science.connections import check_room
from aqqua_science.progress import progress_bar
from aqqua_science.sources.tree import beside

_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, RuntimeError, NotImplementedError)


def unpack(archive, to):
    """
    Unpack a zip or a tar, plain or compressed.

    Files get the rights of new files, whatever the archive says; empty folders are left out.

    Parameters
    ----------
    archive : pathlib.Path
    to : pathlib.Path
        Folder; made where it is not there.

    Raises
    ------
    ValueError
        If a member is a link, a device or leads out of the folder; what came before it is there.
    OSError
        If it is no archive, or damaged; or if the disk has no room.
    """
    try:
        _unpack(archive, to)
    except _DAMAGE as error:
        msg = f"{archive} cannot be unpacked: {error or type(error).__name__}. Remove it, and download it again."
        raise OSError(msg) from error


def _unpack(archive, to):
    to.mkdir(parents=True, exist_ok=True)
    members, size = _open(archive)
    check_room(to, size)
    with progress_bar(None, total=size, unit="B", unit_scale=True, desc=f"unpacking {archive.name}") as bar:
        for name, size, is_file, content in members:
            inside = beside(archive.name, name)
            if not is_file or not inside:
                what = "leads out of the folder" if is_file else "is a link or a device"
                msg = f"{archive} holds {name!r}, which {what}: it is not what was published. Remove it."
                raise ValueError(msg)
            path = to / inside
            path.parent.mkdir(parents=True, exist_ok=True)
            with content() as source, path.open("wb") as file:
                shutil.copyfileobj(source, file)
            bar.update(size)


def _open(archive):
    """Members as (name, bytes, whether it is a file, how to open it), and how much they are, at least."""
    # First, since a tar may end in a zip and be taken for one.
    if tarfile.is_tarfile(archive):
        return _in_tar(archive), archive.stat().st_size if archive.suffix == ".tar" else 0
    if zipfile.is_zipfile(archive):
        opened = zipfile.ZipFile(archive)
        return _in_zip(opened), sum(info.file_size for info in opened.infolist())
    msg = f"{archive} is neither a zip nor a tar, or it is cut short. Remove it, and download it again."
    raise OSError(msg)


def _in_zip(archive):
    with archive:
        for info in archive.infolist():
            if not info.is_dir():
                is_file = not stat.S_ISLNK(info.external_attr >> 16)
                yield info.filename, info.file_size, is_file, partial(archive.open, info)


def _in_tar(path):
    with tarfile.open(path) as archive:
        while (info := archive.next()) is not None:
            # It keeps what it has read: a gigabyte where there are a million images.
            archive.members.clear()
            if not info.isdir():
                yield info.name, info.size, info.isfile(), partial(archive.extractfile, info)
        _check_end(archive)


def _check_end(archive):
    """Python takes a damaged header, or where a tar is cut, for its end, which is a block of zeros."""
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        msg = f"it is damaged or cut at byte {archive.offset:,}"
        raise tarfile.ReadError(msg)
