"""
How much water an IFCB looked at in a bin (Sosik and Olson; the IFCB dashboard's ``ml_analyzed``).

Volume = flow of the sample x time in which the instrument looked, which is the time it ran less the time it was busy
with what it had seen.

* Version 2: 0.25 mL a minute; ``runTime`` and ``inhibitTime`` (s) of the ``.hdr``, each unless it differs by more than
  2 % from what the ``.adc`` says, whose clocks are counted from their first lines and mended where they jump. A sample
  run fast (``runSampleFast`` with a ``RunFastFactor`` other than 1) flowed at another rate: unknown.
* Version 1: 40 steps a second x 5/48,000 mL a step. It ran until its last frame and was busy from each frame until the
  next trigger opened, at least 0.073 s (IFCB5 since June 2015: 0.05 s). Times after midnight are negative and lack a
  day.
"""

from collections import Counter
from datetime import datetime
from itertools import pairwise
from statistics import median

from aqqua_science.sources.ifcb_header import finite

ML_PER_MINUTE = 0.25
"""Flow of the sample, version 2."""

ML_PER_SECOND_V1 = 40 * 5 / 48_000
"""Flow of the sample, version 1: steps of the syringe a second x mL a step."""

DAY_S = 86_400
"""Seconds that times past midnight lack, version 1."""

_BUSY_S = 0.073
_BUSY_S_IFCB5 = 0.05
_IFCB5_CHANGE = datetime(2015, 6, 1)
_AGREE = 0.02


def analysed_ml(pid, header, *, lines, names):
    """
    Volume of water that was looked at.

    Parameters
    ----------
    pid : Pid
    header : dict of str to str
    lines : dict of int to list of str
        Of the ``.adc``.
    names : list of str
        Of its columns, in `plain_name` spelling.

    Returns
    -------
    float or None
        mL; None where it cannot be known.
    """
    if pid.version == 1:
        busy = _BUSY_S_IFCB5 if pid.number == 5 and pid.start >= _IFCB5_CHANGE else _BUSY_S
        look, flow = look_seconds_v1(_columns(lines, names, "trigger", "triggeropentime", "framegrabtime"), busy), 60
        volume = None if look is None else look * ML_PER_SECOND_V1
    else:
        times = _columns(lines, names, "adctime", "runtime", "inhibittime")
        look, flow = _look_seconds(header, adc_seconds(times)), _is_usual_flow(header)
        volume = None if look is None or not flow else look * ML_PER_MINUTE / 60
    return volume if volume is not None and volume > 0 else None


def _columns(lines, names, *wanted):
    """Rows of numbers under some names; empty where one cannot be read."""
    if not set(wanted) <= set(names):
        return []
    places = [names.index(name) for name in wanted]
    rows = [[finite(fields[p]) if p < len(fields) else None for p in places] for fields in lines.values()]
    return [] if any(None in row for row in rows) else rows


def look_seconds_v1(rows, busy):
    """
    Seconds in which a prototype looked.

    Parameters
    ----------
    rows : list of list of float
        Trigger, when it opened, when its frame was taken; the first line of a trigger counts.
    busy : float
        Seconds that a trigger keeps the instrument busy at least.

    Returns
    -------
    float or None
        None where there are no rows.

    Examples
    --------
    >>> look_seconds_v1([[1, 0.0, 1.0], [2, 1.5, 3.0]], 0.073)
    2.427
    """
    firsts = {}
    for trigger, *times in rows:
        firsts.setdefault(trigger, [time + DAY_S * (time < 0) for time in times])
    if not firsts:
        return None
    opened, taken = zip(*firsts.values(), strict=True)
    waits = (max(after - before, busy) for after, before in zip(opened[1:], taken[:-1], strict=True))
    return taken[-1] - sum(waits) - busy


def _look_seconds(header, measured):
    """Run time less inhibit time, each from the header unless the .adc disagrees."""
    told = (finite(header.get("runtime")), finite(header.get("inhibittime")))
    pairs = zip(told, measured or (None, None), strict=True)
    run, inhibited = (seen if said is None or _differ(said, seen) else said for said, seen in pairs)
    return None if run is None or inhibited is None else run - inhibited


def _differ(said, seen):
    return seen is not None and abs(said - seen) > _AGREE * abs(seen)


def _is_usual_flow(header):
    """Whether the syringe ran at its usual rate; a factor of 0 stands for none."""
    fast = header.get("runsamplefast", "").lower() in {"1", "true"}
    return not fast or finite(header.get("runfastfactor")) in (0, 1)


def adc_seconds(rows):
    """
    Seconds a bin ran and was inhibited, by its ``.adc``.

    Parameters
    ----------
    rows : list of list of float
        Time of the trigger, run time and inhibit time at it.

    Returns
    -------
    run, inhibited : float
        Or None instead, where there are fewer than two rows or the inhibit time was not recorded.

    Examples
    --------
    >>> adc_seconds([[10.0, 10.0, 0.1], [20.0, 20.0, 0.2], [30.0, 30.0, 0.3]])
    (30.0, 0.3)
    """
    if len(rows) < 2 or not any(row[2] for row in rows):
        return None
    clock, run, inhibit = (list(column) for column in zip(*rows, strict=True))
    good = [0, *(i for i in range(1, len(rows)) if inhibit[i] > 0 and -0.1 < inhibit[i] - inhibit[i - 1] < 5)]
    steps = Counter(round(inhibit[after] - inhibit[before], 4) for before, after in pairwise(good))
    usual = min(steps, key=lambda step: (-steps[step], step), default=0.0)
    # Clocks that were not set back for this bin run ahead of its triggers; the first line is not to be relied upon.
    ahead = run[1] - clock[1] if run[1] - clock[1] > 10 else 0.0
    inhibited = inhibit[good[-1]] + (len(rows) - len(good)) * usual - (inhibit[1] + 2 * usual if ahead else 0.0)
    lag = median(after - before for after, before in zip(run[:50], clock[:50], strict=True))
    by_triggers = clock[-1] + lag - ahead
    total = run[-1] - ahead
    return (by_triggers if abs(total - by_triggers) > 0.2 else total), inhibited
