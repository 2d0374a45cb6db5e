"""Forest: a random forest as the numbers that it consists of, so that it is kept as other classifiers are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_AT_ONCE = 4096
"""Rows that go down all trees together."""

TREES = 100
"""Of a forest."""


class Forest:
    """scikit-learn's random forest of balanced classes, its trees' nodes one after another in arrays.

    A row goes from each of ``roots`` to ``left`` where its number at ``feature`` is at most ``threshold``, else to
    ``right``, until there is none (-1); ``shares`` (nodes, classes) are those of the training windows at a node.
    """

    def __init__(self, min_samples_leaf: int = 1) -> None:
        self._min_samples_leaf = min_samples_leaf
        self._trees: list[Any] = []

    def fit(self, rows: NDArray[Any], labels: NDArray[np.int64]) -> "Forest":
        """Fit the trees, always the same of the same rows, numbers all."""
        from sklearn.ensemble import RandomForestClassifier

        made = RandomForestClassifier(
            TREES, min_samples_leaf=self._min_samples_leaf, class_weight="balanced", random_state=0, n_jobs=-1
        ).fit(rows, labels)
        self._trees = trees = [one.tree_ for one in made.estimators_]
        self.classes_ = made.classes_
        self.roots = np.cumsum([0, *(tree.node_count for tree in trees[:-1])], dtype=np.int32)
        self.left = self._joined([tree.children_left for tree in trees])
        self.right = self._joined([tree.children_right for tree in trees])
        self.feature = np.concatenate([tree.feature for tree in trees]).astype(np.int32)
        self.threshold = np.concatenate([tree.threshold for tree in trees])
        counts = np.concatenate([tree.value[:, 0] for tree in trees])
        self.shares = counts / counts.sum(axis=1, keepdims=True)
        return self

    def _joined(self, children: list[NDArray[np.int64]]) -> NDArray[np.int32]:
        """Return the children of each node, which trees number from 0, by their places in the arrays of all trees."""
        parts = [np.where(of >= 0, of + root, -1) for of, root in zip(children, self.roots, strict=True)]
        return np.concatenate(parts).astype(np.int32)

    def predict_proba(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return probabilities (n, classes): the mean over trees of the shares where a row ends."""
        parts = [self._told(rows[start : start + _AT_ONCE]) for start in range(0, len(rows), _AT_ONCE)]
        return np.concatenate([np.zeros((0, len(self.classes_))), *parts])

    def _told(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        numbers = np.ascontiguousarray(rows, np.float32)  # which scikit-learn compares with its thresholds
        if self._trees:  # in compiled code, while they are there
            at = np.stack([tree.apply(numbers) + root for tree, root in zip(self._trees, self.roots, strict=True)], 1)
            return np.asarray(self.shares[at].mean(axis=1))
        at = np.tile(self.roots, (len(rows), 1))
        while (inner := self.left[at] >= 0).any():
            is_low = np.take_along_axis(numbers, np.where(inner, self.feature[at], 0), axis=1) <= self.threshold[at]
            at = np.where(inner, np.where(is_low, self.left[at], self.right[at]), at)
        return np.asarray(self.shares[at].mean(axis=1))
