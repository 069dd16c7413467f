"""Colours and labels of fields: perceptually even maps, robust limits, units as people write them."""

import re

import cmocean
import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

STYLE = {"font.size": 12, "axes.titlesize": 14, "axes.titleweight": "bold"}
"""Sizes that stay readable on a slide of 13.3 x 7.5 inches."""

SKEWNESS = 5
"""A field of positive values is drawn on a log scale where its 98 % quantile exceeds the median this many times."""

_STEPS = [1, 2, 2.5, 5, 10]
_QUANTITIES = {
    "temperature": cmocean.cm.thermal,
    "salinity": cmocean.cm.haline,
    "oxygen": cmocean.cm.oxy,
    "chlorophyll": cmocean.cm.algae,
    "bathymetry": cmocean.cm.deep,
    "depth": cmocean.cm.deep,
}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# an exponent closes a word in lower case: the figure of CO2 belongs to a formula, that of 1e6 to a number
_EXPONENT = re.compile(r"(?<![0-9A-Za-z])([A-Za-zµ]*[a-zµ])(?:\^|\*\*)?(-?\d+)\b")
_SYMBOLS = {"degc": "°C", "degree_celsius": "°C", "degrees_celsius": "°C", "degree_c": "°C", "percent": "%", "1": ""}


class _ZeroLogNorm(LogNorm):
    """Log scale on which zero, which is data, takes the lowest colour instead of none."""

    def __call__(self, value, clip=None):
        return super().__call__(np.ma.maximum(value, self.vmin * 1e-3), clip)


def format_units(units):
    """
    Write units as people do.

    Parameters
    ----------
    units : str
        As CF has them, e.g. ``"mg m-3"``.

    Returns
    -------
    str
        Empty for a number without dimension.

    Examples
    --------
    >>> format_units("mg C m-3 d-1"), format_units("umol/m^2"), format_units("1")
    ('mg C m⁻³ d⁻¹', 'µmol/m²', '')
    >>> format_units("degC (10 year)-1")
    'degC per decade'
    """
    units = str(units).strip()
    if units.lower() in _SYMBOLS:
        return _SYMBOLS[units.lower()]
    units = units.replace("(10 year)-1", "per decade")
    units = _EXPONENT.sub(lambda found: found[1] + found[2].translate(_SUPERSCRIPTS), units)
    return re.sub(r"\bu(?=[a-z])", "µ", units)


def describe_quantity(field):
    """
    Name a field for a colour bar or an axis: its long name and units.

    Parameters
    ----------
    field : xarray.DataArray

    Returns
    -------
    str

    Examples
    --------
    >>> import xarray as xr
    >>> describe_quantity(xr.DataArray(0.0, name="biomass", attrs={"units": "mg m-3"}))
    'Biomass (mg m⁻³)'
    """
    name = str(field.attrs.get("long_name") or field.name or "value").replace("_", " ")
    units = format_units(field.attrs.get("units", ""))
    name = name[:1].upper() + name[1:]
    return f"{name} ({units})" if units else name


def choose_colours(field):
    """
    Colour map of a field.

    Parameters
    ----------
    field : xarray.DataArray
        Known quantities (temperature, salinity, oxygen, chlorophyll, depth) have their own map, found by name; trends
        and anomalies one that is white at zero.

    Returns
    -------
    matplotlib.colors.Colormap
        One of cmocean (Thyng et al. 2016, Oceanography 29(3)): perceptually even and safe for colour-blind readers.

    Examples
    --------
    >>> import xarray as xr
    >>> choose_colours(xr.DataArray(0.0, name="temperature")).name
    'thermal'
    """
    return cmocean.cm.balance if is_change(field) else _QUANTITIES.get(str(field.name), cmocean.cm.matter)


def is_change(field):
    """
    Tell whether a field holds trends, anomalies or differences, whose zero stands in the middle.

    Parameters
    ----------
    field : xarray.DataArray
        What its ``long_name`` begins with counts.

    Returns
    -------
    bool

    Examples
    --------
    >>> import xarray as xr
    >>> is_change(xr.DataArray(0.0, attrs={"long_name": "trend of temperature"}))
    True
    """
    return str(field.attrs.get("long_name", "")).startswith(
        ("trend of ", "anomaly of ", "change of ", "difference of ")
    )


def choose_scale(values, *, centred=False):
    """
    Colour scale of a field: logarithmic where positive values are strongly skewed, else linear.

    Parameters
    ----------
    values : array_like
        NaN is left out. Zero is data: on a log scale it takes the lowest colour.
    centred : bool
        Whether zero stands in the middle of a linear scale.

    Returns
    -------
    norm : matplotlib.colors.Normalize
        Limits are the 2 and 98 % quantiles (of the values above zero on a log scale), rounded outwards.
    extend : {"neither", "min", "max", "both"}
        On which sides values lie beyond the limits.

    Raises
    ------
    ValueError
        If no value is finite.

    Examples
    --------
    >>> norm, extend = choose_scale(10.0 ** np.linspace(-3, 3, 601))
    >>> float(norm.vmin), float(norm.vmax), extend
    (0.001, 1000.0, 'neither')
    """
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if values.size == 0:
        msg = "a map needs at least one finite value; all are NaN. Was the field masked, or read from the wrong file?"
        raise ValueError(msg)
    if centred:
        _, high = _round_linear(0.0, float(np.quantile(np.abs(values), 0.98)), nonnegative=True)
        return Normalize(-high, high), _extend(values, -high, high)
    positive = values[values > 0]
    skewed = positive.size > values.size / 2 and values.min() >= 0
    if skewed and np.quantile(positive, 0.98) > SKEWNESS * np.median(positive):
        low, high = _round_log(*np.quantile(positive, [0.02, 0.98]))
        norm = _ZeroLogNorm(low, high)
    else:
        low, high = _round_linear(*np.quantile(values, [0.02, 0.98]), nonnegative=values.min() >= 0)
        norm = Normalize(low, high)
    return norm, _extend(values, low, high)


def _extend(values, low, high):
    beyond = (bool(values.min() < low), bool(values.max() > high))
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[beyond]


def style_colour_bar(bar, label):
    """
    Put plain numbers at round values on a colour bar, and its label.

    Parameters
    ----------
    bar : matplotlib.colorbar.Colorbar
    label : str

    Examples
    --------
    >>> from matplotlib.cm import ScalarMappable
    >>> from matplotlib.figure import Figure
    >>> figure = Figure()
    >>> bar = figure.colorbar(ScalarMappable(Normalize(0, 1)), cax=figure.add_axes([0, 0, 1, 0.1]))
    >>> style_colour_bar(bar, "Biomass")
    """
    longest = max(len(f"{value:g}") for value in (bar.norm.vmin, bar.norm.vmax))
    label_inches = max(0.55, 0.2 + 0.1 * longest) if isinstance(bar.norm, LogNorm) else 0.55
    room = bar.ax.get_window_extent().width / bar.ax.figure.dpi / label_inches
    if isinstance(bar.norm, LogNorm):
        decades = np.log10(bar.norm.vmax / bar.norm.vmin)
        between = next((steps for steps in ((1, 2, 5), (1, 3)) if len(steps) * decades < room), (1,))
        bar.locator = LogLocator(subs=between, numticks=12)
        bar.formatter = FuncFormatter(lambda value, _: f"{value:g}")
        bar.minorticks_off()
    else:
        bar.locator = MaxNLocator(int(np.clip(room, 2, 6)), steps=_STEPS)
    bar.update_ticks()
    bar.set_label(label)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=3, color="0.4")


def _round_log(low, high):
    """Limits widened to 1, 2 or 5 times a power of ten, at least a factor of ten apart."""
    steps = np.array([1.0, 2.0, 5.0, 10.0])
    floor, ceiling = 10.0 ** np.floor(np.log10([low, high]))
    low = floor * steps[steps <= low / floor * (1 + 1e-9)].max()
    high = ceiling * steps[steps >= high / ceiling * (1 - 1e-9)].min()
    return low, max(high, 10 * low)


def _round_linear(low, high, *, nonnegative):
    """Limits widened to round numbers; they begin at zero where that costs less than a third of the colours."""
    if nonnegative and low < high / 3:
        low = 0.0
    if high <= low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    ticks = MaxNLocator(20, steps=_STEPS).tick_values(low, high)
    return ticks[ticks <= low + 1e-9 * (high - low)].max(), ticks[ticks >= high - 1e-9 * (high - low)].min()
