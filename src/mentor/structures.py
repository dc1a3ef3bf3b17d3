"""Structures: their neighbour lists, their labels, and the checks that catch unusable ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import vesin
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_numbers, chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress
from scipy.spatial import cKDTree

from mentor.exceptions import InputError
from mentor.units import stress_from_virial, virial_from_stress

LABEL_PREFIXES = ("", "REF_", "dft_", "qm_")
"""Prefixes of ``energy``, ``forces``, … in ``atoms.info`` and ``atoms.arrays``."""

CLOSEST = 0.1
"""Atoms nearer to each other than this (Å) are taken for one atom given twice."""

_FLAT = 1e-9  # |det| over the product of the lengths of linearly dependent cell vectors
_SMALLEST_VOLUME = 1e-3  # Å³ per atom; what is below cannot be in Å
_MOST_CELLS = 50_000


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


@dataclass(frozen=True, eq=False)
class Labels:
    """What quantum mechanics says of a structure; None where it says nothing."""

    energy: float | None = None
    """eV, of the whole structure."""
    forces: np.ndarray | None = None
    """eV/Å, shape (N, 3)."""
    virial: np.ndarray | None = None
    """W = −∂E/∂ε in eV, Voigt order, shape (6,)."""


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
    types, counts, neighbours, displacements = [], [], [], []
    atoms_before = 0
    structure_offsets = np.zeros(len(structures) + 1, np.int64)
    for index, atoms in enumerate(structures):
        own = type_of[atoms.numbers]
        if len(own) and own.min() < 0:
            raise InputError(f"structure {index} {_unknown_species(atoms, elements)}")
        try:
            first, second, vectors = _pairs(atoms, cutoff)
        except InputError as error:
            raise InputError(f"structure {index}: {error}") from None
        types.append(own)
        counts.append(np.bincount(first, minlength=len(own)))
        neighbours.append((second + atoms_before).astype(np.int32))
        displacements.append(vectors)
        atoms_before += len(own)
        structure_offsets[index + 1] = atoms_before
    offsets = np.zeros(atoms_before + 1, np.int64)
    if counts:
        np.cumsum(np.concatenate(counts), out=offsets[1:])
    return Neighbourhoods(
        types=_joined(types, (0,), np.int32),
        structure_offsets=structure_offsets,
        offsets=offsets,
        neighbours=_joined(neighbours, (0,), np.int32),
        displacements=_joined(displacements, (0, 3), np.float64),
    )


def _joined(parts: list[np.ndarray], empty: tuple[int, ...], dtype: type) -> np.ndarray:
    if not parts:
        return np.zeros(empty, dtype)
    return np.ascontiguousarray(parts[0] if len(parts) == 1 else np.concatenate(parts), dtype)


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


def _unknown_species(atoms: Atoms, elements: Sequence[str] | None) -> str:
    unknown = sorted(set(atoms.get_chemical_symbols()) - set(elements or ()))
    return (
        f"contains {', '.join(unknown)}, which is not among the elements "
        f"{', '.join(elements or ())}; leave it out or name all elements"
    )


def _pairs(atoms: Atoms, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs i, j (P,) and r_ij (P, 3) with |r_ij| < ``cutoff``, sorted by i."""
    positions, pbc = atoms.positions, atoms.pbc
    if not np.isfinite(positions).all():
        raise InputError(_not_finite(atoms))
    cell = _search_cell(atoms)
    if _is_vast(positions, cell, pbc, cutoff):
        return _tree_pairs(positions, cell, pbc, cutoff)
    search = vesin.NeighborList(cutoff=cutoff, full_list=True, sorted=True, n_threads=1)
    pairs, distances, vectors = search.compute(positions, cell, pbc, "PdD")
    if len(distances) and distances.max() >= cutoff:
        inside = distances < cutoff
        pairs, vectors = pairs[inside], vectors[inside]
    return pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64), vectors


def _search_cell(atoms: Atoms) -> np.ndarray:
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


def _is_vast(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float) -> bool:
    """Whether the system is so long or wide, yet thin, that vesin's cell list would break down.

    vesin 0.6 merges cells of the size of the cutoff above 1e5 of them, and dies of a division by
    zero where that leaves less than one cell across the thin direction.
    """
    if max(np.abs(cell).max(), np.abs(positions).max(initial=0.0)) < 9.0 * cutoff:
        return False  # at most 18√3 cells of this size fit in any direction
    inverse = np.linalg.inv(cell)
    cells = 1.0 / (cutoff * np.sqrt((inverse**2).sum(axis=0)))
    if not pbc.all() and len(positions):
        cells = np.where(pbc, cells, cells * np.ptp(positions @ inverse, axis=0))
    cells = np.maximum(cells, 1.0)
    merged = np.cbrt(_MOST_CELLS / cells.prod())
    return bool(merged < 1.0 and merged * cells.min() < 2.0)


def _tree_pairs(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As :func:`_pairs`, by a k-d tree of the atoms and of their images within the cutoff."""
    inverse = np.linalg.inv(cell)
    fractional = positions @ inverse
    fractional[:, pbc] -= np.floor(fractional[:, pbc])
    margin = cutoff * np.sqrt((inverse**2).sum(axis=0))
    images, origin = fractional, np.arange(len(positions))
    home = np.ones(len(positions), bool)
    for axis in np.flatnonzero(pbc):
        reach = int(np.ceil(margin[axis]))
        shifted = images[:, axis] + np.arange(-reach, reach + 1)[:, None]
        shift, atom = np.nonzero((shifted > -margin[axis]) & (shifted < 1.0 + margin[axis]))
        images, origin, home = images[atom], origin[atom], home[atom] & (shift == reach)
        images[:, axis] = shifted[shift, atom]
    atoms_tree, images_tree = cKDTree(fractional @ cell), cKDTree(images @ cell)
    found = atoms_tree.sparse_distance_matrix(images_tree, cutoff, output_type="ndarray")
    vectors = images_tree.data[found["j"]] - atoms_tree.data[found["i"]]
    other = ~home[found["j"]] | (origin[found["j"]] != found["i"])
    found, vectors = found[other], vectors[other]
    order = np.lexsort((found["j"], found["i"]))
    inside = order[found["v"][order] < cutoff]
    return found["i"][inside], origin[found["j"][inside]], vectors[inside]


def labels(atoms: Atoms) -> Labels:
    """Energy, forces and virial known of a structure.

    They are taken from the results of its calculator, as long as the structure has not been changed
    since (``free_energy`` before ``energy``, since forces are its derivatives), else from
    ``atoms.info`` and ``atoms.arrays`` under the names ``energy``, ``forces``, ``stress`` (ASE's
    sign, eV/Å³) or ``virial`` (−V·stress, eV), also with the prefixes ``REF_``, ``dft_``, ``qm_``.
    Nothing is calculated.

    Raises
    ------
    InputError
        A label is not a number or has the wrong shape.
    """
    energy = _found(atoms, "free_energy")
    if energy is None:
        energy = _found(atoms, "energy")
    forces = _found(atoms, "forces")
    virial = _found(atoms, "virial")
    stress = _found(atoms, "stress")
    if stress is not None:
        volume = abs(np.linalg.det(atoms.cell.array))
        virial = virial_from_stress(_voigt(stress, "stress"), volume) if volume > 0 else None
    elif virial is not None:
        virial = _voigt(virial, "virial")
    return Labels(
        energy=None if energy is None else float(_numbers(energy, "energy", (1,))[0]),
        forces=None if forces is None else _numbers(forces, "forces", (len(atoms), 3)),
        virial=virial,
    )


def _found(atoms: Atoms, name: str) -> Any:
    results = getattr(atoms.calc, "results", None)
    if results and results.get(name) is not None and not _changed(atoms):
        return results[name]
    for prefix in LABEL_PREFIXES:
        for place in (atoms.info, atoms.arrays):
            if place.get(prefix + name) is not None:
                return place[prefix + name]
    return None


def _changed(atoms: Atoms) -> bool:
    """Whether the structure has changed since its calculator was run."""
    check_state = getattr(atoms.calc, "check_state", None)
    return bool(check_state(atoms)) if check_state else False


def _numbers(value: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    try:
        numbers = np.asarray(value, float)
    except (TypeError, ValueError):
        raise InputError(f"its {name} are not numbers ({value!r})") from None
    if shape == (1,):
        numbers = numbers.reshape(-1)
    if numbers.shape != shape:
        raise InputError(f"its {name} have shape {numbers.shape} instead of {shape}")
    return numbers


def _voigt(tensor: Any, name: str) -> np.ndarray:
    tensor = np.asarray(tensor, float)
    if tensor.size == 9:
        return full_3x3_to_voigt_6_stress(tensor.reshape(3, 3))
    return _numbers(tensor, name, (6,))


def with_labels(
    atoms: Atoms,
    energy: float | None = None,
    forces: np.ndarray | None = None,
    stress: np.ndarray | None = None,
    virial: np.ndarray | None = None,
) -> Atoms:
    """A copy of ``atoms`` that carries exactly the given labels.

    Parameters
    ----------
    energy, forces, stress
        eV; eV/Å, shape (N, 3); eV/Å³ in ASE's sign and Voigt order, shape (6,).
    virial
        Instead of ``stress``: W in eV, shape (6,); also for structures without volume.
    """
    copy = atoms.copy()
    for name in ("energy", "free_energy", "forces", "stress", "virial"):
        for prefix in LABEL_PREFIXES:
            copy.info.pop(prefix + name, None)
            copy.arrays.pop(prefix + name, None)
    if virial is not None and stress is None:
        volume = abs(np.linalg.det(atoms.cell.array))
        if volume > 0:
            stress = stress_from_virial(virial, volume)
        else:
            copy.info["virial"] = np.array(virial, float)
    copy.calc = SinglePointCalculator(copy, energy=energy, forces=forces, stress=stress)
    return copy


def check_structures(
    structures: Sequence[Atoms],
    elements: Sequence[str] | None = None,
    source: object = "structures",
    require_labels: Iterable[str] = (),
) -> None:
    """Raise where a structure cannot be used, naming it and what is wrong with it.

    Parameters
    ----------
    structures
        Numbered from 0 in the message, as in ``ase.io.read(source, index)``.
    elements
        Chemical symbols allowed; None for all.
    source
        Where the structures come from (a path), for the message.
    require_labels
        Any of ``energy``, ``forces``, ``virial``: those every structure must have.

    Raises
    ------
    InputError
        No structures; no atoms; positions, cell or labels that are not finite; a flat periodic
        cell; two atoms (or an atom and its own image) within 0.1 Å; a species not in ``elements``;
        labels of the wrong shape; missing labels.
    """
    if len(structures) == 0:
        raise InputError(f"{source}: contains no structures; give at least one")
    required = tuple(require_labels)
    for index, atoms in enumerate(structures):
        try:
            _check_geometry(atoms, elements)
            _check_labels(atoms, required)
        except InputError as error:
            raise InputError(f"{source}: structure {index}: {error}") from None


def _check_geometry(atoms: Atoms, elements: Sequence[str] | None) -> None:
    if len(atoms) == 0:
        raise InputError("has no atoms; remove it")
    if elements is not None and not set(atoms.get_chemical_symbols()) <= set(elements):
        raise InputError(_unknown_species(atoms, elements))
    if not np.isfinite(atoms.positions).all():
        raise InputError(_not_finite(atoms))
    cell = _search_cell(atoms)
    lengths = np.linalg.norm(cell, axis=1)
    flat = atoms.pbc.any() and abs(np.linalg.det(cell)) < _SMALLEST_VOLUME * len(atoms)
    if flat or lengths.min() < CLOSEST:
        raise InputError(
            f"its cell is far too small for {len(atoms)} atoms (lattice vectors of "
            f"{', '.join(f'{length:.3g}' for length in lengths)} Å); are the units Å?"
        )
    first, second, vectors = _pairs(atoms, 20 * CLOSEST)
    distances = np.linalg.norm(vectors, axis=1)
    if len(distances) and distances.min() < CLOSEST:
        pair = int(distances.argmin())
        i, j = int(first[pair]), int(second[pair])
        other = f"atom {j}" if i != j else "its own periodic image"
        raise InputError(
            f"atom {i} ({atoms.symbols[i]}) is only {distances[pair]:.3g} Å from {other}; "
            "remove the duplicate or repair the cell"
        )


def _check_labels(atoms: Atoms, required: tuple[str, ...]) -> None:
    known = labels(atoms)
    for name in ("energy", "forces", "virial"):
        value = getattr(known, name)
        if value is None and name in required:
            raise InputError(
                f"has no {name}; label it with a QM code first or remove it"
                if name != "virial"
                else "has no stress; label it with a QM code first or remove it"
            )
        if value is not None and not np.isfinite(value).all():
            what = "stress" if name == "virial" else name
            raise InputError(
                f"its {what} contains values that are not finite; remove the structure"
            )


def _not_finite(atoms: Atoms) -> str:
    atom = int(np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))[0])
    return (
        f"atom {atom} ({atoms.symbols[atom]}) has a position that is not a finite number; "
        "repair or remove the structure"
    )


def shortest_distances(structures: Sequence[Atoms], cutoff: float) -> dict[tuple[str, str], float]:
    """Shortest distance (Å) of each pair of elements over all structures, among those < ``cutoff``.

    The pairs are sorted by atomic number; pairs that never come within ``cutoff`` are left out.
    """
    shortest: dict[tuple[int, int], float] = {}
    for index, atoms in enumerate(structures):
        try:
            first, second, vectors = _pairs(atoms, cutoff)
        except InputError as error:
            raise InputError(f"structure {index}: {error}") from None
        distances = np.linalg.norm(vectors, axis=1)
        a, b = atoms.numbers[first], atoms.numbers[second]
        forward = a <= b
        codes = 1000 * a[forward] + b[forward]
        for code in np.unique(codes):
            pair = divmod(int(code), 1000)
            least = float(distances[forward][codes == code].min())
            shortest[pair] = min(least, shortest.get(pair, np.inf))
    return {(chemical_symbols[a], chemical_symbols[b]): shortest[a, b] for a, b in sorted(shortest)}
