"""Requests to ERDDAP's griddap: the server cuts the region, the dates and, for coarser cells, leaves cells out."""

import json
from functools import partial
from urllib.parse import quote

import numpy as np

from aqqua_science.grids.cutting import Piece
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
        latitude = _spans(_thinned(axes.read("latitude"), selection), selection.region and selection.region[2:])
        longitude = _meridians(_thinned(axes.read("longitude"), selection), selection.region)
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
        path = self.folder / f"{self.address.rpartition('/')[2]}_{name}.json"
        values = _values(path) if path.exists() else []
        if not values or (name == "time" and int(values[-1][:4]) <= self.selection.years[1]):
            path.unlink(missing_ok=True)
            self.download(f"{self.address}.json?{name}", path)
            values = _values(path)
        return values if name == "time" else np.array(values, dtype=float)


def _values(path):
    return [row[0] for row in json.loads(path.read_text("utf-8"))["table"]["rows"]]


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


def _thinned(values, selection):
    """Every n-th value, counted from the middle of the first n, and n."""
    native = np.median(np.abs(np.diff(values)))
    step = 1 if selection.cells is None else max(round(selection.cells / native), 1)
    return values[step // 2 :: step], step


def _spans(thinned, limits):
    """The first and last value within limits, in the order of the axis, and the step: a list of one or none."""
    values, step = thinned
    inside = values if limits is None else values[(values >= limits[0]) & (values <= limits[1])]
    return [(inside[0], inside[-1], step)] if inside.size else []


def _meridians(thinned, region):
    """Spans of longitude, two where the region lies across the seam of the axis."""
    values, step = thinned
    if region is None or region[1] - region[0] >= 360:
        return _spans(thinned, None)
    inside = np.flatnonzero(np.mod(values - region[0] + 1e-9, 360) <= np.mod(region[1] - region[0], 360) + 2e-9)
    runs = np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1)
    return [(values[run[0]], values[run[-1]], step) for run in runs if run.size]


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
