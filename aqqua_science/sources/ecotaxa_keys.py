"""What must be unique in an EcoTaxa import bundle, however many tables and rows it has."""

from array import array
from collections import defaultdict

import numpy as np


class Keys:
    """Objects, their images and their parents, at 28 bytes a row."""

    def __init__(self):
        self._tables = []
        self._pairs, self._objects = array("q"), array("q")
        self._parents, self._lines, self._table = array("i"), array("i"), array("i")
        self._codes = {}
        self._samples = defaultdict(set)

    def parent_codes(self, parents, report, lines):
        """
        Number the parents of rows; an acquisition in a second sample is reported, once.

        Parameters
        ----------
        parents : iterable of tuple of str
            Sample and acquisition of every row.
        report : callable
            Called with line, rule and message.
        lines : list of int

        Returns
        -------
        list of int
        """
        codes = []
        for line, parent in zip(lines, parents, strict=True):
            code = self._codes.get(parent)
            if code is None:
                code = self._codes[parent] = len(self._codes)
                self._check_parents(*parent, report, line)
            codes.append(code)
        return codes

    def _check_parents(self, sample, acquisition, report, line):
        known = self._samples[acquisition]
        if sample and acquisition and known:
            message = (
                f"Acquisition '{acquisition}' is already associated with sample {sorted(known)}, it cannot be "
                f"associated as well with '{sample}'. Give every acquisition one sample, or an acq_id of its own."
            )
            report(line, "acquisition-in-two-samples", message)
        known.add(sample)

    def add(self, table, lines, rows):
        """
        Take up rows.

        Parameters
        ----------
        table : str
        lines : list of int
        rows : iterable of tuple
            Object, image and number of the parents; rows without an object are passed over.
        """
        if not self._tables or self._tables[-1] != table:
            self._tables.append(table)
        number = len(self._tables) - 1
        for line, (name, file, parent) in zip(lines, rows, strict=True):
            if name:
                self._pairs.append(hash((name, file)))
                self._objects.append(hash(name))
                self._parents.append(parent)
                self._lines.append(line)
                self._table.append(number)

    def faults(self, read_names):
        """
        Find what is there twice.

        Parameters
        ----------
        read_names : callable
            Called with a table and a set of lines; gives a dict of line to object and image.

        Returns
        -------
        list of tuple
            File, line, rule and message.
        """
        pairs = _repeats(np.asarray(self._pairs))
        parents = np.asarray(self._parents)
        moved = [(i, k) for i, k in _repeats(np.asarray(self._objects)) if parents[i] != parents[k]]
        names = self._read_names({i for pair in (*pairs, *moved) for i in pair}, read_names)
        doubled = [self._doubled(*pair, names) for pair in pairs if names[pair[0]] == names[pair[1]]]
        in_pairs = {i for i, _ in pairs}
        split = [self._split(*pair, names) for pair in moved if pair[0] not in in_pairs]
        return doubled + [fault for fault in split if fault]

    def _read_names(self, rows, read_names):
        """Object and image of some rows, from their tables: hashes alone could meet by chance."""
        wanted = defaultdict(dict)
        for row in rows:
            wanted[self._table[row]][self._lines[row]] = row
        names = {}
        for number, lines in wanted.items():
            found = read_names(self._tables[number], set(lines))
            names.update((row, found[line]) for line, row in lines.items())
        return names

    def _where(self, row, other):
        """Where a row stands, told from the table of another."""
        in_table = "this TSV" if self._table[row] == self._table[other] else self._tables[self._table[row]]
        return f"{in_table} line {self._lines[row]}"

    def _doubled(self, row, first, names):
        name, file = names[row]
        message = f"(Object '{name}', Image '{file}') is already in {self._where(first, row)}. Remove one of the two."
        return self._tables[self._table[row]], self._lines[row], "duplicate-object-image", message

    def _split(self, row, first, names):
        name = names[row][0]
        if name != names[first][0]:
            return None
        message = (
            f"Object '{name}' is in another sample or acquisition than in {self._where(first, row)}, which EcoTaxa "
            "keeps for it. Give it one sample and acquisition, or two objects an object_id each."
        )
        return self._tables[self._table[row]], self._lines[row], "object-in-two-places", message


def _repeats(values):
    """Pairs of positions: every value that was there before, and where it was first."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    is_new = np.ones(len(values), dtype=bool)
    is_new[1:] = ordered[1:] != ordered[:-1]
    first = order[np.flatnonzero(is_new)[np.cumsum(is_new) - 1]] if len(values) else order
    return [(int(i), int(k)) for i, k in zip(order[~is_new], first[~is_new], strict=True)]
