"""From labels to the next generation: errors, refit, active set, selection."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from mentor.active import build_active_set, select_structures
from mentor.fit import fit
from mentor.learning.history import Errors
from mentor.learning.settings import RefitSettings, SelectionSettings
from mentor.potential import Potential
from mentor.structures import labels, neighbourhoods
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
    potential: Potential,
    structures: Sequence[Atoms],
    settings: RefitSettings,
    selection: SelectionSettings,
    iterations: int,
) -> Potential:
    """Fit ``potential`` to ``structures``, beginning where it is, and give it an active set."""
    raise NotImplementedError
