"""Requests to ERDDAP's griddap: the server cuts the region, the dates and, for coarser cells, leaves cells out."""

import hashlib
import json
from functools import partial
from urllib.parse import quote

import numpy as np

from aqqua_science.grids.cutting import Piece
from aqqua_science.grids.subsetting import columns_between
from aqqua_science.optional import require


def plan_griddap(source, selection, *, server, folder, download):
    """
    Plan one request for each variable and date.

    Parameters
    ----------
    source : catalogue.Source
    selection : selection.Selection
    server : str
        Address of the ERDDAP.
    folder : pathlib.Path
        Where the axes of the data sets are kept.
    download : callable
        ``download(url, path)``.

    Returns
    -------
    list of cutting.Piece

    Raises
    ------
    ValueError
        If the server has none of the dates, or no cell of the region.
    """
    pieces = []
    for variable in selection.variables:
        axes = _Axes(f"{server}/griddap/{variable.parts['dataset']}", folder, download, selection)
        latitude = _spans(axes.read("latitude"), selection, _rows)
        longitude = _spans(axes.read("longitude"), selection, _columns)
        if not latitude or not longitude:
            msg = f"region {selection.region} holds no cell of {source.name}. Check the order and the signs."
            raise ValueError(msg)
        for date in _dates(axes, source, selection):
            time = [] if date is None else [("time", date, date, 1)]
            addresses = tuple(
                _address(server, variable, [*time, ("latitude", *latitude[0]), ("longitude", *span)])
                for span in longitude
            )
            name = selection.stamp(variable.name, (date or "")[:10])
            pieces.append(Piece(name, variable, addresses, partial(_bring, name, addresses, download)))
    return pieces


class _Axes:
    """The axes of a data set, asked for once; a time axis that ends too early is asked for again."""

    def __init__(self, address, folder, download, selection):
        self.address, self.folder, self.download, self.selection = address, folder, download, selection

    def read(self, name):
        server = hashlib.sha256(self.address.encode()).hexdigest()[:8]
        path = self.folder / f"{self.address.rpartition('/')[2]}_{server}_{name}.json"
        values = _values(path) if path.exists() else []
        if not values or (name == "time" and int(values[-1][:4]) <= self.selection.years[1]):
            path.unlink(missing_ok=True)
            self.download(f"{self.address}.json?{name}", path)
            values = _values(path)
        return values if name == "time" else np.array(values, dtype=float)


def _values(path):
    try:
        return [row[0] for row in json.loads(path.read_text("utf-8"))["table"]["rows"]]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        path.unlink()
        msg = f"{path.name} is no axis as ERDDAP gives it ({error!r}). It is removed: run this again."
        raise OSError(msg) from error


def _dates(axes, source, selection):
    """The dates of the data set that are asked for, as it writes them."""
    if source.time != "date":
        return [None]
    known = axes.read("time")
    dates = [date for date in known if selection.has_date(int(date[:4]), int(date[5:7]))]
    if not dates:
        msg = (
            f"{source.name} has dates from {known[0][:10]} to {known[-1][:10]}, and none in the years "
            f"{selection.years} and months {selection.months or '1..12'}. Ask for others."
        )
        raise ValueError(msg)
    return dates


def _spans(values, selection, inside):
    """
    First value, last value and step of each run of values in the region, in the order of the axis.

    Coarser cells are every n-th, counted from the middle of the first n, so that each region has the same ones.
    """
    native = np.median(np.abs(np.diff(values)))
    step = 1 if selection.cells is None else max(round(selection.cells / native), 1)
    values = values[step // 2 :: step]
    wanted = np.full(values.size, True) if selection.region is None else inside(values, selection.region)
    places = np.flatnonzero(wanted)
    runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if places.size else []
    return [(values[first], values[last], step) for first, last in (_two_or_more(run, values.size) for run in runs)]


def _rows(latitudes, region):
    return (latitudes >= region[2]) & (latitudes <= region[3])


def _columns(longitudes, region):
    """Which meridians lie in a region; they are two runs where the axis has its seam between."""
    return columns_between(longitudes, *region[:2])


def _two_or_more(run, size):
    """A run with a neighbour if it is alone, since one value makes no axis; what is too much is cut off later."""
    first, last = run[0], run[-1]
    return (first, last) if last > first else (max(first - 1, 0), min(first + 1, size - 1))


def _address(server, variable, spans):
    """The request that erddapy builds, with brackets as servers accept them."""
    constraints = {}
    for name, first, last, step in spans:
        constraints |= {f"{name}>=": first, f"{name}<=": last, f"{name}_step": step}
    address = require("erddapy.core", for_="grids.fetch").get_download_url(
        server,
        dataset_id=variable.parts["dataset"],
        protocol="griddap",
        variables=[variable.source],
        dim_names=[name for name, *_ in spans],
        response="nc",
        constraints=constraints,
    )
    path, _, query = address.partition("?")
    return f"{path}?{quote(query, safe='')}"


def _bring(name, addresses, download, folder):
    paths = [folder / f"{name}.{number}.nc" for number in range(len(addresses))]
    for address, path in zip(addresses, paths, strict=True):
        if not path.exists():
            download(address, path)
    return paths
