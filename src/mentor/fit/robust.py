"""Fits that wrong labels do not pull: labels that the others contradict count less and less.

Every round of the fit compares the potential with the labels, measures each difference in units of
what is usual (:mod:`mentor.fit.comparison`) and weighs its label anew,

    w = min(1, (k/|z|)⁴),

so that what is k = 4.5 times the usual counts in full and what is ten times as much hardly at all
(iteratively reweighted least squares; Holland & Welsch, Commun. Stat. A 6, 813 (1977)).
"""

from dataclasses import dataclass

import numpy as np

from mentor.fit.comparison import Comparison

KNEE = 4.5
_POWER = 4


@dataclass(frozen=True, eq=False)
class Trust:
    """Factors between 0 and 1 of the labels of S structures in the loss, each of shape (S,)."""

    energy: np.ndarray
    force: np.ndarray
    stress: np.ndarray

    @classmethod
    def full(cls, count: int) -> "Trust":
        """All labels count in full."""
        return cls(np.ones(count), np.ones(count), np.ones(count))

    @classmethod
    def of(cls, comparison: Comparison) -> "Trust":
        """By how unusual each label is."""
        scores = (comparison.energy_scores, comparison.force_scores, comparison.virial_scores)
        return cls(*(downweight(each) for each in scores))


def downweight(scores: np.ndarray) -> np.ndarray:
    """Weights of labels with these scores; 1 where there is none."""
    scores = np.abs(np.nan_to_num(scores, nan=0.0, posinf=np.inf))
    return np.minimum(1.0, (KNEE / np.maximum(scores, KNEE)) ** _POWER)
