"""Budgets: a field added up over months, regions and depth, with an interval that was tested."""

import numpy as np
import pandas as pd

from aqqua_science.grids.calendars import DAYS_OF_MONTH
from aqqua_science.grids.geometry import cell_area
from aqqua_science.grids.regions import label_regions
from aqqua_science.habitat.folds import BLOCK_DEGREES, SpatialBlocks
from aqqua_science.habitat.intervals import total_interval
from aqqua_science.habitat.layers import layer_thickness
from aqqua_science.habitat.units import budget_units, of_no_depth
from aqqua_science.schema import SchemaError


def integrate(field, *, depth=None, by="global", name=None, kind=None, clip_to_seafloor=None, level=0.9):
    """
    Add a field up to totals of regions and months, or average it, with intervals.

    Parameters
    ----------
    field : xarray.Dataset
        Of `predict_grid`, best after `calibrate`: `name` (member, [month], [depth], latitude, longitude).
    depth : tuple of float, optional
        Top and bottom in metres of what is added up. A field without a depth axis is taken as the mean
        of this layer; needed for amounts per volume, refused for amounts per area.
    by : str, path or geopandas.GeoDataFrame
        As in `grids.label_regions`: "global", "basins", "latitude bands" or a file of polygons.
    name : str, optional
        Variable to add up; by default the one that has members.
    kind : {"stock", "flux", "mean"}, optional
        The first two are checked against the units. ``"mean"`` averages over area (over water, if the field has a depth
        axis) what does not add up, such as diversity or size; read "mean" for "total" below.
    clip_to_seafloor : bool, optional
        Whether water below the sea floor is left out, by the field's `sea_floor_depth`; by default
        when the field has it.
    level : float
        Of the interval of an uncalibrated field's member spread; a calibrated field brings its own.

    Returns
    -------
    pandas.DataFrame
        One row per region and month ("annual" first), with

        - ``median, low, high``: the calibrated estimate and its interval; NaN without `calibrate`
        - ``mean``: total of the mean of the members, ``member_low, member_high``: their own spread at
          the same level, which is *not* a confidence interval
        - ``sampled_share``: how much of the amount lies in blocks that hold samples; in virtual oceans 90 %
          intervals of regions held the truth in 95 % of cases where it was above 0.6, in 85 % elsewhere
        - ``level, units, area_m2`` and, for amounts per volume, ``volume_m3``

        Annual stocks are means over the months by their lengths, annual fluxes are per year.
        Regions add up to the global row; those without a mapped cell are left out.

    Raises
    ------
    SchemaError
        If units cannot be added up, or depth or sea floor are needed and missing.

    Notes
    -----
    The interval is that of the total, never the sum of the intervals of cells: see `calibrate`.

    Examples
    --------
    >>> import xarray as xr
    >>> from aqqua_science.grids import regular_grid
    >>> grid = regular_grid(30.0)
    >>> flat = xr.DataArray(np.ones((2, 6, 12)), grid.coords, ("member", "latitude", "longitude"))
    >>> field = xr.Dataset({"biomass": flat.assign_attrs(units="mg m-3")})
    >>> row = integrate(field, depth=(0, 200)).iloc[0]
    >>> float(row["mean"]).__round__(6), row["units"]
    (0.102013, 'PgC')
    """
    name = name or member_variable(field)
    amounts = budget_units(field[name].attrs.get("units", ""), kind)
    weights = amounts.factor * _cell_measure(field, name, amounts.per, depth, clip_to_seafloor)
    labels = label_regions(field, by)
    members = _sums(field[name], weights, labels, amounts)
    shares = _block_shares(field, name, weights, labels)
    calibration, refits = _calibration_of(field, name)
    replicates = None if refits is None else _sums(field[refits], weights, labels, amounts)
    extent = _extents(field, name, amounts.per, depth, clip_to_seafloor, labels)
    rows = [
        {"region": region, "month": month}
        | _estimate(totals, replicates and replicates[region, month], calibration, shares[region][0], level)
        | {"units": amounts.units, "sampled_share": shares[region][1]}
        | extent[region]
        for (region, month), totals in members.items()
        if extent[region]["area_m2"] > 0
    ]
    return pd.DataFrame(rows)


def region_totals(field, *, name=None, depth=None, by="global", kind=None, clip_to_seafloor=None):
    """
    Totals of each member, or of each refit, by region and month.

    Parameters
    ----------
    field : xarray.Dataset
    name : str, optional
        Variable to add up, such as ``replicates``; by default the one that has members.
    depth, by, kind, clip_to_seafloor
        As in `integrate`.

    Returns
    -------
    dict of (region, month) to numpy.ndarray
        In the order of `integrate`.
    """
    members = member_variable(field)
    amounts = budget_units(field[members].attrs.get("units", ""), kind)
    weights = amounts.factor * _cell_measure(field, members, amounts.per, depth, clip_to_seafloor)
    return _sums(field[name or members], weights, label_regions(field, by), amounts)


def member_variable(field):
    """
    Name the variable of a field that holds the members.

    Parameters
    ----------
    field : xarray.Dataset

    Returns
    -------
    str

    Raises
    ------
    SchemaError
        If no variable, or more than one, has the dimension `member`.

    Examples
    --------
    >>> import xarray as xr
    >>> member_variable(xr.Dataset({"biomass": ("member", [1.0, 2.0])}))
    'biomass'
    """
    names = [str(v) for v in field.data_vars if "member" in field[v].dims]
    if len(names) != 1:
        msg = f"the field must have one variable with the dimension 'member'; found {names}. Pass name=..."
        raise SchemaError(msg)
    return names[0]


def _cell_measure(field, name, per, depth, clip):
    """Cubic metres of water, or square metres of sea, that the value of each cell stands for."""
    area = cell_area(field)
    if per == "area":
        if "depth" in field[name].dims:
            msg = f"{name} is an amount per area, and yet has a depth axis; select one depth before adding up."
            raise SchemaError(msg)
        if depth is not None:
            raise SchemaError(of_no_depth(field[name].attrs["units"], depth))
        return area
    if per == "mean" and "depth" not in field[name].dims:
        return area
    return area * layer_thickness(field, depth, clip_to_seafloor=clip)


def _sums(values, weights, labels, amounts):
    """Totals, or the means that they are of where the values do not add up."""
    totals = _totals(values, weights, labels)
    if amounts.kind != "mean":
        return totals
    extent = _totals(values.notnull().where(values.notnull()), weights, labels)
    with np.errstate(invalid="ignore"):
        return {key: total / extent[key] for key, total in totals.items()}


def _totals(values, weights, labels):
    """Total of each (region, step) for each member: a dict of arrays, the global and annual ones first."""
    leading = values.dims[0]
    step = next((d for d in ("month", "time") if d in values.dims), None)
    regions, codes = labels.attrs["regions"], labels.values.ravel()
    order = [leading, *([step] if step else []), "latitude", "longitude"]
    sums = np.zeros((values.sizes[leading], values.sizes[step] if step else 1, len(regions)))
    for i in range(values.sizes[leading]):
        part = (values[i : i + 1].fillna(0) * weights).sum([d for d in values.dims if d not in order])
        for m, row in enumerate(np.asarray(part.transpose(*order)).reshape(-1, codes.size)):
            sums[i, m] = np.bincount(codes, row, minlength=len(regions))
    tables = {"annual": np.average(sums, axis=1, weights=_step_weights(values, step))}
    if step:
        tables |= {_step_label(s): sums[:, m] for m, s in enumerate(values[step].values)}
    found = {("global", label): table.sum(axis=1) for label, table in tables.items()}
    if regions != ["global"]:
        found |= {(r, label): t[:, k] for k, r in enumerate(regions) for label, t in tables.items()}
    return found


def _block_shares(field, name, weights, labels):
    """Of each region: the sum of the squared shares of its blocks, less the globe's, and the share of sampled ones."""
    values = field[name]
    amount = values.mean([d for d in values.dims if d in ("member", "month", "time")]).fillna(0) * weights
    amount = np.asarray(amount.sum([d for d in amount.dims if d == "depth"]).transpose("latitude", "longitude")).ravel()
    latitude, longitude = np.meshgrid(values["latitude"], values["longitude"], indexing="ij")
    cells = pd.DataFrame({"latitude": latitude.ravel(), "longitude": longitude.ravel()})
    degrees = float(field.attrs.get("calibration_block_degrees", BLOCK_DEGREES))
    blocks, tiles = np.unique(SpatialBlocks(degrees).blocks(cells), return_inverse=True)
    regions = labels.attrs["regions"]
    table = np.zeros((len(regions) + 1, tiles.max() + 1))
    np.add.at(table, (labels.values.ravel(), tiles), amount)
    table[-1] = table[:-1].sum(axis=0)
    with np.errstate(invalid="ignore"):
        shares = np.nan_to_num(table / table.sum(axis=1, keepdims=True))
    squares = (shares**2).sum(axis=1)
    sampled = shares[:, np.isin(blocks, field.attrs.get("calibration_sampled_blocks", []))].sum(axis=1)
    own = np.maximum(squares - squares[-1], 0)
    return dict(zip([*regions, "global"], zip(own, sampled, strict=True), strict=True))


def _calibration_of(field, name):
    """What `calibrate` left in a field, and which variable holds its block-bootstrap refits."""
    keys = ("log_correction", "jackknife_variance", "block_variance", "level")
    found = {key: float(field.attrs[f"calibration_{key}"]) for key in keys if f"calibration_{key}" in field.attrs}
    if len(found) < len(keys):
        return {}, None
    return found, "replicates" if "replicates" in field else name


def _step_weights(values, step):
    if step is None:
        return np.ones(1)
    months = values[step].values if step == "month" else values["time"].dt.month.values
    return DAYS_OF_MONTH[np.asarray(months, dtype=int) - 1]


def _step_label(step):
    return int(step) if np.issubdtype(np.asarray(step).dtype, np.integer) else str(step)[:10]


def _estimate(members, replicates, calibration, concentration, level):
    """Point estimate and interval of one total; a region also errs by itself, the less the more blocks it spans."""
    mean = float(members.mean())
    row = {"median": float(np.median(members)), "mean": mean, "low": np.nan, "high": np.nan, "level": level}
    if replicates is not None:
        variance = calibration["jackknife_variance"] + calibration["block_variance"] * concentration
        row |= total_interval(
            mean,
            replicates,
            log_correction=calibration["log_correction"],
            variance=variance,
            level=calibration["level"],
        )
    low, high = np.quantile(members, [(1 - row["level"]) / 2, (1 + row["level"]) / 2])
    return row | {"member_low": float(low), "member_high": float(high)}


def _extents(field, name, per, depth, clip, labels):
    """Area and volume over which each region was added up."""
    present = field[name].isel(member=0).notnull()
    present = present.any([d for d in ("month", "time") if d in present.dims])
    measures = {"area_m2": (present.any("depth") if "depth" in present.dims else present) * cell_area(field)}
    if per == "volume":
        volume = present * _cell_measure(field, name, per, depth, clip)
        measures["volume_m3"] = volume.sum([d for d in volume.dims if d == "depth"])
    regions, codes = labels.attrs["regions"], labels.values.ravel()
    found = {region: {} for region in [*regions, "global"]}
    for measure, values in measures.items():
        flat = np.asarray(values.transpose("latitude", "longitude")).ravel()
        sums = np.bincount(codes, flat, minlength=len(regions))
        for region, total in zip([*regions, "global"], [*sums, sums.sum()], strict=True):
            found[region][measure] = float(total)
    return found
