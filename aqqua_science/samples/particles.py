"""Size spectra of particles or organisms, and the carbon that sinks with them."""

import numpy as np
import pandas as pd

from .. import schema
from .flux_laws import LAWS, class_factors, depth_factors
from .size_classes import count_classes, count_objects, keep_window
from .spectra import SPHERE, UM_PER_MM, fit_poisson, fit_weighted
from .windows import check_window, common_window

_FITS = ("weighted", "poisson")
_L_PER_M3 = 1000.0
_BLOCK = 65_536


def size_spectrum(particles, samples=None, *, edges_um=None, window=None, fit="weighted"):
    """
    Normalised size spectra, by number and by biovolume, with their slopes.

    Parameters
    ----------
    particles : pandas.DataFrame
        Either objects, with ``sample_id`` and ``esd_um``; or concentrations in size classes, with ``sample_id``,
        ``esd_min_um``, ``esd_max_um``, ``concentration_m3`` and ``volume_m3``, as `sources.ecopart.read_particles`
        returns them (and ``biovolume_mm3_m3``, where it was measured).
    samples : pandas.DataFrame, optional
        With objects: every sample that was looked at, with ``sample_id``, ``volume_m3`` and, where it applies,
        ``subsample_fraction``. If both tables have ``depth_bin``, a sample is one bin of one ``sample_id``.
    edges_um : array-like of float, optional
        With objects: bounds of size classes, um. Three to the octave if left out, as EcoPart's.
    window : (float, float) or "common", optional
        Diameters to use, um; only classes that lie within are. ``"common"``: those that all instruments in the column
        ``instrument`` (of `samples`, or of the classes) count fully. Left out: that of `windows.within`, if the objects
        come from there, else all classes. A class that objects can fill in part only bends the spectrum.
    fit : str
        ``"weighted"`` regression on logarithms, classes weighing by their counts, empty ones left out; or
        ``"poisson"`` likelihood, in which empty classes tell too: better where counts are few.

    Returns
    -------
    xarray.Dataset
        Over ``sample`` and ``size``: ``count``; ``number`` (m-3 um-1); ``biovolume`` (mm3 m-3 mm-3). Over ``sample``:
        ``volume_m3`` looked at; ``slope`` and ``intercept`` (log10 at 1 um) of number against ESD, ``biovolume_slope``
        and ``biovolume_intercept`` (log10 at 1 mm3) of biovolume against volume, each with ``_se``, its standard
        error, and ``n_classes``. NaN in a class that was not looked at. ``attrs["size_window"]`` tells the sizes.

    Raises
    ------
    SchemaError
        If columns are absent, a sample or class is doubled, a volume is zero or negative, a diameter is not known, or
        a concentration is negative.
    ValueError
        If no class lies in `window`, or an argument is not one of those above.

    Notes
    -----
    The slope of a biovolume spectrum is (1 + slope) / 3, slope being that of number: -1 where number goes as
    diameter to the -4. Biovolume slopes come from the same counts and weights.

    References
    ----------
    Platt & Denman 1977, Helgol. Wiss. Meeresunters. 30, 575-581 (normalised biomass spectrum); Blanco et al. 1994, J.
    Plankton Res. 16, 1741-1750 (regression); White et al. 2008, Trends Ecol. Evol. 23, 45-52 (likelihood is better).

    Examples
    --------
    >>> classes = pd.DataFrame({"sample_id": "a", "volume_m3": 1.0, "esd_min_um": [100.0, 200.0, 400.0],
    ...                         "esd_max_um": [200.0, 400.0, 800.0], "concentration_m3": [6400.0, 800.0, 100.0]})
    >>> spectrum = size_spectrum(classes)
    >>> round(spectrum["slope"].item(), 6), round(spectrum["biovolume_slope"].item(), 6)
    (-4.0, -1.0)
    """
    if fit not in _FITS:
        msg = f"fit must be one of {', '.join(_FITS)}; got {fit!r}."
        raise ValueError(msg)
    objects = "esd_um" in particles.columns and "esd_min_um" not in particles.columns
    window = particles.attrs.get("size_window_um") if window is None else window
    window = _window(window, particles if samples is None else samples, objects)
    table = count_objects(particles, samples, edges_um=edges_um, window=window) if objects else count_classes(particles)
    return _fitted(keep_window(table, window), fit)


def sinking_flux(spectrum, *, laws=None, depth_law=None):
    """
    Flux of particulate organic carbon from size spectra, by published laws as one ensemble.

    Parameters
    ----------
    spectrum : xarray.Dataset
        As of `size_spectrum`.
    laws : list of str or pandas.DataFrame, optional
        Names of laws, or a table like `samples.flux_laws.LAWS`, which holds those used if left out.
    depth_law : pandas.DataFrame, optional
        Coefficients that change with depth, as in `samples.flux_laws.depth_factors`: one law more, ``depth_law``. The
        spectra then need ``depth``.

    Returns
    -------
    pandas.DataFrame
        One row per sample: what tells it apart; for each law ``<law>_mg_m2_d`` and, from counting alone,
        ``<law>_se_mg_m2_d``; ``flux_mg_m2_d``, the median of the laws, and their lowest and highest,
        ``flux_low_mg_m2_d`` and ``flux_high_mg_m2_d`` (mg C m-2 d-1). The spread of laws is no confidence interval.
        ``attrs["sizes_mm"]`` tells which classes each law had.

    Raises
    ------
    ValueError
        If a law is not known, or none of its sizes was looked at in any sample; if `depth_law` is given and the spectra
        have no depth.

    Notes
    -----
    Each law speaks of its own sizes: Guidi's was fitted to 0.25-1.5 mm and stands for all that sinks. A law is NaN in a
    sample in which no class within its sizes was looked at. All laws were fitted to detritus of some seas: living
    organisms are to be left out, and values be compared with traps where there are any.

    References
    ----------
    The column ``source`` of `samples.flux_laws.LAWS`.

    Examples
    --------
    >>> classes = pd.DataFrame({"sample_id": "a", "volume_m3": 1.0, "esd_min_um": [500.0], "esd_max_um": [2000.0],
    ...                         "concentration_m3": [1000.0]})
    >>> flux = sinking_flux(size_spectrum(classes))
    >>> flux[["guidi2008_mg_m2_d", "flux_low_mg_m2_d"]].round(2).to_dict("records")
    [{'guidi2008_mg_m2_d': 12.5, 'flux_low_mg_m2_d': 2.8}]
    """
    laws = _laws(laws)
    factors = class_factors(spectrum["esd_um"].to_numpy() / UM_PER_MM, laws)
    looked = (~np.isnan(spectrum["count"].to_numpy())).any(axis=0)
    missing = laws.index[~(factors[looked] > 0).any(axis=0)]
    if len(missing):
        msg = f"no class of the spectra lies in the sizes of {', '.join(missing)}. Leave these laws out by laws=[...]."
        raise ValueError(msg)
    flux, error = _product(spectrum, factors)
    names = list(laws.index)
    if depth_law is not None:
        flux, error = (
            np.column_stack(pair) for pair in zip((flux, error), _by_depth(spectrum, depth_law), strict=True)
        )
        names.append("depth_law")
    named = {}
    for i, law in enumerate(names):
        named |= {f"{law}_mg_m2_d": flux[:, i], f"{law}_se_mg_m2_d": error[:, i]}
    low, middle, high = _spread(flux)
    named |= {"flux_mg_m2_d": middle, "flux_low_mg_m2_d": low, "flux_high_mg_m2_d": high}
    keys = {
        str(name): c.to_numpy() for name, c in spectrum.coords.items() if c.dims == ("sample",) and name != "sample"
    }
    table = pd.DataFrame(keys | named)
    table.attrs["sizes_mm"] = _sizes_used(spectrum, factors, laws.index)
    table.attrs["size_window"] = spectrum.attrs.get("size_window", "")
    return table


def _window(window, table, objects):
    """The window in um, or None."""
    if window is None:
        return None
    if isinstance(window, str):
        if window != "common":
            msg = f"window must be two diameters in um, 'common' or None; got {window!r}."
            raise ValueError(msg)
        try:
            return common_window(table, kind="organisms" if objects else "particles")
        except ValueError as error:
            msg = f"{error} Or pass window=common_window(samples, windows={{...}})."
            raise ValueError(msg) from error
    return check_window(window)


def _fitted(table, fit):
    """Normalised spectra and their lines."""
    count, volume = table["count"].to_numpy(), table["volume_m3"].to_numpy()[:, None]
    low, high = table["esd_min_um"].to_numpy(), table["esd_max_um"].to_numpy()
    # Sizes of number are um, those of biovolume mm3.
    middle, width = table["esd_um"].to_numpy(), high - low
    ball, shell = (SPHERE * x / UM_PER_MM**3 for x in (middle**3, high**3 - low**3))
    number, biovolume = count / (volume * width), table["mm3"].to_numpy() / (volume * shell)
    if fit == "poisson":
        lines = fit_poisson(middle, volume * width, count)
        # Biovolume spectra have expected counts too: those of a class times its middle volume.
        of_volume = fit_poisson(ball, volume * shell / ball, count)
    else:
        lines, of_volume = fit_weighted(middle, number, count), fit_weighted(ball, biovolume, count)
    both = ("sample", "size")
    made = {
        "number": (both, number, {"units": "m-3 um-1", "long_name": "number per diameter"}),
        "biovolume": (both, biovolume, {"units": "mm3 m-3 mm-3", "long_name": "biovolume per volume"}),
        **{name: ("sample", values) for name, values in lines.items()},
        **{f"biovolume_{name}": ("sample", v) for name, v in of_volume.items() if name != "n_classes"},
    }
    return table.drop_vars("mm3").assign(made).assign_attrs(fit=fit)


def _laws(laws):
    """The table of laws."""
    if laws is None or isinstance(laws, pd.DataFrame):
        return LAWS if laws is None else laws
    names = [laws] if isinstance(laws, str) else list(laws)
    for name in names:
        if name not in LAWS.index:
            msg = (
                f"there is no law {name!r}.{schema.nearest_name(name, LAWS.index)} There are: {', '.join(LAWS.index)}."
            )
            raise ValueError(msg)
    return LAWS.loc[names]


def _product(spectrum, factors):
    """Flux and its counting error: one matrix product each, block by block, so that blocks stay in the cache."""
    count, litres = spectrum["count"].to_numpy(), spectrum["volume_m3"].to_numpy() * _L_PER_M3
    flux, error = np.empty((2, len(count), factors.shape[1]))
    applies, both = (factors > 0).astype(float), np.hstack([factors, factors**2])
    for start in range(0, len(count), _BLOCK):
        part = slice(start, start + _BLOCK)
        block, scale = count[part], litres[part, None]
        missing = np.isnan(block)
        if missing.any():
            seen = (~missing).astype(float) @ applies > 0
            block, scale = np.where(missing, 0.0, block), np.where(seen, scale, np.nan)
        sums = block @ both
        flux[part] = sums[:, : factors.shape[1]] / scale
        error[part] = np.sqrt(sums[:, factors.shape[1] :]) / scale
    return flux, error


def _by_depth(spectrum, nodes):
    """Flux and its counting error by a law of depth."""
    if "depth" not in spectrum.coords:
        msg = "depth_law needs the depth of each spectrum. Give particles a column depth, m."
        raise ValueError(msg)
    factors = depth_factors(spectrum["esd_um"].to_numpy() / UM_PER_MM, spectrum["depth"].to_numpy(), nodes)
    count, litres = spectrum["count"].to_numpy(), spectrum["volume_m3"].to_numpy() * _L_PER_M3
    litres = np.where(np.isnan(count).all(axis=1), np.nan, litres)
    seen = np.nan_to_num(count)
    return (seen * factors).sum(axis=1) / litres, np.sqrt((seen * factors**2).sum(axis=1)) / litres


def _spread(flux):
    """Lowest, median and highest of the laws that speak; NaN where none does."""
    ordered = np.sort(flux, axis=1)
    if not np.isnan(ordered).any():
        n = flux.shape[1]
        return ordered[:, 0], (ordered[:, (n - 1) // 2] + ordered[:, n // 2]) / 2, ordered[:, -1]
    n = (~np.isnan(ordered)).sum(axis=1)
    row, last = np.arange(len(flux)), np.maximum(n - 1, 0)
    return ordered[:, 0], (ordered[row, last // 2] + ordered[row, (last + 1) // 2]) / 2, ordered[row, last]


def _sizes_used(spectrum, factors, names):
    """For each law the range of classes that it had, mm."""
    low, high = (spectrum[name].to_numpy() / UM_PER_MM for name in ("esd_min_um", "esd_max_um"))
    used = [np.flatnonzero(column) for column in factors.T]
    return {name: f"{low[u[0]]:.4g} to {high[u[-1]]:.4g}" for name, u in zip(names, used, strict=True)}
