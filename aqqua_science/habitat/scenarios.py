"""Another climate: changes of the predictors put on top of today's fields, and what that does to a budget."""

import numpy as np
import pandas as pd
from scipy import stats

from aqqua_science.grids.regridding import regrid
from aqqua_science.habitat.budget import integrate, paired_totals
from aqqua_science.schema import SchemaError, nearest_name


def add_changes(environment, changes, *, ratios=()):
    """
    Put changes of a climate model on top of today's fields: the delta method.

    A model's own fields are biased; its changes are thought to be less so. Observed fields plus modelled changes keep
    the pattern that the samples were matched with (Hay et al. 2000, J. Am. Water Resour. Assoc. 36, 387-397).

    Parameters
    ----------
    environment : xarray.Dataset
        Today's predictors, as `open_environment` gives them.
    changes : xarray.Dataset
        For some of them, by the same names: future minus present, of `environment`'s months or of the year. A coarser
        or finer grid is interpolated.
    ratios : iterable of str
        Variables whose change is future over present instead, such as chlorophyll.

    Returns
    -------
    xarray.Dataset
        Amounts that are nowhere negative today are not below 0, temperatures may be. Where a change is not known,
        today's value stays.

    Raises
    ------
    SchemaError
        If a change is of no variable of `environment`, has months that it has not, or nothing changes.

    Examples
    --------
    >>> import xarray as xr
    >>> from aqqua_science.grids import regular_grid
    >>> flat = 0 * regular_grid(30.0)["latitude"] + 0 * regular_grid(30.0)["longitude"]
    >>> today = xr.Dataset({"sst": flat + 10, "chl": flat + 2})
    >>> change = xr.Dataset({"sst": flat + 3, "chl": flat + 0.5})
    >>> {name: float(v.mean()) for name, v in add_changes(today, change, ratios=["chl"]).items()}
    {'sst': 13.0, 'chl': 1.0}
    """
    names = [str(name) for name in changes.data_vars]
    for name in [*names, *ratios]:
        if name not in environment:
            msg = (
                f"the scenario changes {name!r}, which the grids do not hold.{nearest_name(name, environment)} "
                f"They hold {', '.join(map(str, environment))}. Rename it in the file of changes."
            )
            raise SchemaError(msg)
    if not names:
        msg = "the scenario changes no variable. Give files with a change for at least one predictor."
        raise SchemaError(msg)
    found = {}
    for name, change in _on_grid(changes, environment).items():
        today = environment[name]
        if "month" in change.dims and ("month" not in today.dims or not today["month"].isin(change["month"]).all()):
            msg = (
                f"the change of {name!r} has months that {name!r} has not. Give its annual mean, or all twelve months."
            )
            raise SchemaError(msg)
        future = today * change.fillna(1) if name in ratios else today + change.fillna(0)
        future = future.clip(min=0) if _is_amount(today) else future
        found[name] = future.transpose(*today.dims).astype(today.dtype).assign_attrs(today.attrs)
    return environment.assign(found)


def budget_changes(field, today, *, level=0.9, **arguments):
    """
    Compare the budgets of two fields of one model, region by region.

    Parameters
    ----------
    field, today : xarray.Dataset
        Of one model with the same members, after `calibrate`: under a scenario and as observed.
    level : float
    **arguments
        Of `integrate`.

    Returns
    -------
    pandas.DataFrame
        `region`, `month`, `today` and `scenario` (totals of the mean of the members), `units`, and `ratio` with ``low``
        and ``high``: refits of the model on resampled blocks, each mapped under both, so that what they share cancels.
        Whether the climate model is right, and whether plankton keeps its relation to its environment, is in none of
        these numbers.

    Examples
    --------
    >>> import xarray as xr
    >>> from aqqua_science.grids import regular_grid
    >>> grid = regular_grid(30.0)
    >>> flat = xr.DataArray(np.ones((3, 6, 12)), grid.coords, ("member", "latitude", "longitude"))
    >>> today = xr.Dataset({"flux": flat.assign_attrs(units="mg m-2 d-1")})
    >>> budget_changes(today * 0.8, today)[["ratio", "low", "high"]].round(3).values.tolist()
    [[0.8, 0.8, 0.8]]
    """
    after, before = (integrate(part, **arguments).set_index(["region", "month"]) for part in (field, today))
    pairs = paired_totals(field, today, **arguments)
    rows = []
    for key in [key for key in before.index if key in after.index and before["mean"][key] > 0]:
        now, then, ratios = before.loc[key], after.loc[key], np.log(pairs[key])
        centre, t = np.log(then["mean"] / now["mean"]), stats.t.ppf((1 + level) / 2, len(ratios) - 1)
        half = t * np.std(ratios, ddof=1)
        rows.append(
            {"region": key[0], "month": key[1], "today": now["mean"], "scenario": then["mean"]}
            | {"units": now["units"], "ratio": float(np.exp(centre)), "level": level}
            | {"low": float(np.exp(centre - half)), "high": float(np.exp(centre + half))}
        )
    return pd.DataFrame(rows)


def _is_amount(field):
    """Whether a variable has no meaning below 0: nowhere negative, and no temperature."""
    is_temperature = str(field.attrs.get("units", "")).lower().startswith(("deg", "celsius"))
    return not is_temperature and float(field.min()) >= 0


def _on_grid(changes, environment):
    """Changes on the cells of the environment."""
    same = all(
        changes.sizes[name] == environment.sizes[name] and np.allclose(changes[name], environment[name], atol=1e-6)
        for name in ("latitude", "longitude")
    )
    if same:
        return changes.assign_coords({name: environment[name] for name in ("latitude", "longitude")})
    return regrid(changes, environment, method="bilinear", min_share=0.01)
