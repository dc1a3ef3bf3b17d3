"""A small potential that judges labels: fitted in seconds, and not pulled by the wrong ones.

Most structures of a set are labelled consistently, so a small Moment Tensor Potential learns from
them roughly what energy, forces and stress any of them must have. It grows until an error of 1 eV
or forces in another unit would stand out in most structures, or it is as large as pays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mentor import potential as potentials
from mentor import progress
from mentor.fit.comparison import Comparison, compare, spread, typical
from mentor.fit.fitting import fit
from mentor.fit.robust import Trust, downweight
from mentor.fit.weighing import with_terms
from mentor.neighbourhoods import neighbourhoods
from mentor.potential import Potential
from mentor.short_range import CLOSER
from mentor.structures import compositions, labels, shortest_distances

LEVELS = (8, 12, 16)
"""Levels of the potential, from the first to the last that is tried."""
FEWEST = 10
"""Structures with energies below which nothing can be said."""

_ITERATIONS, _ROUNDS = 4, 3
_RADIAL_BASIS_SIZE = 8
_SIZES = ((4, 3), (6, 4))  # levels and sizes of the radial basis where there are few labels
_LABELS = 4  # per parameter, at least
_ENERGIES, _ATOMS = 2000, 8000  # structures fitted to and atoms in them, at most
_FORCES = 100  # force components fitted to per parameter, at most
_SEEN = 10.0  # an error of 1 eV should be so many times the usual
_LEAST = 1e-3  # weight of energies at first
_RELATIVE = 0.12  # error of forces
_FORCE_WEIGHT = 0.01  # Å², where forces are of the order of ...
_FORCE = 0.3  # eV/Å


@dataclass(frozen=True, eq=False)
class Probe:
    """The potential and what it says of the structures."""

    potential: Potential
    comparison: Comparison


def probe(structures: Sequence[Atoms], elements: Sequence[str], cutoff: float) -> Probe | None:
    """Fit and compare; None where there are too few labels.

    Parameters
    ----------
    structures
        Without pairs of atoms that are absurdly close.
    """
    known = [labels(atoms) for atoms in structures]
    energies = np.array([np.nan if each.energy is None else each.energy for each in known])
    if np.count_nonzero(np.isfinite(energies)) < FEWEST:
        return None
    sizes = _force_sizes(known)
    count = np.count_nonzero(np.isfinite(energies)) + sum(
        0 if each.forces is None else each.forces.size for each in known
    )
    most = _ATOMS / np.mean([len(atoms) for atoms in structures])
    part = _part(len(structures), int(min(_ENERGIES, max(FEWEST, most))))
    shortest = _shortest(structures, cutoff)
    best = None
    levels = [(level, _RADIAL_BASIS_SIZE) for level in LEVELS]
    with progress.task("check the labels", len(levels) * _ROUNDS) as task:
        for level, size in [*_SIZES, *levels]:
            start = _untrained(level, size, elements, cutoff, shortest)
            if _LABELS * start.parameter_count > count and level > _SIZES[0][0]:
                break
            larger = _LABELS * start.parameter_count
            if (level, size) in _SIZES and larger < count:
                continue
            best = _fitted(start, structures, part, energies, sizes, task)
            if _sees(best.comparison):
                break
    return best


def small_potential(
    structures: Sequence[Atoms], elements: Sequence[str], cutoff: float
) -> Potential:
    """The untrained potential that a probe of few structures starts from."""
    return _untrained(*_SIZES[-1], elements, cutoff, _shortest(structures, cutoff))


def _shortest(structures: Sequence[Atoms], cutoff: float) -> float:
    return min(shortest_distances(structures, cutoff).values(), default=0.5 * cutoff)


def _untrained(
    level: int, size: int, elements: Sequence[str], cutoff: float, shortest: float
) -> Potential:
    return potentials.init(
        level=level,
        elements=tuple(elements),
        cutoff=cutoff,
        min_dist=CLOSER * shortest,
        radial_basis_size=size,
        core=False,
    )


def _fitted(
    potential: Potential,
    structures: Sequence[Atoms],
    part: np.ndarray,
    energies: np.ndarray,
    sizes: np.ndarray,
    task: progress.Task,
) -> Probe:
    """``potential`` after some rounds of fitting and weighing."""
    chosen = [structures[s] for s in part]
    usual = typical(sizes)
    factor = _FORCE_WEIGHT * max(1.0, (_FORCE / usual) ** 2) if usual > 0 else _FORCE_WEIGHT
    mild = 1.0 / np.maximum(np.nan_to_num(sizes) / (2.0 * usual or 1.0), 1.0) ** 2
    with_forces = _with_forces(chosen, sizes[part], potential.parameter_count)
    unusual = np.maximum(downweight(_above_atoms(structures, energies)), _LEAST)
    trust = Trust(unusual, mild, np.zeros(len(structures)))
    order = np.argsort(~with_forces, kind="stable")  # those without forces need no Jacobian of them
    chosen, part, with_forces = [chosen[s] for s in order], part[order], with_forces[order]
    nb = neighbourhoods(chosen, potential.max_dist, potential.elements)
    for _ in range(_ROUNDS):
        weighted = with_terms(
            chosen, trust.energy[part], trust.force[part] * with_forces, np.zeros(len(part))
        )
        with progress.reporting(progress.Reporter()), np.errstate(over="ignore"):
            potential = fit(
                potential,
                weighted,
                energy_weight=1.0,
                force_weight=factor,
                stress_weight=0.0,
                weighting="molecules",
                max_iterations=_ITERATIONS,
                neighbours=nb,
            ).potential
        comparison = compare(potential, structures)
        trust = Trust.of(comparison)
        task.advance()
    return Probe(potential, comparison)


def _sees(comparison: Comparison) -> bool:
    """Whether an error of 1 eV or forces in another unit would stand out in most structures."""
    energies = np.quantile(comparison.energy_scales, 0.98) <= 1.0 / _SEEN
    forces = typical(comparison.force_errors) <= _RELATIVE * typical(comparison.predicted_forces)
    return bool(energies and forces)


def _part(count: int, most: int) -> np.ndarray:
    """At most ``most`` numbers below ``count``, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _with_forces(structures: Sequence[Atoms], sizes: np.ndarray, parameters: int) -> np.ndarray:
    """Which structures are fitted to by their forces, (S,) bool: as many as pay, evenly spread."""
    known = np.isfinite(sizes)
    components = 3 * np.array([len(atoms) for atoms in structures]) * known
    most = max(_FORCES * parameters, 10_000)
    stride = max(1.0, components.sum() / most)
    turn = np.floor(np.cumsum(known) / stride)
    return known & (np.diff(turn, prepend=-1) > 0)


def _force_sizes(known: Sequence) -> np.ndarray:
    """Root mean square force of each structure, eV/Å; NaN where there are none."""
    return np.array([np.nan if x.forces is None else np.sqrt(np.mean(x.forces**2)) for x in known])


def _above_atoms(structures: Sequence[Atoms], energies: np.ndarray) -> np.ndarray:
    """How unusual energies are above the best sum of one energy per element, shape (S,)."""
    known = np.isfinite(energies)
    rest = np.full(len(energies), np.nan)
    counts = compositions(structures)[known]
    N = counts.sum(axis=1)
    _, left = absolute_fit(counts / N[:, None], energies[known] / N)
    rest[known] = left * N
    return rest / (spread(rest) or 1.0)


def absolute_fit(columns: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients with the least sum of absolute differences, and values minus fit."""
    weights = np.ones(len(values))
    for _ in range(50):
        root = np.sqrt(weights)
        x = np.linalg.lstsq(columns * root[:, None], values * root, rcond=1e-10)[0]
        left = values - columns @ x
        weights = 1.0 / np.maximum(np.abs(left), 1e-4 * (spread(left) or 1.0))
    return x, left
