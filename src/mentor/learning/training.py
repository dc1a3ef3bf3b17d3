"""From labels to the next generation: errors, refit, active set, selection."""

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from ase import Atoms

from mentor.active import build_active_set, select_structures
from mentor.fit import fit, posterior
from mentor.learning.history import Errors
from mentor.learning.settings import RefitSettings, SelectionSettings
from mentor.neighbourhoods import neighbourhoods
from mentor.potential import Potential
from mentor.structures import labels
from mentor.uncertainty import Posterior
from mentor.units import GPA

OPERATIONS_PER_THREAD = 2e10


def predictions(
    potential: Potential, structures: Sequence[Atoms]
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Energies (S,) in eV, forces (N, 3) each in eV/Å, and virials (S, 6) in eV."""
    nb = neighbourhoods(list(structures), potential.max_dist, potential.elements)
    evaluation = potential.kernel.evaluate(nb, forces=True, virial=True)
    forces = np.split(evaluation.forces, nb.structure_offsets[1:-1])
    return evaluation.energies, forces, evaluation.virials


def errors(potential: Potential, structures: Sequence[Atoms]) -> Errors | None:
    """Errors of ``potential`` on labelled ``structures``; None where there are none."""
    if not structures:
        return None
    energies, forces, virials = predictions(potential, structures)
    known = [labels(atoms) for atoms in structures]
    energy, force, stress = [], [], []
    for atoms, label, E, F, W in zip(structures, known, energies, forces, virials, strict=True):
        if label.energy is not None:
            energy.append((E - label.energy) / len(atoms))
        if label.forces is not None:
            force.append((F - label.forces).ravel())
        if label.virial is not None:
            stress.append((W - label.virial) / atoms.get_volume() / GPA)
    return Errors(
        structures=len(structures),
        energy_mae=_mae(energy),
        energy_rmse=_rmse(energy),
        force_mae=_mae(force),
        force_rmse=_rmse(force),
        stress_rmse=_rmse(stress),
    )


def _mae(values: list) -> float | None:
    return float(np.mean(np.abs(np.hstack(values)))) if values else None


def _rmse(values: list) -> float | None:
    return float(np.sqrt(np.mean(np.hstack(values) ** 2))) if values else None


def next_generation(
    potential: Potential,
    structures: Sequence[Atoms],
    fitting: RefitSettings,
    selection: SelectionSettings,
    iterations: int,
) -> Potential:
    """``potential`` fitted to ``structures``, beginning where it is, with their active set.

    With ``iterations`` = 0 only the active set is new.
    """
    if iterations:
        potential = fit(
            potential.with_core_below(structures),
            structures,
            energy_weight=fitting.energy_weight,
            force_weight=fitting.force_weight,
            stress_weight=fitting.stress_weight,
            max_iterations=iterations,
        ).potential
    active_set = build_active_set(potential, structures, selection.mode)
    return replace(potential, active_set=active_set)


def posterior_of(
    potential: Potential,
    structures: Sequence[Atoms],
    fitting: RefitSettings,
    validation: Sequence[Atoms],
) -> Posterior:
    """The posterior of ``potential``, fitted to ``structures``, calibrated on both sets."""
    return posterior(
        potential,
        structures,
        energy_weight=fitting.energy_weight,
        force_weight=fitting.force_weight,
        stress_weight=fitting.stress_weight,
        validation=validation,
    )


def select(
    potential: Potential,
    known: Sequence[Atoms],
    candidates: Sequence[Atoms],
    settings: SelectionSettings,
    limit: int,
) -> list[Atoms]:
    """The candidates most worth a label, beside the structures ``known``.

    The bar is ``along``, not ``threshold``: see docs/decisions/0005-labels-along.md.
    """
    return select_structures(
        potential, known, candidates, threshold=settings.along, limit=limit, mode=settings.mode
    )


def threads_for(potential: Potential, structures: Sequence[Atoms]) -> int:
    """Threads that pay for linear algebra with all rows of ``structures``.

    Small problems are slower with many threads, much slower where other programs run as well.
    """
    rows = sum(3 * len(atoms) + 7 for atoms in structures)
    operations = 2.0 * rows * potential.parameter_count**2
    return int(min(max(1.0, operations / OPERATIONS_PER_THREAD), os.cpu_count() or 1))
