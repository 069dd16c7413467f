"""One clear error where an optional package is not installed."""

import importlib
from importlib import metadata

EXTRAS = {
    "images": "maps",
    "habitat": "maps",
    "plot": "maps",
    "grids": "maps",
    "grids.fetch": "ocean",
    "apps": "apps",
    "pretraining": "train",
    "features": "embed",
    "objects": "embed",
}


class MissingDependency(ImportError):
    """A package that this part of aqqua_science needs is not installed."""


def require(name, *, for_):
    """
    Import a package, or say which extra brings it.

    Parameters
    ----------
    name : str
        The module to import, dots allowed.
    for_ : str
        The folder of aqqua_science that needs it, or the function where that has an extra of its own.

    Returns
    -------
    module

    Raises
    ------
    MissingDependency
        If the package is not installed; the message holds the command that installs it.

    Examples
    --------
    >>> require("math", for_="habitat").floor(2.5)
    2
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        msg = (
            f"{for_} needs the package {error.name!r}, which is not installed. "
            f"Run: pip install 'aqqua_science[{EXTRAS.get(for_, 'all')}]'"
        )
        raise MissingDependency(msg) from error


def versions(*names):
    """
    Versions of installed distributions; None for those that are absent.

    Parameters
    ----------
    *names : str
        Distribution names.

    Returns
    -------
    dict

    Examples
    --------
    >>> versions("no-such-package")
    {'no-such-package': None}
    """
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found
