"""Published laws of how much carbon a particle of a given size carries down."""

import numpy as np
import pandas as pd

CARBON_G_PER_MOL = 12.011
"""Standard atomic weight of carbon (IUPAC 2021, abridged)."""

_NITROGEN_NMOL = 0.012
_SPEED_M_D = 1.40
_CELL_MM = 0.02
_CARBON_PER_NITROGEN = 106 / 16
_L_PER_M3 = 1000.0
_MG_PER_NG = 1e-6
# Kriest's porous aggregate: a cell of 20 um holds 0.012 nmol N and sinks 1.40 m d-1; mass goes with d**1.62 and speed
# with d**0.62. The speed is 66 d**0.62 m d-1 for d in cm.
_KRIEST = (
    _L_PER_M3 * _NITROGEN_NMOL * _CARBON_PER_NITROGEN * CARBON_G_PER_MOL * _MG_PER_NG * _SPEED_M_D / _CELL_MM**2.24
)

LAWS = pd.DataFrame(
    [
        ("guidi2008", 12.5, 3.81, 0.25, 1.5, "Guidi et al. 2008, Deep-Sea Res. I 55, 1364-1374"),
        ("kriest2002", _KRIEST, 2.24, 0.02, 10.0, "Kriest 2002, Deep-Sea Res. I 49, 2133-2162, table 2"),
        (
            "kriest2002_fast",
            2 * _KRIEST,
            2.24,
            0.128,
            np.inf,
            "as kriest2002 with twice the speed, 132 d**0.62 m d-1 (d in cm); within 1 % the law by which the fluxes "
            "published with github.com/rkiko/AC_Agulhas_eddy_2021 were computed",
        ),
        ("bisson2022", 2.8, 2.24, 0.0, np.inf, "Bisson et al. 2022, Global Biogeochem. Cycles, equation 5"),
    ],
    columns=["law", "a", "b", "esd_min_mm", "esd_max_mm", "source"],
).set_index("law")
"""Carbon flux of a particle per litre, ``a * d ** b`` mg C m-2 d-1 with the diameter d in mm, and for which d."""


def class_factors(esd_mm, laws=None):
    """
    Carbon flux for one particle per litre in each size class, by each law.

    Parameters
    ----------
    esd_mm : array-like of float, shape (n_classes,)
        Middle (geometric mean) of each class, mm.
    laws : pandas.DataFrame, optional
        As `LAWS`; rows may be chosen or added.

    Returns
    -------
    numpy.ndarray, shape (n_classes, n_laws)
        mg C m-2 d-1 per particle per litre; 0 outside the sizes of a law.

    Examples
    --------
    >>> class_factors([1.0, 2.0]).round(2).tolist()
    [[12.5, 8.55, 17.09, 2.8], [0.0, 40.37, 80.74, 13.23]]
    """
    laws = LAWS if laws is None else laws
    d = np.asarray(esd_mm, dtype=float)[:, None]
    low, high = laws["esd_min_mm"].to_numpy(dtype=float), laws["esd_max_mm"].to_numpy(dtype=float)
    factor = laws["a"].to_numpy(dtype=float) * d ** laws["b"].to_numpy(dtype=float)
    return np.where((d >= low) & (d < high), factor, 0.0)


def depth_factors(esd_mm, depth_m, nodes):
    """
    Carbon flux for one particle per litre by a law whose coefficients change with depth.

    Parameters
    ----------
    esd_mm : array-like of float, shape (n_classes,)
        Middle of each class, mm.
    depth_m : array-like of float, shape (n_spectra,)
        Depth of each spectrum.
    nodes : pandas.DataFrame
        ``depth`` (m, rising), ``a`` (mg C m-2 d-1 for one particle of 1 cm per m3) and ``b``: the coefficients of your
        own fit to fluxes of traps. They are linear in between and NaN is returned beyond.

    Returns
    -------
    numpy.ndarray, shape (n_spectra, n_classes)
        mg C m-2 d-1 per particle per litre.

    Raises
    ------
    ValueError
        If the depths of `nodes` do not rise.

    References
    ----------
    Clements et al. 2024, whose coefficients differ between the members of an ensemble and are not printed.

    Examples
    --------
    >>> nodes = pd.DataFrame({"depth": [100.0, 200.0], "a": [20.0, 40.0], "b": [2.0, 2.0]})
    >>> depth_factors([10.0], [150.0], nodes).round(6).tolist()
    [[30000.0]]
    """
    at = nodes["depth"].to_numpy(dtype=float)
    if at.size < 2 or not (np.diff(at) > 0).all():
        msg = f"nodes need at least two rising depths; got {at.tolist()}."
        raise ValueError(msg)
    a, b = (np.interp(depth_m, at, nodes[name], left=np.nan, right=np.nan)[:, None] for name in ("a", "b"))
    return _L_PER_M3 * a * (np.asarray(esd_mm, dtype=float) / 10) ** b
