"""A log of what people decided: one event a line, added and never changed, so that a kill loses one line at most."""

import json
import os
from pathlib import Path

from .. import files

_FORMAT = 1


class EventLog:
    """
    Events in order, in memory and, if a path is given, on disk as JSON lines.

    Each event holds `author`, `clock` (a number above those of all events its author had seen) and `kind`. Sorted
    by clock and author, the events of several people have one order, wherever they are merged.

    Parameters
    ----------
    path : str or pathlib.Path, optional
        Without one, the log lives in memory only.
    """

    def __init__(self, path=None):
        self.path = None if path is None else Path(path)
        self.events = []
        self._size = 0

    @classmethod
    def create(cls, begin, path=None):
        """
        Begin a log with what the events refer to.

        Parameters
        ----------
        begin : dict
        path : str or pathlib.Path, optional

        Returns
        -------
        EventLog
        """
        log = cls(path)
        if log.path is not None and log.path.exists():
            msg = f"{log.path} exists. Open it to go on, or name another file; a log is never overwritten."
            raise FileExistsError(msg)
        log._write([{"kind": "begin", "format": _FORMAT, "author": "", "clock": 0, **begin}])
        return log

    @classmethod
    def open(cls, path):
        """
        Read a log. A last line that a kill cut short is left out, and goes when the next event is added.

        Parameters
        ----------
        path : str or pathlib.Path

        Returns
        -------
        EventLog
        """
        log = cls(path)
        whole, _, _ = log.path.read_bytes().rpartition(b"\n")
        lines = whole.split(b"\n") if whole else []
        log.events = [_parsed(line, number, log.path) for number, line in enumerate(lines, 1)]
        log._size = len(whole) + 1 if whole else 0
        if not log.events or log.events[0].get("kind") != "begin" or log.events[0].get("format") != _FORMAT:
            msg = f"{log.path} must begin with 'begin' in format {_FORMAT}; it is no log of groups, or a newer one."
            raise ValueError(msg)
        return log

    @property
    def begin(self):
        """What the events refer to."""
        return self.events[0]

    def append(self, kind, author, **content):
        """
        Add an event, and see it on disk before going on.

        Parameters
        ----------
        kind, author : str
        **content
            What JSON can hold.

        Returns
        -------
        dict
        """
        clock = 1 + max(event["clock"] for event in self.events)
        event = files.plain({"kind": kind, "author": author, "clock": clock, **content})
        self._write([event])
        return event

    def merge(self, other):
        """
        Add what another log holds and this one does not.

        Parameters
        ----------
        other : EventLog

        Returns
        -------
        list of dict
            The events added.
        """
        if any(self.begin[key] != other.begin[key] for key in self.begin.keys() - {"places"}):
            msg = (
                "the logs begin with different clusters, so their groups are not the same. Merge logs of one beginning."
            )
            raise ValueError(msg)
        mine = {identity(event): event for event in self.events}
        twins = [event for event in other.events if mine.get(identity(event), event) != event]
        if twins:
            msg = (
                f"both logs hold other events of the author {twins[0]['author']!r} under the same number. "
                "Two people must not write under one name: change it in one of the logs."
            )
            raise ValueError(msg)
        new = [event for event in other.events if identity(event) not in mine]
        self._write(new)
        return new

    def ordered(self):
        """Events after the first in the order that all who hold them agree on."""
        return sorted(self.events[1:], key=lambda event: (event["clock"], event["author"]))

    def _write(self, events):
        """Add lines to the file, then to memory."""
        if self.path is not None and events:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lines = "".join(json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n" for event in events)
            self._size = _extend(self.path, self._size, lines.encode())
        self.events += events


def identity(event):
    """
    What tells an event from all others.

    Parameters
    ----------
    event : dict

    Returns
    -------
    tuple
    """
    return event["clock"], event["author"]


def _parsed(line, number, path):
    """One event, or an error that names its line."""
    try:
        event = json.loads(line)
        _ = event["kind"], event["author"], event["clock"]
    except (ValueError, KeyError, TypeError) as error:
        msg = f"line {number} of {path} is damaged: {line[:60]!r}. Restore the file, or cut it before this line."
        raise ValueError(msg) from error
    return event


def _extend(path, size, data):
    """Write data behind the first `size` bytes of a file; returns its new size."""
    with path.open("ab") as file:
        tail = _tail(path, size)
        if b"\n" in tail or file.tell() < size:
            msg = f"{path} was changed since it was read. Open it again; let each person write a log, and merge them."
            raise OSError(msg)
        file.truncate(size)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return size + len(data)


def _tail(path, size):
    """Bytes of a file behind the first `size`."""
    with path.open("rb") as file:
        file.seek(size)
        return file.read()
