"""The command ``relax``: positions, and the cell where asked for, to the nearest minimum."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE, LBFGS
from rich.table import Table

from mentor import formats, progress
from mentor.calculator import Calculator
from mentor.dynamics.trajectory import frame
from mentor.evaluation import given_structures
from mentor.exceptions import InputError
from mentor.potential import Potential, opened
from mentor.settings import command, option
from mentor.units import GPA

OPTIMIZERS = {"lbfgs": LBFGS, "fire": FIRE}


@dataclass(frozen=True, kw_only=True)
class RelaxSettings:
    """Settings of a relaxation."""

    potential: Path | Potential = option(help="Potential (.mtp or .almtp).", positional=True)
    structures: Path | Atoms | Sequence[Atoms] = option(
        help="Structures to relax, in any format of ASE or .cfg.", positional=True
    )
    cell: str = option(
        "none",
        "What of the cell relaxes with the positions, for crystals.",
        choices=("none", "isotropic", "full"),
    )
    pressure: float = option(0.0, "Pressure on a cell that relaxes.", unit="GPa")
    fmax: float = option(0.01, "Done when no force is larger.", unit="eV/Å")
    max_steps: int = option(1000, "Give up after this many steps.")
    optimizer: str = option(
        "lbfgs",
        "Algorithm of ASE; fire is slower and sturdier.",
        choices=tuple(OPTIMIZERS),
    )
    stop_grade: float = option(
        10.0, "Stop above this extrapolation grade (needs an active set, .almtp); 0 never stops."
    )
    output: Path | None = option(None, "File for the relaxed structures.")
    elements: tuple[str, ...] = option(
        (), "Chemical symbols of the types, where the potential does not name them."
    )


@dataclass(frozen=True, eq=False)
class Relaxed:
    """One structure, relaxed."""

    atoms: Atoms
    """With energy, forces and, where there is one, stress."""
    energy_change: float
    """eV."""
    fmax: float
    """Largest remaining force, eV/Å; in a cell that relaxes also of the cell's coordinates."""
    steps: int
    grade: float | None
    """Extrapolation grade at the end; None without an active set."""
    converged: bool
    note: str = ""
    """Why it is not converged."""


@dataclass(frozen=True, eq=False)
class RelaxResult:
    """All relaxed structures, in the order given."""

    relaxed: tuple[Relaxed, ...]
    output: Path | None = None

    @property
    def structures(self) -> list[Atoms]:
        """The relaxed structures."""
        return [each.atoms for each in self.relaxed]

    @property
    def converged(self) -> bool:
        """Whether all are."""
        return all(each.converged for each in self.relaxed)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "converged": self.converged,
            "output": None if self.output is None else str(self.output),
            "structures": [
                {
                    "formula": each.atoms.get_chemical_formula(),
                    "energy_eV": float(each.atoms.calc.results["energy"]),
                    "energy_change_eV": each.energy_change,
                    "fmax_eV_per_Å": each.fmax,
                    "steps": each.steps,
                    "grade": each.grade,
                    "converged": each.converged,
                    "note": each.note,
                    "positions_Å": each.atoms.positions.tolist(),
                    "cell_Å": each.atoms.cell.array.tolist(),
                }
                for each in self.relaxed
            ],
        }

    def __rich__(self) -> Table:
        """A line for each structure."""
        graded = any(each.grade is not None for each in self.relaxed)
        names = ["", "formula", "energy, eV", "change", "force, eV/Å", "steps"]
        table = Table(*names, *(["grade"] if graded else []), "")
        for index, each in enumerate(self.relaxed):
            table.add_row(
                str(index),
                each.atoms.get_chemical_formula(),
                f"{each.atoms.calc.results['energy']:.6f}",
                f"{each.energy_change:.4f}",
                f"{each.fmax:.4f}",
                str(each.steps),
                *([f"{each.grade:.2f}"] if graded else []),
                each.note or "converged",
            )
        table.caption = f"written to {self.output}" if self.output else None
        return table


@command(RelaxSettings)
def relax(settings: RelaxSettings) -> RelaxResult:
    """Relax structures to the nearest minimum of energy (enthalpy, where the cell relaxes).

    Constraints of the structures are kept. A relaxation that does not converge is no error: the
    result says so.

    Raises
    ------
    FormatError, InputError
        A file cannot be read, or the cell of something that is not a crystal shall relax.
    StorageError
        The output cannot be written.
    """
    if settings.max_steps < 0:
        raise InputError(f"max_steps = {settings.max_steps} must be at least 0")
    if not settings.fmax > 0:
        raise InputError(f"fmax = {settings.fmax} eV/Å must be above 0")
    if settings.pressure and settings.cell == "none":
        raise InputError("pressure acts on a cell that relaxes; set cell to isotropic or full")
    potential = opened(settings.potential, settings.elements)
    structures = given_structures(settings.structures, potential.elements)
    if settings.cell != "none":
        for index, atoms in enumerate(structures):
            if not atoms.pbc.all():
                raise InputError(
                    f"structure {index} is not periodic in three directions, so that its cell "
                    "cannot relax; set cell to none"
                )
    relaxed = []
    with progress.task("relax", len(structures)) as task:
        for atoms in structures:
            relaxed.append(_relaxed(atoms, Calculator(potential), settings))
            task.advance(1, f"{relaxed[-1].steps} steps")
    result = RelaxResult(relaxed=tuple(relaxed), output=settings.output)
    if settings.output is not None:
        formats.write_structures(settings.output, result.structures, potential.elements)
    return result


def _relaxed(atoms: Atoms, calculator: Calculator, settings: RelaxSettings) -> Relaxed:
    atoms = atoms.copy()
    atoms.calc = calculator
    before = atoms.get_potential_energy()
    moving: Atoms | FrechetCellFilter = atoms
    if settings.cell != "none":
        moving = FrechetCellFilter(
            atoms,
            hydrostatic_strain=settings.cell == "isotropic",
            scalar_pressure=settings.pressure * GPA,
        )
    optimizer = OPTIMIZERS[settings.optimizer](moving, logfile=None)
    grade, converged, note = None, False, ""
    with warnings.catch_warnings():
        # SciPy doubts its matrix logarithm of the strain at errors of 1e-13
        warnings.filterwarnings("ignore", "logm result may be inaccurate", RuntimeWarning)
        for converged in optimizer.irun(fmax=settings.fmax, steps=settings.max_steps):
            grade = _grade(atoms)
            if grade is not None and not grade <= (settings.stop_grade or np.inf):
                converged = False
                note = f"stopped: extrapolation grade {grade:.3g} above {settings.stop_grade:g}"
                break
    if not (converged or note):
        note = f"not converged after {optimizer.nsteps} steps"
    fmax = float(np.linalg.norm(moving.get_forces(), axis=1).max(initial=0.0))
    after = atoms.get_potential_energy()
    return Relaxed(
        atoms=frame(atoms),
        energy_change=after - before,
        fmax=fmax,
        steps=optimizer.nsteps,
        grade=grade,
        converged=bool(converged),
        note=note,
    )


def _grade(atoms: Atoms) -> float | None:
    if atoms.calc.potential.active_set is None:
        return None
    return float(atoms.calc.get_property("grades", atoms).max(initial=0.0))
