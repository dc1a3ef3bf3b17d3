"""Structures in ``.cfg`` files (MLIP-1, -2, -3) to and from :class:`ase.Atoms`.

A block ``BEGIN_CFG … END_CFG`` holds the number of atoms, up to three lattice vectors (none for a
molecule, one for a wire, two for a slab), one row per atom under named columns, and optionally the
energy (eV), ``PlusStress`` (the virial W = −∂E/∂ε, eV) and features (a name and a value). Old files
give ``Stress``, which is −W.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from mentor import progress
from mentor.exceptions import FormatError, InputError
from mentor.structures import LABEL_PREFIXES, labels, with_labels

TYPES = "types"
"""Name of the array with the integer types of structures whose elements are not known."""

_VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
_POSITIONS = ("cartes_x", "cartes_y", "cartes_z")
_FRACTIONS = ("direct_x", "direct_y", "direct_z")
_FORCES = ("fx", "fy", "fz")
_PER_ATOM = {"site_en": "site_en", "charge": "charge", "nbh_grades": "grades"}
"""Further columns and the arrays they become."""
_LABELS = {
    prefix + name
    for prefix in LABEL_PREFIXES
    for name in ("energy", "free_energy", "forces", "stress", "virial")
}


def parse_cfg(
    path: object, text: str, elements: Sequence[str] | None = None, first_line: int = 1
) -> list[Atoms]:
    """All structures of the text of a ``.cfg`` file.

    Energy, forces and stress become those of an attached calculator; features go to ``info``,
    other columns to ``arrays``.

    Parameters
    ----------
    path, first_line
        Where the text comes from, for messages.
    elements
        Chemical symbols of the types 0, 1, …; without them the atoms are ``X`` and their types
        are kept in ``arrays['types']``.

    Raises
    ------
    FormatError
        The text is not a complete ``.cfg`` file; the message gives the line.
    """
    lines = _Lines(path, text, first_line)
    structures = []
    while (line := lines.next_filled()) is not None:
        if line != "BEGIN_CFG":
            raise lines.error(f"expected BEGIN_CFG, found {line[:40]!r}")
        structures.append(_structure(lines, elements))
    if lines.old_stress:
        progress.message(f"{path}: 'Stress' of an old file was taken with the opposite sign")
    return structures


class _Lines:
    """The lines of a text, with the number of the current one."""

    def __init__(self, path: object, text: str, first_line: int) -> None:
        self.path = path
        self.number = first_line - 1
        self.lines: Iterator[str] = iter(text.removesuffix("\n").split("\n"))
        self.old_stress = False

    def error(self, what: str) -> FormatError:
        return FormatError(self.path, max(self.number, 1), what)

    def next_filled(self) -> str | None:
        """The next line that is not blank, stripped; None at the end."""
        for line in self.lines:
            self.number += 1
            if line := line.strip():
                return line
        return None

    def expect(self, what: str) -> str:
        line = self.next_filled()
        if line is None:
            raise self.error(f"the file ends too early: {what} is missing")
        return line

    def numbers(self, words: Sequence[str], what: str, count: int | None = None) -> list[float]:
        """``words`` as finite numbers; ``count`` of them, where given."""
        try:
            values = [float(word) for word in words]
        except ValueError:
            raise self.error(f"{what}: {' '.join(words)[:60]!r} is not numbers") from None
        if count is not None and len(values) != count:
            raise self.error(f"{what}: expected {count} numbers, found {len(values)}")
        if not np.isfinite(values).all():
            raise self.error(f"{what}: a value is not finite")
        return values


def _structure(lines: _Lines, elements: Sequence[str] | None) -> Atoms:
    """The block after ``BEGIN_CFG``."""
    found: dict = {"features": {}}
    line = lines.expect("END_CFG")
    while line != "END_CFG":
        following = None
        keyword = line.split()[0].rstrip(":")
        if keyword == "Size":
            found["size"] = _size(lines)
        elif keyword in ("Supercell", "Lattice"):
            found["cell"], following = _cell(lines)
        elif keyword == "AtomData":
            found["columns"] = _atom_data(lines, line, found.get("size"))
        elif keyword == "Energy":
            found["energy"] = lines.numbers(lines.expect("the energy").split(), "the energy", 1)[0]
        elif keyword in ("PlusStress", "Stress"):
            found["virial"] = _virial(lines, line, keyword)
        elif keyword == "Feature":
            _feature(lines, line, found["features"])
        else:
            raise lines.error(f"unknown entry {line[:40]!r}; the file is damaged")
        line = following or lines.expect("END_CFG")
    if "columns" not in found:
        raise lines.error("the structure has no AtomData")
    return _atoms(lines, found, elements)


def _size(lines: _Lines) -> int:
    word = lines.expect("the number of atoms")
    if not word.isdecimal() or int(word) < 1:
        raise lines.error(f"Size must be a positive integer, not {word[:40]!r}")
    return int(word)


def _cell(lines: _Lines) -> tuple[list[list[float]], str]:
    """Up to three lattice vectors, and the first line after them."""
    vectors: list[list[float]] = []
    line = lines.expect("a lattice vector or AtomData")
    while line[0] in "+-.0123456789":
        vectors.append(lines.numbers(line.split(), "a lattice vector", 3))
        line = lines.expect("AtomData")
    if len(vectors) > 3:
        raise lines.error(f"{len(vectors)} lattice vectors are too many")
    return vectors, line


def _atom_data(lines: _Lines, header: str, size: int | None) -> dict[str, np.ndarray]:
    """The columns of the atom table under their names."""
    if size is None:
        raise lines.error("Size must come before AtomData")
    names = header.split(":", 1)[-1].split() if ":" in header else header.split()[1:]
    if len(set(names)) != len(names):
        raise lines.error("AtomData names a column twice")
    rows = []
    for index in range(size):
        words = lines.expect(f"atom {index} of {size}").split()
        if words[0] == "END_CFG" or len(words) != len(names):
            raise lines.error(
                f"atom {index} of {size} has {len(words)} columns, but AtomData names {len(names)}"
            )
        rows.append(lines.numbers(words, f"the columns of atom {index}"))
    table = np.array(rows).reshape(size, len(names))
    return {name: np.ascontiguousarray(table[:, i]) for i, name in enumerate(names)}


def _virial(lines: _Lines, header: str, keyword: str) -> np.ndarray:
    names = header.split(":", 1)[-1].split() if ":" in header else header.split()[1:]
    if sorted(names) != sorted(_VOIGT):
        raise lines.error(f"{keyword} must name {' '.join(_VOIGT)}, not {' '.join(names)!r}")
    values = dict(zip(names, lines.numbers(lines.expect(keyword).split(), keyword, 6), strict=True))
    virial = np.array([values[name] for name in _VOIGT])
    if keyword == "Stress":
        lines.old_stress = True
        return -virial
    return virial


def _feature(lines: _Lines, line: str, features: dict) -> None:
    """``Feature name value``; a name given again adds a line to the value."""
    words = line.split(None, 2)
    if len(words) < 2:
        raise lines.error("Feature needs a name")
    name, value = words[1], words[2] if len(words) == 3 else ""
    features[name] = f"{features[name]}\n{value}" if name in features else value


def _atoms(lines: _Lines, found: dict, elements: Sequence[str] | None) -> Atoms:
    columns = dict(found["columns"])
    columns.pop("id", None)
    if "type" not in columns:
        raise lines.error("AtomData has no column 'type'")
    vectors = np.array(found.get("cell", [])).reshape(-1, 3)
    cell, pbc = np.zeros((3, 3)), np.arange(3) < len(vectors)
    cell[: len(vectors)] = vectors
    atoms = Atoms(
        numbers=np.zeros(found["size"], int), positions=_place(lines, columns, cell), cell=cell
    )
    atoms.pbc = pbc
    atoms.info.update({name: _value(text) for name, text in found["features"].items()})
    types = columns.pop("type")
    if (types < 0).any() or (types != np.round(types)).any() or (types > 1e6).any():
        raise lines.error("the column 'type' must hold integers from 0")
    atoms.arrays[TYPES] = types.astype(int)
    if elements is not None:
        if types.max() >= len(elements):
            raise lines.error(
                f"the structure has an atom of type {int(types.max())}, but only "
                f"{len(elements)} elements are given ({', '.join(elements)})"
            )
        atoms = name_species(atoms, elements)
    forces = None
    if set(_FORCES) <= set(columns):
        forces = np.column_stack([columns.pop(name) for name in _FORCES])
    for name, values in columns.items():
        atoms.set_array(_PER_ATOM.get(name, name), values)
    energy, virial = found.get("energy"), found.get("virial")
    if energy is None and forces is None and virial is None:
        return atoms
    return with_labels(atoms, energy=energy, forces=forces, virial=virial)


def _place(lines: _Lines, columns: dict[str, np.ndarray], cell: np.ndarray) -> np.ndarray:
    """Cartesian positions (N, 3) from the columns, which are removed."""
    if set(_POSITIONS) <= set(columns):
        return np.column_stack([columns.pop(name) for name in _POSITIONS])
    if set(_FRACTIONS) <= set(columns):
        if abs(np.linalg.det(cell)) == 0.0:
            raise lines.error("direct coordinates need three independent lattice vectors")
        return np.column_stack([columns.pop(name) for name in _FRACTIONS]) @ cell
    raise lines.error("AtomData has no columns cartes_x cartes_y cartes_z (or direct_x …)")


def _value(text: str) -> object:
    """A feature's value as an integer or a number where it is written as one, else as text."""
    for convert in (int, float):
        try:
            value = convert(text)
        except ValueError:
            continue
        if repr(value) == text:
            return value
    return text


def name_species(atoms: Atoms, elements: Sequence[str]) -> Atoms:
    """``atoms`` with the chemical symbols of its ``types``; unchanged where it is named already."""
    if not _unnamed(atoms):
        return atoms
    named = atoms.copy()
    named.calc = atoms.calc
    types = named.arrays.pop(TYPES)
    named.numbers = [atomic_numbers[elements[index]] for index in types]
    return named


def _unnamed(atoms: Atoms) -> bool:
    """Whether only the types of the atoms are known."""
    return TYPES in atoms.arrays and not atoms.numbers.any()


def types_of(atoms: Atoms, elements: Sequence[str] | None) -> np.ndarray:
    """Integer types (N,) of the atoms: those kept from a file, else by ``elements``."""
    if _unnamed(atoms):
        return atoms.arrays[TYPES]
    symbols = atoms.get_chemical_symbols()
    unknown = sorted(set(symbols) - set(elements or ()))
    if unknown:
        raise InputError(
            f".cfg files hold types, not elements: {', '.join(unknown)} is not among the "
            f"elements given ({', '.join(elements or ()) or 'none'}); name them all in order"
        )
    order = {symbol: index for index, symbol in enumerate(elements or ())}
    return np.array([order[symbol] for symbol in symbols])


def format_cfg(structures: Iterable[Atoms], elements: Sequence[str] | None = None) -> str:
    """The text of a ``.cfg`` file with energies, forces and virials where known.

    Every number reads back exactly (the stress of a calculator, which is stored as its virial, to
    one rounding). The format only has vectors along which a structure repeats, so those come first
    and others are left out.

    Raises
    ------
    InputError
        An element is not among ``elements``, or a label is unusable.
    """
    return "\n".join(_block(index, atoms, elements) for index, atoms in enumerate(structures))


def _block(index: int, atoms: Atoms, elements: Sequence[str] | None) -> str:
    try:
        types, known = types_of(atoms, elements), labels(atoms)
    except InputError as error:
        raise InputError(f"structure {index}: {error}") from None
    lines = ["BEGIN_CFG", " Size", f"    {len(atoms)}"]
    if atoms.pbc.any():
        vectors = atoms.cell.array[atoms.pbc].tolist()
        lines += [" Supercell", *(f"    {_row(vector)}" for vector in vectors)]
    names, columns = [*_POSITIONS], [*atoms.positions.T]
    if known.forces is not None:
        names += _FORCES
        columns += [*known.forces.T]
    for name, array in _PER_ATOM.items():
        if array in atoms.arrays and np.ndim(atoms.arrays[array]) == 1:
            names.append(name)
            columns.append(np.asarray(atoms.arrays[array], float))
    lines.append(f" AtomData:  id type  {'  '.join(names)}")
    table = np.column_stack(columns).tolist()
    lines += [f"    {i + 1} {types[i]}  {_row(row)}" for i, row in enumerate(table)]
    if known.energy is not None:
        lines += [" Energy", f"    {known.energy!r}"]
    if known.virial is not None:
        lines += [f" PlusStress:  {'  '.join(_VOIGT)}", f"    {_row(known.virial.tolist())}"]
    lines += _features(atoms)
    return "\n".join([*lines, "END_CFG", ""])


def _row(numbers: Iterable[float]) -> str:
    return "  ".join(repr(number) for number in numbers)


def _features(atoms: Atoms) -> list[str]:
    lines = []
    for name, value in atoms.info.items():
        if isinstance(value, np.generic):
            value = value.item()
        if name in _LABELS or not isinstance(value, str | int | float):
            continue
        for part in str(value).splitlines() or [""]:
            lines.append(f" Feature   {'_'.join(str(name).split())}\t{part.strip()}")
    return lines
