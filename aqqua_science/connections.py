"""Patient connections: they ask again when a server is busy, and go on with a file where it was cut."""

import re
import shutil
import time

from aqqua_science.progress import progress_bar

BUSY = {408, 425, 429, 500, 502, 503, 504}
"""Answers after which it is worth trying again."""

_TRIES = 6
_LONGEST_WAIT_S = 60
_BLOCK = 2**20


class Connection:
    """
    A connection that tries again when the server is busy.

    Parameters
    ----------
    url : str
        What all paths are below; empty where they are whole addresses.
    headers : dict, optional
    wait_s : float
        Seconds before the second try; they double with each further one.
    follow_redirects : bool
    remedy : str
        What to do when all is in vain.
    """

    def __init__(self, url="", *, headers=None, wait_s=1.0, follow_redirects=False, remedy="Try again later."):
        self.url, self.wait_s, self.remedy = url.rstrip("/"), wait_s, remedy
        import httpx

        self.httpx = httpx
        timeout = self.httpx.Timeout(120, connect=20)
        self.client = self.httpx.Client(headers=headers, timeout=timeout, follow_redirects=follow_redirects)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.client.close()

    def waits(self):
        """
        Give the seconds to wait after each try.

        Yields
        ------
        float or None
            None after the last.
        """
        yield from (min(self.wait_s * 2**i, _LONGEST_WAIT_S) for i in range(_TRIES - 1))
        yield None

    def rest(self, wait, path, *, reason, error=None):
        """
        Wait for the next try, or give up.

        Parameters
        ----------
        wait : float or None
        path : str
        reason : str
        error : Exception, optional

        Raises
        ------
        ConnectionError
            If there is no next try.
        """
        if wait is None:
            msg = f"{self.url}{path} has failed {_TRIES} times, the last time because {reason}. {self.remedy}"
            raise ConnectionError(msg) from error
        time.sleep(wait)

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
        FileNotFoundError
            If the server has no such thing.
        OSError
            If it refuses for another reason.
        """
        if not response.is_success:
            kind = FileNotFoundError if response.status_code in (404, 410) else OSError
            msg = f"{self.url}{path} answers {response.status_code}, {shown(response.reason_phrase)}. {self.remedy}"
            raise kind(msg)

    def download(self, path, part):
        """
        Download what is missing of a file; each piece that comes earns new tries.

        Parameters
        ----------
        path : str
        part : pathlib.Path
            What has come so far, which stays when the download fails.

        Raises
        ------
        OSError
            If the server cannot be reached, refuses, or gives a web page; or if the disk has no room.
        """
        is_whole = False
        while not is_whole:
            for wait in self.waits():
                before = part.stat().st_size if part.exists() else 0
                reason, error = "", None
                try:
                    is_whole = self._append(path, part, before)
                    reason = "" if is_whole else "it is busy, or the file was cut short"
                except self.httpx.TransportError as problem:
                    reason, error = f"{type(problem).__name__} {problem}".strip(), problem
                if is_whole or (part.exists() and part.stat().st_size > before):
                    break
                self.rest(wait, path, reason=reason, error=error)

    def _append(self, path, part, start):
        """Append what is missing; whether the file is whole then."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with self.client.stream("GET", self.url + path, headers=headers) as response:
            if response.status_code in BUSY:
                return False
            if response.status_code == 416:
                return self._is_complete(response, part, start)
            self._refuse(response, path)
            start = self._start_of(response, start)
            length = response.headers.get("Content-Length")
            total = start + int(length) if length else None
            check_room(part.parent, int(length or 0))
            with part.open("r+b" if part.exists() else "wb") as file:
                file.truncate(start)
                file.seek(start)
                with progress_bar(None, total=total, initial=start, unit="B", unit_scale=True, desc=part.name) as bar:
                    for block in response.iter_bytes(_BLOCK):
                        file.write(block)
                        bar.update(len(block))
                return total is None or file.tell() == total

    def _is_complete(self, response, part, start):
        """Whether nothing is left to ask for; what is longer than the file is dropped."""
        if response.headers.get("Content-Range", "").endswith(f"*/{start}"):
            return True
        part.unlink()
        return False

    def _refuse(self, response, path):
        """Raise where an answer is no file."""
        if response.status_code not in (200, 206):
            response.read()
            self.check(response, path)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            msg = f"{self.url}{path} gives a web page instead of the file. {self.remedy}"
            raise OSError(msg)

    def _start_of(self, response, wanted):
        """Where the answer begins: not where it was wanted when the server begins anew."""
        match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        begins = int(match[1]) if match and response.status_code == 206 else 0
        if begins > wanted:
            msg = f"{response.url.host} gave the bytes from {begins} instead of {wanted}. Try again."
            raise OSError(msg)
        return begins


def check_room(folder, wanted):
    """
    Refuse to write what the disk has no room for.

    Parameters
    ----------
    folder : pathlib.Path
    wanted : int
        Bytes.

    Raises
    ------
    OSError
        If fewer are free.

    Examples
    --------
    >>> check_room(".", 10**18)
    Traceback (most recent call last):
        ...
    OSError: . has room for ... GB, but 1000000000.0 GB are to come. Free some, or move.
    """
    free = shutil.disk_usage(folder).free
    if wanted > free:
        msg = f"{folder} has room for {free / 1e9:.1f} GB, but {wanted / 1e9:.1f} GB are to come. Free some, or move."
        raise OSError(msg)


def shown(text):
    """
    Cut a text that an error message quotes.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> shown("a  b" + "c" * 300)[:5]
    'a bcc'
    """
    return " ".join(text.split())[:200] or "no reason given"
