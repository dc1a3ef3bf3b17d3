"""A potential beside the labels of structures, and how unusual each difference is.

How well a small potential does differs from structure to structure: where forces are large or badly
met, energies are so too. So every difference is measured in units of what is usual for structures
like it,

    σ_E² = a² + b² N |ΔF|² + c² N      (|ΔF| root mean square of the structure's force errors),
    σ_F² = a² + b² |F|²                (|F| that of the predicted forces),

with a, b, c by maximum likelihood of Student's t distribution, which outliers do not move.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase import Atoms
from scipy.optimize import minimize

from mentor.evaluation import batches
from mentor.neighbourhoods import neighbourhoods
from mentor.potential import Potential
from mentor.structures import labels

_FREEDOM = 4.0  # degrees of freedom of the t distribution
_NOTHING, _ZERO = 1e-6, 1e-3  # eV or eV/Å; part of the median: what is zero by symmetry is below
_FLOOR = 0.3  # part of the median scale below which no scale falls
_NORMAL = 1.4826  # standard deviation of normal numbers in units of their median |x|


@dataclass(frozen=True, eq=False)
class Comparison:
    """Labels and predictions of S structures with N atoms in total; NaN where there is no label."""

    counts: np.ndarray
    """Atoms of each structure, shape (S,)."""
    volumes: np.ndarray
    """Å³, NaN where there is none, shape (S,)."""
    energies: np.ndarray
    """eV, labels and predictions, shape (2, S)."""
    forces: np.ndarray
    """eV/Å, shape (2, N, 3)."""
    virials: np.ndarray
    """eV, shape (2, S, 6)."""

    @property
    def energy_errors(self) -> np.ndarray:
        """Prediction minus label, eV, shape (S,)."""
        return self.energies[1] - self.energies[0]

    @cached_property
    def force_errors(self) -> np.ndarray:
        """Root mean square of the force errors of each structure, eV/Å, shape (S,)."""
        return self.per_structure(self.forces[1] - self.forces[0])

    @cached_property
    def virial_errors(self) -> np.ndarray:
        """Root mean square of the virial errors of each structure, eV, shape (S,)."""
        return np.sqrt(np.mean((self.virials[1] - self.virials[0]) ** 2, axis=1))

    @cached_property
    def predicted_forces(self) -> np.ndarray:
        """Root mean square of the predicted forces of each structure, eV/Å, shape (S,)."""
        return self.per_structure(self.forces[1])

    def per_structure(self, vectors: np.ndarray) -> np.ndarray:
        """Root mean square of the components of ``vectors`` (N, 3) in each structure, (S,)."""
        starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        return np.sqrt(np.add.reduceat((vectors**2).sum(axis=1), starts) / (3 * self.counts))

    def largest(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Largest of ``values`` (N,) in each structure, and the number of its atom; both (S,)."""
        parts = np.split(values, np.cumsum(self.counts)[:-1])
        return np.array([each.max() for each in parts]), np.array([each.argmax() for each in parts])

    @cached_property
    def energy_scores(self) -> np.ndarray:
        """Energy errors in units of what is usual, shape (S,); NaN where there is no label."""
        return self.energy_errors / self.energy_scales

    @cached_property
    def energy_scales(self) -> np.ndarray:
        """σ_E, eV, shape (S,)."""
        known = np.isfinite(self.energy_errors)
        forces = np.where(np.isfinite(self.force_errors), self.force_errors, 0.0)
        N = self.counts.astype(float)
        terms = np.array([np.ones(len(N)), N * forces**2, N])
        return _scales(self.energy_errors[known], terms[:, known], terms)

    @cached_property
    def force_scores(self) -> np.ndarray:
        """Force errors in units of what is usual, shape (S,); NaN where there are no labels."""
        return self.force_errors / self.force_scales

    @cached_property
    def force_scales(self) -> np.ndarray:
        """σ_F, eV/Å, shape (S,)."""
        return _of_size(self.force_errors, self.predicted_forces)

    @cached_property
    def virial_scores(self) -> np.ndarray:
        """Virial errors in units of what is usual, shape (S,); NaN where there is no label."""
        return self.virial_errors / self.virial_scales

    @cached_property
    def virial_scales(self) -> np.ndarray:
        """σ_W, eV, shape (S,)."""
        size = np.sqrt(np.mean(self.virials[1] ** 2, axis=1)) / self.counts
        return self.counts * _of_size(self.virial_errors / self.counts, size)


def compare(potential: Potential, structures: Sequence[Atoms]) -> Comparison:
    """What ``potential`` says of labelled ``structures`` beside their labels."""
    energies, forces, virials = [], [], []
    for batch in batches(structures):
        nb = neighbourhoods(batch, potential.max_dist, potential.elements)
        result = potential.kernel.evaluate(nb)
        energies.append(result.energies)
        forces.append(result.forces)
        virials.append(result.virials)
    known = [labels(atoms) for atoms in structures]
    nothing = [np.full((len(atoms), 3), np.nan) for atoms in structures]
    return Comparison(
        counts=np.array([len(atoms) for atoms in structures]),
        volumes=np.array([_volume(atoms) for atoms in structures]),
        energies=np.array(
            [
                [np.nan if each.energy is None else each.energy for each in known],
                np.concatenate(energies),
            ]
        ),
        forces=np.array(
            [
                np.concatenate(
                    [
                        none if each.forces is None else each.forces
                        for each, none in zip(known, nothing, strict=True)
                    ]
                ),
                np.concatenate(forces),
            ]
        ),
        virials=np.array(
            [
                [np.full(6, np.nan) if each.virial is None else each.virial for each in known],
                np.concatenate(virials),
            ]
        ),
    )


def _volume(atoms: Atoms) -> float:
    return atoms.get_volume() if atoms.cell.rank == 3 else np.nan


def spread(values: np.ndarray) -> float:
    """Robust standard deviation about zero of finite ``values``; 0 of none."""
    values = np.abs(values[np.isfinite(values)])
    return _NORMAL * float(np.median(values)) if len(values) else 0.0


def not_zero(sizes: np.ndarray) -> np.ndarray:
    """Which of ``sizes`` (S,) are known and not zero by symmetry."""
    some = np.nan_to_num(sizes) > _NOTHING
    return some & (sizes > _ZERO * np.median(sizes[some])) if some.any() else some


def typical(sizes: np.ndarray) -> float:
    """Median of ``sizes`` that are not zero by symmetry; 0 of none."""
    some = not_zero(sizes)
    return float(np.median(sizes[some])) if some.any() else 0.0


def _scales(errors: np.ndarray, terms: np.ndarray, everywhere: np.ndarray) -> np.ndarray:
    """σ = √(Σ_k a_k² terms_k) of ``errors`` (n,), for ``everywhere`` (k, S), shape (S,)."""
    usual = spread(errors)
    if usual == 0.0:
        return np.full(everywhere.shape[1], np.inf)
    sizes = np.maximum(np.median(terms, axis=1), 1e-300)

    def surprise(logarithms: np.ndarray) -> float:
        variances = np.exp(np.clip(logarithms, -30, 30)) @ (terms / sizes[:, None])
        squares = (errors / usual) ** 2 / variances
        return float(
            np.sum(np.log(variances) + (_FREEDOM + 1) * np.log1p(squares / _FREEDOM)) / len(errors)
        )

    starts = [np.log(np.roll([1.0, 0.1, 0.1], shift)[: len(terms)]) for shift in range(len(terms))]
    found = min((minimize(surprise, x, method="Nelder-Mead") for x in starts), key=lambda x: x.fun)
    scales = usual * np.sqrt(np.exp(np.clip(found.x, -30, 30)) @ (everywhere / sizes[:, None]))
    own = usual * np.sqrt(np.exp(np.clip(found.x, -30, 30)) @ (terms / sizes[:, None]))
    return scales * spread(errors / own)


def _of_size(errors: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """σ = √(a² + b² size²) of ``errors`` (S,), NaN where unknown; shape (S,).

    Errors that symmetry makes zero say nothing about the others.
    """
    known = not_zero(errors)
    if not known.any():
        return np.full(len(errors), np.inf)
    terms = np.array([np.ones(len(errors)), sizes**2])
    scales = _scales(errors[known], terms[:, known], terms)
    return np.maximum(scales, _FLOOR * np.median(scales[known]))
