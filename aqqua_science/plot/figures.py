"""Figures that a notebook shows by itself, whether or not somebody has imported pyplot there."""

import io

import matplotlib.figure


class Figure(matplotlib.figure.Figure):
    """
    A figure of matplotlib that is its own picture in a notebook.

    Parameters
    ----------
    *args, **kwargs
        As for `matplotlib.figure.Figure`.

    Examples
    --------
    >>> Figure(figsize=(1, 1))._repr_png_()[1:4]
    b'PNG'
    """

    def _repr_png_(self):
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()
