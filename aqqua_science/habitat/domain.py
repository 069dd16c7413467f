"""Where a map is drawn, and how far its cells and the held-out samples lie from the training samples."""

import numpy as np
import pandas as pd
import xarray as xr
from scipy.spatial import cKDTree
from scipy.stats import wasserstein_distance

from aqqua_science import schema
from aqqua_science.grids.geometry import cell_area, chord_to_km, unit_vectors


def unit_positions(table):
    """
    Positions of a table as points on the unit sphere.

    Parameters
    ----------
    table : pandas.DataFrame
        With columns `latitude` and `longitude`, degrees.

    Returns
    -------
    numpy.ndarray, shape (n, 3)

    Raises
    ------
    SchemaError
        If it is not a table, a column is absent or a position is missing or off the Earth.

    Examples
    --------
    >>> unit_positions(pd.DataFrame({"latitude": [0.0], "longitude": [0.0]}))
    array([[1., 0., 0.]])
    """
    if not isinstance(table, pd.DataFrame):
        msg = (
            "positions must come in a table with the columns latitude and longitude; "
            f"got {type(table).__name__}. Pass the whole samples table, not only its predictors."
        )
        raise schema.SchemaError(msg)
    schema.check(table[[name for name in ("latitude", "longitude") if name in table]])
    return unit_vectors(table["latitude"].to_numpy(dtype=float), table["longitude"].to_numpy(dtype=float))


def domain_positions(domain):
    """
    List the places that a map covers, with their share of its area.

    Parameters
    ----------
    domain : xarray.Dataset, xarray.DataArray, pandas.DataFrame or array_like, shape (n, 2)
        A grid (of predictors, say), or positions: a table with `latitude` and `longitude`, or pairs of them.

    Returns
    -------
    pandas.DataFrame
        Columns `latitude`, `longitude` and `weight`. The weights sum to 1: cell areas for a grid, equal for positions.

    Raises
    ------
    ValueError
        If nothing is covered.

    Notes
    -----
    A cell of a grid is left out where all variables that have gaps are missing: that is land.

    Examples
    --------
    >>> domain_positions([[0.0, 10.0], [60.0, 20.0]])["weight"].tolist()
    [0.5, 0.5]
    """
    if isinstance(domain, xr.DataArray):
        domain = domain.to_dataset(name="domain")
    if isinstance(domain, xr.Dataset):
        positions = _cells(domain)
    else:
        table = (
            domain if isinstance(domain, pd.DataFrame) else pd.DataFrame(np.asarray(domain, dtype=float).reshape(-1, 2))
        )
        if not isinstance(domain, pd.DataFrame):
            table.columns = ["latitude", "longitude"]
        unit_positions(table)
        positions = table[["latitude", "longitude"]].assign(weight=1.0)
    if positions.empty:
        msg = "the domain covers no cell: 0 positions are left. Pass a grid with values, or positions."
        raise ValueError(msg)
    return positions.assign(weight=positions["weight"] / positions["weight"].sum()).reset_index(drop=True)


def _cells(grid):
    area = cell_area(grid)
    mapped = [v for v in grid.data_vars.values() if set(area.dims) <= set(v.dims)]
    present = [v.count([d for d in v.dims if d not in area.dims]).transpose(*area.dims).values > 0 for v in mapped]
    gappy = [p for p in present if not p.all()]
    covered = np.logical_or.reduce(gappy) if gappy else np.ones(area.shape, bool)
    row, column = np.nonzero(covered)
    return pd.DataFrame(
        {
            "latitude": grid["latitude"].values[row].astype(float),
            "longitude": grid["longitude"].values[column].astype(float),
            "weight": area.values[row, column],
        }
    )


def sample_domain(domain, n=1000, *, rng=0):
    """
    Draw places evenly by area from the domain of a map.

    Parameters
    ----------
    domain
        As in `domain_positions`.
    n : int
        Number of places drawn from a grid; positions are returned as they are.
    rng : int or numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        Columns `latitude` and `longitude`.

    Notes
    -----
    Systematic sampling with a random start: one place in each n-th of the cumulative area.

    Examples
    --------
    >>> from aqqua_science.grids import regular_grid
    >>> len(sample_domain(regular_grid(5.0), 100))
    100
    """
    positions = domain_positions(domain)
    if not isinstance(domain, xr.Dataset | xr.DataArray):
        return positions[["latitude", "longitude"]]
    steps = (np.arange(n) + np.random.default_rng(rng).random()) / n
    chosen = np.searchsorted(positions["weight"].cumsum().to_numpy(), steps).clip(max=len(positions) - 1)
    return positions[["latitude", "longitude"]].iloc[chosen].reset_index(drop=True)


def nearest_km(positions, reference):
    """
    Great-circle distance from each position to the nearest reference position.

    Parameters
    ----------
    positions, reference : pandas.DataFrame
        With columns `latitude` and `longitude`.

    Returns
    -------
    numpy.ndarray, shape (len(positions),)
        Kilometres.

    Examples
    --------
    >>> table = pd.DataFrame({"latitude": [0.0, 0.0], "longitude": [179.5, -179.5]})
    >>> nearest_km(table[:1], table[1:]).round(1)
    array([111.2])
    """
    chord, _ = cKDTree(unit_positions(reference)).query(unit_positions(positions))
    return chord_to_km(chord)


def held_out_km(table, splits):
    """
    Distance from each held-out sample to the nearest sample its fold was trained on.

    Parameters
    ----------
    table : pandas.DataFrame
        With columns `latitude` and `longitude`.
    splits : iterable of (train, test)
        Row numbers, as a splitter yields them.

    Returns
    -------
    numpy.ndarray
        Kilometres, pooled over the folds.

    Examples
    --------
    >>> table = pd.DataFrame({"latitude": [0.0, 1.0, 3.0], "longitude": 0.0})
    >>> held_out_km(table, [([0, 1], [2])]).round()
    array([222.])
    """
    points = unit_positions(table)
    chords = [cKDTree(points[train]).query(points[test])[0] for train, test in splits]
    return chord_to_km(np.concatenate(chords))


def distance_to_domain_km(table, splits, *, domain):
    """
    Tell how unlike the task of a map the task of a cross-validation is.

    The Wasserstein-1 distance between two distributions: how far the held-out samples lie from the
    samples their fold was trained on, and how far the cells of the map lie from all samples. Zero
    when a cross-validation asks of the model exactly what the map asks.

    Parameters
    ----------
    table : pandas.DataFrame
        With columns `latitude` and `longitude`.
    splits : iterable of (train, test)
        Row numbers, as a splitter yields them.
    domain
        As in `domain_positions`; cells count by their area.

    Returns
    -------
    float
        Kilometres.

    References
    ----------
    Linnenbrink, J. et al. (2024). kNNDM CV: k-fold nearest-neighbour distance matching cross-validation
    for map accuracy estimation. Geoscientific Model Development 17, 5897-5912.

    Examples
    --------
    >>> table = pd.DataFrame({"latitude": [0.0, 0.0], "longitude": [0.0, 10.0]})
    >>> splits = [([0], [1]), ([1], [0])]
    >>> round(distance_to_domain_km(table, splits, domain=[[0.0, 1.0]]))
    1001
    """
    cells = domain_positions(domain)
    return float(
        wasserstein_distance(held_out_km(table, splits), nearest_km(cells, table), v_weights=cells["weight"].to_numpy())
    )
