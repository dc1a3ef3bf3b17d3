"""Structures: their labels, and the checks that catch unusable ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_numbers, chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress

from mentor.exceptions import InputError
from mentor.neighbourhoods import find_pairs, not_finite, search_cell, unknown_species
from mentor.units import stress_from_virial, virial_from_stress

LABEL_PREFIXES = ("", "REF_", "dft_", "qm_")
"""Prefixes of ``energy``, ``forces``, … in ``atoms.info`` and ``atoms.arrays``."""

CLOSEST = 0.1
"""Atoms nearer to each other than this (Å) are taken for one atom given twice."""

_SMALLEST_VOLUME = 1e-3  # Å³ per atom; what is below cannot be in Å


@dataclass(frozen=True, eq=False)
class Labels:
    """What quantum mechanics says of a structure; None where it says nothing."""

    energy: float | None = None
    """eV, of the whole structure."""
    forces: np.ndarray | None = None
    """eV/Å, shape (N, 3)."""
    virial: np.ndarray | None = None
    """W = −∂E/∂ε in eV, Voigt order, shape (6,)."""


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
    results = _results(atoms)
    energy = _found(atoms, results, "free_energy")
    if energy is None:
        energy = _found(atoms, results, "energy")
    forces = _found(atoms, results, "forces")
    virial = _found(atoms, results, "virial")
    stress = _found(atoms, results, "stress")
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


def _results(atoms: Atoms) -> dict:
    """Results of the calculator, if they belong to the structure as it is now."""
    results = getattr(atoms.calc, "results", None) or {}
    calculated = getattr(atoms.calc, "atoms", None)
    if not results or not isinstance(calculated, Atoms):
        return results
    unchanged = (
        np.array_equal(calculated.positions, atoms.positions)
        and np.array_equal(calculated.numbers, atoms.numbers)
        and np.array_equal(calculated.cell.array, atoms.cell.array)
        and np.array_equal(calculated.pbc, atoms.pbc)
    )
    return results if unchanged else {}


def _found(atoms: Atoms, results: dict, name: str) -> Any:
    if results.get(name) is not None:
        return results[name]
    for prefix in LABEL_PREFIXES:
        for place in (atoms.info, atoms.arrays):
            if place.get(prefix + name) is not None:
                return place[prefix + name]
    return None


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
        raise InputError(unknown_species(atoms, elements))
    if not np.isfinite(atoms.positions).all():
        raise InputError(not_finite(atoms))
    cell = search_cell(atoms)
    lengths = np.linalg.norm(cell, axis=1)
    flat = atoms.pbc.any() and abs(np.linalg.det(cell)) < _SMALLEST_VOLUME * len(atoms)
    if flat or lengths.min() < CLOSEST:
        raise InputError(
            f"its cell is far too small for {len(atoms)} atoms (lattice vectors of "
            f"{', '.join(f'{length:.3g}' for length in lengths)} Å); are the units Å?"
        )
    _, offsets, neighbours, vectors = find_pairs([atoms], 20 * CLOSEST)
    distances = np.linalg.norm(vectors, axis=1)
    if len(distances) and distances.min() < CLOSEST:
        pair = int(distances.argmin())
        i, j = int(np.searchsorted(offsets, pair, "right")) - 1, int(neighbours[pair])
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


def shortest_distances(structures: Sequence[Atoms], cutoff: float) -> dict[tuple[str, str], float]:
    """Shortest distance (Å) of each pair of elements over all structures, among those < ``cutoff``.

    The pairs are sorted by atomic number; pairs that never come within ``cutoff`` are left out.
    """
    shortest: dict[tuple[int, int], float] = {}
    for atoms in structures:
        _, offsets, second, vectors = find_pairs([atoms], cutoff)
        first = np.repeat(np.arange(len(atoms)), np.diff(offsets))
        distances = np.linalg.norm(vectors, axis=1)
        a, b = atoms.numbers[first], atoms.numbers[second]
        forward = a <= b
        codes = 1000 * a[forward] + b[forward]
        for code in np.unique(codes):
            pair = divmod(int(code), 1000)
            least = float(distances[forward][codes == code].min())
            shortest[pair] = min(least, shortest.get(pair, np.inf))
    return {(chemical_symbols[a], chemical_symbols[b]): shortest[a, b] for a, b in sorted(shortest)}


def compositions(structures: Sequence[Atoms], elements: Sequence[str] | None = None) -> np.ndarray:
    """How many atoms of each element (by default all there are) structures have, (S, elements)."""
    numbers = [atomic_numbers[symbol] for symbol in elements or ()]
    numbers = numbers or sorted({z for atoms in structures for z in atoms.numbers.tolist()})
    return np.array([[np.sum(atoms.numbers == z) for z in numbers] for atoms in structures], float)
