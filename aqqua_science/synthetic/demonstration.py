"""A complete recipe on a virtual ocean: the files of a study whose true answer is known."""

from pathlib import Path

from aqqua_science.files import replacing
from aqqua_science.synthetic.ocean import PREDICTORS, true_budget, virtual_ocean
from aqqua_science.synthetic.survey import sample_ocean

DEPTH = (0.0, 200.0)

_RECIPE = """\
title = "Zooplankton of a virtual ocean, 0-200 m"
credit = "aqqua_science, virtual ocean number {seed}"
[observations]
file = "samples.csv"
target = "biomass_mg_m3"
units = "mg m-3"
time = "time"
volume = "volume_m3"
group = "cruise"
[environment]
files = ["environment.nc"]
predictors = [{predictors}]
[model]
objective = "poisson"
n_members = 30
resampling = "blocks"
n_trees = 150
learning_rate = 0.075
max_depth = 3
subsample = 0.8
[validation]
folds = 5
blocks_degrees = 15
[budget]
depth = [0, 200]
regions = "basins"
"""


def write_demonstration(folder, *, rng=0, step=2.0, n_samples=600):
    """
    Write samples, environment and recipe of a virtual study.

    Parameters
    ----------
    folder : str or pathlib.Path
        Gets ``samples.csv``, ``environment.nc`` and ``recipe.toml``.
    rng : int
        Which virtual ocean.
    step : float
        Size of a cell in degrees.
    n_samples : int

    Returns
    -------
    dict
        ``value`` and ``units`` of the true budget that the recipe estimates.

    Examples
    --------
    >>> import tempfile
    >>> truth = write_demonstration(tempfile.mkdtemp(), step=10.0, n_samples=50)
    >>> truth["units"]
    'PgC'
    """
    folder = Path(folder)
    ocean = virtual_ocean(step=step, rng=rng)
    samples = sample_ocean(ocean, n_samples=n_samples, rng=rng)
    with replacing(folder / "samples.csv") as part:
        samples.to_csv(part, index=False)
    with replacing(folder / "environment.nc") as part:
        ocean[[*PREDICTORS, "bathymetry"]].astype("float32").to_netcdf(part)
    with replacing(folder / "recipe.toml") as part:
        names = ", ".join(f'"{name}"' for name in PREDICTORS)
        part.write_text(_RECIPE.format(seed=rng, predictors=names), encoding="utf-8")
    return {"value": true_budget(ocean, depth=DEPTH), "units": "PgC"}
