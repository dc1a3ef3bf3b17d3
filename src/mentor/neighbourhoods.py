"""Neighbour lists as values: all pairs of atoms nearer than the cutoff."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from mentor.exceptions import InputError
from mentor.kernel import neighbour_list

_FLAT = 1e-9  # |det| over the product of the lengths of linearly dependent cell vectors


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """Neighbours of all atoms of S structures: N atoms and P directed pairs, concatenated."""

    types: np.ndarray
    """Index of each atom's element, shape (N,) int32."""
    structure_offsets: np.ndarray
    """Atoms of structure s are ``structure_offsets[s] : structure_offsets[s + 1]``;
    shape (S+1,) int64."""
    offsets: np.ndarray
    """Pairs of atom i are ``offsets[i] : offsets[i + 1]``, shape (N+1,) int64."""
    neighbours: np.ndarray
    """Index j of each pair's neighbour in the same concatenation, shape (P,) int32."""
    displacements: np.ndarray
    """r_ij = x_j − x_i in Å with |r_ij| < cutoff, periodic images included, shape (P, 3)."""

    @property
    def structure_count(self) -> int:
        """S."""
        return len(self.structure_offsets) - 1

    @property
    def atom_counts(self) -> np.ndarray:
        """Atoms of each structure, shape (S,)."""
        return np.diff(self.structure_offsets)

    def part(self, start: int, stop: int) -> "Neighbourhoods":
        """The neighbourhoods of structures ``start`` to ``stop − 1``."""
        first, last = self.structure_offsets[start], self.structure_offsets[stop]
        pairs = slice(self.offsets[first], self.offsets[last])
        return Neighbourhoods(
            types=self.types[first:last],
            structure_offsets=self.structure_offsets[start : stop + 1] - first,
            offsets=self.offsets[first : last + 1] - self.offsets[first],
            neighbours=self.neighbours[pairs] - np.int32(first),
            displacements=self.displacements[pairs],
        )


def neighbourhoods(
    structures: Atoms | Sequence[Atoms], cutoff: float, elements: Sequence[str] | None
) -> Neighbourhoods:
    """Neighbour list of one or many structures, in the order and numbering of their atoms.

    Parameters
    ----------
    structures
        Molecules, wires, slabs and crystals in any mixture; cells may be shorter than ``cutoff``.
    cutoff
        Radius in Å; pairs at r < cutoff are listed.
    elements
        Chemical symbols of the types 0, 1, …

    Raises
    ------
    InputError
        Unknown species, a flat periodic cell, or positions that are not finite.
    """
    if isinstance(structures, Atoms):
        structures = [structures]
    type_of = _type_table(_checked_elements(elements))
    types = type_of[_concatenated([atoms.arrays["numbers"] for atoms in structures], int)]
    if types.min(initial=0) < 0:
        for index, atoms in enumerate(structures):
            if type_of[atoms.numbers].min(initial=0) < 0:
                raise InputError(f"structure {index} {unknown_species(atoms, elements)}")
    return Neighbourhoods(types, *find_pairs(structures, cutoff))


def find_pairs(
    structures: Sequence[Atoms], cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``structure_offsets``, ``offsets``, ``neighbours``, ``displacements`` of structures."""
    structure_offsets = np.array([0, *accumulate(map(len, structures))])
    positions = _concatenated([atoms.arrays["positions"] for atoms in structures], (float, 3))
    cells = np.array([atoms.cell.array for atoms in structures]).reshape(-1, 3, 3)
    pbc = np.array([atoms.pbc for atoms in structures], bool).reshape(-1, 3)
    try:
        return structure_offsets, *neighbour_list(positions, cells, pbc, structure_offsets, cutoff)
    except ValueError:
        for index, atoms in enumerate(structures):
            try:
                search_cell(atoms)
                if not np.isfinite(atoms.positions).all():
                    raise InputError(not_finite(atoms))
            except InputError as error:
                raise InputError(f"structure {index}: {error}") from None
        raise


def _concatenated(arrays: list[np.ndarray], dtype: Any) -> np.ndarray:
    """All of ``arrays``, also where there are none."""
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype)


def search_cell(atoms: Atoms) -> np.ndarray:
    """The cell, with unit vectors normal to the periodic ones where the structure does not repeat.

    Raises :class:`InputError` where the periodic vectors are not finite or not independent.
    """
    pbc = atoms.pbc
    if not pbc.any():
        return np.eye(3)
    cell = atoms.cell.array
    if not np.isfinite(cell).all():
        raise InputError("the cell contains values that are not finite numbers; repair the cell")
    if not pbc.all():
        periodic = cell[pbc]
        cell = cell.copy()
        cell[~pbc] = np.linalg.svd(periodic)[2][len(periodic) :]
    if abs(np.linalg.det(cell)) <= _FLAT * np.prod(np.linalg.norm(cell, axis=1)):
        raise InputError(
            "the periodic cell vectors are zero or lie in one plane; "
            "give a cell with a volume or turn pbc off"
        )
    return cell


def _checked_elements(elements: Sequence[str] | None) -> tuple[str, ...]:
    if not elements:
        raise InputError(
            "the potential does not name its elements; give them in the order of its types, "
            "for example elements=['Ag', 'Pd']"
        )
    return tuple(elements)


@lru_cache(maxsize=64)
def _type_table(elements: tuple[str, ...]) -> np.ndarray:
    """Type of each atomic number, −1 where it is none of ``elements``."""
    table = np.full(len(chemical_symbols), -1, np.int32)
    for index, symbol in enumerate(elements):
        if symbol not in atomic_numbers:
            raise InputError(f"elements: {symbol!r} is no chemical symbol")
        table[atomic_numbers[symbol]] = index
    return table


def unknown_species(atoms: Atoms, elements: Sequence[str] | None) -> str:
    """What to say of a structure with atoms that are none of ``elements``."""
    unknown = sorted(set(atoms.get_chemical_symbols()) - set(elements or ()))
    return (
        f"contains {', '.join(unknown)}, which is not among the elements "
        f"{', '.join(elements or ())}; leave it out or name all elements"
    )


def not_finite(atoms: Atoms) -> str:
    """What to say of a structure with NaN or infinity among its positions."""
    atom = int(np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))[0])
    return (
        f"atom {atom} ({atoms.symbols[atom]}) has a position that is not a finite number; "
        "repair or remove the structure"
    )
