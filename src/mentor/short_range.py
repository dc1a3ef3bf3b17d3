"""Radii of the short-range core, below which two atoms repel each other whatever was learned."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from ase.data import atomic_numbers, covalent_radii

CLOSER = 0.95
"""The core of a pair begins at this part of its shortest distance among the training structures."""
HELD = 0.925
"""Radial functions are never taken at a distance below this part of the core's radius."""
BONDED = 0.7
"""The core of a pair without data begins at this part of the sum of its covalent radii."""


def core_radii(
    elements: Sequence[str],
    limit: float,
    shortest: Mapping[tuple[str, str], float] | None = None,
    closer: float = CLOSER,
) -> np.ndarray:
    """Radius of the core of each pair of elements, Å, shape (C, C), symmetric.

    Parameters
    ----------
    limit
        None is larger, Å.
    shortest
        Distances of ``mentor.structures.shortest_distances``, of which the core takes the part
        ``closer``; for pairs that are not among them it is ``BONDED`` of their bond.
    """
    bond = np.array([covalent_radii[atomic_numbers[symbol]] for symbol in elements])
    radii = np.round(BONDED * (bond[:, None] + bond[None, :]), 3)
    for i, j, distance in _known(elements, shortest or {}):
        radii[i, j] = radii[j, i] = round(closer * distance, 3)
    return np.minimum(radii, limit)


def smaller_core(
    radii: np.ndarray, elements: Sequence[str], shortest: Mapping[tuple[str, str], float]
) -> np.ndarray:
    """``radii`` (C, C) that begin below the ``shortest`` distances of the pairs, Å."""
    radii = radii.copy()
    for i, j, distance in _known(elements, shortest):
        radii[i, j] = radii[j, i] = min(radii[i, j], round(CLOSER * distance, 3))
    return radii


def _known(
    elements: Sequence[str], shortest: Mapping[tuple[str, str], float]
) -> Iterator[tuple[int, int, float]]:
    """Species of each pair, and its shortest distance."""
    number = {symbol: species for species, symbol in enumerate(elements)}
    for (a, b), distance in shortest.items():
        if a in number and b in number:
            yield number[a], number[b], distance
