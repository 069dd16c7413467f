"""The tree of taxa: who belongs to whom."""

import pandas as pd

from aqqua_science.schema import SchemaError, nearest_name, require_columns

_NAMES = ("scientificName", "scientificname", "taxon", "name")
_RANKS = ("taxonRank", "rank")
_IDS = ("AphiaID", "taxonID", "id")


class Taxonomy:
    """
    A tree, or several, of named taxa.

    Parameters
    ----------
    parents : mapping of str to str or None
        Each taxon's parent; None for the roots. Every parent is a taxon itself.
    ranks : mapping of str to str, optional
        Rank of some taxa, such as "genus".

    Attributes
    ----------
    parents : dict
    ranks : dict
    names : list of str

    Raises
    ------
    SchemaError
        If a parent is unknown, a rank is of no taxon, or taxa are ancestors of themselves.

    Examples
    --------
    >>> tree = Taxonomy({"Crustacea": None, "Copepoda": "Crustacea", "Calanus": "Copepoda", "Oithona": "Copepoda"})
    >>> tree.ancestors("Calanus")
    ['Copepoda', 'Crustacea']
    >>> tree.lowest_common_ancestor("Calanus", "Oithona")
    'Copepoda'
    """

    def __init__(self, parents, ranks=None):
        self.parents = {str(name): None if is_absent(up) else str(up) for name, up in dict(parents).items()}
        self.ranks = {str(name): str(rank) for name, rank in (ranks or {}).items() if not is_absent(rank)}
        for name, up in self.parents.items():
            if up is not None and up not in self.parents:
                hint = nearest_name(up, self.parents)
                msg = f"{up!r}, the parent of {name!r}, is no taxon.{hint} Add {up!r}: None if it is a root."
                raise SchemaError(msg)
        self._require(self.ranks)
        self._lineages = {}
        for name in self.parents:
            self._lineages[name] = tuple(self._climb(name))

    @property
    def names(self):
        """All taxa, in the order they were given."""
        return list(self.parents)

    def __repr__(self):
        roots = [name for name, up in self.parents.items() if up is None]
        return f"<Taxonomy: {len(self.parents):,} taxa, roots {', '.join(roots[:5])}{', ...' * (len(roots) > 5)}>"

    def __eq__(self, other):
        return isinstance(other, Taxonomy) and (self.parents, self.ranks) == (other.parents, other.ranks)

    __hash__ = None

    @classmethod
    def from_table(cls, table):
        """
        Read a table of taxa, as WoRMS and Darwin Core have it.

        Parameters
        ----------
        table : pandas.DataFrame
            A name (``scientificName``, ``scientificname``, ``taxon`` or ``name``) and either ``parent``, a name, or
            ``AphiaID`` (or ``taxonID``, ``id``) and ``parentNameUsageID``, a number or an LSID that ends in one; empty
            for roots. Ranks are read from ``taxonRank`` or ``rank``.

        Returns
        -------
        Taxonomy

        Raises
        ------
        SchemaError
            If a column is absent, or names or numbers are doubled or missing, or a parent is not in the table.
        """
        name, rank = _first(table, _NAMES), _first(table, _RANKS)
        require_columns(table, [name or _NAMES[0]], what="the table of taxa")
        names = _distinct(table[name])
        above = table["parent"].tolist() if "parent" in table.columns else _parents_by_number(table, names)
        return cls(
            dict(zip(names, above, strict=True)),
            dict(zip(names, table[rank], strict=True)) if rank else None,
        )

    @classmethod
    def from_ecotaxa(cls, names):
        """
        Read the names of EcoTaxa, ``Child<Parent`` or a longer chain.

        A label stays the name of its own taxon, since ``tail<Chaetognatha`` and ``tail<Appendicularia`` differ. What
        stands behind ``<`` is the label that begins with it if there is one, else a taxon of that bare name.

        Parameters
        ----------
        names : iterable of str
            Repeats, None, NaN and "" are passed over.

        Returns
        -------
        Taxonomy

        Raises
        ------
        SchemaError
            If a parent fits several labels, or one taxon gets two parents.
        """
        labels = list(dict.fromkeys(str(name) for name in names if not is_absent(name)))
        paths = {label: [part.strip() for part in label.split("<")] for label in labels}
        known = {}
        for label, path in paths.items():
            known.setdefault(path[0], []).append(label)
        parents = dict.fromkeys(labels)
        for path in paths.values():
            _join(parents, path, known, paths)
        return cls(parents)

    def ancestors(self, name):
        """
        List what a taxon belongs to.

        Parameters
        ----------
        name : str

        Returns
        -------
        list of str
            From its parent to its root; empty for a root.
        """
        return list(self.lineage(name)[1:])

    def lineage(self, name):
        """
        List a taxon and what it belongs to.

        Parameters
        ----------
        name : str

        Returns
        -------
        tuple of str
            From itself to its root.

        Raises
        ------
        SchemaError
            If there is no such taxon, with the nearest right name.
        """
        self._require([name])
        return self._lineages[name]

    def level(self, name):
        """
        Count the ancestors of a taxon.

        Parameters
        ----------
        name : str

        Returns
        -------
        int
            0 for a root.
        """
        return len(self.lineage(name)) - 1

    def lowest_common_ancestor(self, *names):
        """
        Find the smallest taxon that holds all of some.

        Parameters
        ----------
        *names : str

        Returns
        -------
        str or None
            One of them if it holds the others; None if they share no root.
        """
        lineages = [self.lineage(name) for name in names]
        return next((taxon for taxon in lineages[0] if all(taxon in other for other in lineages[1:])), None)

    def at_rank(self, names, rank):
        """
        Lift taxa to a rank.

        Parameters
        ----------
        names : iterable of str
            None and NaN stay without an answer.
        rank : str
            Such as "family".

        Returns
        -------
        list of str or None
            The taxon itself or the ancestor that has this rank; None where there is none.

        Raises
        ------
        SchemaError
            If a taxon is unknown, or no taxon has this rank.
        """
        if rank not in self.ranks.values():
            known = sorted(set(self.ranks.values()))
            msg = f"no taxon has rank {rank!r}.{nearest_name(rank, known)} Ranks are: {', '.join(known) or 'none'}."
            raise SchemaError(msg)
        lineages = [() if is_absent(name) else self.lineage(name) for name in names]
        return [next((up for up in lineage if self.ranks.get(up) == rank), None) for lineage in lineages]

    def memberships(self, classes):
        """
        Tell which of some classes belong to which taxa.

        Parameters
        ----------
        classes : iterable of str

        Returns
        -------
        pandas.DataFrame of float
            One row for each class, one column for each of them and of their ancestors, higher taxa first; 1 where the
            class is the taxon or one of its descendants.
        """
        classes = list(classes)
        lineages = [self.lineage(name) for name in classes]
        taxa = sorted({taxon for lineage in lineages for taxon in lineage}, key=lambda t: (self.level(t), t))
        member = [[float(taxon in lineage) for taxon in taxa] for lineage in lineages]
        return pd.DataFrame(member, index=classes, columns=taxa)

    def _require(self, names):
        for name in names:
            if name not in self.parents:
                msg = (
                    f"{name!r} is not among the {len(self.parents)} taxa of the taxonomy."
                    f"{nearest_name(name, self.parents)} Correct the name, or add it with its parent."
                )
                raise SchemaError(msg)

    def _climb(self, name):
        """A taxon and its ancestors; those that were climbed before are not climbed again."""
        seen = []
        while name is not None:
            if name in self._lineages:
                return [*seen, *self._lineages[name]]
            if name in seen:
                circle = " < ".join([*seen[seen.index(name) :], name])
                msg = f"{name!r} is an ancestor of itself: {circle}. Roots have no parent (None); mend one of these."
                raise SchemaError(msg)
            seen.append(name)
            name = self.parents[name]
        return seen


def is_absent(value):
    """
    Tell whether a name is none: None, NaN or empty.

    Parameters
    ----------
    value : object

    Returns
    -------
    bool
    """
    return value is None or value is pd.NA or value != value or value == ""


def _first(table, names):
    return next((name for name in names if name in table.columns), None)


def _distinct(values):
    """Names or numbers that are there and differ."""
    missing, doubled = values.isna() | (values.astype(str) == ""), values.duplicated(keep=False)
    for bad, what in ((missing, "is empty"), (doubled, "is there more than once")):
        if bad.any():
            row = bad.idxmax()
            msg = (
                f"{values.name} tells taxa apart; {values[row]!r} in row {row} {what}. Give each taxon one row, and "
                "a name of its own, such as 'tail<Chaetognatha'."
            )
            raise SchemaError(msg)
    return values.tolist()


def _parents_by_number(table, names):
    """Names of parents that a table gives by their numbers."""
    column = _first(table, _IDS)
    require_columns(table, [column or _IDS[0], "parentNameUsageID"], what="the table of taxa")
    by_number = dict(zip(_distinct(table[column].map(_number)), names, strict=True))
    above = [_number(value) for value in table["parentNameUsageID"]]
    for name, number in zip(names, above, strict=True):
        if number is not None and number not in by_number:
            msg = (
                f"parentNameUsageID {number} of {name!r} is not among the values of {column}. "
                "Add the row of the parent, or leave it empty for a root."
            )
            raise SchemaError(msg)
    return [by_number.get(number) for number in above]


def _number(value):
    """An identifier as text: 104251 of 104251, 104251.0 and urn:lsid:marinespecies.org:taxname:104251."""
    if is_absent(value):
        return None
    text = str(value).rpartition(":")[2].strip()
    return text.removesuffix(".0")


def _join(parents, path, known, paths):
    """Add the chain of one label to the tree."""
    child = "<".join(path) if "<".join(path) in parents else path[0]
    for start in range(1, len(path)):
        up = _resolve(path[start:], known, paths)
        parents.setdefault(up, None)
        if parents.get(child) not in (None, up):
            msg = f"{child!r} has two parents, {parents[child]!r} and {up!r}. Write its labels with one chain."
            raise SchemaError(msg)
        parents[child] = up
        child = up


def _resolve(path, known, paths):
    """The taxon that a chain speaks of: a label that agrees with it as far as both go, or its bare name."""
    if "<".join(path) in paths:
        return "<".join(path)
    fitting = [
        label for label in known.get(path[0], []) if all(a == b for a, b in zip(path, paths[label], strict=False))
    ]
    if len(fitting) > 1:
        msg = f"the parent {'<'.join(path)!r} fits several labels: {', '.join(fitting)}. Write it with its own parent."
        raise SchemaError(msg)
    return fitting[0] if fitting else path[0]
