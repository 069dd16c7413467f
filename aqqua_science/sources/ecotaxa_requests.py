"""Talking to EcoTaxa's portal: with a token, patiently, and with errors that say what to do."""

import os
from urllib.parse import urlsplit

from aqqua_science.connections import BUSY, Connection, shown

PORTAL = "https://ecotaxa.obs-vlfr.fr/api"
"""Where EcoTaxa answers."""

TOKEN_VARIABLE = "ECOTAXA_TOKEN"
"""Environment variable that may hold the token."""


class Portal(Connection):
    """
    A connection to EcoTaxa that tries again when the portal is busy.

    Parameters
    ----------
    url : str
    token : str, optional
        The environment variable ECOTAXA_TOKEN by default.
    wait_s : float
        Seconds before the second try; they double with each further one.
    needs_token : bool

    Raises
    ------
    ValueError
        If the address would send the token over the net unencrypted.
    PermissionError
        If there is no token.
    """

    def __init__(self, url=PORTAL, *, token=None, wait_s=1.0, needs_token=True):
        _check_url(url.rstrip("/"))
        token = (token or os.environ.get(TOKEN_VARIABLE, "")).strip() if needs_token else ""
        if needs_token and not token:
            msg = (
                f"EcoTaxa wants a token. Pass token=..., or set the environment variable {TOKEN_VARIABLE}; "
                "sources.ecotaxa.log_in gives one for a name and a password."
            )
            raise PermissionError(msg)
        super().__init__(url, headers={"Authorization": f"Bearer {token}"} if token else None, wait_s=wait_s)

    def ask(self, method, path, **content):
        """
        Send a request and read the answer.

        Parameters
        ----------
        method : str
        path : str
        **content
            As for `httpx.Client.request`.

        Returns
        -------
        dict, list, str, int or None
            What the JSON of the answer holds.

        Raises
        ------
        PermissionError
            If the token is refused, or gives no right to this.
        FileNotFoundError
            If the portal has no such thing.
        ConnectionError
            If it cannot be reached, or stays busy.
        OSError
            If it refuses the request for another reason, or does not answer as EcoTaxa does.
        """
        waits = self.waits()
        while True:
            try:
                response = self.client.request(method, self.url + path, **content)
            except self.httpx.TransportError as error:
                self.rest(next(waits), path, reason=f"{type(error).__name__} {error}".strip(), error=error)
                continue
            if response.status_code not in BUSY:
                return self._content(response, path)
            self.rest(next(waits), path, reason=f"it answers {response.status_code}: {shown(response.text)}")

    def check(self, response, path):
        """
        Refuse an answer that is none.

        Parameters
        ----------
        response : httpx.Response
            Read.
        path : str

        Raises
        ------
        PermissionError, FileNotFoundError, OSError
            As in `ask`.
        """
        status, said = response.status_code, shown(response.text)
        if status in (401, 403):
            msg = (
                f"EcoTaxa refuses {path} ({status}: {said}). The token may have expired: get a new one with "
                "sources.ecotaxa.log_in; or its user lacks the right to this project: ask its manager."
            )
            raise PermissionError(msg)
        if status == 404:
            msg = f"EcoTaxa has no {path} ({said}). Check the number, and the address {self.url}."
            raise FileNotFoundError(msg)
        if not response.is_success:
            msg = f"EcoTaxa refuses the request {path} ({status}: {said}). Check what is asked for."
            raise OSError(msg)

    def _content(self, response, path):
        """The JSON of a good answer."""
        self.check(response, path)
        try:
            return response.json()
        except ValueError as error:
            msg = f"{self.url}{path} does not answer in JSON, but: {shown(response.text)}. Is it EcoTaxa's API?"
            raise OSError(msg) from error


def _check_url(url):
    """A token is a password: it travels encrypted, or not beyond this machine."""
    parts = urlsplit(url)
    is_local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local):
        msg = f"the address {url!r} would send the token unencrypted. It must begin with https://."
        raise ValueError(msg)
