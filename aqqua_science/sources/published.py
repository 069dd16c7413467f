"""
Published sets of labelled images: the six of Panaiotis et al. 2026 (Earth Syst. Sci. Data 18, 945).

Five of them are archives of SEANOE, with ``imgs/<taxon>/<object>.<ending>`` and ``taxa.csv.gz``: ``objid``,
``taxon_level1``, ``lineage_level1``, ``taxon_level2`` (coarser), ``plankton``, ``set`` (the published split) and
``img_path``. IFCB is WHOI-Plankton, a zip for each year with a folder for each label; how the paper chose and split its
images of it was not found, nor a licence of the images.

Seen, in public code and pages as they were stored: pages of the five in `ThelmaPana/plankton_classif`; columns on the
pages of SEANOE and their copies in B2FIND, layout in `jiho/prepare_ecotaxa_datasets`; addresses, licences and citations
in `Inria-Chile/planktonzilla`; those of IFCB in `EuropeanIFCBGroup/iRfcb`; addresses again, sizes and SHA-256 in
`ketil-malde/plankton-data`, which computed them from its own downloads: the publishers give none. Not seen: the files
themselves, and their pixel sizes.
"""

import csv
import gzip
import shutil
import zlib
from pathlib import Path

import pandas as pd

from aqqua_science import __version__
from aqqua_science.connections import Connection
from aqqua_science.files import file_hash, replacing
from aqqua_science.schema import nearest_name
from aqqua_science.sources.archives import unpack

_SETS = Path(__file__).with_name("published_sets.csv")
_FILES = Path(__file__).with_name("published_files.csv")

LABELS = "taxa.csv.gz"
"""The table of labels in an archive."""

TABLE = "images.csv"
"""What is made of it for `images.ingest`."""

_OURS = {"objid": "object_id", "taxon_level1": "taxon"}
_NEEDED = {*_OURS, "img_path"}


def list_sets():
    """
    List the published sets.

    Returns
    -------
    pandas.DataFrame
        By name: ``instrument``, ``title``, ``images`` (of IFCB: more than), ``size_gb`` of the archives, ``doi``,
        ``page``, ``licence`` (empty where none was found), ``citation``.

    Examples
    --------
    >>> list_sets().loc["ZooScan", ["title", "licence", "doi"]].tolist()
    ['ZooScanNet', 'CC BY-NC 4.0', '10.17882/55741']
    """
    return pd.read_csv(_SETS, index_col="name", keep_default_na=False)


def list_files(name):
    """
    List the archives of a set, for a download by other means.

    Parameters
    ----------
    name : str

    Returns
    -------
    pandas.DataFrame
        ``file``, ``url`` and ``sha256``.

    Raises
    ------
    ValueError
        If there is no set of this name.

    Examples
    --------
    >>> list_files("UVP6")["file"].tolist()
    ['119452.tar']
    """
    files = pd.read_csv(_FILES, dtype=str)
    known = files["name"].unique()
    if name not in known:
        msg = f"there is no published set {name!r}.{nearest_name(name, known)} The sets are: {', '.join(known)}."
        raise ValueError(msg)
    return files[files["name"] == name].drop(columns="name").reset_index(drop=True)


def download(name, *, to, mirror=None, verify=True, wait_s=1.0):
    """
    Download a published set and unpack it, ready for `images.ingest`.

    After an interruption the same call goes on: with the bytes that are missing, as far as the server can, and with the
    archives that are. A set that is unpacked is not touched again. The archives stay, and may be removed.

    Each archive is compared with its published SHA-256, and with what it was when it first came: that stands beside it
    in ``<archive>.sha256``, and is compared whenever the archive is unpacked again.

    Five sets come with `images.csv`, from which ingest reads the taxon, as people gave it; the published split, whether
    it is plankton and the coarser taxon are kept among the original columns. What else their archives hold, such as
    features and a map, lies in ``<name>-rest``. Of IFCB the folders are the labels.

    Parameters
    ----------
    name : str
        FlowCam, IFCB, ISIIS, UVP6, ZooCam or ZooScan.
    to : str or pathlib.Path
        Folder for archives and sets. An archive that is there by its name (`list_files`), downloaded by hand, is taken.
    mirror : str or pathlib.Path, optional
        Folder with the archives, which are read where they lie, or an address that they are below.
    verify : bool
        Whether the published SHA-256 counts. It is not the publisher's own: switch it off where they have renewed a
        file.
    wait_s : float
        Seconds before a failed request is repeated; they double with each further one.

    Returns
    -------
    pathlib.Path
        The folder of the set, ``to / name``.

    Raises
    ------
    ValueError
        If there is no set of this name, or an archive holds what has no place in one.
    FileNotFoundError
        If an archive is not where it should be.
    ConnectionError
        If the server cannot be reached, or stays busy.
    OSError
        If an archive is not the published one or is damaged, the disk is full, or somebody else downloads the same.

    Examples
    --------
    >>> download("ZooSkan", to="sets")
    Traceback (most recent call last):
        ...
    ValueError: there is no published set 'ZooSkan'. Did you mean 'ZooScan'? The sets are: ...
    """
    from filelock import FileLock, Timeout

    files, to = list_files(name), Path(to)
    to.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(to / f".{name}.lock", timeout=0):
            if not (to / name).exists():
                archives = [_obtain(file, name, to, mirror, verify, wait_s) for file in files.itertuples()]
                _unpack(archives, to / f"{name}-rest", to / name)
    except Timeout as error:
        msg = f"another process downloads {name} to {to}. Wait until it is done."
        raise OSError(msg) from error
    return to / name


def _obtain(file, name, to, mirror, verify, wait_s):
    """An archive that is here and the right one."""
    path = to / file.file
    if not path.exists():
        if mirror is None or "://" in str(mirror):
            _fetch(file, name, path, mirror, wait_s)
        else:
            path = Path(mirror) / file.file
    if not path.exists():
        msg = f"the mirror {mirror} has no {file.file}. It must lie there by this name, or in {to}."
        raise FileNotFoundError(msg)
    _check(path, to / f"{file.file}.sha256", file.sha256 if verify else None)
    return path


def _fetch(file, name, path, mirror, wait_s):
    url = file.url if mirror is None else f"{str(mirror).rstrip('/')}/{file.file}"
    remedy = (
        f"Run it again to go on, or download the file by hand from {list_sets().loc[name, 'page']} "
        f"and put it as {path.name} into {path.parent}."
    )
    headers = {"User-Agent": f"aqqua_science/{__version__}"}
    part = path.with_name(f"{path.name}.part")
    with Connection(headers=headers, wait_s=wait_s, follow_redirects=True, remedy=remedy) as connection:
        connection.download(url, part)
    part.replace(path)


def _check(path, note, published):
    """Refuse an archive that is another than published, or than it was; note what it is."""
    found = file_hash(path)
    if published and found != published:
        msg = (
            f"{path} has the SHA-256 {found}, but {published} is published. Remove it and run this again; if it comes "
            "again as it is, its publisher may have renewed it: verify=False takes it."
        )
        raise OSError(msg)
    noted = note.read_text("utf-8").split()[0] if note.exists() else found
    if found != noted:
        msg = f"{path} has the SHA-256 {found}, but had {noted} when it came ({note.name}). Remove both, run it again."
        raise OSError(msg)
    with replacing(note) as fresh:
        fresh.write_text(f"{found}  {path.name}\n", "utf-8")


def _unpack(archives, work, folder):
    """Unpack beside the final place, where the images with their labels come when they are whole."""
    shutil.rmtree(work, ignore_errors=True)
    for archive in archives:
        unpack(archive, work)
    # One of the archives has no folder around what it holds.
    labels = next((path for pattern in (LABELS, f"*/{LABELS}") for path in work.glob(pattern)), work / LABELS)
    images = labels.with_name("imgs")
    is_known = labels.exists() and images.is_dir() and _write_table(labels, images / TABLE)
    (images if is_known else work).replace(folder)


def _write_table(labels, table):
    """Write the labels as ingest reads them; whether they have the columns that are known."""
    try:
        return _copy_labels(labels, table)
    except (EOFError, gzip.BadGzipFile, zlib.error, csv.Error) as error:
        msg = f"{LABELS} in the archive is damaged: {error}. Remove the archive, and run this again."
        raise OSError(msg) from error


def _copy_labels(labels, table):
    with gzip.open(labels, "rt", encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        if not set(header) >= _NEEDED:
            return False
        with table.open("w", encoding="utf-8", newline="") as fresh:
            writer = csv.writer(fresh)
            writer.writerow([*(_OURS.get(column, column) for column in header), "taxon_status"])
            writer.writerows([*row, "validated"] for row in rows)
    return True
