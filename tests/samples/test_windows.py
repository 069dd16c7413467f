"""Which sizes are counted fully."""

import numpy as np
import pandas as pd
import pytest

from aqqua_science.samples.windows import SIZE_WINDOWS, common_window, fully_counted, size_window, within
from aqqua_science.schema import SchemaError


def test_every_window_is_a_range_with_a_source():
    assert (SIZE_WINDOWS["esd_min_um"] < SIZE_WINDOWS["esd_max_um"]).all()
    assert SIZE_WINDOWS["source"].str.contains(r"\d{4}").all()
    assert not SIZE_WINDOWS.duplicated(["instrument", "kind"]).any()


def test_organisms_of_the_uvp5_are_those_of_drago_2022():
    assert size_window("UVP5") == (765, 37_500)


def test_own_windows_win():
    assert size_window("UVP5", windows={"UVP5": (1000, 2000)}) == (1000, 2000)


def test_the_common_window_is_the_intersection():
    table = pd.DataFrame({"instrument": ["A", "B", "A"]})
    assert common_window(table, windows={"A": (10, 100), "B": (50, 500)}) == (50, 100)


def test_instruments_without_common_sizes_are_refused():
    with pytest.raises(ValueError, match=r"IFCB 7..100 um, UVP5 765.*apart"):
        common_window(["IFCB", "UVP5"])


def test_an_unknown_window_must_be_given():
    with pytest.raises(ValueError, match=r"'UVP7'.* Did you mean 'UVP5'.*windows="):
        size_window("UVP7")
    with pytest.raises(ValueError, match="no size window of particles"):
        size_window("IFCB", kind="particles")


@pytest.mark.parametrize("window", [(5, 5), (9, 1), (-1, 5), (np.nan, 5)])
def test_no_range_no_window(window):
    with pytest.raises(ValueError, match="smaller first"):
        size_window("A", windows={"A": window})


def test_nobody_has_no_window():
    with pytest.raises(ValueError, match="no instrument"):
        common_window([])
    with pytest.raises(SchemaError, match="instrument is missing in 1 rows"):
        common_window(pd.DataFrame({"instrument": ["UVP5", None]}))


def test_within_keeps_the_lower_bound_and_says_what_it_did():
    objects = pd.DataFrame({"esd_um": [10.0, 99.9, 100.0, 5.0]})
    kept = within(objects, (10, 100))
    assert kept["esd_um"].tolist() == [10.0, 99.9]
    assert kept.attrs["size_window"] == "ESD 10 to 100 um; 2 of 4 objects lie outside and are left out"
    assert "size_window" not in objects.attrs


def test_an_unmeasured_object_is_neither_in_nor_out():
    with pytest.raises(SchemaError, match="missing in 1 of 2"):
        within(pd.DataFrame({"esd_um": [10.0, np.nan]}), (1, 100))


def test_the_data_tell_the_lower_limit_of_detection():
    """Of a power law of which an instrument misses more and more below 200 um, the window begins near there."""
    rng = np.random.default_rng(5)
    esd = 50 * rng.uniform(size=200_000) ** (-1 / 3)
    seen = esd[rng.uniform(size=esd.size) < np.clip((esd / 200) ** 6, 0, 1)]
    low, high = fully_counted(seen)
    assert 150 < low <= 200
    assert ((seen >= high / 2 ** (1 / 3)) & (seen < high)).sum() >= 10
    assert ((seen >= high) & (seen < high * 2 ** (1 / 3))).sum() < 10


def test_too_few_tell_nothing():
    with pytest.raises(ValueError, match="Pool more"):
        fully_counted([100.0, 200.0])
    with pytest.raises(ValueError, match="above 0"):
        fully_counted([0.0, 200.0])
