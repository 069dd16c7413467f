"""Worlds that several tests of models share."""

import numpy as np
import pytest

from aqqua_science.grids import regular_grid


@pytest.fixture
def ocean():
    """Two months on a 10-degree grid: land at the west, one cell and month without nitrate."""
    rng = np.random.default_rng(2)
    env = regular_grid(10.0).assign_coords(month=("month", [1, 2], {"units": "1"}))
    for name in ("temperature", "nitrate"):
        env[name] = (("month", "latitude", "longitude"), rng.uniform(0, 30, (2, 18, 36)))
    env["bathymetry"] = (("latitude", "longitude"), rng.uniform(0, 30, (18, 36)))
    env["temperature"][:, :, :4] = env["nitrate"][:, :, :4] = env["bathymetry"][:, :4] = np.nan
    env["nitrate"][1, 5, 20] = np.nan
    return env
