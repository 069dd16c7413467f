"""Which object belongs to which group: what follows from a row of events, whoever wrote them."""

import numpy as np
import pandas as pd
from sklearn.cluster import HDBSCAN

from .events import identity

FREE, CLUSTERED, ACCEPTED = "free", "clustered", "accepted"


class Membership:
    """
    Groups and their members after a row of events.

    An event that earlier ones of another person have made impossible is left out, and told in `conflicts`.

    Parameters
    ----------
    objects : sequence
        All objects, by their identifiers.
    labels : sequence of int
        Cluster of each object; -1 for none. Cluster 0 becomes group "g1".
    """

    def __init__(self, objects, labels):
        self.objects = pd.Index(objects)
        self.group = np.array([None if k < 0 else f"g{k + 1}" for k in labels], dtype=object)
        self.status = np.where(np.asarray(labels) < 0, FREE, CLUSTERED).astype(object)
        names = [f"g{k + 1}" for k in range(max(labels, default=-1) + 1)]
        self.groups = {name: {"taxon": None, "approved": False} for name in names}
        self.refused = {name: set() for name in names}
        self.heirs = {}
        self.conflicts = []

    def replay(self, events):
        """
        Apply events in order, but those that were undone.

        Parameters
        ----------
        events : list of dict

        Returns
        -------
        Membership
        """
        undone = {tuple(event["event"]) for event in events if event["kind"] == "undo"}
        for event in events:
            if identity(event) not in undone and event["kind"] != "undo":
                self.apply(event)
        return self

    def apply(self, event):
        """
        Apply one event, or note why it cannot be.

        Parameters
        ----------
        event : dict
        """
        group = self.current(event["group"])
        if event["kind"] not in {"create", *_ON_GROUPS} or (event["kind"] != "create" and group not in self.groups):
            self._conflict(event, f"there is no group {group}")
            return
        _ACTIONS[event["kind"]](self, group, event)

    def current(self, group):
        """
        The group that a group has become part of, or itself.

        Parameters
        ----------
        group : str

        Returns
        -------
        str
        """
        while group in self.heirs:
            group = self.heirs[group]
        return group

    def members(self, group):
        """
        Row numbers of a group's objects.

        Parameters
        ----------
        group : str

        Returns
        -------
        numpy.ndarray of int
        """
        return np.flatnonzero(self.group == group)

    def rows(self, objects):
        """
        Row numbers of objects.

        Parameters
        ----------
        objects : sequence

        Returns
        -------
        numpy.ndarray of int
        """
        return self.objects.get_indexer(pd.Index(objects, dtype=self.objects.dtype))

    def _conflict(self, event, reason):
        self.conflicts.append({**event, "reason": reason})

    def _open(self, group):
        self.groups[group] = {"taxon": None, "approved": False}
        self.refused[group] = set()

    def _close(self, group):
        del self.groups[group]

    def _put(self, rows, group, status):
        self.group[rows] = group
        self.status[rows] = status

    def _create(self, group, event):
        self._open(group)
        self._accept(group, event)

    def _accept(self, group, event):
        rows = self.rows(event["objects"])
        elsewhere = (self.status[rows] != FREE) & (self.group[rows] != group)
        if elsewhere.any():
            taken = self.objects[rows[elsewhere]].tolist()
            self._conflict(event, f"already in another group: {taken}")
        self._put(rows[~elsewhere], group, ACCEPTED)

    def _reject(self, group, event):
        rows = self.rows(event["objects"])
        self._put(rows[self.group[rows] == group], None, FREE)
        self.refused[group] |= set(rows.tolist())

    def _dissolve(self, group, event):
        self._put(self.members(group), None, FREE)
        self._close(group)

    def _split(self, group, event):
        rows = self.rows(event["objects"])
        rows = rows[self.group[rows] == group]
        self._open(event["new"])
        self.groups[event["new"]]["taxon"] = self.groups[group]["taxon"]
        self.refused[event["new"]] = set(self.refused[group])
        self.group[rows] = event["new"]
        self.groups[group]["approved"] = False

    def _merge(self, group, event):
        other = self.current(event["other"])
        if other not in self.groups or other == group:
            self._conflict(event, f"there is no group {other} beside {group}")
            return
        mine, theirs = self.groups[group], self.groups[other]
        self.groups[group] = {
            "taxon": mine["taxon"] or theirs["taxon"],
            "approved": mine["approved"] and theirs["approved"],
        }
        self.group[self.members(other)] = group
        self.refused[group] |= self.refused[other]
        self.heirs[other] = group
        self._close(other)

    def _name(self, group, event):
        self.groups[group]["taxon"] = event["taxon"]

    def _approve(self, group, event):
        self.groups[group]["approved"] = True


_ACTIONS = {
    "create": Membership._create,
    "accept": Membership._accept,
    "reject": Membership._reject,
    "dissolve": Membership._dissolve,
    "split": Membership._split,
    "merge": Membership._merge,
    "name": Membership._name,
    "approve": Membership._approve,
}
_ON_GROUPS = {*_ACTIONS} - {"create"}


def first_clusters(places, *, min_size, most, rng):
    """
    Cluster objects, to begin with.

    Parameters
    ----------
    places : numpy.ndarray, shape (n_objects, n_components)
    min_size : int
        Fewest objects of a cluster.
    most : int
        Of more objects than this, a random part is clustered.
    rng : int or numpy.random.Generator

    Returns
    -------
    list of int
        Cluster of each object, numbered from the largest; -1 for none.
    """
    n = len(places)
    chosen = np.arange(n) if n <= most else np.sort(np.random.default_rng(rng).choice(n, most, replace=False))
    labels = np.full(n, -1)
    if len(chosen) >= min_size:
        labels[chosen] = HDBSCAN(min_cluster_size=min_size, copy=True).fit_predict(places[chosen])
    sizes = np.bincount(labels[labels >= 0])
    rank = np.empty(len(sizes) + 1, int)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    rank[-1] = -1
    return rank[labels].tolist()
