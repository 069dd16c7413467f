"""Day or night: where the sun stood when a sample was taken."""

import numpy as np

from .. import schema
from ..grids.sunlight import solar_elevation
from .dates import utc_times
from .reasons import join_reasons

_ADDED = ("solar_elevation", "solar_reason")


def join_sun(samples, *, midnight_is_known=False):
    """
    Give each sample the elevation of the sun at its time and place.

    Many animals come up at night, so day and night are two different seas to a net. A map averages over the day: derive
    the `solar_elevation` of its grid with `aqqua_science.grids.derive`.

    Parameters
    ----------
    samples : pandas.DataFrame
        With `latitude`, `longitude` and `time`, in UTC where it has no zone.
    midnight_is_known : bool
        Tables often write 00:00:00 where only the date is known, so by default this, on the clock of the column's own
        zone, is no time of day. Pass True where the clock was read, as by a moored logger.

    Returns
    -------
    pandas.DataFrame
        A copy of `samples` with ``solar_elevation`` (degrees above the horizon, negative at night, without refraction)
        and ``solar_reason`` (empty where it is known).

    Raises
    ------
    SchemaError
        If a position is missing or outside its limits, `time` is absent or no datetimes, or a column of these names is
        there already.

    Examples
    --------
    >>> import pandas as pd
    >>> times = pd.to_datetime(["2024-06-21T12:00", "2024-06-21T23:30", "2024-06-21T00:00"])
    >>> table = join_sun(pd.DataFrame({"latitude": 54.2, "longitude": 7.9, "time": times}))
    >>> table[["solar_elevation", "solar_reason"]].round(1)
       solar_elevation                        solar_reason
    0             58.7
    1            -12.4
    2              NaN  time has a date but no time of day
    """
    schema.require_columns(samples, ["time"], what="the table of samples")
    schema.check(samples)
    schema.refuse_columns(samples, _ADDED)
    times = utc_times(samples["time"])
    dated = np.isnat(times) if midnight_is_known else _is_midnight(samples["time"])
    at = (samples[name].to_numpy(dtype=float) for name in ("latitude", "longitude"))
    elevation = np.where(np.isnat(times) | dated, np.nan, solar_elevation(*at, times))
    faults = {"time is missing": np.isnat(times), "time has a date but no time of day": dated & ~np.isnat(times)}
    return samples.assign(solar_elevation=elevation, solar_reason=join_reasons(faults))


def _is_midnight(times):
    """Whether the clock shows 00:00:00; it does so even in zones whose summer begins by leaving that hour out."""
    clock = times.dt.tz_localize(None)
    return (clock == clock.dt.normalize()).to_numpy()
