"""Published carbon of plankton and particles by their volume."""

import numpy as np

_UM3_PER_MM3 = 1e9

_CARBON_PER_MM3 = {
    "Copepoda": 101.0,
    "Chaetognatha": 26.8,
    "Hydrozoa": 4.6,
    "Appendicularia": 5.0,
    "faecal pellet": 57.0,
}
"""ug; of animals the share of carbon in wet mass, at 1 mg a mm3."""


def carbon_of(taxon, volume_um3, *, cells=1):
    """
    Convert the volume of an organism or particle to carbon.

    Parameters
    ----------
    taxon : str
        One of the virtual taxa.
    volume_um3 : float
        Biovolume of all cells or of the body; of marine snow ("detritus") that of the sphere of its diameter.
    cells : int
        Number of cells that share the volume evenly.

    Returns
    -------
    float
        ug C.

    Notes
    -----
    ====================  ===============================================================================
    Chaetoceros           per cell, 0.288 V^0.811 pg, above 3000 um3 0.117 V^0.881; Menden-Deuer & Lessard
                          (2000), Limnol. Oceanogr. 45:569-579
    Dinophyceae           0.760 V^0.819 pg; the same
    Acantharea            protists other than diatoms, 0.216 V^0.939 pg; the same
    Copepoda              10.1 % of wet mass, median of 48 species of crustaceans; Kiørboe (2013), Limnol.
                          Oceanogr. 58:1843-1850, web appendix
    Appendicularia        0.5 % of wet mass, gelatinous forms; the same
    Hydrozoa              0.46 % of wet mass, median of 10 species of Cnidaria; Lucas et al. (2011),
                          Ecology 92:1704
    Chaetognatha          2.68 % of wet mass, median; Brey et al. (2010), J. Sea Res. 64:334-340
    faecal pellet         0.057 mg mm-3; González & Smetacek (1994), Marine Ecology Progress Series 113
    detritus              0.99 V^0.52 ug, V in mm3; Alldredge (1998), Deep-Sea Res. I 45:529-541
    ====================  ===============================================================================
    """
    if taxon == "detritus":
        return 0.99 * (volume_um3 / _UM3_PER_MM3) ** 0.52
    if taxon in _CARBON_PER_MM3:
        return _CARBON_PER_MM3[taxon] * volume_um3 / _UM3_PER_MM3
    return cells * _picograms(taxon, volume_um3 / cells) * 1e-6


def _picograms(taxon, volume_um3):
    """Carbon of one protist, Menden-Deuer & Lessard (2000)."""
    if taxon == "Dinophyceae":
        return 0.760 * volume_um3**0.819
    if taxon == "Acantharea":
        return 10**-0.665 * volume_um3**0.939
    intercept, slope = (-0.933, 0.881) if volume_um3 > 3000 else (-0.541, 0.811)
    return 10 ** (intercept + slope * np.log10(volume_um3))
