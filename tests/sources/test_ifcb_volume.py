"""The water an IFCB looked at, by arithmetic done by hand."""

from datetime import datetime

import pytest

from aqqua_science.sources.ifcb_bins import parse_pid
from aqqua_science.sources.ifcb_header import read_header
from aqqua_science.sources.ifcb_volume import adc_seconds, analysed_ml

V2 = parse_pid("D20200102T030405_IFCB107")
NAMES_V2 = ["trigger", "adctime", "runtime", "inhibittime"]
NAMES_V1 = ["trigger", "triggeropentime", "framegrabtime"]


def volume(pid, rows, *, header="", names=NAMES_V2):
    lines = {number: [str(value) for value in row] for number, row in enumerate(rows, start=1)}
    return analysed_ml(pid, read_header(header.encode()), lines=lines, names=names)


STEADY = [[i, 100.0 * i, 100.0 * i + 0.05, 2.0 * i] for i in range(1, 11)]
"""Ten triggers, 100 s and 2 s of inhibition apart: 1000.05 s and 20 s in all."""


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("runTime: 1010\ninhibitTime: 20.1", 1010 - 20.1),  # both within 2 %
        ("runTime: 1200\ninhibitTime: 20.1", 1000.05 - 20.1),  # one is not
        ("runTime: 1010\ninhibitTime: 2", 1010 - 20),  # nor the other
        ("runTime: 0\ninhibitTime: 0", 1000.05 - 20),
        ("comment: no times", 1000.05 - 20),
        ("x\nrun time = 1010.0 s   inhibit time = 20.1 s\n", 1010 - 20.1),  # as written in 2010
    ],
)
def test_the_header_counts_unless_the_triggers_disagree(header, seconds):
    assert volume(V2, STEADY, header=header) == pytest.approx(seconds / 60 * 0.25)


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("runSampleFast: 0\nRunFastFactor: 5", True),
        ("runSampleFast: False\nRunFastFactor: 5", True),
        ("runSampleFast: 1\nRunFastFactor: 0", True),
        ("runSampleFast: True\nRunFastFactor: 5", False),
        ("runSampleFast: 1\nRunFastFactor: 10.0", False),
    ],
)
def test_a_sample_run_fast_flowed_at_another_rate(header, known):
    assert (volume(V2, STEADY, header=header) is not None) == known


def test_header_alone_where_the_triggers_say_nothing():
    for rows in ([], STEADY[:1], [[1, 1.0, 0.0, 0.0], [2, 2.0, 0.0, 0.0]], [[1, "x", 1, 1], [2, 2, 2, 2]]):
        assert volume(V2, rows, header="runTime: 601\ninhibitTime: 1") == pytest.approx(600 / 60 * 0.25)
    assert volume(V2, [], header="runTime: 601") is None
    assert volume(V2, [], header="runTime: 1\ninhibitTime: 5") is None
    assert volume(V2, [[5]], names=["trigger"]) is None


def test_inhibit_times_that_jump_are_mended_by_the_usual_step():
    rows = [row[1:] for row in STEADY]
    rows[-2] = [900.0, 900.05, 0.0]
    rows[-1] = [1000.0, 1000.05, 500.0]
    # Eight good lines reach 16 s; two more steps of 2 s.
    assert adc_seconds(rows) == pytest.approx((1000.05, 20.0))


def test_run_times_that_jump_are_told_by_the_triggers():
    rows = [row[1:] for row in STEADY]
    rows[-1] = [1000.0, 5.0, 20.0]
    assert adc_seconds(rows) == pytest.approx((1000.05, 20.0))


def test_clocks_that_were_not_set_back_are_counted_from_the_second_line():
    # The bin before ran 3000 s and was inhibited for 60.
    rows = [[clock, run + 3000, inhibit + 60] for _, clock, run, inhibit in STEADY]
    # Run: 1000.05 beyond the bin before, less the 0.05 that the second trigger lagged. Inhibited: 80 at the end less
    # 64 at the second line and two steps of 2, as the method has it.
    assert adc_seconds(rows) == pytest.approx((1000.0, 80 - 64 - 4))


@pytest.mark.parametrize(
    ("name", "busy"),
    [
        ("IFCB5_2012_028_081515", 0.073),
        ("IFCB5_2015_151_235959", 0.073),  # 31 May
        ("IFCB5_2015_152_000000", 0.05),  # 1 June
        ("IFCB1_2016_001_000000", 0.073),
    ],
)
def test_version_1(name, busy):
    pid = parse_pid(name)
    # Three triggers: one waits 0.5 s before the next opens, one no time at all; a second line of a trigger is no wait.
    rows = [[1, 0.0, 100.0], [2, 100.5, 200.0], [2, 150.0, 170.0], [3, 200.0, 300.0]]
    seconds = 300.0 - 0.5 - busy - busy
    assert volume(pid, rows, names=NAMES_V1) == pytest.approx(seconds * 40 * 5 / 48000)
    assert pid.start == datetime.strptime(name[6:], "%Y_%j_%H%M%S")


def test_version_1_past_midnight():
    pid = parse_pid("IFCB1_2010_001_235900")
    rows = [[1, 0.0, 50.0], [2, 50.0 + 1, -86400 + 100.0], [3, -86400 + 102.0, -86400 + 200.0]]
    assert volume(pid, rows, names=NAMES_V1) == pytest.approx((200 - 1 - 2 - 0.073) * 40 * 5 / 48000)


def test_version_1_without_all_its_times_is_unknown():
    pid = parse_pid("IFCB1_2010_001_235900")
    assert volume(pid, [], names=NAMES_V1) is None
    assert volume(pid, [[1, 0.0, 0.01]], names=NAMES_V1) is None
    assert volume(pid, [[1, 0.0, 10.0], [2, "?", 20.0]], names=NAMES_V1) is None
