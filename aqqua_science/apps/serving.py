"""A page served to browsers on this machine."""

import socket

import panel as pn

ADDRESS = "127.0.0.1"
"""Who else is to see a page gets it through a tunnel or a web server that asks who they are."""


def open_server(make_page, *, port=0, title=None):
    """
    Open a server that makes a page for each visitor.

    Parameters
    ----------
    make_page : callable
        Gives the page.
    port : int
        0 for any that is free.
    title : str, optional
        Of the browser's tab.

    Returns
    -------
    bokeh.server.server.Server
        It listens from now on and answers once ``run_until_shutdown()`` is called, on `/liveness` too.

    Raises
    ------
    ValueError
        If the port is taken.
    """
    port = _free_port(port)
    return pn.serve(
        {"/": make_page},
        port=port,
        address=ADDRESS,
        websocket_origin=[f"{ADDRESS}:{port}", f"localhost:{port}"],
        websocket_compression_level=1,
        liveness=True,
        title=title,
        show=False,
        start=False,
        verbose=False,
    )


def _free_port(port):
    try:
        with socket.create_server((ADDRESS, port)) as probe:
            return probe.getsockname()[1]
    except OSError as error:
        msg = f"port {port} cannot be used ({error.strerror}). Pass another --port, or 0 for any that is free."
        raise ValueError(msg) from error
