"""One progress bar for long work: in a terminal and in a notebook, and nowhere else."""

import sys
import warnings

from tqdm import TqdmWarning

with warnings.catch_warnings():
    warnings.simplefilter("ignore", TqdmWarning)  # a notebook without ipywidgets has bars of text
    from tqdm import auto

DELAY_S = 1.0
"""What is done sooner needs no bar."""


def progress_bar(iterable, **settings):
    """
    Show how far long work has come.

    Parameters
    ----------
    iterable : iterable
    **settings
        As for `tqdm.tqdm`.

    Returns
    -------
    tqdm.tqdm
        Silent when standard error is neither a screen nor a notebook.

    Examples
    --------
    >>> list(progress_bar([1, 2]))
    [1, 2]
    """
    return auto.tqdm(iterable, **({"disable": not has_screen(), "delay": DELAY_S} | settings))


def dask_progress(desc):
    """
    Show how far a computation of Dask has come.

    Parameters
    ----------
    desc : str

    Returns
    -------
    tqdm.dask.TqdmCallback
        A context, silent as `progress_bar` is; its bar goes when it is full.

    Examples
    --------
    >>> import dask
    >>> with dask_progress("adding"):
    ...     dask.delayed(sum)([1, 2]).compute()
    3
    """
    from tqdm.dask import TqdmCallback

    return TqdmCallback(desc=desc, leave=False, delay=DELAY_S, disable=not has_screen())


def has_screen():
    """
    Tell whether somebody watches: standard error is a terminal, or this is a notebook.

    Returns
    -------
    bool

    Examples
    --------
    >>> has_screen() in (True, False)
    True
    """
    return sys.stderr.isatty() or _in_notebook()


def _in_notebook():
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config
