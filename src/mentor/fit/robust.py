"""Fits that wrong labels do not pull: labels that the others contradict count less and less.

Every round of the fit compares the potential with the labels, measures each difference in units of
what is usual (:mod:`mentor.fit.comparison`) and weighs its label anew,

    w = min(1, (k/|z|)⁴),   0 beyond |z| = 4 k,

so that what is k = 4.5 times the usual counts in full and what is four times as much not at all
(iteratively reweighted least squares; Holland & Welsch, Commun. Stat. A 6, 813 (1977)).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms

from mentor.fit.comparison import Comparison, compare
from mentor.fit.fitting import FitResult, fit
from mentor.fit.posterior import Witness
from mentor.fit.weighing import with_terms
from mentor.potential import Potential

KNEE, END = 4.5, 4 * 4.5
_POWER = 4
_ROUNDS = 3


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

    def part(self, numbers: Sequence[int]) -> "Trust":
        """Of some of the structures."""
        chosen = list(numbers)
        return Trust(self.energy[chosen], self.force[chosen], self.stress[chosen])

    @classmethod
    def of(cls, comparison: Comparison) -> "Trust":
        """By how unusual each label is."""
        scores = (comparison.energy_scores, comparison.force_scores, comparison.virial_scores)
        return cls(*(downweight(each) for each in scores))


@dataclass(frozen=True, eq=False)
class RobustFit:
    """A fit and the weights it ended with."""

    fitted: FitResult
    """Its history is that of all rounds; each round has a loss of its own."""
    trust: Trust
    structures: list[Atoms]
    """Those fitted to, with their last weights."""
    validation: list[Atoms]
    witness: Witness | None = None
    """The same without the structures of ``validation``, where the fit knows these as well."""


def robust_fit(
    potential: Potential,
    structures: Sequence[Atoms],
    *,
    trust: Trust,
    validation: Sequence[Atoms] = (),
    starts: int = 1,
    **options: Any,
) -> RobustFit:
    """:func:`mentor.fit.fit` in rounds between which labels are weighed anew.

    Parameters
    ----------
    trust
        Weights to begin with.
    """
    history: tuple = ()
    judged = Trust.full(len(validation))
    for number in range(_ROUNDS):
        weighted = with_terms(structures, trust.energy, trust.force, trust.stress)
        held = with_terms(validation, judged.energy, judged.force, judged.stress)
        fitted = fit(
            potential, weighted, validation=held, starts=starts if number == 0 else 1, **options
        )
        potential = fitted.potential
        before = len(history)
        own = fitted.history if number == 0 else fitted.history[1:]
        history += tuple(replace(each, number=before + k) for k, each in enumerate(own))
        if number < _ROUNDS - 1:
            trust = Trust.of(compare(potential, structures))
            judged = Trust.of(compare(potential, validation)) if len(validation) else judged
    return RobustFit(replace(fitted, history=history), trust, weighted, held)


def downweight(scores: np.ndarray) -> np.ndarray:
    """Weights of labels with these scores; 1 where there is none."""
    scores = np.abs(np.nan_to_num(scores, nan=0.0, posinf=np.inf))
    return np.where(scores > END, 0.0, (KNEE / np.maximum(scores, KNEE)) ** _POWER)
