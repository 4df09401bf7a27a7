"""How long runs take that nobody has tried, by the times of those that ended."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.execution.tree import Tree

Floats = NDArray[np.float64]

LEAST_EXAMPLES = 2.0
_SPREAD = 3.0  # slow runs that differ by less are batched as if all took the same time
_MARGINS = (1.25, 4.0)  # a run may take so much longer than runs like it


@dataclass(frozen=True, kw_only=True)
class RunTimes:
    """A fit of the logarithm of the seconds.

    Parameters
    ----------
    tree
        Predicts the logarithm of the seconds.
    smear
        By what its exponential is multiplied for the mean of the seconds, which is more than the
        exponential of the mean logarithm: Duan's smearing estimate, the mean of the exponentials
        of the residuals (J. Am. Stat. Assoc. 78, 605, 1983).
    margin
        By what it is multiplied for what most runs, five of six, do not exceed: the exponential of
        the standard deviation of runs from a fit that has not seen them.
    """

    tree: Tree
    smear: float
    margin: float

    @classmethod
    def fit(
        cls,
        seconds: NDArray[np.floating],
        features: Sequence[Floats],
        is_number: Sequence[bool],
        weights: Floats,
        *,
        may_differ: bool,
    ) -> "RunTimes | None":
        """Return a fit, None where too few runs are known, or where they are alike.

        Parameters
        ----------
        seconds
            Of runs, shape ``(n,)``, NaN where that is not known.
        features, is_number, weights
            As for :class:`Tree`.
        may_differ
            Whether it is known already that they are not alike.
        """
        known = np.isfinite(seconds) & (seconds > 0)
        if np.count_nonzero(known) < LEAST_EXAMPLES:
            return None
        ordered = np.sort(seconds[known])
        low, high = ordered[1], ordered[-2]  # one run that was slow says nothing of others
        if high < _SPREAD * low and not may_differ:
            return None
        chosen, logs = [each[known] for each in features], np.log(seconds[known].astype(float))
        weights = weights[known]

        def tree_of(rows: NDArray[np.bool_]) -> Tree:
            parts = [each[rows] for each in chosen]
            return Tree(parts, logs[rows], is_number, weights=weights[rows], least=LEAST_EXAMPLES)

        tree = tree_of(np.ones(len(logs), bool))
        smear = np.average(np.exp(logs - tree.predict(chosen)), weights=weights)
        half = np.random.default_rng(len(logs)).permutation(len(logs)) % 2 == 0
        apart = np.empty(len(logs))
        for rows in (half, ~half):
            apart[~rows] = logs[~rows] - tree_of(rows).predict([each[~rows] for each in chosen])
        deviation = np.sqrt(np.average(apart**2, weights=weights))
        return cls(
            tree=tree, smear=float(smear), margin=float(np.clip(np.exp(deviation), *_MARGINS))
        )

    def mean(self, features: Sequence[Floats]) -> Floats:
        """Return the mean seconds of runs like these, shape ``(m,)``; arrays as for fitting."""
        return self.smear * np.exp(self.tree.predict(features))

    def most(self, features: Sequence[Floats]) -> Floats:
        """Return the seconds that five of six runs like these do not exceed, shape ``(m,)``."""
        return self.margin * np.exp(self.tree.predict(features))
