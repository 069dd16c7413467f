"""Where the sun stands: day length and elevation, for any place and time."""

import numpy as np

_EPOCH = np.datetime64("2000-01-01T12:00:00", "ns")  # J2000.0
_RISING = -0.8333  # degrees: the upper limb on the horizon, seen through the atmosphere
_HOUR_ANGLES = np.radians(np.arange(1.25, 360, 2.5))

HOURS_FROM_NOON = (1.0, 3.0, 5.0, 7.0, 9.0, 11.0)
"""Six states of the sun that stand for a day: each for two hours before noon and two after."""


def sun_position(time):
    """
    Declination of the sun and its hour angle at Greenwich.

    Parameters
    ----------
    time : array_like of datetime64
        UTC.

    Returns
    -------
    declination, hour_angle : numpy.ndarray
        Degrees; the hour angle is -180..180 and grows westward.

    Notes
    -----
    The low-precision formulae of the Astronomical Almanac, good to 0.01 degrees from 1950 to 2050 (Michalsky 1988,
    Solar Energy 40, doi 10.1016/0038-092X(88)90045-X).

    Examples
    --------
    >>> declination, hour_angle = sun_position(np.datetime64("2024-06-20T20:51"))
    >>> round(float(declination), 2), round(float(hour_angle), 1)
    (23.44, 132.3)
    """
    days = (np.asarray(time, dtype="datetime64[ns]") - _EPOCH) / np.timedelta64(1, "D")
    anomaly = np.radians(357.528 + 0.9856003 * days)
    longitude = np.radians(280.460 + 0.9856474 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    obliquity = np.radians(23.439 - 4e-7 * days)
    ascension = np.degrees(np.arctan2(np.cos(obliquity) * np.sin(longitude), np.cos(longitude)))
    declination = np.degrees(np.arcsin(np.sin(obliquity) * np.sin(longitude)))
    sidereal = 280.46061837 + 360.98564736629 * days
    return declination, (sidereal - ascension + 180) % 360 - 180


def solar_elevation(latitude, longitude, time):
    """
    Elevation of the sun's centre above the horizon.

    Parameters
    ----------
    latitude, longitude : array_like
        Degrees.
    time : array_like of datetime64
        UTC.

    Returns
    -------
    numpy.ndarray
        Degrees, negative at night; refraction is left out.

    Examples
    --------
    >>> noon, midnight = np.datetime64("2024-03-20T12:07"), np.datetime64("2024-03-20T00:07")
    >>> solar_elevation(50.0, 0.0, [noon, midnight]).round(1)
    array([ 40.1, -40. ])
    """
    declination, hour_angle = sun_position(time)
    return _elevation(latitude, declination, np.radians(hour_angle + np.asarray(longitude, dtype=float)))


def mean_solar_elevation(latitude, time):
    """
    Elevation of the sun, averaged over the 24 hours of a day.

    Parameters
    ----------
    latitude : array_like
        Degrees.
    time : array_like of datetime64
        A time of the day, UTC.

    Returns
    -------
    numpy.ndarray
        Degrees; what a map takes where a model was trained with the elevation at the time of each sample.

    Examples
    --------
    >>> mean_solar_elevation([60.0, 90.0], np.datetime64("2024-06-20T12:00")).round(1)
    array([21.7, 23.4])
    """
    declination, _ = sun_position(time)
    latitude, declination = np.broadcast_arrays(latitude, declination)
    return sum(_elevation(latitude, declination, angle) for angle in _HOUR_ANGLES) / len(_HOUR_ANGLES)


def elevation_from_noon(latitude, time, *, hours):
    """
    Elevation of the sun so many hours before or after local noon.

    Parameters
    ----------
    latitude : array_like
        Degrees.
    time : array_like of datetime64
        A time of the day, UTC.
    hours : float
        From noon.

    Returns
    -------
    numpy.ndarray
        Degrees.

    Examples
    --------
    >>> elevation_from_noon([0.0, 60.0], np.datetime64("2024-03-20T12:00"), hours=6).round(0)
    array([0., 0.])
    """
    declination, _ = sun_position(time)
    return _elevation(latitude, declination, np.radians(15 * hours))


def day_length(latitude, time):
    """
    Hours between sunrise and sunset.

    Parameters
    ----------
    latitude : array_like
        Degrees.
    time : array_like of datetime64
        A time of the day, UTC.

    Returns
    -------
    numpy.ndarray
        0 in the polar night, 24 in the polar day. The sun is up while its upper limb is seen, with refraction.

    Notes
    -----
    The hour angle of the rising sun (Forsythe et al. 1995, Ecological Modelling 80,
    doi 10.1016/0304-3800(94)00034-F, with p = 0.8333 degrees), by the declination of `sun_position`.

    Examples
    --------
    >>> day_length([0.0, 50.0, 80.0], np.datetime64("2024-12-21T12:00")).round(2)
    array([12.12,  8.07,  0.  ])
    """
    declination, _ = sun_position(time)
    phi, delta = np.radians(latitude), np.radians(declination)
    reach = (np.sin(np.radians(_RISING)) - np.sin(phi) * np.sin(delta)) / (np.cos(phi) * np.cos(delta))
    return 24 / np.pi * np.arccos(np.clip(reach, -1, 1))


def _elevation(latitude, declination, hour_angle):
    phi, delta = np.radians(latitude), np.radians(declination)
    sine = np.sin(phi) * np.sin(delta) + np.cos(phi) * np.cos(delta) * np.cos(hour_angle)
    return np.degrees(np.arcsin(np.clip(sine, -1, 1)))
