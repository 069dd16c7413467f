"""Fetching: a real server with files of the true shape, whose values are a formula that the tests know."""

import hashlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aqqua_science.grids import fetch, fetching, open_environment
from aqqua_science.grids.cache import cache_folder
from aqqua_science.optional import MissingDependency

FILL = np.float32(9.96921e36)
LEVELS = np.array([0, 5, 10, 50, 100, 200, 500, 800], dtype="f4")
LATITUDES, LONGITUDES = np.arange(-87.5, 90, 5.0), np.arange(-177.5, 180, 5.0)


def truth(month, depth, latitude, longitude):
    """What the drawn ocean holds: another number at each place, depth and month."""
    return month * 1000 + depth / 10 + latitude / 100 + longitude / 1e4


def expected(env, *, month=None):
    """The truth on the coordinates of a field, with its dimensions."""
    month = env["month"] if month is None else month
    values = truth(month, env.coords.get("depth", 0), env["latitude"], env["longitude"])
    return values.transpose(*env.dims)


def as_bytes(dataset, folder, **options):
    path = folder / "made.nc"
    dataset.to_netcdf(path, **options)
    return path.read_bytes()


def atlas(code, month, folder, *, ballast=0, offset=0):
    """
    A file as those of the World Ocean Atlas 2023 are: statistics beside the analysed mean, months since 1955.

    Times and bounds are those that the files of January and of the year have.
    """
    time, bounds = (4614.0, (4212.0, 5028.0)) if month == 0 else (395.5 + month, (month - 1.0, 804.0 + month))
    shape = (1, LEVELS.size, LATITUDES.size, LONGITUDES.size)
    values = truth(month, *np.meshgrid(LEVELS, LATITUDES, LONGITUDES, indexing="ij"))[None].astype("f4") + offset
    values[:, :, :2] = FILL
    said = {
        "standard_name": "sea_water_temperature",
        "coordinates": "time lat lon depth",
        "cell_methods": "area: mean depth: mean time: mean within years time: mean over years",
        "grid_mapping": "crs",
        "units": "degrees_celsius",
    }
    dims = ("time", "depth", "lat", "lon")
    made = xr.Dataset(
        {
            "crs": ((), np.int32(1), {"grid_mapping_name": "latitude_longitude"}),
            "lat_bnds": (("lat", "nbounds"), LATITUDES[:, None] + [-2.5, 2.5]),
            "lon_bnds": (("lon", "nbounds"), LONGITUDES[:, None] + [-2.5, 2.5]),
            "depth_bnds": (("depth", "nbounds"), LEVELS[:, None] + [0, 2.5]),
            "climatology_bounds": (("time", "nbounds"), [bounds]),
            f"{code}_an": (dims, values, said),
            f"{code}_mn": (dims, values + 1, said),
            f"{code}_dd": (dims, np.ones(shape, "i4"), {"coordinates": "time lat lon depth"}),
            "ballast": ("many", np.random.default_rng(0).integers(0, 255, ballast + 2, dtype="u1")),
        },
        {
            "time": (
                "time",
                [time],
                {"standard_name": "time", "units": "months since 1955-01-01 00:00:00", "axis": "T"},
            ),
            "depth": ("depth", LEVELS, {"units": "meters", "positive": "down", "bounds": "depth_bnds", "axis": "Z"}),
            "lat": ("lat", LATITUDES.astype("f4"), {"units": "degrees_north", "bounds": "lat_bnds"}),
            "lon": ("lon", LONGITUDES.astype("f4"), {"units": "degrees_east", "bounds": "lon_bnds"}),
        },
        {"Conventions": "CF-1.6", "title": "World Ocean Atlas 2023", "license": "These data are openly available"},
    )
    made["time"].attrs["climatology"] = "climatology_bounds"
    packed = {f"{code}_{field}": {"_FillValue": FILL} for field in ("an", "mn")}
    return as_bytes(made, folder, encoding=packed)


@pytest.fixture
def ocean(publisher, tmp_path):
    """Serve months of oxygen and nitrate; how `fetch` is told of the server and where to."""
    publisher.kind = "application/x-netcdf"
    for folder, code in (("oxygen", "o"), ("nitrate", "n")):
        for month in (0, 1, 2, 7):
            path = f"/data/{folder}/netcdf/all/1.00/woa23_all_{code}{month:02d}_01.nc"
            publisher.files[path] = atlas(code, month, tmp_path)
    return {"mirror": publisher.url, "to": tmp_path / "cache", "wait_s": 0.001}


def note_of(path):
    return json.loads(path.with_name(f"{path.name}.json").read_text())


def paths_asked(publisher):
    return [path for path, _ in publisher.asked]


def test_only_what_is_asked_for_comes_and_stays(publisher, ocean):
    selected = {
        "variables": ["oxygen", "nitrate"],
        "months": (1, 7),
        "depths": (5, 200),
        "region": (150, -140, -60, 70),
    }
    files = fetch("woa23", **selected, **ocean)
    assert len(publisher.asked) == 4
    env = open_environment(*files)
    assert set(env) == {"oxygen", "nitrate"}
    assert env["month"].values.tolist() == [1, 7]
    assert env["depth"].values.tolist() == [5, 10, 50, 100, 200]
    assert env["latitude"].values.tolist() == [x for x in LATITUDES if -60 <= x <= 70]
    assert env["longitude"].values.tolist() == [x for x in LONGITUDES if x >= 150 or x <= -140]
    for name in env:
        assert_allclose(env[name], expected(env[name]), rtol=1e-6)
    raw = sum(len(content) for path, content in publisher.files.items() if re.search("(01|07)_01.nc", path))
    assert sum(path.stat().st_size for path in files) < raw / 4
    assert {path.parent for path in files} == {ocean["to"] / "woa23"}
    assert list((ocean["to"] / "woa23" / "downloads").iterdir()) == []


def test_what_is_there_is_not_asked_for_again(publisher, ocean):
    first = fetch("woa23", variables="oxygen", months=1, **ocean)
    before = [(path.stat().st_mtime_ns, path.read_bytes()) for path in first]
    assert fetch("woa23", variables=["oxygen"], months=[1], **ocean) == first
    assert [(path.stat().st_mtime_ns, path.read_bytes()) for path in first] == before
    assert len(publisher.asked) == 1
    other = fetch("woa23", variables="oxygen", months=[1, 2], depths=(0, 10), **ocean)
    assert not set(other) & set(first)
    assert len(publisher.asked) == 3


def test_the_annual_mean_has_no_month(ocean):
    env = open_environment(*fetch("woa23", variables="oxygen", months=0, **ocean))
    assert env["oxygen"].dims == ("depth", "latitude", "longitude")
    south = env["oxygen"].isel(latitude=slice(0, 2))
    assert south.isnull().all()
    rest = env["oxygen"].isel(latitude=slice(2, None))
    assert_allclose(rest, expected(rest, month=0), atol=1e-5)


def test_all_months_are_asked_for_by_default_and_one_that_is_missing_is_told(publisher, ocean):
    with pytest.raises(FileNotFoundError, match=r"woa23_all_o03_01.nc answers 404, Not Found. Run it again.*mirror="):
        fetch("woa23", variables="oxygen", **ocean)
    assert len(list((ocean["to"] / "woa23").glob("oxygen_*.nc"))) == 2
    for month in range(1, 13):
        publisher.files[f"/data/oxygen/netcdf/all/1.00/woa23_all_o{month:02d}_01.nc"] = publisher.files[
            "/data/oxygen/netcdf/all/1.00/woa23_all_o01_01.nc"
        ]
    assert len(fetch("woa23", variables="oxygen", **ocean)) == 12


def test_the_credits_travel_in_the_file_and_beside_it(publisher, ocean):
    (path,) = fetch("woa23", variables="oxygen", months=1, **ocean)
    address, content = next((a, c) for a, c in publisher.files.items() if a.endswith("o01_01.nc"))
    note = note_of(path)
    assert note["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert note["sha256_of_downloads"] == [hashlib.sha256(content).hexdigest()]
    assert note["addresses"] == [f"{publisher.url.removesuffix('/data')}{address}"]
    assert note["variable"] == {"oxygen": "o_an"}
    with xr.open_dataset(path) as opened:
        assert "García" in note["citation"]
        assert opened.attrs["references"] == note["citation"]
        assert opened.attrs["license"] == note["licence"]
        assert opened.attrs["doi"] == "10.25921/va26-hv25 10.25923/rb67-ns53"
        assert opened["oxygen"].attrs["name_in_source"] == "o_an"
        assert opened["oxygen"].attrs["units"] == "degrees_celsius"


def test_a_killed_fetch_asks_for_the_rest_alone(publisher, ocean, tmp_path):
    path = "/data/oxygen/netcdf/all/1.00/woa23_all_o02_01.nc"
    content = publisher.files[path] = atlas("o", 2, tmp_path, ballast=3_000_000)
    (ready,) = fetch("woa23", variables="oxygen", months=1, **ocean)
    publisher.stall_after = 2_000_000
    program = (
        "import sys; from aqqua_science.grids import fetch; "
        "fetch('woa23', variables='oxygen', months=(1, 2), mirror=sys.argv[1], to=sys.argv[2])"
    )
    child = subprocess.Popen([sys.executable, "-c", program, ocean["mirror"], ocean["to"]])
    part = ocean["to"] / "woa23" / "downloads" / "woa23_all_o02_01.nc.part"
    while not part.exists() or not part.stat().st_size:
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    have = part.stat().st_size
    publisher.stall_after, publisher.sent = None, 0
    files = fetch("woa23", variables="oxygen", months=(1, 2), **ocean)
    assert 0 < have <= 2_000_000
    assert publisher.asked[1:] == [(path, 0), (path, have)]
    assert publisher.sent == len(content) - have
    assert files[0] == ready
    env = open_environment(*files)["oxygen"].isel(latitude=slice(2, None))
    assert_allclose(env, expected(env), rtol=1e-6)


def test_a_fetch_that_was_killed_while_it_wrote_begins_that_file_anew(publisher, ocean):
    (path,) = fetch("woa23", variables="oxygen", months=1, **ocean)
    whole = path.read_bytes()
    # What a kill leaves: a file that is not whole under another name, with or without the note.
    path.rename(path.with_name(f"{path.name}.part"))
    path.with_name(f"{path.name}.part").write_bytes(whole[:1000])
    assert fetch("woa23", variables="oxygen", months=1, **ocean) == [path]
    assert path.read_bytes() == whole
    assert not path.with_name(f"{path.name}.part").exists()


def test_a_line_that_breaks_and_a_busy_server_are_waited_for(publisher, ocean, tmp_path):
    path = "/data/oxygen/netcdf/all/1.00/woa23_all_o02_01.nc"
    publisher.files[path] = atlas("o", 2, tmp_path, ballast=1_000_000)
    publisher.moods = [399, 503, 250, None]
    (file,) = fetch("woa23", variables="oxygen", months=2, **ocean)
    starts = [start for _, start in publisher.asked]
    assert len(starts) == 4
    assert starts == sorted(starts)
    assert note_of(file)["sha256_of_downloads"] == [hashlib.sha256(publisher.files[path]).hexdigest()]


@pytest.mark.parametrize(
    ("moods", "kind", "error", "message"),
    [
        ([503] * 6, "application/x-netcdf", ConnectionError, "failed 6 times.*it is busy"),
        ([403], "application/x-netcdf", OSError, "answers 403, Forbidden"),
        ([], "text/html", OSError, "a web page instead of the file"),
    ],
)
def test_a_refusal_is_told(publisher, ocean, moods, kind, error, message):
    publisher.moods, publisher.kind = moods, kind
    with pytest.raises(error, match=rf"{message}.*Run it again to go on; mirror="):
        fetch("woa23", variables="oxygen", months=1, **ocean)


@pytest.mark.parametrize("damaged", [lambda content: content[: len(content) // 2], lambda content: b"not a grid"])
def test_a_body_that_is_cut_short_or_no_grid_is_removed_and_brought_again(publisher, ocean, damaged):
    address = "/data/oxygen/netcdf/all/1.00/woa23_all_o01_01.nc"
    content = publisher.files[address]
    publisher.files[address] = damaged(content)
    with pytest.raises(
        OSError, match=r"what came from http.*o01_01.nc cannot be used: .*It is removed: run this again"
    ):
        fetch("woa23", variables="oxygen", months=1, **ocean)
    publisher.files[address] = content
    (file,) = fetch("woa23", variables="oxygen", months=1, **ocean)
    assert note_of(file)["sha256_of_downloads"] == [hashlib.sha256(content).hexdigest()]


def test_another_checksum_than_known_is_refused(publisher, ocean, tmp_path):
    """The published January of temperature has a known SHA-256, which a drawn one cannot have."""
    publisher.files["/data/temperature/netcdf/decav/1.00/woa23_decav_t01_01.nc"] = atlas("t", 1, tmp_path)
    for _ in range(2):
        with pytest.raises(OSError, match=r"SHA-256 [0-9a-f]{64}, but 2311eb2642e8\w+ is known.*verify=False takes it"):
            fetch("woa23", variables="temperature", months=1, **ocean)
    assert len(publisher.asked) == 1
    (file,) = fetch("woa23", variables="temperature", months=1, verify=False, **ocean)
    assert len(publisher.asked) == 1
    assert_allclose(open_environment(file)["temperature"].sel(month=1, depth=0)[5, 5], 998.1, atol=3)


def test_later_damage_is_found(publisher, ocean):
    (path,) = fetch("woa23", variables="oxygen", months=1, **ocean)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(OSError, match=rf"{path.name} has the SHA-256 .* when it was made .*Remove both"):
        fetch("woa23", variables="oxygen", months=1, **ocean)
    path.unlink()
    fetch("woa23", variables="oxygen", months=1, **ocean)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("layout", ["as at the source", "flat"])
def test_a_folder_is_a_mirror_and_nothing_is_downloaded(publisher, ocean, tmp_path, layout):
    place = tmp_path / "disk"
    for address, content in publisher.files.items():
        relative = Path(address).relative_to("/data")
        path = place / (relative if layout == "as at the source" else relative.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    files = fetch("woa23", variables="oxygen", months=(1, 2), mirror=place, to=ocean["to"])
    assert [path.read_bytes() for path in files] == [
        path.read_bytes()
        for path in fetch("woa23", variables="oxygen", months=(1, 2), **ocean | {"to": tmp_path / "b"})
    ]
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    with pytest.raises(
        FileNotFoundError, match=r"mirror .*disk has no oxygen/netcdf/all/1.00/woa23_all_o03_01.nc, nor"
    ):
        fetch("woa23", variables="oxygen", months=3, mirror=place, to=ocean["to"])
    with pytest.raises(FileNotFoundError, match="no-disk is no folder"):
        fetch("woa23", variables="oxygen", months=3, mirror=tmp_path / "no-disk", to=ocean["to"])


def test_another_folder_is_not_taken_for_the_first(ocean, tmp_path):
    for place, offset in (("a", 1), ("b", 2)):
        (tmp_path / place).mkdir()
        (tmp_path / place / "woa23_all_o01_01.nc").write_bytes(atlas("o", 1, tmp_path, offset=offset))
    asked = {"variables": "oxygen", "months": 1, "to": ocean["to"], "verify": False}
    first, second = (xr.load_dataset(*fetch("woa23", mirror=tmp_path / place, **asked)) for place in "ab")
    assert_allclose((second - first)["oxygen"].isel(latitude=slice(2, None)), 1, atol=1e-3)


def test_real_hydrography_through_a_mirror(shared_data, tmp_path):
    """The monthly fields of Levitus, laid as the atlas lays its own, come out as they go in."""
    real = open_environment(shared_data / "derived" / "levitus_ts_4deg_monthly.nc")
    theirs = {"temperature": ("t_an", "t"), "salinity": ("s_an", "s")}
    ours = {name: next(v for v in real if v.lower().startswith(code)) for name, (_, code) in theirs.items()}
    for name, (source, code) in theirs.items():
        for month in (1, 8):
            field = real[ours[name]].sel(month=[month]).rename(month="time", latitude="lat", longitude="lon")
            when = xr.DataArray([395.5 + month], dims="time", attrs={"units": "months since 1955-01-01 00:00:00"})
            field = field.assign_coords(time=when.assign_attrs(climatology="climatology_bounds"))
            bounds = xr.DataArray([[month - 1.0, 804.0 + month]], dims=("time", "nbounds"))
            folder = tmp_path / "disk" / name / "netcdf" / "decav" / "1.00"
            folder.mkdir(parents=True, exist_ok=True)
            made = xr.Dataset({source: field, "climatology_bounds": bounds})
            made.to_netcdf(folder / f"woa23_decav_{code}{month:02d}_01.nc")
    region, depths = (-80, 10, 0, 65), (0, 500)
    selected = {"months": (1, 8), "region": region, "depths": depths, "variables": list(theirs)}
    env = open_environment(*fetch("woa23", mirror=tmp_path / "disk", verify=False, to=tmp_path / "cache", **selected))
    west, east, south, north = region
    part = real.sel(month=[1, 8], depth=slice(*depths), latitude=slice(south, north), longitude=slice(west, east))
    for name in theirs:
        np.testing.assert_array_equal(env[name], part[ours[name]])
        assert env[name].notnull().any()


# ERDDAP


def erddap(dataset, variable, folder):
    """Answers of griddap: axes as JSON, and NetCDF of what the brackets ask for, by the nearest values."""

    def written(values):
        return [str(value)[:19] + "Z" for value in values] if values.dtype.kind == "M" else values.tolist()

    def axis(query):
        rows = [[value] for value in written(dataset[query].values)]
        return json.dumps({"table": {"columnNames": [query], "rows": rows}}).encode()

    def position(name, value):
        values = dataset[name].values
        wanted = np.datetime64(value.rstrip("Z")) if name == "time" else float(value)
        return int(np.abs(values - wanted).argmin())

    def cut(query):
        name, spans = query.partition("[")[0], re.findall(r"\[\((.*?)\):(\d+):\((.*?)\)\]", query)
        field = dataset[name]
        assert name == variable
        assert len(spans) == field.ndim
        for dim, (first, step, last) in zip(field.dims, spans, strict=True):
            start, stop = position(dim, first), position(dim, last)
            if start > stop:
                return None
            field = field.isel({dim: slice(start, stop + 1, int(step))})
        return as_bytes(field.to_dataset(), folder, format="NETCDF3_CLASSIC")

    return axis, cut


def colours():
    """Six months of chlorophyll on a grid of 1/24 degree (here 30 by 40 degrees of it), north up."""
    cells = 1 / 24
    times = np.array(
        ["1997-12-01", "1998-01-01", "1998-02-01", "1998-03-01", "1998-04-01", "1999-01-01"], dtype="datetime64[ns]"
    )
    latitudes = np.round(np.arange(15 - cells / 2, -15, -cells), 6)
    longitudes = np.round(np.arange(-180 + cells / 2, -160, cells), 6)
    longitudes = np.concatenate([longitudes, np.round(np.arange(170 + cells / 2, 180, cells), 6)])
    months = np.array([12, 1, 2, 3, 4, 13])
    values = truth(months[:, None, None], 0, latitudes[:, None], longitudes)
    values = np.where(latitudes[:, None] > 14.9, np.nan, values).astype("f4")
    field = (("time", "latitude", "longitude"), values, {"units": "milligram m-3"})
    return xr.Dataset({"chlor_a": field}, {"time": times, "latitude": latitudes, "longitude": longitudes})


@pytest.fixture
def colour_server(publisher, tmp_path):
    publisher.kind = "application/x-netcdf"
    axis, cut = erddap(colours(), "chlor_a", tmp_path)
    publisher.files["/data/griddap/pmlEsaCCI60OceanColorMonthly.json"] = axis
    publisher.files["/data/griddap/pmlEsaCCI60OceanColorMonthly.nc"] = cut
    return {"variables": "chlorophyll", "mirror": publisher.url, "to": tmp_path / "cache", "wait_s": 0.001}


def test_a_server_that_cuts_is_asked_for_the_region_and_the_months_alone(publisher, colour_server):
    files = fetch("occci", years=(1998, 1998), months=(1, 3), region=(-178, -170, -5, 10), **colour_server)
    assert [path.name[:22] for path in files] == ["chlorophyll_1998-01-01", "chlorophyll_1998-03-01"]
    assert len(publisher.asked) == 5
    assert publisher.sent < 2_500_000
    env = open_environment(*files)["chlorophyll"]
    assert env["time"].values.astype("datetime64[D]").astype(str).tolist() == ["1998-01-01", "1998-03-01"]
    whole = colours()["chlor_a"].sel(time=env["time"]).sortby("latitude")
    part = whole.sel(latitude=slice(-5, 10), longitude=slice(-178, -170))
    np.testing.assert_array_equal(env, part)
    assert_allclose(env["latitude"], part["latitude"])
    assert "1998-01-01T00%3A00%3A00Z" in publisher.asked[-2][0]
    assert not re.search(r"[\[\]()]", publisher.asked[-1][0])


def test_a_region_across_the_date_line_is_two_requests_and_one_field(publisher, colour_server):
    (path,) = fetch("occci", years=1998, months=2, region=(175, -175, 0, 5), **colour_server)
    assert sum(".nc?" in asked for asked in paths_asked(publisher)) == 2
    assert len(note_of(path)["addresses"]) == 2
    env = open_environment(path)["chlorophyll"]
    assert env["longitude"].values.min() < -179.9
    assert env["longitude"].values.max() > 179.9
    assert_allclose(env.isel(time=0), expected(env.isel(time=0), month=2), rtol=1e-6)


def test_coarser_cells_are_every_nth_and_the_same_for_each_region(publisher, colour_server):
    common = {"years": 1998, "months": 1, "resolution": 0.25}
    wide, narrow = (
        open_environment(*fetch("occci", region=region, **common, **colour_server))["chlorophyll"]
        for region in [(-179, -161, -10, 10), (-175, -170, -5, 5)]
    )
    assert np.diff(wide["latitude"]).round(6).tolist() == [0.25] * (wide.sizes["latitude"] - 1)
    xr.testing.assert_equal(wide.sel(latitude=narrow["latitude"], longitude=narrow["longitude"]), narrow)
    assert_allclose(wide.isel(time=0), expected(wide.isel(time=0), month=1), rtol=1e-6)


def test_the_axes_are_kept_so_that_what_is_there_needs_no_server(publisher, colour_server):
    files = fetch("occci", years=1998, months=1, **colour_server)
    asked = len(publisher.asked)
    publisher.files = {}
    assert fetch("occci", years=1998, months=1, **colour_server) == files
    assert len(publisher.asked) == asked
    # The series may have grown since it was asked for its last year.
    with pytest.raises(FileNotFoundError, match="404"):
        fetch("occci", years=1999, **colour_server)


def test_a_single_meridian_beyond_the_date_line_is_no_obstacle(colour_server):
    """One column on one side cannot be an axis of its own."""
    (path,) = fetch("occci", years=1998, months=2, region=(175, -179.97, 0, 5), **colour_server)
    env = open_environment(path)["chlorophyll"]
    assert (env["longitude"] < 0).sum() == 1
    assert_allclose(env.isel(time=0), expected(env.isel(time=0), month=2), rtol=1e-6)
    with pytest.raises(ValueError, match="holds 1 x 240 cells; a grid has at least two each way"):
        fetch("occci", years=1998, months=2, region=(-175, -165, 0, 0.03), **colour_server)


def test_an_answer_that_is_no_axis_is_told(publisher, colour_server):
    publisher.files = dict.fromkeys(publisher.files, b'{"error": 1}')
    with pytest.raises(OSError, match=r"Monthly_[0-9a-f]{8}_latitude.json is no axis as ERDDAP gives it .*this again"):
        fetch("occci", years=1998, **colour_server)


def test_dates_that_the_server_lacks_are_told(colour_server):
    with pytest.raises(ValueError, match=r"dates from 1997-12-01 to 1999-01-01, and none in the years \(2003, 2004\)"):
        fetch("occci", years=(2003, 2004), **colour_server)
    with pytest.raises(ValueError, match=r"region .* holds no cell of occci"):
        fetch("occci", years=1998, region=(0, 20, -5, 5), **colour_server)


def test_relief_on_a_grid_of_0_to_360_is_fetched_across_greenwich(publisher, tmp_path):
    publisher.kind = "application/x-netcdf"
    latitudes, longitudes = (
        np.arange(-9.5, 10) / 60,
        np.concatenate([np.arange(0.5, 60), np.arange(21540.5, 21600)]) / 60,
    )
    values = truth(0, 0, latitudes[:, None], (longitudes + 180) % 360 - 180).astype("f4")
    relief = xr.Dataset({"z": (("latitude", "longitude"), values)}, {"latitude": latitudes, "longitude": longitudes})
    axis, cut = erddap(relief, "z", tmp_path)
    publisher.files = {"/data/griddap/ETOPO_2022_v1_60s.json": axis, "/data/griddap/ETOPO_2022_v1_60s.nc": cut}
    (path,) = fetch("etopo2022", region=(-0.5, 0.5, -0.1, 0.1), mirror=publisher.url, to=tmp_path / "cache")
    env = open_environment(path)["elevation"]
    assert env.dims == ("latitude", "longitude")
    assert env.shape == (12, 60)
    assert_allclose(env, expected(env, month=0), atol=1e-6)


# One file for all months, files by hand, Copernicus Marine


def argo():
    """The layout of the Argo climatology: dimensions without coordinates, beside which lat, lon and month lie."""
    latitudes, longitudes = np.arange(-89.5, 90), np.arange(-179.5, 180)
    values = truth(*np.meshgrid(np.arange(1, 13), 0, latitudes, longitudes, indexing="ij"))[:, 0]
    return xr.Dataset(
        {
            "mld_da_mean": (("iMONTH", "iLAT", "iLON"), values, {"units": "meters"}),
            "mld_dt_mean": (("iMONTH", "iLAT", "iLON"), values + 1, {"units": "meters"}),
            "lat": ("iLAT", latitudes),
            "lon": ("iLON", longitudes),
            "month": ("iMONTH", np.arange(1.0, 13)),
        }
    )


def test_a_climatology_in_one_file_is_cut_to_the_months(publisher, tmp_path):
    publisher.kind = "application/x-netcdf"
    content = as_bytes(argo(), tmp_path, format="NETCDF3_CLASSIC")
    publisher.files = {"/data/Argo_mixedlayers_monthlyclim_04142022.nc": content}
    (path,) = fetch("mld_argo", months=(3, 9), mirror=publisher.url, to=tmp_path / "cache")
    env = open_environment(path)["mixed_layer_depth"]
    assert env["month"].values.tolist() == [3, 9]
    assert_allclose(env, expected(env))


def test_what_comes_by_hand_says_how_and_is_taken_from_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"mld_deboyer must be fetched by hand. Download the archive.*mirror="):
        fetch("mld_deboyer", to=tmp_path)
    place = tmp_path / "disk"
    place.mkdir()
    with pytest.raises(FileNotFoundError, match=r"none of the 0 NetCDF files in .* holds 'mld_dr003'"):
        fetch("mld_deboyer", mirror=place, to=tmp_path)
    latitudes, longitudes, months = np.arange(-89.5, 90), np.arange(-179.5, 180), np.arange(1, 13)
    values = truth(*np.meshgrid(months, 0, latitudes, longitudes, indexing="ij"))[:, 0]
    days = [15, 46, 74, 105, 135, 166, 196, 227, 258, 288, 319, 349]
    made = xr.Dataset(
        {"mld_dr003": (("time", "lat", "lon"), values), "n_obs": (("time", "lat", "lon"), values)},
        {"time": ("time", days, {"units": "days since 1-1-1 0:0:0"}), "lat": latitudes, "lon": longitudes},
    )
    made.to_netcdf(place / "mld_dr003_ref10m_v2023.nc")
    (path,) = fetch("mld_deboyer", months=[2, 12], region=(0, 20, 0, 20), mirror=place, to=tmp_path)
    env = open_environment(path)["mixed_layer_depth"]
    assert_allclose(env, expected(env))
    assert env["month"].values.tolist() == [2, 12]
    assert note_of(path)["addresses"] == [str(place / "mld_dr003_ref10m_v2023.nc")]


def reanalysis(year):
    """A year of GLORYS as its toolbox writes it: depth in single precision, hours since 1950."""
    latitudes, longitudes = np.arange(-5, 5.01, 1 / 12), np.arange(-10, 0, 1 / 12)
    levels = np.array([0.494025, 9.572997, 97.04131, 508.6399], "f4")
    times = np.array([f"{year}-{month:02d}-01" for month in range(1, 13)], "datetime64[ns]")
    values = truth(*np.meshgrid(np.arange(1, 13), levels, latitudes, longitudes, indexing="ij")).astype("f4")
    field = xr.DataArray(
        values,
        {"time": times, "depth": levels, "latitude": latitudes.astype("f4"), "longitude": longitudes.astype("f4")},
        dims=("time", "depth", "latitude", "longitude"),
        attrs={"units": "degrees_C"},
    )
    field["depth"].attrs = {"units": "m", "positive": "down", "axis": "Z"}
    return field.to_dataset(name="thetao")


def test_years_are_taken_from_a_folder_of_files_by_year(tmp_path):
    place = tmp_path / "disk" / "glorys"
    for year in (1993, 1994, 1995):
        (place / str(year)).mkdir(parents=True)
        packed = {"time": {"units": "hours since 1950-01-01"}}
        reanalysis(year).to_netcdf(place / str(year) / "mean.nc", encoding=packed)
    selected = {
        "variables": "temperature",
        "months": (6, 7),
        "depths": (0, 100),
        "mirror": place.parent,
        "to": tmp_path,
    }
    files = fetch("glorys12", years=(1994, 1995), **selected)
    assert len(files) == 2
    env = open_environment(*files)["temperature"]
    assert env["time"].values.astype("datetime64[M]").astype(str).tolist() == [
        "1994-06",
        "1994-07",
        "1995-06",
        "1995-07",
    ]
    assert env.sizes["depth"] == 3
    months = env["time"].dt.month.drop_vars("time")
    assert_allclose(env, expected(env.drop_vars("time"), month=months), rtol=1e-6)
    with pytest.raises(ValueError, match=r"none of the files of glorys12 .* holds the months and years"):
        fetch("glorys12", years=2001, **selected)


class Toolbox:
    """Stands for the toolbox, which cannot run without an account: writes the year that it is asked for."""

    def __init__(self, *, has_account=True, fault=None):
        self.has_account, self.fault, self.asked = has_account, fault, []

    def login(self, *, check_credentials_valid):
        assert check_credentials_valid
        return self.has_account

    def subset(self, *, output_directory, output_filename, **asked):
        if self.fault:
            raise self.fault
        self.asked.append(asked)
        year = asked["start_datetime"][:4]
        path = output_directory / output_filename
        reanalysis(year).to_netcdf(path, encoding={"time": {"units": "hours since 1950-01-01"}})


def test_copernicus_is_asked_by_year_for_the_region_the_depths_and_the_months(monkeypatch, tmp_path):
    toolbox = Toolbox()
    monkeypatch.setitem(sys.modules, "copernicusmarine", toolbox)
    selected = {"variables": "temperature", "months": (2, 4), "depths": (0, 50), "region": (-8, -2, -3, 3)}
    files = fetch("glorys12", years=(1993, 1994), to=tmp_path, **selected)
    first, second = toolbox.asked
    assert first | second == second | {
        "dataset_id": "cmems_mod_glo_phy_my_0.083deg_P1M-m",
        "variables": ["thetao"],
        "minimum_longitude": -8.0,
        "maximum_longitude": -2.0,
        "minimum_latitude": -3.0,
        "maximum_latitude": 3.0,
        "minimum_depth": 0.0,
        "maximum_depth": 50.0,
        "start_datetime": "1994-02-01",
        "end_datetime": "1994-04-30T23:59:59",
        "overwrite": True,
        "disable_progress_bar": True,
    }
    env = open_environment(*files)["temperature"]
    assert env["time"].dt.month.values.tolist() == [2, 4, 2, 4]
    assert env["depth"].values.max() < 50
    assert fetch("glorys12", years=(1993, 1994), to=tmp_path, **selected) == files
    assert len(toolbox.asked) == 2


def test_the_toolbox_has_the_words_that_it_is_asked_in(monkeypatch, tmp_path):
    toolbox = Toolbox()
    monkeypatch.setitem(sys.modules, "copernicusmarine", toolbox)
    fetch("glorys12", variables="temperature", years=1993, region=(-8, -2, -3, 3), depths=(0, 50), to=tmp_path)
    monkeypatch.undo()
    real = pytest.importorskip("copernicusmarine")
    assert {*toolbox.asked[0], "output_directory", "output_filename"} <= {*inspect.signature(real.subset).parameters}
    assert "check_credentials_valid" in inspect.signature(real.login).parameters


def test_a_region_across_the_date_line_is_one_request_beyond_180(monkeypatch, tmp_path):
    toolbox = Toolbox()
    monkeypatch.setitem(sys.modules, "copernicusmarine", toolbox)
    with pytest.raises(ValueError, match="region"):
        # The stand-in has no such cells; what it was asked is what counts.
        fetch("glorys12", variables="temperature", years=1993, region=(170, -170, -3, 3), to=tmp_path)
    assert (toolbox.asked[0]["minimum_longitude"], toolbox.asked[0]["maximum_longitude"]) == (170.0, 190.0)


@pytest.mark.parametrize(
    ("toolbox", "error", "message"),
    [
        (None, MissingDependency, r"grids.fetch needs the package 'copernicusmarine'.*aqqua_science\[ocean\]"),
        (Toolbox(has_account=False), PermissionError, "an account, which is free.*copernicusmarine login"),
        (Toolbox(fault=RuntimeError("out of bounds")), OSError, "does not give cmems_mod.*: out of bounds. Check"),
    ],
)
def test_copernicus_without_package_or_account_says_what_to_do(monkeypatch, tmp_path, toolbox, error, message):
    monkeypatch.setitem(sys.modules, "copernicusmarine", toolbox)
    with pytest.raises(error, match=message):
        fetch("glorys12", variables="temperature", years=1993, to=tmp_path)


def test_the_real_toolbox_without_an_account_says_what_to_do(tmp_path):
    pytest.importorskip("copernicusmarine")
    program = (
        "import sys; from aqqua_science.grids import fetch; "
        "fetch('glorys12', variables='temperature', years=1993, to=sys.argv[1])"
    )
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    nobody = {key: value for key, value in os.environ.items() if not key.startswith("COPERNICUSMARINE")} | home
    command = [sys.executable, "-c", program, tmp_path]
    child = subprocess.run(command, env=nobody, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert child.returncode == 1
    assert "PermissionError: Copernicus Marine wants an account, which is free." in child.stderr


# What is asked for, and where it goes


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("woa32", {}, "no source 'woa32'. Did you mean 'woa23'"),
        ("woa23", {"variables": ["oxygenn"]}, "no variable 'oxygenn'. Did you mean 'oxygen'"),
        ("woa23", {"variables": []}, "must name at least one of temperature"),
        ("woa23", {"months": 13}, r"must be 1..12, or 0 alone for the annual mean; got \[13\]"),
        ("woa23", {"months": (0, 1)}, "0 alone"),
        ("etopo2022", {"months": 1}, "must be left out, since nothing of it changes"),
        ("woa23", {"years": (1990, 2000)}, "woa23 has no years: it is a climatology"),
        ("occci", {}, r"say years=\(first, last\); got None. It begins in 1997"),
        ("woa23", {"depths": 100}, r"depths must be \(top, bottom\) in metres, positive down; got 100"),
        ("woa23", {"region": (0, 10, 20)}, r"region must be .*; got \(0, 10, 20\)"),
        ("woa23", {"months": "January"}, r"got \['January'\]"),
        ("occci", {"years": (2000, 1998)}, r"got \(2000, 1998\)"),
        ("occci", {"years": (1980, 1990)}, "It begins in 1997"),
        ("occci", {"years": 1998, "depths": (0, 10)}, "occci has no depths"),
        ("woa23", {"depths": (100, 10)}, r"depths must be \(top, bottom\)"),
        ("woa23", {"region": (0, 10, 20, 10)}, "the south below the north; got"),
        ("woa23", {"variables": "oxygen", "resolution": 0.25}, "oxygen of woa23 comes in cells of 1 degrees"),
        ("woa23", {"variables": "temperature", "resolution": 2}, "in cells of 1 or 0.25 degrees; got resolution=2"),
        ("occci", {"years": 1998, "resolution": 0.06}, "resolution must be a multiple of that; got 0.06"),
        ("glorys12", {"years": 1998, "resolution": 1}, "must be that; regrid it afterwards"),
    ],
)
def test_what_a_source_has_not_is_refused_before_anything_is_asked(tmp_path, name, asked, message):
    with pytest.raises(ValueError, match=message):
        fetch(name, to=tmp_path / "cache", **asked)
    assert not (tmp_path / "cache").exists()


def test_depths_and_places_without_cells_are_told_and_what_came_is_kept(publisher, ocean):
    with pytest.raises(ValueError, match=r"no level between 20 and 30 m; the 8 levels are 0..800 m"):
        fetch("woa23", variables="oxygen", months=1, depths=(20, 30), **ocean)
    with pytest.raises(ValueError, match=r"holds 1 x 2 cells; a grid has at least two each way. Widen it"):
        fetch("woa23", variables="oxygen", months=1, region=(0, 10, 0, 5), **ocean)
    fetch("woa23", variables="oxygen", months=1, depths=(20, 60), **ocean)
    assert len(publisher.asked) == 1


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path, publisher, ocean):
    monkeypatch.setenv("AQQUA_CACHE", str(tmp_path / "mine"))
    (path,) = fetch("woa23", variables="oxygen", months=1, mirror=publisher.url)
    assert path.parent == tmp_path / "mine" / "woa23"
    monkeypatch.delenv("AQQUA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert not sys.platform.startswith("linux") or cache_folder() == tmp_path / "xdg" / "aqqua_science"


def test_two_at_a_time_take_turns(publisher, ocean):
    program = (
        "import sys; from aqqua_science.grids import fetch; "
        "print(*fetch('woa23', variables='oxygen', months=(1, 2, 7), mirror=sys.argv[1], to=sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, ocean["mirror"], ocean["to"]]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = {child.communicate()[0] for child in children}
    assert {child.returncode for child in children} == {0}
    assert len(answers) == 1
    assert sorted(paths_asked(publisher)) == sorted(set(paths_asked(publisher)))
    assert fetching.fetch is fetch
