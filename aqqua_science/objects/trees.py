"""Decision trees as plain arrays: what a file keeps of forests and boosted trees, and how it answers."""

from dataclasses import dataclass

import numpy as np

from aqqua_science.objects.array_files import ArrayFields


@dataclass(frozen=True, kw_only=True)
class FlatTrees(ArrayFields):
    """
    Trees, one behind the other.

    Parameters
    ----------
    roots : numpy.ndarray of int, shape (n_trees,)
        The first node of each.
    feature : numpy.ndarray of int, shape (n_nodes,)
    threshold : numpy.ndarray, shape (n_nodes,)
        A row whose feature is at most this goes left.
    left, right : numpy.ndarray of int, shape (n_nodes,)
        The next nodes; -1 at a leaf.
    value : numpy.ndarray, shape (n_nodes, m)
        What a leaf says.
    """

    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray

    @classmethod
    def of_forest(cls, forest):
        """
        Copy the trees of a fitted random forest.

        Parameters
        ----------
        forest : sklearn.ensemble.RandomForestClassifier

        Returns
        -------
        FlatTrees
            The value of a leaf is its shares of the classes.
        """
        parts = []
        for member in forest.estimators_:
            tree = member.tree_
            shares = tree.value[:, 0, :] / tree.value[:, 0, :].sum(axis=1, keepdims=True)
            leaf = tree.children_left < 0
            parts.append(
                (tree.feature, tree.threshold, tree.children_left, tree.children_right, shares * leaf[:, None])
            )
        return cls._joined(parts)

    @classmethod
    def of_boosting(cls, boosting):
        """
        Copy the trees of a fitted gradient boosting.

        Parameters
        ----------
        boosting : sklearn.ensemble.HistGradientBoostingClassifier
            Without categorical features.

        Returns
        -------
        FlatTrees
            Round by round, in each one tree for every class (one in all for two classes).
        """
        parts = []
        for member in (tree for step in boosting._predictors for tree in step):
            nodes, leaf = member.nodes, member.nodes["is_leaf"].astype(bool)
            left, right = (np.where(leaf, -1, nodes[side].astype(np.int64)) for side in ("left", "right"))
            parts.append(
                (nodes["feature_idx"], nodes["num_threshold"], left, right, nodes["value"][:, None] * leaf[:, None])
            )
        return cls._joined(parts)

    @classmethod
    def _joined(cls, parts):
        """Trees that number their own nodes, renumbered as one."""
        sizes = [len(part[0]) for part in parts]
        roots = np.cumsum([0, *sizes[:-1]])
        shifted = [
            [np.where(side < 0, -1, side + root) for side in part[2:4]] for part, root in zip(parts, roots, strict=True)
        ]
        return cls(
            roots=roots,
            feature=np.concatenate([part[0] for part in parts]).astype(np.int32),
            threshold=np.concatenate([part[1] for part in parts]).astype(np.float64),
            left=np.concatenate([sides[0] for sides in shifted]).astype(np.int32),
            right=np.concatenate([sides[1] for sides in shifted]).astype(np.int32),
            value=np.concatenate([part[4] for part in parts]).astype(np.float64),
        )

    def leaf_values(self, X):
        """
        Follow the rows down every tree.

        Parameters
        ----------
        X : numpy.ndarray, shape (n, d)

        Yields
        ------
        numpy.ndarray, shape (n, m)
            What the leaves of one tree after the other say.
        """
        for root in self.roots:
            yield self.value[self._leaf(X, root)]

    def _leaf(self, X, root):
        """The leaf of each row; rows that have arrived are not looked at again."""
        node = np.full(len(X), root)
        going = np.arange(len(X))
        while going.size:
            going = going[self.left[node[going]] >= 0]
            here = node[going]
            left = X[going, self.feature[here]] <= self.threshold[here]
            node[going] = np.where(left, self.left[here], self.right[here])
        return node
