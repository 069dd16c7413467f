"""
Bins from an IFCB dashboard over the web, and the positions that dashboards keep of them.

A dashboard serves the files of a bin as ``<dashboard>/<dataset>/<bin>.adc`` and so on, and the list of a dataset as a
table, ``<dashboard>/api/export_metadata/<dataset>``; older ones as JSON, ``<dashboard>/api/list_bins?dataset=...``.
"""

import csv
import io
import json
import time
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from aqqua_science.connections import BUSY
from aqqua_science.files import replacing
from aqqua_science.optional import require
from aqqua_science.progress import progress_bar
from aqqua_science.sources.ifcb_bins import ENDINGS, parse_pid
from aqqua_science.sources.ifcb_header import finite
from aqqua_science.sources.record import PictureError
from aqqua_science.sources.tables import decode_text
from aqqua_science.sources.tree import MAX_FILE_BYTES

_TABLE = "export_metadata"
_MAX_TABLE_BYTES = 512 * 2**20


def download(url, bins=None, *, to, retries=4, pause=1.0):
    """
    Download bins from an IFCB dashboard.

    What is there already is not fetched again, and a file appears only when it is whole: after an interruption, the
    same call goes on. The dataset's table of positions is saved beside the bins, where `read` finds it.

    Parameters
    ----------
    url : str
        Of a dataset, such as ``https://ifcb-data.whoi.edu/mvco`` or ``.../timeline?dataset=mvco``, or of one bin.
    bins : iterable of str, optional
        Names of bins; by default all of the dataset but those that its owners marked to be skipped.
    to : str or pathlib.Path
        Folder; made if it is not there.
    retries : int
        How often a file is asked for again when the dashboard is busy or the line breaks.
    pause : float
        Seconds before the first of these; they double.

    Returns
    -------
    dict of str to str
        For each file that could not be had, by its name, the reason; empty when all are there.

    Raises
    ------
    ValueError
        If the address names no dataset, or a name is no bin's.
    OSError
        If the dashboard cannot be reached, or gives no list of the dataset's bins.

    Examples
    --------
    >>> download("https://ifcb-data.whoi.edu/mvco", ["bin 5"], to="raw")
    Traceback (most recent call last):
        ...
    ValueError: 'bin 5' is no name of an IFCB bin. They look like D20130526T095207_IFCB013 or IFCB5_2012_028_081515.
    """
    root, dataset, named = _address(url)
    wanted = [bins] if isinstance(bins, str) else bins if bins is not None else named
    for name in wanted or ():
        _check_name(name)
    httpx = require("httpx", for_="sources")
    with httpx.Client(follow_redirects=True, timeout=60) as client:
        line = _Line(httpx, client, retries, pause)
        if wanted is None:
            wanted = _list_bins(line, root, dataset, Path(to))
        return _fetch_bins(line, f"{root}/{dataset}", wanted, Path(to))


def dataset_positions(tree):
    """
    Positions and depths that dashboards' tables ``export_metadata*.csv`` in a tree have of bins.

    Parameters
    ----------
    tree : Tree

    Returns
    -------
    dict of str to dict
        By bin; the first table that has a bin counts, and a table that cannot be read has none.
    """
    found = {}
    for name in tree.matching(".csv"):
        if name.rpartition("/")[2].lower().startswith(_TABLE):
            try:
                rows = _read_table(tree.read(name, limit=_MAX_TABLE_BYTES))
            except PictureError:
                continue
            for row in rows:
                found.setdefault(row["pid"], _position(row))
    return found


def _position(row):
    """Latitude and longitude, where there are both, and depth."""
    values = {name: finite(row.get(name)) for name in ("latitude", "longitude", "depth")}
    if values["latitude"] is None or values["longitude"] is None:
        values = {"depth": values["depth"]}
    return {name: value for name, value in values.items() if value is not None}


def _read_table(content):
    """Rows of a dashboard's table; none where it is something else."""
    try:
        rows = list(csv.DictReader(io.StringIO(decode_text(content), newline="")))
    except csv.Error:
        return []
    return [row for row in rows if row.get("pid")]


def _address(url):
    """Dashboard, dataset and, where the address is of one bin, its name in a list."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    steps = [step for step in parts.path.split("/") if step]
    last = steps[-1].partition(".")[0] if steps else ""
    named = query.get("bin") or query.get("pid") or ([steps.pop().partition(".")[0]] if parse_pid(last) else None)
    if "dataset" in query:
        steps = [*steps[:-1], *query["dataset"]]
    if parts.scheme not in {"http", "https"} or not parts.netloc or not steps:
        msg = f"{url!r} names no dataset of an IFCB dashboard. It looks like https://ifcb-data.whoi.edu/mvco."
        raise ValueError(msg)
    *path, dataset = steps
    return "/".join([f"{parts.scheme}://{parts.netloc}", *path]), quote(dataset, safe=""), named


def _check_name(name):
    if not parse_pid(name):
        msg = f"{name!r} is no name of an IFCB bin. They look like D20130526T095207_IFCB013 or IFCB5_2012_028_081515."
        raise ValueError(msg)


def _list_bins(line, root, dataset, to):
    """Names of a dataset's bins; the table they are from is saved."""
    try:
        content = line.get(f"{root}/api/{_TABLE}/{dataset}")
        rows = _read_table(content)
        if rows:
            with replacing(to / f"{_TABLE}_{dataset}.csv") as part:
                part.write_bytes(content)
    except _Refused:
        rows = []
    rows = rows or _list_older(line, f"{root}/api/list_bins?dataset={dataset}")
    return sorted({row["pid"] for row in rows if not _is_skipped(row) and parse_pid(row["pid"])})


def _list_older(line, url):
    """Rows of the list that older dashboards give."""
    try:
        rows = json.loads(line.get(url))["data"]
        return [row if isinstance(row, dict) else {"pid": row} for row in rows]
    except (_Refused, ValueError, KeyError, TypeError) as error:
        msg = f"the dashboard gives no list of bins at {url}: {error}. Check the address, or name the bins."
        raise OSError(msg) from error


def _is_skipped(row):
    return str(row.get("skip", "")).strip().lower() in {"1", "1.0", "true"}


def _fetch_bins(line, url, bins, to):
    """Fetch what is not there; what is refused is told."""
    to.mkdir(parents=True, exist_ok=True)
    failed = {}
    for name in progress_bar(bins, desc="bins", unit="bin"):
        for file in (f"{name}{ending}" for ending in ENDINGS):
            if (to / file).exists():
                continue
            try:
                line.save(f"{url}/{file}", to / file)
            except _Refused as error:
                failed[file] = str(error)
    return failed


class _Refused(Exception):
    """The dashboard answers, but not with the file."""


class _Line:
    """A connection that asks again."""

    def __init__(self, httpx, client, retries, pause):
        self.httpx, self.client, self.retries, self.pause = httpx, client, retries, pause

    def get(self, url):
        """Content of a small file."""
        return self._again(url, lambda chunks: b"".join(chunks))

    def save(self, url, path):
        """Save a file when it is whole."""
        with replacing(path) as part:
            self._again(url, lambda chunks: _write(chunks, part), page="text/html")

    def _again(self, url, use, *, page=None):
        for attempt in range(self.retries + 1):
            try:
                return self._once(url, use, page)
            except (self.httpx.TransportError, _Busy) as error:
                last = error
                if attempt < self.retries:
                    time.sleep(self.pause * 2**attempt)
        if isinstance(last, _Busy):
            raise _Refused(str(last)) from last
        msg = f"{url} cannot be reached: {last or type(last).__name__}. What is there is kept; run it again to go on."
        raise OSError(msg) from last

    def _once(self, url, use, page):
        """Ask once."""
        with self.client.stream("GET", url) as response:
            status = f"status {response.status_code} {response.reason_phrase}"
            if response.status_code in BUSY:
                raise _Busy(status)
            if response.is_error:
                raise _Refused(status)
            if page and response.headers.get("content-type", "").startswith(page):
                msg = "a web page instead of the file"
                raise _Refused(msg)
            return use(response.iter_bytes())


class _Busy(Exception):
    """The dashboard asks to come back later."""


def _write(chunks, path):
    """Write to a file what comes, up to a size that is no bin's."""
    size = 0
    with path.open("wb") as file:
        for chunk in chunks:
            size += len(chunk)
            if size > MAX_FILE_BYTES:
                msg = f"larger than {MAX_FILE_BYTES:,} bytes"
                raise _Refused(msg)
            file.write(chunk)
