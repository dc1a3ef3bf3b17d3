"""The commands ``grade`` (how far structures are from the training set) and ``select``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from rich.table import Table

from mentor import formats
from mentor.active.building import build_active_set
from mentor.active.selection import THRESHOLD, selected
from mentor.evaluation import given_structures
from mentor.exceptions import InputError
from mentor.neighbourhoods import neighbourhoods
from mentor.potential import InitSettings, Potential, init, opened
from mentor.settings import command, option
from mentor.structures import shortest_distances

MODES = ("neighborhood", "configuration")
UNRELIABLE = 10.0
"""Grade above which energies and forces are not to be trusted."""

_SHOWN = 40


@dataclass(frozen=True, kw_only=True)
class GradeSettings:
    """Settings of a grading."""

    potential: Path | Potential = option(help="Potential (.mtp or .almtp).", positional=True)
    structures: Path | Atoms | Sequence[Atoms] = option(
        help="Structures, in any format of ASE or .cfg.", positional=True
    )
    training: Path | Sequence[Atoms] | None = option(
        None, "Training set; makes a new active set, needed where the potential has none."
    )
    mode: str = option(
        "neighborhood", "What a new active set grades: atoms or whole structures.", choices=MODES
    )
    elements: tuple[str, ...] = option(
        (), "Chemical symbols of the types, where the potential does not name them."
    )
    output: Path | None = option(None, "File for the structures with their grades.")
    active_set: Path | None = option(None, "File for the potential with the active set (.almtp).")


@dataclass(frozen=True, eq=False)
class Grades:
    """Extrapolation grades γ of S structures: ≤ 1 is interpolation, above 10 unreliable."""

    structures: tuple[Atoms, ...]
    """Copies with the grade of every atom in ``arrays["grades"]``."""
    grades: np.ndarray
    """Largest grade of every structure, shape (S,)."""
    mode: str
    output: Path | None = None

    @property
    def largest(self) -> float:
        """Largest grade of all."""
        return float(self.grades.max())

    def above(self, threshold: float) -> int:
        """Number of structures with a grade above ``threshold``."""
        return int(np.count_nonzero(self.grades > threshold))

    def as_dict(self) -> dict:
        """Grades of structures and atoms as plain values."""
        return {
            "mode": self.mode,
            "largest": self.largest,
            "new": self.above(THRESHOLD),
            "unreliable": self.above(UNRELIABLE),
            "structures": [
                {
                    "formula": atoms.get_chemical_formula(),
                    "grade": float(grade),
                    "atoms": atoms.arrays["grades"].tolist(),
                }
                for atoms, grade in zip(self.structures, self.grades, strict=True)
            ],
            "output": None if self.output is None else str(self.output),
        }

    def __rich__(self) -> Table:
        """A line for each of the first structures."""
        table = Table(caption=self._caption())
        for name in ("structure", "formula", "grade", "atoms above 2.1"):
            table.add_column(name, justify="right")
        for s, atoms in enumerate(self.structures[:_SHOWN]):
            new = int(np.count_nonzero(atoms.arrays["grades"] > THRESHOLD))
            table.add_row(str(s), atoms.get_chemical_formula(), f"{self.grades[s]:.3f}", str(new))
        return table

    def _caption(self) -> str:
        more = len(self.structures) - _SHOWN
        notes = [f"and {more} more structures"] if more > 0 else []
        notes.append(
            f"largest grade {self.largest:.3f}; {self.above(THRESHOLD)} structures above "
            f"{THRESHOLD} are new, {self.above(UNRELIABLE)} above {UNRELIABLE:g} unreliable"
        )
        return "; ".join(notes + ([f"written to {self.output}"] if self.output else []))


def grade_structures(potential: Potential, structures: Sequence[Atoms]) -> Grades:
    """Extrapolation grades of ``structures`` by the active set of ``potential``.

    Raises
    ------
    InputError
        The potential has no active set, or a structure cannot be used.
    """
    active_set = potential.active_set
    if active_set is None:
        raise InputError(
            "the potential has no active set; give an .almtp file or the training set "
            "(--training train.xyz)"
        )
    copies, largest = [], []
    for atoms in structures:
        nb = neighbourhoods(atoms, potential.max_dist, potential.elements)
        grades = potential.grades(nb)
        copy = atoms.copy()
        copy.calc = atoms.calc
        copy.arrays["grades"] = grades
        copies.append(copy)
        largest.append(grades.max(initial=0.0))
    return Grades(structures=tuple(copies), grades=np.array(largest), mode=active_set.mode)


@command(GradeSettings)
def grade(settings: GradeSettings) -> Grades:
    """Say how far structures are from what a potential was trained on.

    Raises
    ------
    FormatError, InputError
        A file cannot be read or used; the potential has no active set and no training set is given.
    StorageError
        An output cannot be written.
    """
    potential = opened(settings.potential, settings.elements)
    structures = given_structures(settings.structures, potential.elements)
    if settings.training is not None:
        training = given_structures(settings.training, potential.elements)
        active_set = build_active_set(potential, training, settings.mode)
        potential = replace(potential, active_set=active_set)
    grades = grade_structures(potential, structures)
    if settings.active_set is not None:
        potential.save(settings.active_set)
    if settings.output is not None:
        formats.write_structures(settings.output, grades.structures, potential.elements)
    return replace(grades, output=settings.output)


@dataclass(frozen=True, kw_only=True)
class SelectSettings:
    """Settings of a selection."""

    training: Path | Sequence[Atoms] = option(help="Structures known already.", positional=True)
    candidates: Path | Sequence[Atoms] = option(
        help="Structures to choose from; they need no labels.", positional=True
    )
    potential: Path | Potential | None = option(
        None, "Potential, trained or not; by default an untrained one of level and cutoff."
    )
    level: int = option(16, "Level of the basis functions, without potential.")
    cutoff: float = option(5.0, "Radius of the neighbourhood, without potential.", unit="Å")
    elements: tuple[str, ...] = option(
        (), "Chemical symbols of the types, where nothing else names them."
    )
    threshold: float = option(THRESHOLD, "Grade above which a structure is worth a label.")
    limit: int | None = option(None, "Largest number of structures to select.")
    mode: str = option("neighborhood", "What is graded: atoms or structures.", choices=MODES)
    output: Path | None = option(None, "File for the selected structures.")


@dataclass(frozen=True, eq=False)
class Selection:
    """The candidates most worth a label, the most telling first."""

    indices: tuple[int, ...]
    """Their numbers among the candidates."""
    structures: tuple[Atoms, ...]
    grades: np.ndarray
    """Largest grade of every candidate against the training set, shape (S,)."""
    output: Path | None = None

    def as_dict(self) -> dict:
        """Indices and grades as plain values."""
        return {
            "candidates": len(self.grades),
            "selected": [
                {
                    "index": index,
                    "formula": atoms.get_chemical_formula(),
                    "grade": float(self.grades[index]),
                }
                for index, atoms in zip(self.indices, self.structures, strict=True)
            ],
            "output": None if self.output is None else str(self.output),
        }

    def __rich__(self) -> Table:
        """A line for each of the first structures."""
        table = Table(caption=self._caption())
        for name in ("candidate", "formula", "grade"):
            table.add_column(name, justify="right")
        for index, atoms in list(zip(self.indices, self.structures, strict=True))[:_SHOWN]:
            table.add_row(str(index), atoms.get_chemical_formula(), f"{self.grades[index]:.2f}")
        return table

    def _caption(self) -> str:
        notes = [f"{len(self.indices)} of {len(self.grades)} candidates are worth a label"]
        if len(self.indices) > _SHOWN:
            notes.insert(0, f"and {len(self.indices) - _SHOWN} more")
        return "; ".join(notes + ([f"written to {self.output}"] if self.output else []))


@command(SelectSettings)
def select(settings: SelectSettings) -> Selection:
    """Choose the structures that tell most beyond a training set, before any QM calculation.

    Raises
    ------
    FormatError, InputError
        A file cannot be read or used, or a setting makes no sense.
    StorageError
        The output cannot be written.
    """
    elements: tuple[str, ...] | None = tuple(settings.elements) or None
    potential = settings.potential
    if potential is not None:
        potential = opened(potential, settings.elements)
        elements = potential.elements
    training = given_structures(settings.training, elements)
    candidates = given_structures(settings.candidates, elements)
    if potential is None:
        potential = _untrained(settings, elements, training + candidates)
    indices, grades = selected(
        potential, training, candidates, settings.threshold, settings.limit, settings.mode
    )
    chosen = tuple(candidates[index] for index in indices)
    if settings.output is not None and chosen:
        formats.write_structures(settings.output, chosen, potential.elements)
    return Selection(
        indices=tuple(indices),
        structures=chosen,
        grades=grades,
        output=settings.output if chosen else None,
    )


def _untrained(
    settings: SelectSettings, elements: tuple[str, ...] | None, structures: list[Atoms]
) -> Potential:
    """A potential to select with before any is trained."""
    found = {symbol for atoms in structures for symbol in atoms.get_chemical_symbols()}
    shortest = min(shortest_distances(structures, settings.cutoff).values(), default=2.0)
    return init(
        InitSettings(
            level=settings.level,
            elements=elements or tuple(sorted(found, key=atomic_numbers.__getitem__)),
            cutoff=settings.cutoff,
            min_dist=min(0.95 * shortest, 0.9 * settings.cutoff),
        )
    )
