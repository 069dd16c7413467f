"""Requests to Copernicus Marine through its toolbox, which cuts on the server; a free account is needed."""

import calendar
from functools import partial

from aqqua_science.grids.cutting import Piece
from aqqua_science.optional import require
from aqqua_science.progress import has_screen


def plan_copernicus(source, selection):
    """
    Plan one request for each variable and year; one for each variable of a climatology.

    Parameters
    ----------
    source : catalogue.Source
    selection : selection.Selection

    Returns
    -------
    list of cutting.Piece
    """
    years = [None] if selection.years is None else range(selection.years[0], selection.years[1] + 1)
    return [_piece(variable, selection, year) for variable in selection.variables for year in years]


def _piece(variable, selection, year):
    name = selection.stamp(variable.name, str(year or ""), selection.months_in_name)
    asked = {"dataset_id": variable.parts["dataset"], "variables": [variable.source], **_limits(selection, year)}
    address = f"copernicusmarine:{asked['dataset_id']}"
    return Piece(name, variable, (address,), partial(_bring, name, asked), may_lack=year is not None)


def _limits(selection, year):
    """What is asked for, in the words of the toolbox."""
    limits = {}
    if selection.region is not None:
        west, east, south, north = selection.region
        limits |= {"minimum_longitude": west, "maximum_longitude": east if east > west else east + 360}
        limits |= {"minimum_latitude": south, "maximum_latitude": north}
    if selection.depths is not None:
        limits |= dict(zip(("minimum_depth", "maximum_depth"), selection.depths, strict=True))
    if year is not None:
        first, last = (1, 12) if selection.months is None else (selection.months[0], selection.months[-1])
        end = calendar.monthrange(year, last)[1]
        limits |= {"start_datetime": f"{year}-{first:02d}-01", "end_datetime": f"{year}-{last:02d}-{end}T23:59:59"}
    return limits


def _bring(name, asked, folder):
    toolbox = require("copernicusmarine", for_="grids.fetch")
    path = folder / f"{name}.nc"
    if path.exists():
        return [path]
    _require_account(toolbox)
    part = folder / f"part-{name}.nc"
    try:
        toolbox.subset(
            **asked,
            output_directory=folder,
            output_filename=part.name,
            overwrite=True,
            disable_progress_bar=not has_screen(),
        )
    except Exception as error:
        # The toolbox has exceptions of its own for each cause, none of them a built-in one.
        msg = f"Copernicus Marine does not give {asked['dataset_id']}: {error}. Check what is asked for, or try later."
        raise OSError(msg) from error
    part.replace(path)
    return [path]


def _require_account(toolbox):
    if not toolbox.login(check_credentials_valid=True):
        msg = (
            "Copernicus Marine wants an account, which is free. Get one at https://data.marine.copernicus.eu/register, "
            "run 'copernicusmarine login' once in a terminal, or set the environment variables "
            "COPERNICUSMARINE_SERVICE_USERNAME and COPERNICUSMARINE_SERVICE_PASSWORD."
        )
        raise PermissionError(msg)
