"""From labels to the next generation: errors, refit, active set, selection."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from ase import Atoms

from mentor.active import build_active_set, select_structures
from mentor.fit import fit
from mentor.learning.history import Errors
from mentor.learning.settings import RefitSettings, SelectionSettings
from mentor.neighbourhoods import neighbourhoods
from mentor.potential import Potential
from mentor.structures import labels
from mentor.units import GPA


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


def refit(
    potential: Potential, structures: Sequence[Atoms], settings: RefitSettings, iterations: int
) -> Potential:
    """Fit ``potential`` to ``structures``, beginning where it is."""
    return fit(
        potential,
        structures,
        energy_weight=settings.energy_weight,
        force_weight=settings.force_weight,
        stress_weight=settings.stress_weight,
        max_iterations=iterations,
    ).potential


def with_active_set(
    potential: Potential, structures: Sequence[Atoms], settings: SelectionSettings
) -> Potential:
    """``potential`` with the active set of ``structures``."""
    return replace(potential, active_set=build_active_set(potential, structures, settings.mode))


def select(
    potential: Potential,
    known: Sequence[Atoms],
    candidates: Sequence[Atoms],
    settings: SelectionSettings,
    limit: int,
) -> list[Atoms]:
    """The candidates and companions most worth a label."""
    return select_structures(
        potential, known, candidates, threshold=settings.along, limit=limit, mode=settings.mode
    )
