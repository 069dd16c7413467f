"""Environment fields by the name of their source: downloaded, cut to what is asked for, and kept."""

from functools import partial
from pathlib import Path

import netCDF4

from aqqua_science import __version__
from aqqua_science.connections import Connection
from aqqua_science.files import file_hash
from aqqua_science.grids.cache import cache_folder, is_kept, keep
from aqqua_science.grids.catalogue import find_source
from aqqua_science.grids.copernicus import plan_copernicus
from aqqua_science.grids.cutting import Piece, cut
from aqqua_science.grids.environment import open_environment
from aqqua_science.grids.griddap import plan_griddap
from aqqua_science.grids.selection import select
from aqqua_science.progress import progress_bar
from aqqua_science.schema import SchemaError


def fetch(
    name,
    *,
    variables=None,
    months=None,
    years=None,
    depths=None,
    region=None,
    resolution=None,
    to=None,
    mirror=None,
    verify=True,
    wait_s=1.0,
):
    """
    Fetch environment fields by the name of their source, ready for `open_environment`.

    Only what is asked for is kept, and asked of the server where it can cut; whole files are cut when they have come,
    and removed. What is there already is not fetched again. After an interruption the same call goes on.

    Beside each file stands a note, ``<file>.json``, with its citation and licence, the addresses and SHA-256 of what
    came, and the SHA-256 of the file, which is compared at each call. The credits are in the attributes as well.

    Parameters
    ----------
    name : str
        One of `catalog`, such as ``"woa23"``.
    variables : str or iterable of str, optional
        By our names. By default all of the source.
    months : int or iterable of int, optional
        1..12, all by default; 0 is the annual mean, where the source has one.
    years : int or tuple of int, optional
        First and last; needed where the source is a series of dates.
    depths : tuple of float, optional
        Top and bottom in metres: the levels between are kept.
    region : tuple of float, optional
        West, east, south, north in degrees; west > east crosses the date line.
    resolution : float, optional
        Size of the cells in degrees: one of those that the source has. From an ERDDAP also a multiple, of which the
        server gives every n-th cell: samples, not means.
    to : str or pathlib.Path, optional
        Folder, in which the source gets one of its own. By default the folder of the environment variable AQQUA_CACHE,
        or the platform's place for caches.
    mirror : str or pathlib.Path, optional
        Folder with the files of the source, which are read where they lie and nothing is downloaded; or another address
        than the catalogue's. Sources that come by hand need a folder.
    verify : bool
        Whether a known SHA-256 of a download counts. It is not the publisher's own: switch it off where they have
        renewed a file.
    wait_s : float
        Seconds before a failed request is repeated; they double with each further one.

    Returns
    -------
    list of pathlib.Path
        NetCDF files in our conventions, under our names.

    Raises
    ------
    ValueError
        If there is no such source, or it has no such variable, month, year, depth, region or resolution.
    FileNotFoundError
        If a file is not where it should be, or the source comes by hand only.
    MissingDependency
        If the package is not installed that speaks with the server.
    PermissionError
        If the server wants an account.
    ConnectionError
        If the server cannot be reached, or stays busy.
    OSError
        If a file is damaged or not the known one, or the disk is full.

    Examples
    --------
    >>> fetch("woa23", variables=["temprature"])
    Traceback (most recent call last):
        ...
    ValueError: woa23 has no variable 'temprature'. Did you mean 'temperature'? It has: temperature, salinity, ...
    """
    from filelock import FileLock

    source = find_source(name)
    selection = select(
        source, variables=variables, months=months, years=years, depths=depths, region=region, resolution=resolution
    )
    folder = Path(to or cache_folder()).expanduser() / name
    (folder / "downloads").mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        pieces = _plan(source, selection, folder, mirror, verify, partial(_download, wait_s=wait_s))
        bar = progress_bar(pieces, desc=name, unit="file")
        paths = [_obtain(piece, source, selection, folder) for piece in bar]
    if not any(paths):
        msg = f"none of the files of {name} in {mirror or folder} holds the months and years that are asked for."
        raise ValueError(msg)
    return [path for path in paths if path]


def _plan(source, selection, folder, mirror, verify, download):
    """What has to be brought, and how."""
    is_address = "://" in str(mirror)
    if mirror is not None and not is_address and not Path(mirror).expanduser().is_dir():
        msg = f"the mirror {mirror} is no folder. Give one that holds files of {source.name}, or an address."
        raise FileNotFoundError(msg)
    base = (str(mirror) if is_address else source.base).rstrip("/")
    if source.how == "files":
        place = Path(mirror).expanduser() if mirror is not None and not is_address else None
        bring = partial(_bring_file, source, place, verify, download)
        return _plan_files(source, selection, base=base, bring=bring, is_local=place is not None)
    if mirror is not None and not is_address:
        return _plan_mirror(source, selection, Path(mirror).expanduser())
    if source.how == "erddap":
        return plan_griddap(source, selection, server=base, folder=folder / "downloads", download=download)
    if source.how == "copernicus" and mirror is None:
        return plan_copernicus(source, selection)
    how = source.instructions or "Its server has no other address: take its files into a folder"
    msg = f"{source.name} must be fetched by hand. {how} ({source.page}), and pass it as mirror=folder."
    raise FileNotFoundError(msg)


def _plan_files(source, selection, *, base, bring, is_local):
    """One piece for each variable and month; one for each variable where all months are in one file."""
    by_month = "{month" in source.pattern
    months = [None] if not by_month else range(1, 13) if selection.months is None else selection.months
    pieces = []
    for variable in selection.variables:
        for month in months:
            parts = variable.parts | source.grids.get(selection.cells, {})
            relative = source.pattern.format(month=month or 0, **parts)
            in_name = selection.months_in_name if month is None else f"{month:02d}"
            name = selection.stamp(variable.name, in_name)
            address = f"{base}/{relative}"
            pieces.append(Piece(name, variable, (address,), partial(bring, relative, address), is_local=is_local))
    return pieces


def _bring_file(source, place, verify, download, relative, address, folder):
    """A file of the source: from the mirror, where it lies as at the source or by its name alone, or downloaded."""
    name = Path(relative).name
    if place is None:
        path = folder / name
        if not path.exists():
            download(address, path)
    else:
        path = next((p for p in (place / relative, place / name) if p.exists()), None)
        if path is None:
            msg = f"the mirror {place} has no {relative}, nor {name}. Put it there, or leave mirror out."
            raise FileNotFoundError(msg)
    known = source.sha256.get(name) if verify else None
    if known and (found := file_hash(path)) != known:
        msg = (
            f"{path} has the SHA-256 {found}, but {known} is known. Remove it and run this again; if it comes again "
            "as it is, its publisher may have renewed it: verify=False takes it."
        )
        raise OSError(msg)
    return [path]


def _plan_mirror(source, selection, place):
    """One piece for each variable and file of somebody's folder that holds it."""
    files = sorted(path for path in place.rglob("*") if path.suffix in (".nc", ".nc4", ".cdf"))
    pieces = []
    for variable in selection.variables:
        holding = [path for path in files if _holds(path, variable.source)]
        if not holding:
            msg = (
                f"none of the {len(files)} NetCDF files in {place} holds {variable.source!r}, which is {variable.name} "
                f"in {source.name}. Check the folder."
            )
            raise FileNotFoundError(msg)
        for path in holding:
            years = "" if selection.years is None else "{}-{}".format(*selection.years)
            parts = path.relative_to(place).with_suffix("").parts
            name = selection.stamp(variable.name, *parts, years, selection.months_in_name)
            pieces.append(Piece(name, variable, (str(path),), partial(_where_it_lies, path), True, is_local=True))
    return pieces


def _holds(path, name):
    try:
        with netCDF4.Dataset(path) as file:
            return name in file.variables
    except OSError as error:
        msg = f"{path} in the mirror cannot be read as NetCDF ({error}). Remove it, or fetch it again."
        raise OSError(msg) from error


def _where_it_lies(path, folder):
    return [path]


def _download(url, path, *, wait_s):
    """Download to a file that is whole or absent."""
    headers = {"User-Agent": f"aqqua_science/{__version__}"}
    remedy = "Run it again to go on; mirror= reads files that came by other means."
    part = path.with_name(f"{path.name}.part")
    with Connection(headers=headers, wait_s=wait_s, follow_redirects=True, remedy=remedy) as connection:
        connection.download(url, part)
    part.replace(path)


def _obtain(piece, source, selection, folder):
    """The file of a piece, from the cache or made; None where a file may lack what is asked for, and does."""
    path = folder / f"{piece.name}.nc"
    downloads = folder / "downloads"
    raw = piece.bring(downloads) if piece.is_local else []
    if is_kept(path, out_of=raw):
        return path
    raw = raw or piece.bring(downloads)
    ours = [file for file in raw if file.parent == downloads]
    opened = [_open(file, ours, piece) for file in raw]
    fields = cut(opened, variable=piece.variable, source=source, selection=selection)
    if 0 in fields.sizes.values():
        if piece.may_lack:
            return None
        msg = f"{raw[0]} holds none of the months that are asked for; its address is {piece.addresses[0]}."
        raise OSError(msg)
    keep(fields, path, about=_about(piece, source, raw))
    for file in ours:
        file.unlink()
    return path


def _open(file, ours, piece):
    """A raw file, lazily; one of ours that cannot be used goes, so that the next call brings it again."""
    try:
        return open_environment(file, variables=[piece.variable.source], chunks={})
    except SchemaError as error:
        if file in ours:
            file.unlink()
        removed = " It is removed: run this again." if file in ours else ""
        msg = f"what came from {' and '.join(piece.addresses)} cannot be used: {error}{removed}"
        raise OSError(msg) from error


def _about(piece, source, raw):
    """What the note beside a file tells."""
    variable = piece.variable
    return {
        "source": source.name,
        "title": source.title,
        "variable": {variable.name: variable.source},
        "citation": source.citation,
        "doi": source.doi,
        "doi_of_variable": variable.doi,
        "licence": source.licence,
        "page": source.page,
        "addresses": piece.addresses,
        "sha256_of_downloads": [file_hash(path) for path in raw],
        "aqqua_science": __version__,
    }
