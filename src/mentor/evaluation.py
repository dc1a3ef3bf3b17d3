"""Energies, forces, stresses and grades of many structures at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from rich.table import Table

from mentor import formats, progress
from mentor.neighbourhoods import neighbourhoods
from mentor.potential import Potential, opened
from mentor.settings import command, option
from mentor.structures import check_structures
from mentor.uncertainty import Posterior, Uncertainty, given_posterior, standard_deviations
from mentor.units import GPA, stress_from_virial

BATCH = 20_000
"""Atoms evaluated in one call; bounds the memory."""

_SHOWN = 40


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """Settings of an evaluation."""

    potential: Path | Potential = option(help="Potential (.mtp or .almtp).", positional=True)
    structures: Path | Atoms | Sequence[Atoms] = option(
        help="Structures, in any format of ASE or .cfg.", positional=True
    )
    elements: tuple[str, ...] = option(
        (), "Chemical symbols of the types, where the potential does not name them."
    )
    output: Path | None = option(
        None, "File for the structures with energies, forces, stresses and grades."
    )
    uncertainty: bool = option(False, "Say how far energies, forces and stresses may be off.")
    posterior: Path | Posterior | None = option(
        None, "File of the potential's posterior; by default the .posterior beside it."
    )


@dataclass(frozen=True, eq=False)
class Evaluated:
    """S structures with what a potential says of them."""

    structures: tuple[Atoms, ...]
    """Copies that carry energy, forces and stress as calculator results, ``grades`` as an array."""
    energies: np.ndarray
    """eV, shape (S,)."""
    largest_forces: np.ndarray
    """Norm of the largest force, eV/Å, shape (S,)."""
    pressures: np.ndarray
    """GPa, shape (S,); NaN where the structure is not a crystal."""
    grades: np.ndarray | None
    """Largest extrapolation grade, shape (S,); None where the potential has no active set."""
    uncertainties: tuple[Uncertainty, ...] | None = None
    """Of each structure, where asked for."""
    output: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """The table, and the forces and stresses of each structure, as plain values."""
        return {
            "structures": [
                {
                    "formula": atoms.get_chemical_formula(),
                    "energy_eV": float(energy),
                    "forces_eV_per_Å": atoms.calc.results["forces"].tolist(),
                    "stress_eV_per_Å3": _plain(atoms.calc.results.get("stress")),
                    "grades": _plain(atoms.arrays.get("grades")),
                }
                | self._intervals(s)
                for s, (atoms, energy) in enumerate(
                    zip(self.structures, self.energies, strict=True)
                )
            ],
            "output": None if self.output is None else str(self.output),
        }

    def __rich__(self) -> Table:
        """A line for each of the first structures: force and grade are the largest of its atoms."""
        table = Table(caption=self._caption())
        names = ["", "formula", "energy, eV", "eV/atom", "force, eV/Å", "pressure, GPa"]
        if self.uncertainties is not None:
            for place in (3, 5, 7, 9):
                names.insert(place, "±")
        for name in names + (["grade"] if self.grades is not None else []):
            table.add_column(name, justify="right")
        for s in range(min(_SHOWN, len(self.structures))):
            table.add_row(*self._cells(s))
        return table

    def _cells(self, s: int) -> list[str]:
        """A line of the table."""
        atoms, crystal = self.structures[s], np.isfinite(self.pressures[s])
        cells = [
            str(s),
            atoms.get_chemical_formula(),
            f"{self.energies[s]:.6f}",
            f"{self.energies[s] / len(atoms):.6f}",
            f"{self.largest_forces[s]:.4f}",
            f"{self.pressures[s]:.3f}" if crystal else "",
        ]
        if self.uncertainties is not None:
            own = self.uncertainties[s]
            cells.insert(3, f"{own.energy.std:.2g}")
            cells.insert(5, f"{own.energy.std / len(atoms):.2g}")
            cells.insert(7, f"{own.forces.std.max(initial=0):.2g}")
            cells.insert(9, f"{own.pressure.std / GPA:.2g}" if crystal else "")
        if self.grades is not None:
            cells.append(f"{self.grades[s]:.2f}")
        return cells

    def _intervals(self, s: int) -> dict[str, Any]:
        """Half widths of the 68 % and 95 % intervals of a structure."""
        if self.uncertainties is None:
            return {}
        own = self.uncertainties[s]
        return {
            f"{name}_{level}_{unit}": None if interval is None else half.tolist()
            for name, unit in (
                ("energy", "eV"),
                ("forces", "eV_per_Å"),
                ("stress", "eV_per_Å3"),
            )
            for interval in [getattr(own, name)]
            for level, half in zip(("std", "95"), (interval or (None, None))[:2], strict=True)
        }

    def _caption(self) -> str:
        more = len(self.structures) - _SHOWN
        notes = [f"and {more} more structures"] if more > 0 else []
        return "; ".join(notes + ([f"written to {self.output}"] if self.output else []))


def evaluate_structures(
    potential: Potential, structures: Sequence[Atoms], *, grades: bool = True
) -> list[Atoms]:
    """Copies of ``structures`` that carry the potential's energy (eV), forces (eV/Å) and stress.

    The stress (eV/Å³, ASE's sign) is given where the calculator gives it; the extrapolation grade
    of each atom, unless ``grades`` is off or the potential has no active set, in
    ``atoms.arrays["grades"]``.

    Raises
    ------
    InputError
        A structure holds an element the potential does not know, or values that are not finite.
    """
    graded = grades and potential.active_set is not None
    evaluated: list[Atoms] = []
    with progress.task("evaluate", len(structures)) as task:
        for batch in batches(structures):
            nb = neighbourhoods(batch, potential.max_dist, potential.elements)
            result = potential.kernel.evaluate(nb)
            all_grades = potential.grades(nb) if graded else None
            for s, atoms in enumerate(batch):
                own = slice(*nb.structure_offsets[s : s + 2])
                copy = _bare(atoms)
                found = {"energy": float(result.energies[s]), "forces": result.forces[own].copy()}
                if copy.pbc.any() and copy.cell.rank == 3:
                    found["stress"] = stress_from_virial(result.virials[s], copy.get_volume())
                if graded:
                    copy.arrays["grades"] = all_grades[own].copy()
                copy.calc = SinglePointCalculator(copy, **found)
                evaluated.append(copy)
            task.advance(len(batch))
    return evaluated


@command(EvaluateSettings)
def evaluate(settings: EvaluateSettings) -> Evaluated:
    """Energies, forces, stresses and extrapolation grades of structures.

    With ``uncertainty`` every value gets the half width ± of the interval that holds 68 % of the
    errors, calibrated on labels; ± of forces is the largest of all components. The output carries
    them as ``energy_std``, ``forces_std`` and ``stress_std``, and those of the 95 % intervals as
    ``energy_95``, ``forces_95`` and ``stress_95``.

    Raises
    ------
    FormatError, InputError
        A file cannot be read; a structure holds an element the potential does not know, or values
        that are not finite; the posterior belongs to another potential.
    StorageError
        The output cannot be written.
    """
    potential = opened(settings.potential, settings.elements)
    posterior, uncertainties = None, None
    if settings.uncertainty or settings.posterior is not None:
        posterior = given_posterior(settings.posterior, settings.potential, potential)
    structures = given_structures(settings.structures, potential.elements)
    evaluated = evaluate_structures(potential, structures)
    if posterior is not None:
        uncertainties = tuple(standard_deviations(potential, posterior, structures))
        for atoms, own in zip(evaluated, uncertainties, strict=True):
            _annotate(atoms, own)
    if settings.output is not None:
        formats.write_structures(settings.output, evaluated, potential.elements)
    grades = [
        atoms.arrays["grades"].max(initial=0) for atoms in evaluated if "grades" in atoms.arrays
    ]
    results = [atoms.calc.results for atoms in evaluated]
    stress = [found.get("stress", np.full(6, np.nan)) for found in results]
    return Evaluated(
        structures=tuple(evaluated),
        energies=np.array([found["energy"] for found in results]),
        largest_forces=np.array(
            [np.linalg.norm(found["forces"], axis=1).max(initial=0) for found in results]
        ),
        pressures=-np.mean(np.array(stress)[:, :3], axis=1) / GPA,
        grades=np.array(grades) if grades else None,
        uncertainties=uncertainties,
        output=settings.output,
    )


def given_structures(
    source: Path | Atoms | Sequence[Atoms], elements: Sequence[str] | None
) -> list[Atoms]:
    """The structures of a file or of Python, checked.

    Raises
    ------
    FormatError, InputError
        They cannot be read or used; the message names file and structure.
    """
    if isinstance(source, Atoms):
        source = [source]
    if isinstance(source, str | Path):
        structures = formats.read_structures(source, elements)
        check_structures(structures, elements, source=source)
    else:
        structures = list(source)
        check_structures(structures, elements)
    return structures


def batches(structures: Sequence[Atoms]) -> Iterator[list[Atoms]]:
    """Structures in parts of at most :data:`BATCH` atoms, or of one structure."""
    batch: list[Atoms] = []
    for atoms in structures:
        if batch and sum(map(len, batch)) + len(atoms) > BATCH:
            yield batch
            batch = []
        batch.append(atoms)
    if batch:
        yield batch


def _bare(atoms: Atoms) -> Atoms:
    """A copy without the labels that would be mistaken for the potential's."""
    copy = atoms.copy()
    for place in (copy.info, copy.arrays):
        for name in ("energy", "free_energy", "forces", "stress", "virial", "grades"):
            place.pop(name, None)
    return copy


def _annotate(atoms: Atoms, uncertainty: Uncertainty) -> None:
    """Write half widths of intervals into ``info`` and ``arrays`` of the structure."""
    for name, half in (("std", "std"), ("95", "half95")):
        atoms.info[f"energy_{name}"] = float(getattr(uncertainty.energy, half))
        atoms.arrays[f"forces_{name}"] = getattr(uncertainty.forces, half).copy()
        if uncertainty.stress is not None:
            atoms.info[f"stress_{name}"] = getattr(uncertainty.stress, half).copy()


def _plain(values: np.ndarray | None) -> list | None:
    return None if values is None else values.tolist()
