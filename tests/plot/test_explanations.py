"""Charts of explanations show the numbers they are given."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from aqqua_science.grids import cell_area, regular_grid
from aqqua_science.plot import collinearity_chart, driver_map, importance_chart, response_chart
from aqqua_science.plot.drivers import _COLOURS
from aqqua_science.schema import SchemaError


@pytest.fixture
def importance():
    rows = [("salinity", 0.02, -0.1, 0.1), ("sea_surface_temperature", 0.4, 0.2, 0.7)]
    table = pd.DataFrame(rows, columns=["predictor", "importance", "lowest", "highest"])
    return table.assign(repeat_sd=0.01, skill=0.56)


@pytest.fixture
def effects():
    value = np.linspace(0, 30, 31)
    curve = pd.DataFrame({"predictor": "temperature", "value": value, "effect": value - 15, "n_samples": 5})
    curve = curve.assign(low=curve["effect"] - 1, high=curve["effect"] + 1)
    curve.loc[10:15, ["effect", "low", "high", "n_samples"]] = [np.nan, np.nan, np.nan, 0]
    skewed = curve.assign(predictor="chlorophyll", value=np.geomspace(0.01, 10, 31), low=np.nan, high=np.nan)
    return pd.concat([curve, skewed], ignore_index=True)


def test_importance_stands_at_its_numbers(importance):
    ax = importance_chart(importance, title="Importance")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["sea surface temperature", "salinity"]
    (points,) = [line for line in ax.lines if line.get_marker() == "o"]
    assert points.get_xdata().tolist() == [0.4, 0.02]
    thin, thick = ([tuple(s[:, 0]) for s in lines.get_segments()] for lines in ax.collections)
    assert thin == [(0.2, 0.7), (-0.1, 0.1)]
    np.testing.assert_allclose(thick, [(0.38, 0.42), (0.0, 0.04)])
    assert "explain 56 %" in ax.get_xlabel()
    assert ax.get_xlabel().startswith("Fall of the explained share")
    FigureCanvasAgg(ax.figure).draw()


def test_a_response_breaks_where_there_are_no_samples(effects):
    figure = response_chart(effects, order=["chlorophyll", "temperature"], units="mg m-3", title="Response")
    chlorophyll, temperature = figure.axes[:2]
    assert [ax.get_xlabel() for ax in (chlorophyll, temperature)] == ["chlorophyll", "temperature"]
    assert [ax.get_xscale() for ax in (chlorophyll, temperature)] == ["log", "linear"]
    shown = temperature.lines[0].get_ydata()
    assert np.isnan(shown).nonzero()[0].tolist() == [10, 11, 12, 13, 14, 15]
    assert figure.get_supylabel() == "Effect (mg m⁻³)"
    FigureCanvasAgg(figure).draw()


def test_panels_that_are_not_needed_are_left_out(effects):
    four = pd.concat([effects[:31].assign(predictor=name) for name in "abcd"])
    figure = response_chart(four)
    assert len([ax for ax in figure.axes if ax.lines]) == 4
    FigureCanvasAgg(figure).draw()


def test_clusters_stand_together_and_are_framed():
    names = ["oxygen", "salinity", "temperature"]
    correlation = pd.DataFrame([[1, 0.1, -0.9], [0.1, 1, 0.2], [-0.9, 0.2, 1]], index=names, columns=names)
    ax = collinearity_chart(correlation, clusters=pd.Series([1, 2, 1], index=names), title="Collinearity")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["oxygen", "temperature", "salinity"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[1, -0.9, 0.1], [-0.9, 1, 0.2], [0.1, 0.2, 1]])
    (frame,) = ax.patches
    assert (frame.get_x(), frame.get_width()) == (-0.5, 2)
    assert sorted({text.get_text() for text in ax.texts}) == ["-0.90", "0.10", "0.20"]
    FigureCanvasAgg(ax.figure).draw()


@pytest.fixture
def drivers():
    """Temperature raises the northern half, salinity lowers the southern; the west is land."""
    area = cell_area(regular_grid(10.0))
    driver = xr.where(area["latitude"] > 0, 0, 1).broadcast_like(area).astype(np.int8).copy()
    driver[:, :4] = -1
    flags = {"flag_values": np.array([-1, 0, 1], np.int8), "flag_meanings": "not_predicted temperature sea_salinity"}
    factor = xr.where(area["latitude"] > 0, 2.0, 0.5).broadcast_like(area)
    return xr.Dataset({"driver": driver.assign_attrs(flags), "driver_factor": factor})


def test_the_map_of_drivers_names_them_with_their_area(drivers):
    drivers["driver"][9, 10] = 1  # a little of the north to salinity, so that it comes first
    ax = driver_map(drivers, title="Drivers")
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["sea salinity (50 %)", "temperature (50 %)", "pale: lowers"]
    mesh = next(c for c in ax.collections if hasattr(c, "get_coordinates"))
    colours = {tuple(np.round(c[:3], 3)) for c in mesh.to_rgba(mesh.get_array().compressed())}
    # Salinity both ways, temperature raising only.
    assert len(colours) == 3
    assert {tuple(np.round(to_rgb(c), 3)) for c in _COLOURS[:2]} < colours
    FigureCanvasAgg(ax.figure).draw()


def test_of_months_the_usual_driver_is_shown(drivers):
    """Salinity lowers two months of three; the one month of temperature has no part in its colour."""
    months = xr.concat([drivers.isel(latitude=slice(0, 9))] * 3, "month")
    months["driver"][0] = xr.where(months["driver"][0] < 0, -1, 0)
    months["driver_factor"][0] = 100.0
    months["driver"].attrs = drivers["driver"].attrs
    ax = driver_map(months)
    assert ax.get_legend().get_texts()[0].get_text() == "sea salinity (100 %)"
    mesh = next(c for c in ax.collections if hasattr(c, "get_coordinates"))
    assert set(mesh.get_array().compressed()) == {3.0}


def test_tables_read_from_json_have_none_for_missing_numbers(importance, effects):
    gaps = effects.astype(object).where(effects.notna(), None)
    FigureCanvasAgg(response_chart(gaps)).draw()
    importance_chart(importance.assign(repeat_sd=None))


def test_wrong_tables_are_refused(importance, effects, drivers):
    with pytest.raises(SchemaError, match="no column 'lowest'"):
        importance_chart(importance.drop(columns="lowest"))
    with pytest.raises(SchemaError, match="no curve of oxygen"):
        response_chart(effects, order=["oxygen"])
    with pytest.raises(SchemaError, match="oxygen has none"):
        collinearity_chart(pd.DataFrame([[1.0]], index=["oxygen"], columns=["oxygen"]), clusters=pd.Series(dtype=int))
    with pytest.raises(SchemaError, match="needs the variable 'driver_factor'"):
        driver_map(drivers.drop_vars("driver_factor"))
    with pytest.raises(SchemaError, match="no flag_values"):
        driver_map(drivers.drop_attrs())
    with pytest.raises(SchemaError, match="no cell has a driver"):
        driver_map(drivers.assign(driver=(drivers["driver"] * 0 - 1).assign_attrs(drivers["driver"].attrs)))
