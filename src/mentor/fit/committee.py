"""A committee of potentials, and what it teaches a single one where labels are few.

With hardly more labels than parameters a fit has many minima, and what each of them says between
the labels is to a good part its own. The mean of several fits, begun at different coefficients,
errs much less than any of them, but takes as long as all together. So it teaches a single
potential (distillation: Hinton, Vinyals & Dean, arXiv:1503.02531 (2015)): molecular dynamics on the
mean makes as many structures like the labelled ones as the potential has to know, and that is
fitted to what the mean says of them.

The labelled structures themselves tell how hot they are. With H the second derivatives of the
energy,

    k_B T = ⟨|F|²⟩ / ⟨tr H⟩

holds in every canonical ensemble (Rugh, Phys. Rev. Lett. 78, 772 (1997)); tr H is the mean of vᵀHv
over vectors v of random signs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes

from mentor import integrator, progress
from mentor.evaluation import batches
from mentor.fit.survey import label_count
from mentor.integrator import Ensemble
from mentor.neighbourhoods import neighbourhoods
from mentor.potential import Potential
from mentor.structures import labels, with_labels
from mentor.units import KB

LABELS = 12.0
"""Labels per parameter that the taught potential is given."""

COLDEST, HOTTEST = 300.0, 3000.0
"""Temperatures (K) between which structures are made, whatever the labelled ones are."""

FRICTION = 0.01  # 1/fs
STEPS = 20
"""Time steps between two structures; one of √m fs, m being the lightest mass in amu."""

_PROBES = 4  # random vectors per structure
_SHIFT = 0.01  # Å
_LEAST_LIMIT = 0.5  # eV/Å


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a committee taught."""

    members: tuple[Potential, ...]
    structures: int
    temperature: float
    """Of the molecular dynamics, K."""
    disagreement: float
    """Root mean square of what members' force components differ from their mean by, eV/Å."""

    def as_dict(self) -> dict[str, Any]:
        """The fields under names with units."""
        return {
            "members": len(self.members),
            "structures": self.structures,
            "temperature_K": self.temperature,
            "disagreement_eV_per_Å": self.disagreement,
        }

    def __str__(self) -> str:
        return (
            f"taught by a committee of {len(self.members)} on {self.structures} structures at "
            f"{self.temperature:.0f} K, where its members' forces differ from their mean by "
            f"{self.disagreement:.3g} eV/Å"
        )


@dataclass(frozen=True, eq=False)
class Opinion:
    """The mean of a committee for S structures with N atoms, concatenated."""

    energies: np.ndarray
    """eV, shape (S,)."""
    forces: np.ndarray
    """eV/Å, shape (N, 3)."""
    virials: np.ndarray
    """eV, shape (S, 6)."""
    spread: np.ndarray
    """Mean square of what the members' forces differ from it by, (eV/Å)², shape (N, 3)."""


@dataclass(frozen=True, eq=False)
class Committee:
    """Potentials of the same elements and cutoff, none better than the others."""

    members: tuple[Potential, ...]

    def opinion(self, structures: Sequence[Atoms]) -> Opinion:
        """What the members say of some structures, in one go."""
        first = self.members[0]
        nb = neighbourhoods(list(structures), first.max_dist, first.elements)
        said = [member.kernel.evaluate(nb) for member in self.members]
        forces = np.array([each.forces for each in said])
        return Opinion(
            energies=np.mean([each.energies for each in said], axis=0),
            forces=forces.mean(axis=0),
            virials=np.mean([each.virials for each in said], axis=0),
            spread=forces.var(axis=0),
        )

    def lesson(self, structures: Sequence[Atoms], seed: int) -> tuple[list[Atoms], Lesson]:
        """The labelled ``structures`` and many like them, with what the committee says of them.

        There are stresses among these labels where there are some among those of ``structures``.
        """
        temperature = self.temperature(structures, np.random.default_rng(seed))
        parameters = self.members[0].with_own_moments().parameter_count
        met = self.explored(structures, temperature, _counts(parameters, structures), seed)
        stresses = any(labels(atoms).virial is not None for atoms in structures)
        known, disagreement = self.labelled([*structures, *met], stresses)
        return known, Lesson(self.members, len(known), temperature, disagreement)

    def labelled(self, structures: Sequence[Atoms], stresses: bool) -> tuple[list[Atoms], float]:
        """Copies of ``structures`` labelled with the mean, and the members' disagreement, eV/Å."""
        found, spreads = [], []
        for batch in batches(structures):
            mean = self.opinion(batch)
            ends = np.cumsum([len(atoms) for atoms in batch])[:-1]
            spreads.append(mean.spread)
            forces = np.split(mean.forces, ends)
            every = zip(batch, mean.energies, forces, mean.virials, strict=True)
            for atoms, energy, own, virial in every:
                known = virial if stresses and atoms.cell.rank == 3 else None
                found.append(with_labels(atoms, float(energy), own, virial=known))
        return found, float(np.sqrt(np.mean(np.concatenate(spreads))))

    def temperature(self, structures: Sequence[Atoms], rng: np.random.Generator) -> float:
        """That of the labelled ``structures``, K, within :data:`COLDEST` and :data:`HOTTEST`."""
        squares = curvature = 0.0
        for batch in batches(structures):
            ends = np.cumsum([len(atoms) for atoms in batch])[:-1]
            own = np.split(self.opinion(batch).forces, ends)
            for atoms, forces in zip(batch, own, strict=True):
                known = labels(atoms).forces
                squares += float(np.sum((forces if known is None else known) ** 2))
            for _ in range(_PROBES):
                signs = [rng.choice([-1.0, 1.0], (len(atoms), 3)) for atoms in batch]
                pushed = [
                    self.opinion(_shifted(batch, signs, side * _SHIFT)).forces for side in (1, -1)
                ]
                change = (pushed[1] - pushed[0]) * np.concatenate(signs)
                curvature += float(change.sum()) / (2 * _SHIFT * _PROBES)
        found = squares / (KB * curvature) if curvature > 0 else HOTTEST
        return float(np.clip(found, COLDEST, HOTTEST))

    def explored(
        self, structures: Sequence[Atoms], temperature: float, counts: Sequence[int], seed: int
    ) -> list[Atoms]:
        """What molecular dynamics on the mean meets from each of ``structures`` on.

        It ends early where the members differ as much as forces in ``structures`` are large: there
        the mean knows nothing.

        Parameters
        ----------
        temperature
            K.
        counts
            How many to make from each of them.
        seed
            Of velocities and thermostat.
        """
        limit = max(_usual(structures), _LEAST_LIMIT)
        found = []
        with progress.task("structures for the committee", sum(counts)) as task:
            for number, (given, count) in enumerate(zip(structures, counts, strict=True)):
                rng = np.random.default_rng((seed, number))
                found += list(self._met(given, temperature, count, limit, rng))
                task.advance(count)
        return found

    def _met(
        self, given: Atoms, temperature: float, count: int, limit: float, rng: np.random.Generator
    ) -> Iterator[Atoms]:
        atoms = with_labels(given)
        atoms.calc = mean = _Mean(self)
        atoms.set_constraint()
        integrator.thermalise(atoms, temperature, rng)
        lightest = float(atoms.get_masses().min())
        ensemble = Ensemble(
            temperature=temperature, timestep=sqrt(max(lightest, 1.0)), friction=FRICTION
        )
        for step in integrator.run(atoms, ensemble, rng, count * STEPS):
            if not mean.disagreement <= limit:
                return
            if step % STEPS == 0:
                copy = with_labels(atoms)
                copy.arrays.pop("momenta")
                yield copy


class _Mean(AseCalculator):
    """The mean energy and forces of a committee, for the integrator."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, committee: Committee) -> None:
        super().__init__()
        self.committee = committee
        self.disagreement = 0.0
        """Largest difference of a member's force from the mean, root mean square, eV/Å."""

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute both (called by ASE)."""
        super().calculate(atoms, properties, system_changes)
        mean = self.committee.opinion([self.atoms])
        self.disagreement = float(np.sqrt(mean.spread.sum(axis=1).max(initial=0.0)))
        self.results = {"energy": float(mean.energies[0]), "forces": mean.forces}


def _counts(parameters: int, structures: Sequence[Atoms]) -> list[int]:
    """How many structures to make from each one, so that the labels suffice for the parameters."""
    known = sum(map(label_count, structures))
    each = ceil(LABELS * parameters / max(known, 1))
    return [each if len(atoms) > 1 else 0 for atoms in structures]


def _shifted(batch: Sequence[Atoms], signs: Sequence[np.ndarray], by: float) -> list[Atoms]:
    moved = []
    for atoms, own in zip(batch, signs, strict=True):
        copy = atoms.copy()
        copy.positions += by * own
        moved.append(copy)
    return moved


def _usual(structures: Sequence[Atoms]) -> float:
    """Root mean square of the forces known, eV/Å."""
    known = [each for atoms in structures if (each := labels(atoms).forces) is not None]
    return float(np.sqrt(np.mean(np.sum(np.concatenate(known) ** 2, axis=1)))) if known else 0.0
