"""Charts of budgets."""

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from aqqua_science.plot.charts import budget_chart, cycle_chart, waterfall_chart
from aqqua_science.schema import SchemaError


@pytest.fixture
def budget():
    rows = [("Arctic", 0.01, 0.005, 0.02), ("global", 0.08, 0.06, 0.1), ("Pacific", 0.03, None, None)]
    return pd.DataFrame(rows, columns=["region", "median", "low", "high"]).assign(units="PgC", level=0.9)


def test_points_and_intervals_are_the_numbers(budget):
    ax = budget_chart(budget)
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert names == ["global", "Pacific", "Arctic"]
    points = {line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"}
    assert points == {0.08, 0.03, 0.01}
    assert [text.get_text() for text in ax.texts] == ["0.08 (0.06–0.1)", "0.03", "0.01 (0.005–0.02)"]
    assert ax.get_xlabel() == "Median and 90 % interval (PgC)"
    FigureCanvasAgg(ax.figure).draw()


def test_of_months_only_the_annual_rows_are_drawn(budget):
    months = pd.concat([budget.assign(month="annual"), budget.assign(month="1")])
    assert len(budget_chart(months).get_yticks()) == 3


def test_doubled_regions_and_mixed_units_are_refused(budget):
    with pytest.raises(SchemaError, match=r"doubled regions \['Arctic', 'Pacific', 'global'\]"):
        budget_chart(pd.concat([budget, budget]))
    with pytest.raises(SchemaError, match="PgC yr-1"):
        budget_chart(budget.assign(units=["PgC", "PgC", "PgC yr-1"]))
    with pytest.raises(SchemaError, match="'median'"):
        budget_chart(budget.rename(columns={"median": "middle"}))


@pytest.fixture
def year():
    """Three regions, of which the smallest has twice the others' season."""
    rows = [
        (region, month, size * (2 + month / 12), size, 4 * size)
        for region, size in [("Arctic", 1.0), ("Pacific", 3.0), ("global", 4.0)]
        for month in range(1, 13)
    ]
    rows += [("global", "annual", 9.0, 8.0, 10.0)]
    return pd.DataFrame(rows, columns=["region", "month", "median", "low", "high"]).assign(units="PgC yr-1", level=0.9)


def test_a_year_has_a_panel_for_each_region_and_its_numbers(year):
    figure = cycle_chart(year.sample(frac=1, random_state=0), title="Flux")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["global", "Pacific", "Arctic"]
    (line,) = figure.axes[1].lines
    assert line.get_xdata().tolist() == list(range(1, 13))
    assert line.get_ydata().tolist() == [3 * (2 + month / 12) for month in range(1, 13)]
    assert all(ax.get_ylim()[0] == 0 for ax in figure.axes)
    assert figure.get_supylabel() == "Median and 90 % interval (PgC yr⁻¹)"
    assert [ax.get_title(loc="left") for ax in cycle_chart(year, regions=["Arctic"]).axes] == ["Arctic"]
    FigureCanvasAgg(figure).draw()


def test_a_year_without_months_or_with_doubled_ones_is_refused(year):
    for wrong in (year[year["month"] == "annual"], pd.concat([year, year])):
        with pytest.raises(SchemaError, match="each region and month once"):
            cycle_chart(wrong)


def test_a_waterfall_widens_from_top_to_bottom():
    ledger = pd.DataFrame(
        {"source": ["sampling", "carbon"], "share": [0.25, 0.75], "low": [0.8, 0.5], "high": [1.2, 1.9]}
    )
    ax = waterfall_chart(ledger, units="PgC", title="Copepods")
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["sampling", "carbon"]
    assert [text.get_text() for text in ax.texts] == ["0.8–1.2 (25 %)", "0.5–1.9 (75 %)"]
    spans = [(line.get_xdata()[0], line.get_xdata()[1], line.get_ydata()[0]) for line in ax.lines]
    assert spans == [(0.8, 1.2, 1), (0.5, 1.9, 0), (0.8, 1.2, 0)]
    assert ax.get_xlabel() == "Interval (PgC), and share of the variance"
    FigureCanvasAgg(ax.figure).draw()
    with pytest.raises(SchemaError, match="'share'"):
        waterfall_chart(ledger.drop(columns="share"))
