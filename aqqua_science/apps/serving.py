"""A page served to browsers: on this machine alone, or behind a web server that others reach."""

import json
import secrets
import socket
from pathlib import Path

import panel as pn

ADDRESS = "127.0.0.1"
"""Who else is to see a page gets it through a tunnel or a web server that asks who they are."""

_LARGEST_REQUEST = 64 * 1024


def open_server(make_page, *, port=0, address=ADDRESS, origins=(), login=None, title=None):
    """
    Open a server that makes a page for each visitor.

    Parameters
    ----------
    make_page : callable
        Gives the page.
    port : int
        0 for any that is free.
    address : str
        Of the network card to listen on.
    origins : sequence of str
        Names under which browsers reach the server, such as ``"atlas.example.org"``, beside this machine's own.
    login : str or pathlib.Path, optional
        JSON file, name -> password: only these may see the page.
    title : str, optional
        Of the browser's tab.

    Returns
    -------
    bokeh.server.server.Server
        It listens from now on and answers once ``run_until_shutdown()`` is called, on `/liveness` too.

    Raises
    ------
    ValueError
        If the port is taken, the address is none of this machine, or the file of names cannot be read.
    """
    port = _free_port(port, address)
    known = {} if login is None else {"basic_auth": _checked(login), "cookie_secret": secrets.token_hex(32)}
    return pn.serve(
        {"/": make_page},
        port=port,
        address=address,
        websocket_origin=[f"{ADDRESS}:{port}", f"localhost:{port}", *origins],
        websocket_compression_level=1,
        http_server_kwargs={"max_buffer_size": _LARGEST_REQUEST},
        liveness=True,
        title=title,
        show=False,
        start=False,
        verbose=False,
        **known,
    )


def _free_port(port, address):
    try:
        with socket.create_server((address, port)) as probe:
            return probe.getsockname()[1]
    except OSError as error:
        msg = (
            f"port {port} of {address} cannot be used ({error.strerror}). Pass another --port, or 0 for any that is "
            "free, and an --address of this machine."
        )
        raise ValueError(msg) from error


def _checked(login):
    try:
        names = json.loads(Path(login).read_text("utf-8"))
    except (OSError, ValueError) as error:
        msg = f"--login {login} cannot be read as JSON: {error}. It must hold a password for each name."
        raise ValueError(msg) from error
    if not isinstance(names, dict) or not names or not all(isinstance(p, str) and p for p in names.values()):
        msg = f'--login {login} must hold a password for each name, such as {{"ada": "a long one"}}.'
        raise ValueError(msg)
    return str(Path(login).resolve())
