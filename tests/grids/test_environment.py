"""Environment fields: whatever a file calls its axes, one Dataset in our conventions comes out, or a named refusal."""

import warnings

import cftime
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from aqqua_science.grids import open_environment
from aqqua_science.schema import SchemaError


def made_field(longitude, latitude):
    """A field that differs at every place and knows no dateline."""
    lon, lat = np.meshgrid(np.radians(longitude), np.radians(latitude))
    return np.sin(lat) + 0.1 * np.cos(lon) + 0.03 * np.sin(lon)


def made_dataset(*, longitude=None, latitude=None, lon_name="lon", lat_name="lat", name="sst", **attrs):
    """One field on (lat, lon), 10 by 5 degrees unless told otherwise."""
    longitude = np.arange(-175.0, 180, 10) if longitude is None else np.asarray(longitude)
    latitude = np.arange(-87.5, 90, 5) if latitude is None else np.asarray(latitude)
    return xr.Dataset(
        {name: ((lat_name, lon_name), made_field(longitude, latitude), attrs)},
        {lat_name: (lat_name, latitude), lon_name: (lon_name, longitude)},
    )


def made_series(values, units=None, *, name="time", n=None, attrs=None, **more):
    """A field with a time axis whose k-th step is k everywhere."""
    values = np.asarray(values)
    steps = np.arange(len(values), dtype=float)[:, None, None] * np.ones((1, 3, 4))
    attrs = dict(attrs or {}) | ({} if units is None else {"units": units})
    return xr.Dataset(
        {"sst": ((name, "lat", "lon"), steps, more)},
        {name: (name, values, attrs), "lat": [-10.0, 0.0, 10.0], "lon": [0.0, 10.0, 20.0, 30.0]},
    )


def made_profile(depth, **attrs):
    """A field whose value is the number of its level."""
    depth = np.asarray(depth)
    name = attrs.pop("name", "depth")
    levels = np.arange(len(depth), dtype=float)[:, None, None] * np.ones((1, 3, 4))
    return xr.Dataset(
        {"no3": ((name, "lat", "lon"), levels)},
        {name: (name, depth, attrs), "lat": [-10.0, 0.0, 10.0], "lon": [0.0, 10.0, 20.0, 30.0]},
    )


# --- real files: the truth is read by bare netCDF4 at an index found by hand --------------------------------------

REAL = {
    "drago2022/environment_0_200m.nc": ("temperature", (100, 30), {}, {"latitude": 10.5, "longitude": -149.5}),
    "drago2022/published_copepoda_0_200m.nc": ("biomass", (90, 180), {}, {"latitude": 0.5, "longitude": 0.5}),
    "derived/drago2022_env_annual_1deg.nc": (
        "oxygen", (1, 60, 10), {"depth": 2}, {"depth": 350, "latitude": -29.5, "longitude": -169.5}
    ),
    "derived/levitus_ts_4deg_monthly.nc": (
        "temperature", (6, 3, 20, 80), {"depth": 15, "month": 12},
        {"month": 7, "depth": 290, "latitude": 2, "longitude": -38},
    ),
    "derived/satellite_sst_chl_bathy_1deg_monthly.nc": (
        "sst", (11, 20, 0), {"month": 12}, {"month": 12, "latitude": 69.5, "longitude": -179.5}
    ),
    "env/NOAA-PMEL+FerretDatasets/data/etopo120.cdf": ("ROSE", (44, 90), {}, {"latitude": -1, "longitude": -159}),
    "env/NOAA-PMEL+FerretDatasets/data/etopo60.cdf": ("ROSE", (0, 359), {}, {"latitude": -89.5, "longitude": 19.5}),
    "env/NOAA-PMEL+FerretDatasets/data/etopo20.cdf": (
        "ROSE", (300, 479), {"longitude": 1080}, {"latitude": 10.1666, "longitude": 179.8333}
    ),
    "env/OPENDAP+netcdf_handler/data/coads_climatology.nc": (
        "SST", (2, 40, 100), {"month": 12}, {"month": 3, "latitude": -9, "longitude": -139}
    ),
    "env/SciTools+cartopy/lib/cartopy/data/netcdf/HadISST1_SST_update.nc": (
        "sst", (0, 80, 5), {"time": 1}, {"time": "2012-08-01", "latitude": 9.5, "longitude": -174.5}
    ),
    "env/pmlmodelling+nctoolkit/data/sst.mon.ltm.1981-2010.nc": (
        "sst", (4, 90, 200), {"month": 12}, {"month": 5, "latitude": -0.5, "longitude": -159.5}
    ),
} | {
    f"env/pmlmodelling+nctoolkit/data/ensemble/year{year}.nc": (
        "sst", (9, 60, 300), {"time": 12}, {"time": f"{year}-10-01", "latitude": 29.5, "longitude": -59.5}
    )
    for year in range(1998, 2006)
}  # fmt: skip
REFUSED = {"env/SciTools+iris-sample-data/iris_sample_data/sample_data/orca2_votemper.nc": "curvilinear.*Regrid"}


def test_every_real_file_has_a_case(shared_data):
    files = [p for folder in ("env", "derived", "drago2022") for p in (shared_data / folder).rglob("*")]
    grids = {str(p.relative_to(shared_data)) for p in files if p.suffix in (".nc", ".cdf")}
    assert grids == set(REAL) | set(REFUSED)


@pytest.mark.parametrize("path", REAL)
def test_real_file_comes_out_in_our_conventions(shared_data, path):
    name, index, sizes, position = REAL[path]
    with netCDF4.Dataset(shared_data / path) as raw:
        truth = raw[name][index]
    environment = open_environment(shared_data / path)
    position = {k: np.datetime64(v, "ns") if k == "time" else v for k, v in position.items()}
    found = environment[name].sel(position, method="nearest")
    for dim, value in position.items():
        if dim != "time":
            assert abs(float(found[dim]) - value) < 1e-3
        else:
            assert found[dim].values == value
    assert_array_equal(found, np.nan if truth is np.ma.masked else truth)
    assert {dim: environment.sizes[dim] for dim in sizes} == sizes
    for dim, low, high in (("latitude", -90, 90), ("longitude", -180, 180)):
        values = environment[dim].values
        assert (np.diff(values) > 0).all()
        assert low <= values[0]
        assert values[-1] <= high


@pytest.mark.parametrize("path", REFUSED)
def test_real_file_is_refused_by_name(shared_data, path):
    with pytest.raises(SchemaError, match=f"orca2_votemper.nc: variable 'votemper' is on a {REFUSED[path]}"):
        open_environment(shared_data / path)


def test_a_glob_of_years_is_one_series(shared_data):
    files = shared_data / "env/pmlmodelling+nctoolkit/data/ensemble/*.nc"
    environment = open_environment(files)
    months = np.arange("1998-01", "2006-01", dtype="datetime64[M]").astype("datetime64[ns]")
    assert_array_equal(environment["time"], months)
    with netCDF4.Dataset(files.parent / "year2003.nc") as raw:
        assert environment["sst"].sel(time="2003-02-01", latitude=0.5, longitude=-179.5) == raw["sst"][1, 89, 180]


def test_lazy_real_file_equals_the_loaded_one(shared_data):
    path = shared_data / "derived/levitus_ts_4deg_monthly.nc"
    lazy = open_environment(path, chunks={"month": 1, "latitude": 20})
    assert lazy["temperature"].chunksizes["month"] == (1,) * 12
    assert lazy["temperature"].chunksizes["latitude"] == (20, 20)
    xr.testing.assert_identical(lazy.compute(), open_environment(path))


# --- longitude and latitude ---------------------------------------------------------------------------------------


@example(offset=-250.062, turns=0, roll=0, flip=False)
@given(
    offset=st.floats(-360, 360, allow_nan=False).map(lambda x: round(x, 3)),
    turns=st.sampled_from([-1, 0, 1]),
    roll=st.integers(0, 35),
    flip=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_the_way_a_globe_is_unrolled_does_not_matter(offset, turns, roll, flip):
    longitude = np.round(np.arange(36) * 10.0 + offset, 3)
    plain = open_environment(made_dataset(longitude=longitude))
    latitude = np.arange(-87.5, 90, 5)
    moved = np.roll(np.round(longitude + 360 * turns, 3), roll)
    other = open_environment(made_dataset(longitude=moved, latitude=latitude[::-1] if flip else latitude))
    assert_allclose(other["longitude"], plain["longitude"], atol=1e-8)
    assert_allclose(other["sst"], plain["sst"], atol=1e-12)
    lon, lat = plain["longitude"].values, plain["latitude"].values
    assert (np.diff(lon) > 0).all()
    assert lon[0] >= -180
    assert lon[-1] < 180
    assert_allclose(plain["sst"], made_field(lon, lat), atol=1e-9)


@pytest.mark.parametrize("dtype", ["i2", "f4", "f8"])
def test_both_ends_of_the_dateline_are_one_column(dtype):
    longitude = np.arange(-180, 181, 10).astype(dtype)
    environment = open_environment(made_dataset(longitude=longitude))
    assert_array_equal(environment["longitude"], np.arange(-180.0, 180, 10))


def test_repeated_columns_of_single_precision_noise_are_dropped():
    longitude = (np.arange(3601, dtype="f4") * np.float32(0.1)).astype("f4")
    data = made_dataset(longitude=longitude, latitude=[0.0, 0.1])
    data["sst"][:, -1] = data["sst"][:, 0]
    environment = open_environment(data)
    assert_allclose(environment["longitude"], np.arange(-1800, 1800) / 10, atol=1e-4)
    assert not np.signbit(environment["longitude"].sel(longitude=0, method="nearest"))


def test_repeated_columns_that_differ_are_refused():
    data = made_dataset(longitude=np.arange(0, 361, 10.0))
    data["sst"][3, -1] += 1
    with pytest.raises(SchemaError, match=r"'sst'.*meridians come twice.*isel\(lon="):
        open_environment(data)


def test_repeated_columns_may_both_be_missing():
    data = made_dataset(longitude=np.arange(0, 361, 10.0))
    data["sst"][3, [0, -1]] = np.nan
    assert np.isnan(open_environment(data)["sst"].sel(longitude=0)[3])


def test_more_than_one_turn_is_refused():
    with pytest.raises(SchemaError, match="span 360 degrees once"):
        open_environment(made_dataset(longitude=np.arange(0, 400, 7.0)))


def test_a_region_over_the_dateline_keeps_ascending_longitudes():
    environment = open_environment(made_dataset(longitude=[165.0, 175, 185, 195]))
    assert_array_equal(environment["longitude"], [-175, -165, 165, 175])
    assert_allclose(environment["sst"], made_field(environment["longitude"], environment["latitude"]))


def test_gaussian_latitudes_are_kept():
    latitude = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(32)[0]))
    environment = open_environment(made_dataset(latitude=latitude[::-1]))
    assert_allclose(environment["latitude"], latitude)


@pytest.mark.parametrize(
    ("lat_name", "lon_name", "lat_attrs", "lon_attrs"),
    [
        ("nav_lat", "nav_lon", {}, {}),
        ("COADSY", "LON21_380", {"units": "degrees_north"}, {"units": "degrees_east"}),
        ("y", "x", {}, {}),
        ("Y", "X", {"units": "Degrees_North"}, {"units": "degree_east"}),
        ("lat", "lon", {"units": "degrees"}, {"units": "degrees"}),
        ("j", "i", {"standard_name": "latitude"}, {"standard_name": "longitude"}),
        ("a", "b", {"long_name": "Latitude"}, {"long_name": "Longitude"}),
        ("yt", "xt", {"axis": "Y", "units": "degrees"}, {"axis": "X", "units": "degrees"}),
    ],
)
def test_axes_are_found_by_attributes_or_names(lat_name, lon_name, lat_attrs, lon_attrs):
    data = made_dataset(lat_name=lat_name, lon_name=lon_name)
    data[lat_name].attrs, data[lon_name].attrs = lat_attrs, lon_attrs
    environment = open_environment(data)
    assert environment["sst"].dims == ("latitude", "longitude")
    assert environment["latitude"].attrs["units"] == "degrees_north"
    assert environment["longitude"].attrs["standard_name"] == "longitude"


def test_axes_may_lie_beside_their_dimensions():
    data = made_dataset().rename_dims(lat="row", lon="column").reset_index(["lat", "lon"]).reset_coords()
    assert_allclose(open_environment(data)["sst"], made_dataset()["sst"])


def test_flat_planes_of_positions_are_unfolded():
    data = made_dataset()
    lon, lat = np.meshgrid(data["lon"], data["lat"])
    data = xr.Dataset({"sst": (("r", "c"), data["sst"].values)}, {"lat": (("r", "c"), lat), "lon": (("r", "c"), lon)})
    assert_allclose(open_environment(data)["sst"], made_dataset()["sst"])


def curvilinear():
    lon, lat = np.meshgrid(np.arange(0.0, 40, 10), np.arange(0.0, 30, 10))
    return xr.Dataset(
        {"sst": (("r", "c"), lon)}, {"lat": (("r", "c"), lat + 0.1 * lon), "lon": (("r", "c"), lon + 0.1 * lat)}
    )


def unstructured():
    return xr.Dataset(
        {"sst": ("cell", np.arange(5.0))}, {"lat": ("cell", np.arange(5.0)), "lon": ("cell", np.arange(5.0))}
    )


def rotated():
    data = made_dataset(lat_name="rlat", lon_name="rlon", latitude=[-1.0, 0, 1], longitude=[-1.0, 0, 1])
    data["rlat"].attrs, data["rlon"].attrs = {"standard_name": "grid_latitude"}, {"standard_name": "grid_longitude"}
    return data


def pixels():
    return made_dataset(lat_name="y", lon_name="x", latitude=np.arange(20), longitude=np.arange(40))


def projected():
    return made_dataset(longitude=np.arange(0, 5e6, 1e6), lon_name="lon")


def zigzag():
    return made_dataset(latitude=[0.0, 10, 5, 20])


def beyond_the_pole():
    return made_dataset(latitude=[80.0, 90, 100])


def missing_coordinate():
    return made_dataset(latitude=[0.0, np.nan, 20])


def unknown_dimension():
    return made_dataset().expand_dims(wavelength=[412, 443])


def no_positions():
    return xr.Dataset({"flux": ("k", np.arange(3.0))})


def named_depth():
    return made_dataset(name="depth")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (curvilinear, "Dataset 1: variable 'sst' is on a curvilinear grid.*Regrid"),
        (unstructured, "share the dimension 'cell'.*Regrid"),
        (rotated, "'sst' is on a rotated or projected grid.*Regrid"),
        (pixels, "'sst' has no latitude and longitude"),
        (projected, "axis 'lon': longitude must.*Regrid"),
        (zigzag, "axis 'lat': latitude must rise or fall strictly"),
        (beyond_the_pole, "latitude must lie in -90..90; found 80..100"),
        (missing_coordinate, "no missing values"),
        (unknown_dimension, "'sst': the dimension 'wavelength' of 2 steps is none of"),
        (no_positions, "'flux' has no latitude and longitude"),
        (named_depth, "bears the name of a coordinate. Rename"),
        (xr.Dataset, "holds no gridded variable"),
    ],
)
def test_what_is_not_a_grid_is_refused_by_name(make, message):
    with pytest.raises(SchemaError, match=message):
        open_environment(make())


# --- time ---------------------------------------------------------------------------------------------------------

CLIMATOLOGIES = {
    "hours in year 0": (np.arange(12) * 730.485 + 366, "hour since 0000-01-01 00:00:00", {}),
    "days in year 1": (np.arange(12) * 30.4 + 15, "days since 0001-01-01", {}),
    "starts of even months in year 1": (np.arange(12) * 30.4375, "days since 0001-01-01", {"calendar": "noleap"}),
    "before the reference": (np.arange(12) * 30.4 - 657060, "days since 1800-01-01 00:00:0.0", {}),
    "360_day": (np.arange(12) * 720 + 360, "hours since 0001-01-01", {"calendar": "360_day"}),
    "seconds": (np.arange(12) * 2592000.0 + 1296000, "seconds since 0001-JAN-01 00:00:00", {"calendar": "360_day"}),
    "months in year 0": (np.arange(12) + 0.5, "months since 0000-01-01", {}),
    "months since 01-Jan": (np.arange(12) + 0.5, "months since 01-Jan", {"calendar": "360_day"}),
    "Ferret's modulo": (np.arange(12) + 0.5, "months since 1901-01-15", {"modulo": " "}),
    "CF climatology": (np.arange(12) + 372.5, "months since 1955-01-01", {"climatology": "climatology_bounds"}),
    "months 1..12": (np.arange(1, 13), "month", {}),
    "months 0..11": (np.arange(12), "months", {}),
}


@pytest.mark.parametrize("case", CLIMATOLOGIES)
def test_climatologies_have_months_of_the_year(case):
    values, units, attrs = CLIMATOLOGIES[case]
    environment = open_environment(made_series(values, units, attrs=attrs, name="T"))
    assert_array_equal(environment["month"], np.arange(1, 13))
    assert environment["month"].dtype == np.int64
    assert environment["sst"].dims == ("month", "latitude", "longitude")
    assert_array_equal(environment["sst"][:, 0, 0], np.arange(12))


@pytest.mark.parametrize("values", [np.arange(1, 13), np.arange(1.0, 13), ["Jan", "Feb", "March"], np.arange(12)])
def test_an_axis_called_month_needs_no_units(values):
    months = open_environment(made_series(values, name="month"))["month"]
    assert_array_equal(months, np.arange(1, 1 + len(values)))


def test_months_out_of_order_are_sorted_with_their_values():
    environment = open_environment(made_series([7, 8, 1], name="month"))
    assert_array_equal(environment["month"], [1, 7, 8])
    assert_array_equal(environment["sst"][:, 0, 0], [2, 0, 1])


def test_a_dimension_called_month_counts_from_january():
    data = made_series(np.arange(1, 13), name="month").drop_vars("month")
    assert_array_equal(open_environment(data)["month"], np.arange(1, 13))


def test_words_of_the_file_make_a_climatology_but_not_of_anomalies():
    data = made_series(np.arange(12) * 30.4 + 15, "days since 1990-01-01")
    assert "time" in open_environment(data).dims
    assert "month" in open_environment(data.assign_attrs(title="Monthly climatology 1981-2010")).dims
    anomalies = data.assign_attrs(title="Anomalies from the 1981-2010 climatology")
    assert "time" in open_environment(anomalies).dims


def climatology_file(values, bounds):
    data = made_series(values, "months since 1955-01-01", attrs={"climatology": "climatology_bounds"})
    return data.assign(climatology_bounds=(("time", "nbounds"), np.asarray(bounds, dtype=float)))


def test_an_annual_climatology_has_no_time_axis():
    assert open_environment(climatology_file([378.0], [[0, 756]]))["sst"].dims == ("latitude", "longitude")


def test_a_seasonal_climatology_is_refused():
    with pytest.raises(SchemaError, match="steps of one month"):
        open_environment(climatology_file([372.5], [[0, 747]]))
    with pytest.raises(SchemaError, match="3 months apart"):
        open_environment(made_series([0.5, 3.5, 6.5, 9.5], "months since 0000-01-01"))


def test_end_of_month_stamps_follow_their_bounds():
    months = np.arange(12)
    data = climatology_file(months + 1.0, np.column_stack([months, months + 361]))
    assert_array_equal(open_environment(data)["month"], months + 1)
    assert_array_equal(open_environment(data)["sst"][:, 0, 0], months)


@pytest.mark.parametrize(
    ("values", "units", "calendar", "dates"),
    [
        ([0.5, 1.5, 13], "months since 1960-01-01", None, ["1960-01-16T12", "1960-02-15T12", "1961-02-01"]),
        ([0, 2], "years since 2000-03-01", None, ["2000-03-01", "2002-03-01"]),
        ([1, 32], "days since 1990-1-1", "standard", ["1990-01-02", "1990-02-02"]),
        ([24], "hours since 15-JAN-1990 00:00:00", None, ["1990-01-16"]),
        ([10], "days since 01-01-1990", None, ["1990-01-11"]),
        ([0], "seconds since 1970-01-01T06:00:00Z", None, ["1970-01-01T06"]),
        ([59, 60], "days since 2000-01-01", "noleap", ["2000-03-01", "2000-03-02"]),
        ([0, 59], "days since 2000-01-01", "julian", ["2000-01-01", "2000-02-29"]),
        ([15, 45, 359], "days since 2001-01-01", "360_day", ["2001-01-16T12", "2001-02-15", "2001-12-30T23:12"]),
        ([0], "days since 2000-01-01", "proleptic_gregorian", ["2000-01-01"]),
        ([20000116, 20000215.5], "day as %Y%m%d.%f", None, ["2000-01-16", "2000-02-15T12"]),
    ],
)
def test_dated_series_become_datetimes(values, units, calendar, dates):
    attrs = {} if calendar is None else {"calendar": calendar}
    environment = open_environment(made_series(np.array(values, dtype=float), units, attrs=attrs))
    assert environment["time"].dtype == np.dtype("datetime64[ns]")
    assert_array_equal(environment["time"], np.array(dates, dtype="datetime64[ns]"))


def test_a_day_that_does_not_exist_keeps_its_month():
    """29 of 29 days of an all_leap February have 28/29 of a month behind them."""
    data = made_series([59.0], "days since 2001-01-01", attrs={"calendar": "all_leap"})
    behind = np.timedelta64(round(28 / 29 * 28 * 86_400_000), "ms")
    assert open_environment(data)["time"].values[0] == np.datetime64("2001-02-01", "ns") + behind


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_decoded_dates_pass_through(unit):
    dates = np.array(["1998-01-16T12", "1998-02-15"], dtype=f"datetime64[{unit}]")
    assert_array_equal(open_environment(made_series(dates))["time"], dates.astype("datetime64[ns]"))


def test_decoded_cftime_dates_follow_the_same_rules():
    climatology = [cftime.DatetimeGregorian(1, month, 15) for month in range(1, 13)]
    assert_array_equal(open_environment(made_series(climatology))["month"], np.arange(1, 13))
    series = [cftime.Datetime360Day(1999, month, 16) for month in range(1, 13)]
    assert open_environment(made_series(series))["time"].values[1] == np.datetime64("1999-02-15", "ns")


def test_descending_dates_are_sorted():
    environment = open_environment(made_series([20.0, 10, 0], "days since 2000-01-01"))
    assert_array_equal(environment["sst"][:, 0, 0], [2, 1, 0])


@pytest.mark.parametrize(
    ("values", "units", "attrs", "message"),
    [
        (np.arange(1, 13), None, {}, "axis 'time': the time axis must have units"),
        ([0.0, 1.0], "days since the flood", {}, "reference date 'the flood'"),
        ([0.0, 1.0], "days since 02-01-1990", {}, "year-month-day"),
        ([0.0, 1.0], "fortnights since 2000-01-01", {}, "cannot be decoded"),
        ([0.0, 1.0], "days since 2000-01-01", {"calendar": "martian"}, "cannot be decoded.*calendar"),
        ([0.0, np.nan], "days since 2000-01-01", {}, "missing values"),
        ([1.0, 1.0], "days since 2000-01-01", {}, "each time may come once"),
        ([0.0, 1.0], "days since 0850-01-01", {}, "dates must lie in the years"),
        (np.arange(365.0), "days since 0001-01-01", {}, "steps of one month"),
        ([1, 2, 13], "month", {}, "1..12, each once"),
    ],
)
def test_times_that_cannot_be_understood_are_refused(values, units, attrs, message):
    with pytest.raises(SchemaError, match=message):
        open_environment(made_series(values, units, attrs=attrs))


# --- depth --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "attrs", "depths", "levels"),
    [
        ([0.494025, 10, 100], {"units": "m"}, [0.494025, 10, 100], [0, 1, 2]),
        ([0, -10, -100], {"units": "m"}, [0, 10, 100], [0, 1, 2]),
        ([-100, -10, -0.0], {"units": "meters", "name": "altitude"}, [0, 10, 100], [2, 1, 0]),
        ([-100, -10], {"units": "m", "positive": "up", "name": "z"}, [10, 100], [1, 0]),
        ([5], {"units": "m", "positive": "down", "name": "lev"}, [5], [0]),
        ([100, 1000], {"units": "cm", "name": "z_t"}, [1, 10], [0, 1]),
        ([0.1, 1], {"units": "km", "name": "deptht"}, [100, 1000], [0, 1]),
        ([0, 10], {}, [0, 10], [0, 1]),
        ([100, 350], {"units": "m", "name": "layer"}, [100, 350], [0, 1]),
    ],
)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_depth_is_metres_positive_down(values, attrs, depths, levels, dtype):
    environment = open_environment(made_profile(np.array(values, dtype=dtype), **attrs))
    assert_array_equal(environment["depth"], depths)
    assert not np.signbit(environment["depth"]).any()
    assert_array_equal(environment["no3"][:, 0, 0], levels)
    assert environment["depth"].attrs["positive"] == "down"


@pytest.mark.parametrize(
    ("values", "attrs", "message"),
    [
        ([0, 10], {"units": "dbar", "name": "pressure", "axis": "Z"}, "not a pressure.*gsw"),
        ([-1, -0.5], {"name": "s_rho", "standard_name": "ocean_sigma_coordinate"}, "ocean_sigma_coordinate"),
        ([1, 2, 3], {"name": "lev", "units": "level"}, "units are 'level'"),
        ([1, 2, 3], {"name": "lev"}, "absent"),
        ([-5, 5], {"units": "m"}, "0..11050 m"),
        ([2, 10], {"units": "m", "name": "height", "positive": "up"}, "0..11050 m"),
        ([5, 5], {"units": "m"}, "each depth may come once"),
    ],
)
def test_levels_that_are_not_depths_are_refused(values, attrs, message):
    with pytest.raises(SchemaError, match=message):
        open_environment(made_profile(np.array(values, dtype=float), **attrs))


# --- values, units and attributes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("units", ["K", "kelvin", "degK", "Kelvin", "degrees_kelvin"])
@pytest.mark.parametrize("chunks", [None, {}])
def test_kelvin_becomes_celsius(units, chunks):
    data = made_dataset(units=units, standard_name="sea_surface_temperature", valid_min=200.0)
    data["sst"] = (data["sst"] + 290).astype("f4").assign_attrs(data["sst"].attrs)
    environment = open_environment(data, chunks=chunks)
    assert environment["sst"].attrs["units"] == "degC"
    assert environment["sst"].attrs["standard_name"] == "sea_surface_temperature"
    assert "valid_min" not in environment["sst"].attrs
    assert environment["sst"].dtype == np.float32
    assert_allclose(environment["sst"], made_dataset()["sst"] + 16.85, atol=1e-4)


@pytest.mark.parametrize(
    "change", [{"name": "sst_error"}, {"long_name": "anomaly of sst"}, {"standard_name": "x standard_error"}, {}]
)
def test_differences_in_kelvin_are_not_shifted(change):
    environment = open_environment(made_dataset(**{"name": "sst", "units": "K"} | change))
    name = change.get("name", "sst")
    assert_allclose(environment[name], made_dataset()["sst"])
    assert environment[name].attrs["units"] == "K"


def test_coordinates_bounds_and_mappings_are_left_behind():
    data = made_dataset(grid_mapping="crs", cell_measures="area: area", units="1")
    data["lat"].attrs["bounds"] = "edges"
    data = data.assign(
        crs=0, edges=(("lat", "nv"), np.zeros((36, 2))), lon_bnds=(("lon", "bnds"), np.zeros((36, 2))), height=2.0
    )
    assert list(open_environment(data)) == ["sst"]


def test_scalar_coordinates_are_left_behind():
    data = made_dataset().assign_coords(depth=5.0, time=np.datetime64("2000-01-01", "ns"))
    assert set(open_environment(data).coords) == {"latitude", "longitude"}


def test_packed_and_missing_values_are_undone(tmp_path):
    path = tmp_path / "packed.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as file:
        for name, values in (("lat", [10.0, 0.0]), ("lon", [0.0, 10.0])):
            file.createDimension(name, 2)
            file.createVariable(name, "f4", (name,))[:] = values
        packed = file.createVariable("packed", "i2", ("lat", "lon"), fill_value=-999)
        packed.set_auto_maskandscale(False)
        packed.setncatts({"scale_factor": 0.01, "add_offset": 20.0, "missing_value": np.int16(-998)})
        packed[:] = [[100, -999], [-998, 0]]
        # Written in double precision, the fill value is not equal to any value in single precision.
        single = file.createVariable("single", "f4", ("lat", "lon"))
        single.setncattr("missing_value", np.float64(-1e34))
        single[:] = [[1, 2], [-1e34, 4]]
        default = file.createVariable("default", "f4", ("lat", "lon"))
        default[:] = [[netCDF4.default_fillvals["f4"], 2], [3, 4]]
    environment = open_environment(path)
    assert_allclose(environment["packed"], [[np.nan, 20], [21, np.nan]], atol=1e-6)
    assert_array_equal(environment["single"], [[np.nan, 4], [1, 2]])
    assert_array_equal(environment["default"], [[3, 4], [np.nan, 2]])
    assert all(v.dtype.isnative and not v.encoding for v in environment.data_vars.values())


def test_inputs_are_not_changed():
    data = made_dataset(units="K", _FillValue=-9.0)
    before = data.copy(deep=True)
    open_environment(data)
    xr.testing.assert_identical(data, before)


# --- several sources ----------------------------------------------------------------------------------------------


def test_rounding_of_coordinates_makes_no_slivers():
    noisy = made_dataset(name="chl", longitude=np.arange(5.0, 360, 10) + 1e-5).astype("f4")
    environment = open_environment(made_dataset(), noisy)
    assert dict(environment.sizes) == {"latitude": 36, "longitude": 36}
    assert_allclose(environment["chl"], environment["sst"], atol=1e-5)


def test_two_grids_are_refused_by_name(tmp_path):
    made_dataset().to_netcdf(tmp_path / "fine.nc")
    made_dataset(name="chl", longitude=np.arange(-170.0, 180, 20)).to_netcdf(tmp_path / "coarse.nc")
    with pytest.raises(SchemaError, match=r"coarse.nc: variable 'chl' and fine.nc: variable 'sst' must be on one grid"):
        open_environment(tmp_path / "fine.nc", tmp_path / "coarse.nc")


def test_one_field_twice_is_one_field_and_two_fields_are_refused():
    data = made_dataset()
    assert list(open_environment(data, data)) == ["sst"]
    with pytest.raises(SchemaError, match=r"Dataset 1: variable 'sst' and Dataset 2: .* different values"):
        open_environment(data, data + 1)


def test_files_of_one_month_are_joined_in_order():
    months = [made_series([month], name="month") + month for month in (11, 2, 7)]
    environment = open_environment(*months)
    assert_array_equal(environment["month"], [2, 7, 11])
    assert_array_equal(environment["sst"][:, 0, 0], [2, 7, 11])


def test_overlapping_series_must_agree():
    first = made_series([0.0, 1.0], "days since 2000-01-01")
    second = made_series([1.0, 2.0], "days since 2000-01-01")
    with pytest.raises(SchemaError, match="different values"):
        open_environment(first, second)
    second = second + 1
    second["time"].attrs["units"] = "days since 2000-01-01"
    assert_array_equal(open_environment(first, second)["sst"][:, 0, 0], [0, 1, 2])


def test_a_shallow_field_is_missing_below_its_last_level():
    deep = made_profile([0.0, 10, 20]).rename(no3="temperature")
    environment = open_environment(deep, made_profile([0.0, 10.00001]))
    assert_array_equal(environment["depth"], [0, 10, 20])
    assert_array_equal(environment["no3"][:, 0, 0], [0, 1, np.nan])


@pytest.mark.parametrize(
    ("one", "other", "dim"),
    [
        (made_profile([0.0, 10]).rename(no3="temperature"), made_profile([0.0, 15]), "depth"),
        (
            made_series([0.0, 31], "days since 2000-01-01").rename(sst="chl"),
            made_series([15.0, 46], "days since 2000-01-01"),
            "time",
        ),
    ],
)
def test_axes_that_interleave_are_refused(one, other, dim):
    with pytest.raises(SchemaError, match=f"must share their {dim} axis"):
        open_environment(one, other)


def test_netcdf_zarr_geotiff_and_datasets_mix(tmp_path):
    import rasterio

    made_dataset(name="a").to_netcdf(tmp_path / "a.nc")
    made_dataset(name="b").to_zarr(tmp_path / "b.zarr", zarr_format=2, consolidated=False)
    write_geotiff(rasterio, tmp_path / "c.tif")
    environment = open_environment(
        tmp_path / "*.nc", str(tmp_path / "b.zarr"), tmp_path / "c.tif", made_dataset(name="d")
    )
    assert list(environment) == ["a", "b", "c", "d"]
    for name in "abcd":
        assert_allclose(environment[name], made_dataset()["sst"], atol=1e-6)
    assert environment["a"].attrs["source"] == "a.nc"


def test_variables_are_chosen_by_name():
    data = made_dataset().assign(row=("lat", np.arange(36.0)))
    with pytest.raises(SchemaError, match="'row' has no latitude and longitude"):
        open_environment(data)
    assert list(open_environment(data, variables=["sst"])) == ["sst"]
    with pytest.raises(SchemaError, match=r"no source has a variable 'ssd'. Did you mean 'sst'"):
        open_environment(data, variables=["ssd"])


def test_chunks_keep_values_lazy_whatever_the_file(tmp_path):
    data = made_dataset(longitude=np.arange(5.0, 360, 10), units="K") + 280
    data["sst"].attrs["units"] = "K"
    data.to_netcdf(tmp_path / "sst.nc")
    lazy = open_environment(tmp_path / "sst.nc", chunks={"latitude": 12})
    assert lazy["sst"].chunksizes["latitude"] == (12, 12, 12)
    xr.testing.assert_identical(lazy.compute(), open_environment(tmp_path / "sst.nc"))


def test_chunks_follow_the_file_where_none_are_asked(tmp_path):
    data = made_series(np.arange(1, 13), name="month").chunk({"month": 3})
    data.to_zarr(tmp_path / "sst.zarr", zarr_format=2, consolidated=False)
    lazy = open_environment(tmp_path / "sst.zarr", chunks={"latitude": 2})
    assert lazy["sst"].chunksizes == {"month": (3, 3, 3, 3), "latitude": (2, 1), "longitude": (4,)}


def test_a_dataset_of_the_caller_stays_open(tmp_path):
    made_dataset().to_netcdf(tmp_path / "sst.nc")
    with xr.open_dataset(tmp_path / "sst.nc", engine="netcdf4") as data:
        open_environment(data)
        assert_allclose(data["sst"].values, made_dataset()["sst"])


# --- files that cannot be read ---------------------------------------------------------------------------------------


def test_missing_and_damaged_files_are_refused_by_name(tmp_path):
    with pytest.raises(SchemaError, match=r"absent.nc does not exist"):
        open_environment(tmp_path / "absent.nc")
    with pytest.raises(SchemaError, match=r"no file matches .*\*.nc"):
        open_environment(str(tmp_path / "*.nc"))
    for name in ("broken.nc", "broken.tif"):
        (tmp_path / name).write_bytes(b"not a grid")
        with pytest.raises(SchemaError, match=f"{name} cannot be read"):
            open_environment(tmp_path / name)
    with pytest.raises(SchemaError, match="a folder, not a Zarr store"):
        open_environment(tmp_path)
    with pytest.raises(SchemaError, match="an address"):
        open_environment("https://example.org/sst.nc")


def test_wrong_calls_are_told_the_right_one():
    with pytest.raises(TypeError, match="at least one source"):
        open_environment()
    with pytest.raises(TypeError, match=r"open_environment\(\*paths\)"):
        open_environment(["a.nc"])


# --- GeoTIFF ----------------------------------------------------------------------------------------------------------


def write_geotiff(rasterio, path, *, n=1, crs="EPSG:4326", names=()):
    """Write bands that hold the made field plus their number, north up."""
    data = made_dataset().sortby("lat", ascending=False)["sst"].values
    transform = rasterio.Affine(10, 0, -180, 0, -5, 90)
    options = {"driver": "GTiff", "height": 36, "width": 36, "count": n, "dtype": "float32"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", crs=crs, transform=transform, **options) as raster:
            for band in range(n):
                raster.write((data + band).astype("f4"), band + 1)
            for band, name in enumerate(names, start=1):
                raster.set_band_description(band, name)
    return path


def test_bands_bear_their_descriptions(tmp_path):
    import rasterio

    environment = open_environment(write_geotiff(rasterio, tmp_path / "x.tif", n=2, names=["sst", "chl"]))
    assert_allclose(environment["chl"], made_dataset()["sst"] + 1, atol=1e-6)


def test_bands_named_after_months_are_a_climatology(tmp_path):
    import rasterio

    names = ["January", "February", "March", "April", "May", "June"]
    names += ["July", "August", "September", "October", "November", "December"]
    environment = open_environment(write_geotiff(rasterio, tmp_path / "sst.tif", n=12, names=names))
    assert_array_equal(environment["month"], np.arange(1, 13))
    assert_allclose(environment["sst"].sel(month=9), made_dataset()["sst"] + 8, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 12}, "its 12 bands must each have a description"),
        ({"crs": "EPSG:3857"}, "EPSG:3857.*reproject"),
        ({"crs": None}, "reference system is absent"),
    ],
)
def test_geotiffs_that_say_too_little_are_refused(tmp_path, options, message):
    import rasterio

    with pytest.raises(SchemaError, match=f"x.tif.*{message}"):
        open_environment(write_geotiff(rasterio, tmp_path / "x.tif", **options))


def composites(days, *, units="days since 2000-01-01", **attrs):
    """Composites of 8 days that begin at their dates, as ocean colour comes."""
    data = made_series(days, units, attrs={"bounds": "time_bnds"}, **attrs)
    return data.assign(time_bnds=(("time", "nv"), np.stack([days, np.asarray(days) + 8], axis=1)))


def test_bounds_of_dates_stay(tmp_path):
    parts = [composites([0, 8]), composites([16, 24])]
    for number, part in enumerate(parts):
        part.to_netcdf(tmp_path / f"{number}.nc")
    env = open_environment(tmp_path / "*.nc")
    sides = env["time_bounds"].values.astype("datetime64[D]").astype(str)
    assert sides.tolist()[1:3] == [["2000-01-09", "2000-01-17"], ["2000-01-17", "2000-01-25"]]
    assert env["time"].attrs["bounds"] == "time_bounds"
    env.to_netcdf(tmp_path / "again.nc")
    assert_array_equal(open_environment(tmp_path / "again.nc")["time_bounds"], env["time_bounds"])


def test_bounds_of_dates_that_are_not_known_for_all_or_contradict_are_left_out():
    without = made_series([16, 24], "days since 2000-01-01")
    assert "time_bounds" not in open_environment(composites([0, 8]), without).coords
    other = composites([0, 8]).rename(sst="chl")
    other["time_bnds"] = other["time_bnds"] - 1
    assert "time_bounds" not in open_environment(composites([0, 8]), other).coords
    turned = composites([0, 8])
    turned["time_bnds"] = turned["time_bnds"][:, ::-1]
    assert "time_bounds" not in open_environment(turned).coords
