"""The loss of a fit.

    L = Σ_cfg w [ w_E (ΔE)²/N^p + w_F Σ_i |ΔF_i|² + w_S ‖ΔW‖²/N ],

Δ = potential minus label, N atoms, W the full 3 × 3 virial. Written as L = |r|², r the weighted
residuals: rows of missing labels are left out.
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from ase import Atoms

from mentor import parallel
from mentor.exceptions import InputError
from mentor.kernel import Kernel
from mentor.neighbourhoods import Neighbourhoods
from mentor.structures import labels

Weighting = Literal["vibrations", "molecules", "structures"]

POWERS = {"vibrations": 1, "molecules": 0, "structures": 2}
"""p of each weighting."""

VOIGT_COUNT = np.array([1, 1, 1, 2, 2, 2])
"""How often each Voigt component stands in the 3 × 3 tensor."""

WEIGHT = "weight"
"""Name in ``atoms.info`` of a configuration's weight w; 1 where it is absent."""

TERM_WEIGHTS = ("energy_weight", "force_weight", "stress_weight")
"""Names in ``atoms.info`` of factors of one of its terms; 1 where they are absent. Those of the
forces of each atom are in ``atoms.arrays["force_weight"]``, shape (N,)."""

BLOCKS, PARTS = 50, 10
"""Blocks of structures, of which one out of so many is set aside to judge."""

ROWS = 2048
"""Of the Jacobian held at a time: enough for products of matrices, few enough for little memory."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """w_E, w_F, w_S and the power of N in the energy term."""

    energy: float = 1.0
    force: float = 0.01
    stress: float = 0.001
    weighting: Weighting = "vibrations"


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Structures ready for the kernel, their labels and the square roots of the labels' weights.

    Labels that are missing are 0 and have weight 0.
    """

    neighbourhoods: Neighbourhoods
    energies: np.ndarray
    """eV, shape (S,)."""
    forces: np.ndarray
    """eV/Å, shape (N, 3)."""
    virials: np.ndarray
    """eV, shape (S, 6)."""
    energy_weights: np.ndarray
    """√(w w_E / N^p), shape (S,)."""
    force_weights: np.ndarray
    """√(w w_F) of each atom, shape (N,)."""
    virial_weights: np.ndarray
    """√(w w_S n / N), n = 2 off the diagonal, shape (S, 6)."""
    aside: np.ndarray
    """Whether a structure can judge what is fitted to the others, shape (S,): about a tenth, in
    blocks, since structures that follow each other may be alike."""
    others: parallel.Spread | None = None
    """The parts of the set that other processes hold; sums are over them as well."""

    def total(
        self,
        function: Callable[..., np.ndarray],
        *arguments: Any,
        together: parallel.Together = operator.add,
    ) -> np.ndarray:
        """``function(self, *arguments)`` ``together`` with those of other processes' structures."""
        if self.others is None:
            return function(self, *arguments)
        return self.others.total(together, function, self, *arguments)

    def part(self, start: int, stop: int) -> "LabelledSet":
        """Structures ``start`` to ``stop − 1``."""
        atoms = slice(*self.neighbourhoods.structure_offsets[[start, stop]])
        some = slice(start, stop)
        return LabelledSet(
            self.neighbourhoods.part(start, stop),
            self.energies[some],
            self.forces[atoms],
            self.virials[some],
            self.energy_weights[some],
            self.force_weights[atoms],
            self.virial_weights[some],
            self.aside[some],
        )

    @property
    def count(self) -> int:
        """Number of labels."""
        return int(self.total(_count)[0])

    @property
    def structure_count(self) -> int:
        """Number of structures."""
        return int(self.total(_structure_count)[0])

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """All numbers of the set."""
        nb = self.neighbourhoods
        return (
            *(nb.types, nb.structure_offsets, nb.offsets, nb.neighbours, nb.displacements),
            *(self.energies, self.forces, self.virials),
            *(self.energy_weights, self.force_weights, self.virial_weights),
        )

    def chunks(self, rows: int = ROWS) -> Iterator["LabelledSet"]:
        """Parts with about so many rows of the Jacobian, none smaller than a structure."""
        if self.neighbourhoods.structure_count == 0:
            return
        chunk = np.cumsum(3 * self.neighbourhoods.atom_counts + 7) // rows
        edges = np.flatnonzero(np.diff(chunk, prepend=-1, append=chunk[-1] + 1))
        for start, stop in pairwise(edges):
            yield self.part(int(start), int(stop))


@dataclass(frozen=True)
class Loss:
    """The loss and the errors behind it."""

    value: float
    energy_rmse: float
    """eV/atom; NaN where nothing has an energy."""
    force_rmse: float
    """eV/Å per component; NaN where nothing has forces."""
    virial_rmse: float
    """eV/atom per component of the 3 × 3 tensor; NaN where nothing has a stress."""

    def as_dict(self) -> dict[str, float]:
        """The fields under names with units."""
        return {
            "loss": self.value,
            "energy_rmse_eV_per_atom": self.energy_rmse,
            "force_rmse_eV_per_Å": self.force_rmse,
            "virial_rmse_eV_per_atom": self.virial_rmse,
        }


def labelled_set(
    structures: Sequence[Atoms], neighbourhoods: Neighbourhoods, weights: Weights
) -> LabelledSet:
    """Pair ``structures`` with their labels and weights.

    Raises
    ------
    InputError
        No structures, no energy in any of them, or a weight that is not a positive number.
    """
    if len(structures) == 0:
        raise InputError("the training set contains no structures; give at least one")
    counts = neighbourhoods.atom_counts
    known = [labels(atoms) for atoms in structures]
    if all(each.energy is None for each in known):
        raise InputError(
            f"none of the {len(structures)} structures has an energy; "
            "label them with a QM code first"
        )
    has = np.array(
        [
            [each.energy is not None, each.forces is not None, each.virial is not None]
            for each in known
        ]
    )
    own = np.array([_own_weights(s, atoms) for s, atoms in enumerate(structures)])
    of_atoms = np.concatenate([_atom_weights(s, atoms) for s, atoms in enumerate(structures)])
    w_energy, w_force, w_virial = (own * has).T
    return LabelledSet(
        neighbourhoods,
        energies=np.array([each.energy or 0.0 for each in known]),
        forces=np.concatenate(
            [
                np.zeros((n, 3)) if x.forces is None else x.forces
                for x, n in zip(known, counts, strict=True)
            ]
        ),
        virials=np.array([np.zeros(6) if each.virial is None else each.virial for each in known]),
        energy_weights=np.sqrt(w_energy * weights.energy / counts ** POWERS[weights.weighting]),
        force_weights=np.sqrt(np.repeat(w_force * weights.force, counts) * of_atoms),
        virial_weights=np.sqrt(np.outer(w_virial * weights.stress / counts, VOIGT_COUNT)),
        aside=aside(len(counts)),
    )


def aside(count: int) -> np.ndarray:
    """Which of ``count`` structures are set aside, shape (count,) bool."""
    return np.arange(count) * BLOCKS // count % PARTS == PARTS // 2


def spread(labelled: LabelledSet) -> LabelledSet:
    """``labelled`` on all processes of a team (:mod:`mentor.parallel`): the part of this one."""
    team = parallel.team()
    if team is None:
        return labelled
    nb = labelled.neighbourhoods
    work = nb.structure_offsets + nb.offsets[nb.structure_offsets]  # atoms and pairs so far
    edges = np.searchsorted(work, np.linspace(0, work[-1], team.size + 1))
    own, *others = [labelled.part(start, stop) for start, stop in pairwise(edges)]
    return replace(own, others=team.spread(others))


def _own_weights(number: int, atoms: Atoms) -> np.ndarray:
    """Factors of the energy, the forces and the stress of a structure, shape (3,)."""
    values = [_weight(number, name, atoms.info.get(name, 1.0)) for name in (WEIGHT, *TERM_WEIGHTS)]
    return values[0] * np.array(values[1:])


def _weight(number: int, name: str, value: Any) -> float:
    try:
        weight = float(value)
    except (TypeError, ValueError):
        weight = np.nan
    if not (weight >= 0 and np.isfinite(weight)):
        what = name.replace("_", " ")
        raise InputError(f"structure {number}: its {what} {value} must be a number ≥ 0")
    return weight


def _atom_weights(number: int, atoms: Atoms) -> np.ndarray:
    """Factors of the forces of each atom, shape (N,)."""
    name = TERM_WEIGHTS[1]
    if name not in atoms.arrays:
        return np.ones(len(atoms))
    values = np.asarray(atoms.arrays[name], float)
    if values.shape != (len(atoms),) or not np.all((values >= 0) & np.isfinite(values)):
        raise InputError(
            f"structure {number}: the force weights of its atoms must be one number ≥ 0 each"
        )
    return values


def loss(kernel: Kernel, labelled: LabelledSet) -> Loss:
    """Loss and root mean square errors of the potential behind ``kernel``."""
    value, *sums = labelled.total(_squares, kernel)
    energy, force, virial = (
        float(np.sqrt(square / count)) if count else np.nan
        for square, count in zip(sums[:3], sums[3:], strict=True)
    )
    return Loss(float(value), energy, force, virial)


def _squares(labelled: LabelledSet, kernel: Kernel) -> np.ndarray:
    """The loss; squared errors of energies, forces and virials; numbers of them; shape (7,)."""
    if labelled.neighbourhoods.structure_count == 0:
        return np.zeros(7)
    result = kernel.evaluate(
        labelled.neighbourhoods,
        forces=bool(labelled.force_weights.any()),
        virial=bool(labelled.virial_weights.any()),
    )
    counts = labelled.neighbourhoods.atom_counts
    energy = result.energies - labelled.energies
    value = np.sum((labelled.energy_weights * energy) ** 2)
    errors = [(energy / counts)[labelled.energy_weights > 0], np.zeros(0), np.zeros(0)]
    if result.forces is not None:
        force = result.forces - labelled.forces
        value += np.sum((labelled.force_weights[:, None] * force) ** 2)
        errors[1] = force[labelled.force_weights > 0]
    if result.virials is not None:
        virial = result.virials - labelled.virials
        value += np.sum((labelled.virial_weights * virial) ** 2)
        known = labelled.virial_weights[:, 0] > 0
        errors[2] = (virial * np.sqrt(VOIGT_COUNT / 1.5) / counts[:, None])[known]
    return np.array([value, *(np.sum(x**2) for x in errors), *(x.size for x in errors)], float)


def _count(labelled: LabelledSet) -> np.ndarray:
    """Number of labels, shape (1,)."""
    forces = 3 * np.count_nonzero(labelled.force_weights)
    others = (labelled.energy_weights, labelled.virial_weights)
    return np.array([forces + sum(map(np.count_nonzero, others))], float)


def _structure_count(labelled: LabelledSet) -> np.ndarray:
    """Number of structures, shape (1,)."""
    return np.array([labelled.neighbourhoods.structure_count])


def weighted_rows(kernel: Kernel, part: LabelledSet, columns: np.ndarray) -> np.ndarray:
    """Weighted rows [J, r] of the labels that exist, J the derivatives by some parameters."""
    w_energy, w_force, w_virial = part.energy_weights, part.force_weights, part.virial_weights
    rows = kernel.weighted_rows(
        part.neighbourhoods,
        energy_weights=w_energy,
        force_weights=w_force,
        virial_weights=w_virial,
        columns=columns,
        room=1,
    )
    now = kernel.evaluate(
        part.neighbourhoods, forces=bool(w_force.any()), virial=bool(w_virial.any())
    )
    residuals = [((part.energies - now.energies) * w_energy)[w_energy > 0]]
    if now.forces is not None:
        force = (part.forces - now.forces) * w_force[:, None]
        residuals.append(force[w_force > 0].ravel())
    if now.virials is not None:
        residuals.append(((part.virials - now.virials) * w_virial)[w_virial > 0])
    rows[:, -1] = np.concatenate(residuals)
    return rows
