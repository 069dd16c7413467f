"""Maps: what is drawn equals the field, cell by cell and pixel by pixel, and no network is asked."""

import subprocess
import sys
import textwrap

import cartopy.crs as ccrs
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.colors import LogNorm, to_rgb
from numpy.testing import assert_allclose, assert_array_equal

from aqqua_science.grids.geometry import cell_area, regular_grid
from aqqua_science.plot.frames import choose_projection, make_mesh, project_mesh
from aqqua_science.plot.maps import field_map, summary_map
from aqqua_science.schema import SchemaError

OFFLINE = """
    import socket

    def refuse(*args, **kwargs):
        raise OSError("this test has no network")

    socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
    import cartopy.crs as ccrs
    import cartopy.feature as cfeature
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    import aqqua_science.plot.maps

    figure = Figure()
    sheets = [
        (ccrs.Robinson(), (-180, 180, -90, 90)),
        (ccrs.NorthPolarStereo(), (-180, 180, 60, 90)),
        (ccrs.PlateCarree(), (-20, 20, 30, 60)),
    ]
    for i, (projection, extent) in enumerate(sheets, start=1):
        ax = figure.add_subplot(1, 3, i, projection=projection)
        ax.set_extent(extent, ccrs.PlateCarree())
        ax.add_feature(cfeature.LAND.with_scale("110m"), facecolor="black")
        ax.add_feature(cfeature.OCEAN.with_scale("110m"))
        ax.coastlines("110m")
    FigureCanvasAgg(figure).draw()
"""


def make_field(grid, values=None, **attrs):
    field = cell_area(grid)
    values = np.arange(1.0, field.size + 1).reshape(field.shape) if values is None else values
    return field.copy(data=np.broadcast_to(values, field.shape)).rename("biomass").assign_attrs(
        {"long_name": "biomass", "units": "mg m-3"} | attrs
    )  # fmt: skip


def find_mesh(ax):
    return next(c for c in ax.collections if isinstance(c, QuadMesh))


def find_hatches(ax):
    return [c for c in ax.collections if type(c) is PolyCollection and c.get_hatch()]


def render(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


def pixel_at(ax, image, longitude, latitude):
    x, y = ax.transData.transform(ax.projection.transform_point(longitude, latitude, ccrs.PlateCarree()))
    return image[image.shape[0] - 1 - int(y), int(x)]


def colour_of(ax, value):
    mesh = find_mesh(ax)
    return np.round(np.array(to_rgb(mesh.cmap(mesh.norm(value)))) * 255)


def test_land_is_drawn_without_a_network():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(OFFLINE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_mesh_holds_the_field():
    field = make_field(regular_grid(10.0))
    assert_array_equal(find_mesh(field_map(field)).get_array().reshape(18, 36), field.values)


def test_order_of_dimensions_and_coordinates_does_not_matter():
    field = make_field(regular_grid(10.0))
    shuffled = field.isel(latitude=slice(None, None, -1)).T
    assert_array_equal(find_mesh(field_map(shuffled)).get_array(), find_mesh(field_map(field)).get_array())


@pytest.mark.parametrize("projection", [None, "Robinson", ccrs.EqualEarth(central_longitude=-155.3), "PlateCarree"])
def test_pixels_show_the_value_of_their_cell(projection):
    grid = regular_grid(30.0)
    field = make_field(grid)
    ax = field_map(field, projection=projection)
    image = render(ax.figure)
    seas = [(15.0, -45.0), (-15.0, -105.0), (-45.0, 75.0), (45.0, -165.0), (15.0, 165.0), (-15.0, -15.0)]
    for latitude, longitude in seas:
        expected = colour_of(ax, field.sel(latitude=latitude, longitude=longitude).item())
        # off the centre, where lines of latitude and longitude run
        assert_allclose(pixel_at(ax, image, longitude + 4, latitude + 7), expected, atol=2)


def test_missing_cells_show_the_ground():
    values = np.ones((6, 12))
    values[2, 2] = np.nan
    ax = field_map(make_field(regular_grid(30.0), values))
    assert find_mesh(ax).get_array().mask.sum() == 1
    image = render(ax.figure)
    assert_allclose(pixel_at(ax, image, -101, -8), np.array(ax.get_facecolor())[:3] * 255, atol=1)
    assert_allclose(pixel_at(ax, image, -131, -8), colour_of(ax, 1.0), atol=2)


@pytest.mark.parametrize("centre", [0.0, 180.0, -155.3])
@pytest.mark.parametrize("step", [1.0, 10.0])
def test_no_seam_where_the_globe_closes(centre, step):
    ax = field_map(make_field(regular_grid(step), 1.0), projection=ccrs.EqualEarth(central_longitude=centre))
    edge = np.array([-179.0, -176.0, -171.0, 171.0, 176.0, 179.0])  # south of Africa and in the Pacific: no land
    assert_filled(ax, np.r_[np.linspace(-180.6, -179.4, 25), centre + edge], -41.3)


@pytest.mark.parametrize("region", [(-180.0, 180.0, -90.0, -40.0), (-180.0, 180.0, 60.0, 90.0)])
def test_no_seam_in_a_polar_map(region):
    field = make_field(regular_grid(1.0, region=region), 1.0)
    ax = field_map(field)
    assert abs(ax.projection.proj4_params["lat_0"]) == 90
    assert_filled(ax, np.linspace(179, 181, 60), -60.3 if region[2] < 0 else 79.6)


def test_a_polar_map_overlaps_itself_by_one_cell():
    """Edges that only touch leave a hairline on some rasters."""
    mesh = make_mesh(make_field(regular_grid(10.0, region=(-180.0, 180.0, -90.0, -40.0))))
    x, y, values = project_mesh(mesh, choose_projection(mesh))
    assert_allclose([x[:, -1], y[:, -1]], [x[:, 1], y[:, 1]], atol=1e-6)
    assert_array_equal(values, np.column_stack([mesh.values, mesh.values[:, 0]]))


def assert_filled(ax, longitudes, latitude):
    """No light ground shows through; thin dark lines of frame and meridians may lie above."""
    green = []
    for dpi in (97, 150):  # a hairline comes and goes with the raster
        ax.figure.set_dpi(dpi)
        image = render(ax.figure)
        green += [pixel_at(ax, image, longitude, latitude)[1] for longitude in longitudes]
    assert abs(np.median(green) - colour_of(ax, 1.0)[1]) < 30
    assert max(green) < 125 < np.array(ax.get_facecolor())[1] * 255


def test_a_region_across_180_degrees_is_one_piece():
    grid = regular_grid(5.0, region=(-180.0, 180.0, -40.0, 40.0))
    field = make_field(grid)
    pacific = field.isel(longitude=np.flatnonzero(np.abs(field["longitude"]) > 140))
    mesh = make_mesh(pacific)
    assert mesh.bounds == (140.0, 220.0, -40.0, 40.0)
    assert_array_equal(mesh.values[:, 0], field.sel(longitude=142.5))
    assert_array_equal(mesh.values[:, -1], field.sel(longitude=-142.5))
    assert choose_projection(mesh).proj4_params["lon_0"] == 180


@pytest.mark.parametrize(
    ("region", "projection"),
    [
        ((-180.0, 180.0, -90.0, 90.0), ccrs.EqualEarth),
        ((-180.0, 180.0, -80.0, 90.0), ccrs.EqualEarth),
        ((-170.0, 10.0, -30.0, 30.0), ccrs.EqualEarth),
        ((-60.0, 10.0, 30.0, 60.0), ccrs.LambertAzimuthalEqualArea),
        ((-180.0, 180.0, 40.0, 90.0), ccrs.LambertAzimuthalEqualArea),
    ],
)
def test_the_sheet_preserves_area(region, projection):
    mesh = make_mesh(make_field(regular_grid(2.0, region=region)))
    sheet = choose_projection(mesh)
    assert isinstance(sheet, projection)
    x, y, values = project_mesh(mesh, sheet)
    diagonals = (x[1:, 1:] - x[:-1, :-1]) * (y[1:, :-1] - y[:-1, 1:]) - (x[1:, :-1] - x[:-1, 1:]) * (
        y[1:, 1:] - y[:-1, :-1]
    )
    area = np.abs(diagonals / 2)[:, : mesh.values.shape[1]]  # shoelace formula of a quadrilateral
    wide = np.abs(mesh.latitude[1:] + mesh.latitude[:-1]) / 2 < 80
    truth = cell_area(regular_grid(2.0, region=region)).values[wide]
    assert_allclose(area[wide], truth, rtol=2e-3)
    assert values.shape == (x.shape[0] - 1, x.shape[1] - 1)


def test_a_region_is_framed_by_its_own_bounds():
    ax = field_map(make_field(regular_grid(5.0, region=(-60.0, 10.0, 30.0, 60.0))))
    corner = ax.projection.transform_point(-60, 30, ccrs.PlateCarree())
    assert_allclose(ax.get_xlim()[0], corner[0], rtol=1e-6)
    image = render(ax.figure)
    assert_array_equal(pixel_at(ax, image, -57, 28), 255)
    assert_allclose(pixel_at(ax, image, -57, 31), colour_of(ax, 1.0), atol=8)


def test_colour_bar_names_quantity_and_units():
    figure = field_map(make_field(regular_grid(10.0), long_name="copepod biomass", units="mg C m-3")).figure
    assert "Copepod biomass (mg C m⁻³)" in [bar.get_xlabel() for bar in bars_of(figure)]


def bars_of(figure):
    return [child for ax in figure.axes for child in [ax, *ax.child_axes] if child.get_xlabel()]


def test_skewed_fields_get_a_log_scale_and_keep_their_zeros():
    values = np.random.default_rng(0).lognormal(0, 2, (18, 36))
    values[9, 0] = 0
    ax = field_map(make_field(regular_grid(10.0), values))
    mesh = find_mesh(ax)
    assert isinstance(mesh.norm, LogNorm)
    low, high = np.quantile(values[values > 0], [0.02, 0.98])
    assert mesh.norm.vmin <= low
    assert mesh.norm.vmax >= high
    assert_allclose(pixel_at(ax, render(ax.figure), -173, 7), colour_of(ax, 0.0), atol=2)
    assert_allclose(colour_of(ax, 0.0), np.round(np.array(mesh.cmap(0))[:3] * 255))


def test_samples_outside_the_map_are_not_counted():
    field = make_field(regular_grid(5.0, region=(-60.0, 10.0, 30.0, 60.0)))
    samples = pd.DataFrame({"latitude": [40.0, 50.0, -10.0], "longitude": [-30.0, 0.0, 0.0]})
    legend = field_map(field, samples=samples).get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["2 samples"]


def test_hatching_covers_exactly_the_cells_outside():
    field = make_field(regular_grid(10.0))
    outside = field.copy(data=np.random.default_rng(1).random((18, 36)) < 0.3).astype(bool)
    ax = field_map(field, outside=outside)
    polygons = [path.vertices[:-1] for path in find_hatches(ax)[0].get_paths()]
    area = sum(abs(np.dot(p[:, 0], np.roll(p[:, 1], 1)) - np.dot(p[:, 1], np.roll(p[:, 0], 1))) / 2 for p in polygons)
    assert area == pytest.approx(float(cell_area(field).where(outside).sum()), rel=0.01)
    assert "extrapolated" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_nothing_outside_draws_no_hatch():
    field = make_field(regular_grid(10.0))
    ax = field_map(field, outside=field < 0)
    assert find_hatches(ax) == []
    assert ax.get_legend() is None


def test_inputs_are_not_changed():
    field = make_field(regular_grid(10.0))
    before, samples = field.copy(deep=True), pd.DataFrame({"latitude": [1.0], "longitude": [2.0]})
    field_map(field, samples=samples, outside=field > 5)
    xr.testing.assert_identical(field, before)
    assert samples.shape == (1, 2)


def test_wrong_fields_are_refused():
    field = make_field(regular_grid(10.0))
    with pytest.raises(SchemaError, match=r"has month, latitude, longitude.*field\.sel\(month=1\)"):
        field_map(field.expand_dims(month=[1, 2]))
    with pytest.raises(SchemaError, match="grid of the field; their longitude differs"):
        field_map(field, outside=(field > 5).isel(longitude=slice(3)))
    with pytest.raises(ValueError, match="at least one finite value"):
        field_map(field * np.nan)
    with pytest.raises(ValueError, match="Did you mean 'Robinson'"):
        field_map(field, projection="Robinsen")
    with pytest.raises(SchemaError, match="samples has no column 'latitude'"):
        field_map(field, samples=pd.DataFrame({"lat": [1.0]}))


@pytest.fixture
def prediction():
    grid = regular_grid(10.0)
    members = xr.concat([make_field(grid, v) for v in (1.0, 2.0, 3.0)], pd.Index([0, 1, 2], name="member"))
    month = xr.DataArray([1.0, 3.0], {"month": [1, 7]}, ("month",))
    field = xr.Dataset({"biomass": (members * month).assign_attrs(members.attrs)})
    return field.assign(inside=(make_field(grid)["latitude"] > -60) & (make_field(grid) > 0))


def maps_of(figure):
    return [ax for ax in figure.axes if hasattr(ax, "projection")]


def test_summary_shows_mean_width_and_extrapolation(prediction):
    low, high = prediction["biomass"].mean("member") * 0.5, prediction["biomass"].mean("member") * 2
    figure = summary_map(prediction.assign(low=low, high=high), name="biomass", title="T", budget_text="0.1 PgC")
    mean, width, index = (find_mesh(ax).get_array() for ax in maps_of(figure))
    assert_allclose(mean, 4.0)  # (1 + 2 + 3) / 3 x (1 + 3) / 2
    assert_allclose(width, 4.0 * 1.5)
    assert_allclose(index.reshape(18, 36)[:3], 1.0)
    texts = [text.get_text() for text in figure.texts]
    south = (1 - np.sin(np.radians(60))) / 2
    assert {"T", "0.1 PgC", "Mean of 3 members and 2 months", "Width of the 90 % interval of a cell"} <= set(texts)
    assert f"Extrapolated (hatched): {100 * south:.1f} % of area" in texts
    assert any("Natural Earth" in text for text in texts)
    assert figure.get_size_inches().tolist() == [13.3, 7.5]


def test_summary_calls_member_spread_by_its_name(prediction):
    figure = summary_map(prediction, name="biomass")
    assert "Member spread (5–95 %)" in [text.get_text() for text in figure.texts]
    assert_allclose(find_mesh(maps_of(figure)[1]).get_array(), np.diff(np.quantile([2, 4, 6], [0.05, 0.95])).item())


def test_summary_texts_stay_on_the_slide_and_large(prediction):
    figure = summary_map(prediction, name="biomass", title="A long title " * 8)
    render(figure)
    for text in figure.texts:
        box = text.get_window_extent()
        assert box.x1 < figure.bbox.x1
        assert box.y1 < figure.bbox.y1
    small = [tick for ax in figure.axes for child in ax.child_axes for tick in child.get_xticklabels()]
    assert min(text.get_fontsize() for text in [*figure.texts, *small]) >= 11


def test_summary_refuses_what_it_cannot_show(prediction):
    with pytest.raises(SchemaError, match="Did you mean 'biomass'"):
        summary_map(prediction, name="biomas")
    with pytest.raises(SchemaError, match="no uncertainty to show"):
        summary_map(prediction.mean("member"), name="biomass")
    with pytest.raises(SchemaError, match="area_of_applicability"):
        summary_map(prediction.drop_vars("inside"), name="biomass")


def test_a_published_map_draws_fast(shared_data):
    from time import process_time

    with xr.open_dataset(shared_data / "drago2022" / "published_copepoda_0_200m.nc") as published:
        field = published["biomass"].load()
    samples = pd.read_csv(shared_data / "drago2022" / "copepoda_0_200m.csv")
    start = process_time()
    ax = field_map(field, samples=samples, outside=field > 10)
    render(ax.figure)
    assert process_time() - start < 6  # about 1 s on a free core
    assert isinstance(find_mesh(ax).norm, LogNorm)
