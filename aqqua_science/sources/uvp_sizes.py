"""
The laws of a UVP: from pixels to sizes, from pressure to depth, and the size classes of EcoPart.

Sizes are equivalent spherical diameters (ESD): of the sphere whose shadow has the particle's area. An instrument is
calibrated so that a particle of ``n`` pixels has an area of ``aa * n ** exp`` mm2 (Picheral et al. 2010, Limnol.
Oceanogr. Methods 8, 462-473; 2022, 20, 115-129).
"""

import numpy as np

CLASS_LIMITS_UM = np.array(
    [
        *(1, 1.26, 1.59, 2, 2.52, 3.17, 4, 5.04, 6.35, 8, 10.1, 12.7, 16, 20.2, 25.4, 32, 40.3, 50.8, 64, 80.6, 102),
        *(128, 161, 203, 256, 323, 406, 512, 645, 813, 1020, 1290, 1630, 2050, 2580, 3250, 4100, 5160, 6500, 8190),
        *(10_300, 13_000, 16_400, 20_600, 26_000, np.inf),
    ]
)
"""Bounds of EcoPart's 45 detailed size classes, um; each class holds its lower bound."""


def esd_from_pixels(pixels, *, aa, exp):
    """
    Turn the area of a particle in pixels into its diameter.

    Parameters
    ----------
    pixels : float or array of float
        Area, number of pixels.
    aa : float
        Calibrated area of one pixel, mm2. The files of a UVP6 have it in um2: 2300 there is 0.0023 here.
    exp : float
        Calibrated exponent.

    Returns
    -------
    float or numpy.ndarray
        ESD, um.

    Raises
    ------
    ValueError
        If `aa` or `exp` is not above 0, or `aa` is that of a file in um2.

    Examples
    --------
    >>> float(esd_from_pixels(100, aa=0.0023, exp=1.136))
    740.2
    """
    _check_calibration(aa, exp)
    return 2000 * np.sqrt(aa * np.asarray(pixels, dtype=float) ** exp / np.pi)


def pixels_from_esd(esd_um, *, aa, exp):
    """
    Turn the diameter of a particle into its area in pixels, the inverse of `esd_from_pixels`.

    Parameters
    ----------
    esd_um : float or array of float
        ESD, um.
    aa, exp : float
        As in `esd_from_pixels`.

    Returns
    -------
    float or numpy.ndarray
        Number of pixels, with its fraction.

    Raises
    ------
    ValueError
        As `esd_from_pixels`.

    Examples
    --------
    >>> float(pixels_from_esd(esd_from_pixels(100, aa=0.0023, exp=1.136), aa=0.0023, exp=1.136))
    100.0
    """
    _check_calibration(aa, exp)
    return (np.pi * (np.asarray(esd_um, dtype=float) / 2000) ** 2 / aa) ** (1 / exp)


def _check_calibration(aa, exp):
    """Refuse what no instrument has."""
    if not (0 < aa < 1 and 0 < exp < np.inf):
        msg = (
            f"aa must be between 0 and 1 mm2 and exp above 0; found aa {aa!r} and exp {exp!r}. "
            "The files of a UVP6 give aa in um2: pass aa / 1e6."
        )
        raise ValueError(msg)


def depth_from_pressure(pressure_dbar, latitude=45.0):
    """
    Turn the pressure of sea water into depth, by UNESCO's formula of 1983.

    Parameters
    ----------
    pressure_dbar : float or array of float
        Above that of the air, dbar.
    latitude : float or array of float
        Degrees. Between the equator and a pole gravity, and with it depth, differs by half a percent.

    Returns
    -------
    float or numpy.ndarray
        Depth, m, positive down.

    References
    ----------
    Fofonoff, N. P. and Millard, R. C. (1983). Algorithms for computation of fundamental properties of seawater.
    UNESCO Technical Papers in Marine Science 44. Valid for sea water of 0 degrees and salinity 35.

    Examples
    --------
    >>> round(float(depth_from_pressure(10_000, latitude=30)), 3)
    9712.653
    """
    p = np.asarray(pressure_dbar, dtype=float)
    x = np.sin(np.radians(latitude)) ** 2
    gravity = 9.780318 * (1 + (5.2788e-3 + 2.36e-5 * x) * x) + 1.092e-6 * p
    return (((-1.82e-15 * p + 2.279e-10) * p - 2.2512e-5) * p + 9.72659) * p / gravity
