"""One progress bar for long work: in a terminal and in a notebook, and nowhere else."""

import sys

from tqdm import auto, std


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
    return auto.tqdm(iterable, **({"disable": not has_screen()} | settings))


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
    return auto.notebook_tqdm is not std.tqdm or sys.stderr.isatty()
