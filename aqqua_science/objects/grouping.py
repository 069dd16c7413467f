"""Unknown objects in groups that people name, grow, split and merge; every decision is logged and can be undone."""

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from .events import EventLog, identity
from .feature_input import check_fingerprint, fingerprint_of
from .membership import FREE, Membership, first_clusters
from .vectors import Scale, digest, read_vectors, same_digest

_NEAREST = 5


class Groups:
    """
    Groups of objects that look alike, as clusters found them and people changed them.

    Made by `from_features`, or from a log by `open`. Every change is an event added to the log; the groups are
    what follows from the events, so that a killed session loses nothing and two people's work can be merged.

    Parameters
    ----------
    log : EventLog
    places : numpy.ndarray, shape (n_objects, n_components)
        Objects in the space in which nearness is judged.
    author : str
        Who decides; people whose logs are to be merged need names of their own.

    Attributes
    ----------
    log : EventLog
    author : str

    References
    ----------
    Schröder, Kiko and Koch 2020, MorphoCluster: efficient annotation of plankton images by clustering, Sensors 20,
    doi 10.3390/s20113060. Campello, Moulavi and Sander 2013, doi 10.1007/978-3-642-37456-2_14 (HDBSCAN).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(90, 4)) + np.repeat([[0], [9], [18]], 30, axis=0)
    >>> groups = Groups.from_features(features)
    >>> groups.name("g1", "Copepoda")
    >>> groups.summary()[["group", "n_objects", "taxon"]].head(1)
      group  n_objects     taxon
    0    g1         30  Copepoda
    """

    def __init__(self, log, places, *, author="anonymous"):
        self.log, self.author = log, author
        self._places = places
        self._state = self._replayed()

    @classmethod
    def from_features(
        cls,
        features,
        *,
        objects=None,
        log=None,
        author="anonymous",
        min_size=10,
        n_components=32,
        n_clustered=20_000,
        random_state=0,
    ):
        """
        Cluster objects.

        Parameters
        ----------
        features : array-like or xarray.DataArray, shape (n_objects, n_features)
        objects : sequence of str or int, optional
            Identifiers; by default `object_id` of a DataArray, else the row numbers.
        log : str or pathlib.Path, optional
            File for the events, which must not exist. Without one nothing is kept.
        author : str
        min_size : int
            Fewest objects of a cluster.
        n_components : int
            Principal components that nearness is judged by.
        n_clustered : int
            Of more objects than this, a random part is clustered; the others stay free until groups are grown.
        random_state : int

        Returns
        -------
        Groups
        """
        x = _standardised(features)
        places = _places(x, n_components)
        names = _identifiers(features, objects, len(places))
        begin = {
            "objects": names,
            "labels": first_clusters(places, min_size=min_size, most=n_clustered, rng=random_state),
            "n_components": n_components,
            "fingerprint": fingerprint_of(features),
            "object_id": objects is None and _object_ids(features) is not None,
            "places": digest(x),
        }
        return cls(EventLog.create(begin, log), places, author=author)

    @classmethod
    def open(cls, log, features, *, author="anonymous"):
        """
        Go on with the groups of a log.

        Parameters
        ----------
        log : str or pathlib.Path
        features : array-like or xarray.DataArray, shape (n_objects, n_features)
            The features that the groups were made from.
        author : str

        Returns
        -------
        Groups

        Raises
        ------
        ValueError
            If the features are others, in another order, of other objects, or of another encoder.
        """
        log = EventLog.open(log)
        check_fingerprint(features, log.begin["fingerprint"], what="the groups were made from")
        x = _standardised(features)
        _check_objects(features, x, log)
        return cls(log, _places(x, log.begin["n_components"]), author=author)

    @property
    def table(self):
        """Objects with `group` (none while free), `status` (free, clustered, accepted) and the group's `taxon`."""
        state = self._state
        taxa = [state.groups[name]["taxon"] if name is not None else None for name in state.group]
        columns = {"object": state.objects, "group": state.group, "status": state.status, "taxon": taxa}
        return pd.DataFrame(columns).astype({"group": object, "taxon": object})

    @property
    def conflicts(self):
        """Events that another person's made impossible, with the reason."""
        return list(self._state.conflicts)

    def summary(self):
        """Count the objects of each group, the largest first, with its taxon and whether it is approved."""
        sizes = pd.Series(self._state.group, dtype=object).value_counts()
        rows = [
            {"group": name, "n_objects": int(sizes.get(name, 0)), **told} for name, told in self._state.groups.items()
        ]
        table = pd.DataFrame(rows, columns=["group", "n_objects", "taxon", "approved"]).astype({"taxon": object})
        return table.sort_values("n_objects", ascending=False, kind="stable", ignore_index=True)

    def grow(self, group, k=20):
        """
        Propose free objects for a group, the nearest first; those refused before are left out.

        Parameters
        ----------
        group : str
        k : int
            How many.

        Returns
        -------
        pandas.DataFrame
            `object` and `distance`: the mean over the five nearest members.
        """
        members = self._members(group)
        refused = np.isin(np.arange(len(self._places)), list(self._state.refused[group]))
        free = np.flatnonzero((self._state.status == FREE) & ~refused)
        if not free.size or not members.size:
            return pd.DataFrame({"object": self._state.objects[:0], "distance": np.empty(0)})
        index = NearestNeighbors(n_neighbors=min(_NEAREST, len(members)), algorithm="brute").fit(self._places[members])
        distance = index.kneighbors(self._places[free])[0].mean(axis=1)
        nearest = np.argsort(distance, kind="stable")[:k]
        return pd.DataFrame({"object": self._state.objects[free[nearest]], "distance": distance[nearest]})

    def create(self, objects):
        """
        Make a group of free objects.

        Parameters
        ----------
        objects : sequence

        Returns
        -------
        str
            The new group.
        """
        self._check_free(objects, None)
        return self._change("create", None, objects=list(objects))["group"]

    def accept(self, group, objects):
        """
        Take free objects into a group.

        Parameters
        ----------
        group : str
        objects : sequence
        """
        self._check_free(objects, group)
        self._change("accept", group, objects=list(objects))

    def reject(self, group, objects=None):
        """
        Free objects of a group, and never propose them for it again; without objects, dissolve the group.

        Parameters
        ----------
        group : str
        objects : sequence, optional
            Members, or objects that were proposed.
        """
        if objects is None:
            self._change("dissolve", group)
            return
        self._rows(objects)
        self._change("reject", group, objects=list(objects))

    def split(self, group):
        """
        Part a group in two; the larger part keeps its name.

        Parameters
        ----------
        group : str

        Returns
        -------
        str
            The group that the smaller part becomes.
        """
        members = self._members(group)
        if len(members) < 2:
            msg = f"a group needs two objects to be split; {group!r} has {len(members)}."
            raise ValueError(msg)
        part = KMeans(2, n_init=10, random_state=0).fit_predict(self._places[members])
        smaller = members[part == np.bincount(part, minlength=2).argmin()]
        return self._change("split", group, objects=self._state.objects[smaller].tolist())["new"]

    def merge(self, group, other):
        """
        Put the objects of another group into a group.

        Parameters
        ----------
        group, other : str
        """
        self._members(other)
        if group == other:
            msg = f"a group cannot be merged with itself; got {group!r} twice."
            raise ValueError(msg)
        self._change("merge", group, other=other)

    def name(self, group, taxon):
        """
        Name a group, or with None take its name away.

        Parameters
        ----------
        group : str
        taxon : str or None
        """
        self._change("name", group, taxon=taxon)

    def approve(self, group):
        """
        Tell that all members of a group belong together; splitting it or merging it with one not approved ends that.

        Parameters
        ----------
        group : str
        """
        self._change("approve", group)

    def undo(self):
        """
        Take back the author's last event that is not yet undone.

        Returns
        -------
        dict
            That event.
        """
        undone = {tuple(event["event"]) for event in self.log.events if event["kind"] == "undo"}
        own = [event for event in self.log.ordered() if event["author"] == self.author and event["kind"] != "undo"]
        own = [event for event in own if identity(event) not in undone]
        if not own:
            msg = f"{self.author!r} has done nothing that is not undone."
            raise ValueError(msg)
        self.log.append("undo", self.author, event=list(identity(own[-1])))
        self._state = self._replayed()
        return own[-1]

    def merge_log(self, other):
        """
        Take over what another person decided from the same beginning.

        Where two people disagree, the earlier event holds, and the later one is told in `conflicts`.

        Parameters
        ----------
        other : Groups, str or pathlib.Path
            The other's groups, or the file of their log.

        Returns
        -------
        int
            Number of events that were new.
        """
        new = self.log.merge(other.log if isinstance(other, Groups) else EventLog.open(other))
        self._state = self._replayed()
        return len(new)

    def _replayed(self):
        begin = self.log.begin
        return Membership(begin["objects"], begin["labels"]).replay(self.log.ordered())

    def _change(self, kind, group, **content):
        """Log an event and apply it."""
        if kind != "create":
            self._members(group)
        fresh = f"{self.author}-{1 + max(event['clock'] for event in self.log.events)}"
        content |= {"new": fresh} if kind == "split" else {}
        event = self.log.append(kind, self.author, group=fresh if kind == "create" else group, **content)
        self._state.apply(event)
        return event

    def _members(self, group):
        """Rows of a group that must exist."""
        if group not in self._state.groups:
            msg = f"there is no group {group!r}; groups are {', '.join(list(self._state.groups)[:20])}."
            raise ValueError(msg)
        return self._state.members(group)

    def _rows(self, objects):
        """Rows of objects that must exist."""
        rows = self._state.rows(objects)
        if not len(rows) or (rows < 0).any():
            strays = [name for name, row in zip(objects, rows, strict=True) if row < 0]
            msg = f"objects must be some of those grouped; got {strays[:5] or 'none'}."
            raise ValueError(msg)
        return rows

    def _check_free(self, objects, group):
        rows = self._rows(objects)
        taken = rows[(self._state.status[rows] != FREE) & (self._state.group[rows] != group)]
        if taken.size:
            msg = (
                f"object {self._state.objects[taken[0]]!r} is in group {self._state.group[taken[0]]!r}. "
                "Reject it there first, or merge the groups."
            )
            raise ValueError(msg)


def _standardised(features):
    """Features of two objects or more, each with mean zero and variance one."""
    x = read_vectors(features)
    if len(x) < 2:
        msg = f"groups need two objects or more; got {len(x)}."
        raise ValueError(msg)
    return Scale(x)(x)


def _places(x, n_components):
    """Objects by their principal components."""
    return PCA(min(n_components, *x.shape), svd_solver="covariance_eigh").fit_transform(x)


def _check_objects(features, x, log):
    """Refuse features that are not those of a log, in its order."""
    known, ids = log.begin["objects"], _object_ids(features)
    others = bool(log.begin.get("object_id")) and ids is not None and ids != known
    if others or len(x) != len(known) or not same_digest(digest(x), log.begin["places"]):
        msg = (
            f"these features of {len(x)} objects are not those that the groups of {log.path} were made from "
            f"({len(known)} objects). Open the log with the same features of the same objects, in the same order."
        )
        raise ValueError(msg)


def _object_ids(features):
    """What a labelled array calls its objects, None if it does not."""
    return features["object_id"].values.tolist() if "object_id" in getattr(features, "coords", ()) else None


def _identifiers(features, objects, n):
    """Identifiers of the objects, each once."""
    if objects is None:
        objects = range(n) if _object_ids(features) is None else _object_ids(features)
    names = np.asarray(objects).tolist()
    if len(names) != n or len(set(names)) < n:
        msg = f"objects must name each of the {n} objects once; got {len(names)}, {len(set(names))} of them different."
        raise ValueError(msg)
    return names
