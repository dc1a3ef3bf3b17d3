"""Whether energies, forces and stresses of a whole set are in units that fit together.

A small potential fitted to forces alone says how much energies must vary. What all labels share
cannot be found by comparing them with each other.
"""

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from mentor import progress
from mentor.fit.comparison import Comparison, compare, spread
from mentor.fit.disagreement import STRESS_UNITS, unit_of
from mentor.fit.findings import Finding
from mentor.fit.fitting import fit
from mentor.fit.probe import absolute_fit
from mentor.fit.weighing import with_terms
from mentor.potential import Potential
from mentor.structures import compositions, labels

ENERGY_RATIOS = {
    "are energies in Ha": 1 / 27.2114,
    "are energies in Ry": 1 / 13.6057,
    "are energies in kcal/mol": 23.0605,
    "are energies in kJ/mol": 96.4853,
    "are forces per bohr": 1 / 0.529177,
    "are forces in Ha/bohr": 51.4221,
    "are forces in Ry/bohr": 25.7110,
    "are forces in kcal/mol/Å": 1 / 23.0605,
    "are forces in kJ/mol/Å": 1 / 96.4853,
}
"""How much energies vary beside what forces imply, in eV and eV/Å."""

_FEWEST, _MOST, _ATOMS, _ITERATIONS = 10, 150, 3000, 8
_EXPLAINED = 0.25  # part of the variation left unexplained up to which something can be said
_HARDLY = 1e-8  # weight of energies beside that of forces; absolute energies need some
_OTHER = 0.35  # difference of logarithms from which units differ


def energies_beside_forces(start: Potential, structures: Sequence[Atoms]) -> list[Finding]:
    """A finding where energies vary otherwise than forces imply.

    Parameters
    ----------
    start
        A small untrained potential.
    """
    chosen = _with_both(structures)
    if len(chosen) < _FEWEST:
        return []
    none = np.zeros(len(chosen))
    with progress.reporting(progress.Reporter()):
        fitted = fit(
            start,
            with_terms(chosen, none + _HARDLY, none + 1, none),
            energy_weight=1.0,
            force_weight=1.0,
            max_iterations=_ITERATIONS,
        ).potential
        comparison = compare(fitted, chosen)
    ratio = _ratio(comparison, compositions(chosen))
    if ratio is None or (ratio > 0 and abs(np.log(ratio)) <= _OTHER):
        return []
    what = f"energies vary {ratio:.3g} times as much between structures as forces imply"
    question = unit_of(ratio, ENERGY_RATIOS)
    if ratio < 0:
        what = "energies rise where forces say that they fall"
        question = "is the sign of the forces reversed"
    return [Finding(None, "all", "units", f"{what}; {question}?")] if question else []


def stresses_beside_energies(comparison: Comparison) -> list[Finding]:
    """A finding where all stresses are in another unit or have the other sign."""
    label, predicted = comparison.virials
    known = np.isfinite(label[:, 0])
    if np.count_nonzero(known) < _FEWEST:
        return []
    label, predicted = label[known].ravel(), predicted[known].ravel()
    (ratio,), left = absolute_fit(predicted[:, None], label)
    explained = spread(left) <= _EXPLAINED * spread(label)
    if not explained or (ratio > 0 and abs(np.log(ratio)) <= 2 * _OTHER):
        return []
    unit = unit_of(ratio, STRESS_UNITS)
    sign = "; is their sign reversed (ASE: positive under tension)?" if ratio < 0 else ""
    unit = f"; are they in {unit}?" if unit else ""
    what = f"stresses are {ratio:.3g} times what energies and forces imply{unit}{sign}"
    return [Finding(None, "all", "units", what)]


def _with_both(structures: Sequence[Atoms]) -> list[Atoms]:
    """Some structures, evenly spread, that have energy and forces."""
    both = [
        atoms
        for atoms in structures
        for known in [labels(atoms)]
        if known.energy is not None and known.forces is not None and known.forces.any()
    ]
    if not both:
        return []
    most = min(_MOST, max(_FEWEST, int(_ATOMS / np.mean([len(atoms) for atoms in both]))))
    return [both[i] for i in np.unique(np.linspace(0, len(both) - 1, most).astype(int))]


def _ratio(comparison: Comparison, counts: np.ndarray) -> float | None:
    """Energies beside the predicted ones, both less a sum over elements; None where unclear."""
    N = comparison.counts
    energies, predicted = comparison.energies / N
    _, varied = absolute_fit(counts / N[:, None], energies)
    columns = np.column_stack([counts / N[:, None], predicted])
    coefficients, left = absolute_fit(columns, energies)
    if spread(varied) == 0 or spread(left) > _EXPLAINED * spread(varied):
        return None
    return float(coefficients[-1])
