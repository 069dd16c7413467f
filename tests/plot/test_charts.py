"""Charts of budgets."""

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from aqqua_science.plot.charts import budget_chart
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
