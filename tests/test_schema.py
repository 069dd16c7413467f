"""The vocabulary: every limit holds, no row is lost, and each message tells value, rule and remedy."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from aqqua_science import schema
from aqqua_science.schema import SchemaError

LIMITS = {
    "latitude": (-90, 90),
    "longitude": (-180, 180),
    "depth": (0, 11_050),
    "depth_min": (0, 11_050),
    "depth_max": (0, 11_050),
    "month": (1, 12),
    "esd_um": (0, np.inf),
    "carbon_ug": (0, np.inf),
}
"""Written down a second time on purpose: poles, dateline, sea level to below the Challenger Deep, a year."""

anything = st.floats(allow_nan=True, allow_infinity=True)
coordinates = st.one_of(anything, st.floats(-200, 200))


def sample_table(**columns):
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"latitude": np.zeros(n), "longitude": np.zeros(n)} | columns)


@st.composite
def survey_tables(draw):
    """Tables with good, bad, missing and doubled rows under labels that may repeat."""
    n = draw(st.integers(0, 12))
    column = st.lists(coordinates, min_size=n, max_size=n)
    return pd.DataFrame(
        {
            "sample_id": draw(st.lists(st.sampled_from("abcd"), min_size=n, max_size=n)),
            "latitude": np.array(draw(column), dtype=float),
            "longitude": np.array(draw(column), dtype=float),
            "depth": np.array(draw(column), dtype=float),
        },
        index=draw(st.lists(st.integers(0, 5), min_size=n, max_size=n)),
    )


@given(survey_tables())
def test_screen_loses_no_row_and_changes_none(table):
    before = table.assign(row=np.arange(len(table)))
    accepted, rejected = schema.screen(before, unique=["sample_id"])
    together = pd.concat([accepted, rejected.drop(columns="reason")]).sort_values("row")
    assert_frame_equal(together, before, check_dtype=False)
    assert_frame_equal(before.drop(columns="row"), table)


@given(survey_tables())
def test_screen_accepts_exactly_the_rows_within_the_limits(table):
    expected = [
        -90 <= row.latitude <= 90 and -180 <= row.longitude <= 180 and (np.isnan(row.depth) or 0 <= row.depth <= 11_050)
        for row in table.itertuples()
    ]
    accepted, rejected = schema.screen(table)
    assert_frame_equal(accepted, table[np.array(expected, dtype=bool)])
    assert len(rejected) == len(table) - sum(expected)


@given(survey_tables())
def test_what_was_accepted_passes_the_check(table):
    accepted, _ = schema.screen(table, unique=["sample_id"])
    schema.check(accepted, unique=["sample_id"])


@given(survey_tables())
def test_faults_names_the_rejected_rows(table):
    _, rejected = schema.screen(table)
    faults = schema.faults(table)
    assert list(faults) == list(rejected["reason"])
    assert list(faults.index) == list(rejected.index)


@given(survey_tables(), st.randoms(use_true_random=False))
def test_row_order_does_not_matter(table, random):
    order = random.sample(range(len(table)), len(table))
    accepted, _ = schema.screen(table.assign(row=range(len(table))))
    shuffled, _ = schema.screen(table.assign(row=range(len(table))).iloc[order])
    assert set(accepted["row"]) == set(shuffled["row"])


@pytest.mark.parametrize(("name", "limits"), LIMITS.items())
def test_limits_are_inclusive(name, limits):
    finite = [value for value in limits if np.isfinite(value)]
    assert schema.faults(sample_table(**{name: np.array(finite, dtype=float)})).empty


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, np.nextafter(limit, side))
        for name, limits in LIMITS.items()
        for limit, side in zip(limits, (-np.inf, np.inf), strict=True)
        if np.isfinite(limit)
    ],
)
def test_the_next_number_beyond_a_limit_is_told_with_all_its_digits(name, value):
    (reason,) = schema.faults(sample_table(**{name: [float(value)]}))
    words = reason.split(" ")
    assert words[0] == name
    assert float(words[1]) == value


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_sample_of_no_volume_is_refused(value):
    with pytest.raises(
        SchemaError, match=r"volume_m3 (0|-1) is not above 0 m3\. A sample of no volume has seen nothing"
    ):
        schema.check(sample_table(volume_m3=[value]))


def test_the_smallest_volume_is_still_a_volume():
    assert schema.faults(sample_table(volume_m3=[np.nextafter(0.0, 1.0)])).empty


@pytest.mark.parametrize("name", [*LIMITS, "volume_m3"])
def test_infinity_is_no_measurement(name):
    (reason,) = schema.faults(sample_table(**{name: [np.inf]}))
    assert reason == f"{name} inf is not finite"


@pytest.mark.parametrize("name", ["depth", "volume_m3", "esd_um", "month"])
def test_missing_is_no_fault_where_nothing_is_required(name):
    assert schema.faults(sample_table(**{name: [np.nan]})).empty


@pytest.mark.parametrize(
    ("columns", "value", "rule", "remedy"),
    [
        ({"latitude": [0.0, 91.0]}, "latitude 91", "-90..90 degrees_north", "Are latitude and longitude swapped?"),
        ({"longitude": [0.0, 359.5]}, "359.5", "-180..180 degrees_east", "Pass (longitude + 180) % 360 - 180."),
        ({"depth": [5.0, -50.0]}, "depth -50", "0..11050 m", "pass -depth."),
        ({"month": [1, 13]}, "month 13", "1..12", "Correct or drop these rows."),
        ({"esd_um": [1.0, -2.0]}, "esd_um -2", "not at least 0 um", "Correct or drop these rows."),
        ({"latitude": [0.0, np.nan]}, "latitude is missing", "missing", "Correct or drop these rows."),
    ],
)
def test_messages_carry_value_rule_and_remedy(columns, value, rule, remedy):
    with pytest.raises(SchemaError) as caught:
        schema.check(sample_table(**columns).set_axis(["first", "second"]))
    message = str(caught.value)
    assert "1 of 2 rows are unusable; row second: " in message
    for part in (value, rule, f". {remedy}" if remedy[0].isupper() else remedy, "schema.screen"):
        assert part in message


def test_the_remedy_for_longitudes_up_to_360_works():
    longitude = np.arange(-180.0, 540.0, 0.25)
    assert schema.faults(sample_table(longitude=(longitude + 180) % 360 - 180)).empty


def test_the_first_broken_rule_names_the_row():
    table = sample_table(latitude=[91.0], longitude=[181.0], depth=[-1.0])
    assert list(schema.faults(table)) == ["latitude 91 is outside -90..90 degrees_north"]


def test_of_doubled_rows_all_but_the_first_are_at_fault():
    table = sample_table(sample_id=["a", "b", "a", "a"], depth=[0.0, 0.0, 0.0, 1.0])
    assert list(schema.faults(table, unique=["sample_id"]).index) == [2, 3]
    assert schema.faults(table, unique=["sample_id", "depth"]).to_dict() == {
        2: "duplicate of an earlier row in sample_id, depth"
    }


@pytest.mark.parametrize("dtype", ["float32", "Float64", "float64[pyarrow]", "object"])
def test_every_dtype_that_is_empty_or_missing_is_understood(dtype):
    empty = pd.DataFrame({"latitude": [], "longitude": []}, dtype=dtype)
    assert schema.faults(empty).empty
    missing = pd.DataFrame({"latitude": [None, None], "longitude": [None, None]}, dtype=dtype)
    assert list(schema.faults(missing)) == ["latitude is missing"] * 2


@pytest.mark.parametrize("dtype", ["float32", "Float64", "float64[pyarrow]", "Int64", "int16"])
def test_every_numeric_dtype_is_judged_alike(dtype):
    table = sample_table(latitude=pd.array([-91, 0, 90], dtype=dtype))
    assert list(schema.faults(table).index) == [0]


@pytest.mark.parametrize(
    ("values", "shown"), [(["45.0", "12N"], "'12N'"), (["45.0", "12.5"], "'45.0'"), ([None, 1.0, "x"], "'x'")]
)
def test_text_in_a_numeric_column_is_refused_with_the_value(values, shown):
    with pytest.raises(SchemaError, match=rf"latitude must be numeric.*found {shown}.*pandas\.to_numeric"):
        schema.faults(sample_table(latitude=pd.array(values, dtype=object)))


@pytest.mark.parametrize("judge", [schema.faults, schema.check, schema.screen])
def test_a_missing_column_is_told_with_the_nearest_name(judge):
    table = pd.DataFrame({"latitud": [0.0], "longitude": [0.0]})
    with pytest.raises(
        SchemaError, match=r"no column 'latitude'\. Did you mean 'latitud'\? Its columns are: latitud, l"
    ):
        judge(table)


def test_nothing_close_is_no_hint():
    assert schema.nearest_name("salinity", ["latitude", "longitude"]) == ""


def test_capitals_do_not_hide_the_nearest_name():
    assert schema.nearest_name("SALPIDA", ["Salmo", "Salpida"]) == " Did you mean 'Salpida'?"


@given(st.text(max_size=8), st.lists(st.text(max_size=8), max_size=5))
def test_a_hint_names_one_of_the_names(name, names):
    hint = schema.nearest_name(name, names)
    assert hint == "" or any(hint == f" Did you mean {candidate!r}?" for candidate in names)


def test_standard_names_are_added_and_never_overwritten():
    table = pd.DataFrame({"lat": [1.0], "latitude": [2.0], "decimalLongitude": [3.0], "eventDate": ["2020-01-01"]})
    named = schema.add_standard_names(table)
    assert named[["latitude", "longitude", "time"]].iloc[0].tolist() == [2.0, 3.0, "2020-01-01"]
    assert list(table.columns) == ["lat", "latitude", "decimalLongitude", "eventDate"]


def test_every_alias_leads_to_one_name_of_the_vocabulary():
    aliases = [alias for names in schema.ALIASES.values() for alias in names]
    assert schema.ALIASES.keys() <= schema.VOCABULARY.keys()
    assert len(aliases) == len(set(aliases))
    assert not set(aliases) & schema.VOCABULARY.keys()


def test_schema_error_is_a_value_error():
    assert issubclass(SchemaError, ValueError)


@pytest.mark.parametrize("name", ["latitude", "longitude", "depth", "volume_m3", "esd_um", "carbon_ug"])
def test_units_that_stand_in_a_name_are_the_units_of_the_column(name):
    units = {"volume_m3": "m3", "esd_um": "um", "carbon_ug": "ug", "depth": "m"}
    cf = {"latitude": "degrees_north", "longitude": "degrees_east"}
    assert schema.VOCABULARY[name].units == (units | cf)[name]
