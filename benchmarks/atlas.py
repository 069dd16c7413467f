"""Fifty visitors of the atlas at once: how long until each has its page."""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import httpx
import numpy as np
import xarray as xr

from aqqua_science.grids import cell_area, regular_grid

MAPS = Path(__file__).resolve().parents[1] / "maps"
N_MEMBERS, N_VISITORS, N_ALONE, TIMEOUT_S = 10, 50, 5, 120
MONTHS = range(1, 13)


def run():
    """Markdown: seconds from asking to having a whole page, of visitors one by one and all at once."""
    with tempfile.TemporaryDirectory() as folder:
        maps = Path(shutil.copytree(MAPS, Path(folder, "maps")))
        _write_field(maps / "poc_flux_100m" / "field.nc")
        command = [sys.executable, "-m", "aqqua_science", "atlas", str(maps), "--port", "0", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            address = json.loads(server.stdout.readline())["address"]
            try:
                alone = [_visit(address, month) for month in (*MONTHS, *range(1, 1 + N_ALONE))][len(MONTHS) :]
                with ThreadPoolExecutor(N_VISITORS) as pool:
                    together = list(pool.map(lambda i: _visit(address, 1 + i % 12), range(N_VISITORS)))
                memory = _resident_mb(server.pid)
            finally:
                server.terminate()
                server.communicate(timeout=30)
    return _table(alone, together, memory)


def _write_field(path):
    """Twelve months at one degree."""
    area = cell_area(regular_grid(1.0))
    months = xr.DataArray(np.arange(1, 13), dims="month", coords={"month": np.arange(1, 13)})
    flux = (months * (area.latitude + 90) * xr.ones_like(area)).transpose("month", "latitude", "longitude")
    members = xr.concat([flux * (1 + 0.01 * i) for i in range(N_MEMBERS)], "member").astype(np.float32)
    members = members.rename("flux").assign_attrs(units="mg m-2 d-1")
    inside, index = xr.ones_like(flux), 0.1 * flux
    xr.Dataset(
        {"flux": members, "low": 0.5 * flux, "high": 2 * flux, "inside": inside, "dissimilarity_index": index}
    ).to_netcdf(path)


def _visit(address, month):
    """The server makes the whole page, with its picture, before it answers."""
    start = perf_counter()
    httpx.get(address, params={"map": "poc_flux_100m", "month": month}, timeout=TIMEOUT_S).raise_for_status()
    return perf_counter() - start


def _resident_mb(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def _table(alone, together, memory):
    lines = ["| visitors | median, s | 95th percentile, s | slowest, s |", "|---|---|---|---|"]
    for name, seconds in (("one after the other", alone), (f"{N_VISITORS} at once", together)):
        middle, late = np.quantile(seconds, [0.5, 0.95])
        lines.append(f"| {name} | {middle:.1f} | {late:.1f} | {max(seconds):.1f} |")
    return "\n".join([*lines, f"\nMemory of the server afterwards: {memory:.0f} MB."])
