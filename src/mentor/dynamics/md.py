"""The command ``md``: molecular dynamics that stops where the potential no longer knows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from rich.table import Table

from mentor import integrator, progress
from mentor.calculator import Calculator
from mentor.dynamics.trajectory import Trajectory, frame
from mentor.evaluation import given_structures
from mentor.exceptions import InputError
from mentor.integrator import Ensemble
from mentor.kernel import PRECISIONS
from mentor.potential import Potential, opened
from mentor.settings import command, option

_LOOK = 10
"""Steps between two looks at the grade and the temperature."""
_HOT = 1e5
"""K; a structure as hot as this has flown apart."""


@dataclass(frozen=True, kw_only=True)
class MDSettings:
    """Settings of a molecular dynamics run."""

    potential: Path | Potential = option(help="Potential (.mtp or .almtp).", positional=True)
    structure: Path | Atoms = option(
        help="Structure to start from (the last of a file); velocities it has are kept.",
        positional=True,
    )
    temperature: float = option(300.0, "Temperature of the Langevin thermostat.", unit="K")
    pressure: float | None = option(
        None, "Pressure, for crystals; by default the cell is kept.", unit="GPa"
    )
    steps: int = option(10_000, "Number of time steps.")
    timestep: float = option(1.0, "Time step.", unit="fs")
    friction: float = option(
        0.01, "Friction of the thermostat; 0 conserves the energy instead.", unit="1/fs"
    )
    supercell: tuple[int, ...] = option((1, 1, 1), "Repeats along the cell vectors.")
    seed: int = option(0, "Seed of the velocities and of the thermostat.")
    stop_grade: float = option(
        10.0, "Stop above this extrapolation grade (needs an active set, .almtp); 0 never stops."
    )
    interval: int = option(100, "Steps between two records of the trajectory and of the table.")
    precision: str = option(
        "double",
        "Precision of the forces; mixed is nearly twice as fast, within 1e-4 eV/Å.",
        choices=PRECISIONS,
    )
    output: Path | None = option(None, "File for the trajectory (.traj, .xyz or .extxyz).")
    elements: tuple[str, ...] = option(
        (), "Chemical symbols of the types, where the potential does not name them."
    )


@dataclass(frozen=True, eq=False)
class MDResult:
    """A run of T records, the start included."""

    atoms: Atoms
    """The last structure, with momenta, energy and forces."""
    steps: int
    """Time steps made."""
    times: np.ndarray
    """fs, shape (T,)."""
    temperatures: np.ndarray
    """K, shape (T,)."""
    energies: np.ndarray
    """Potential energies, eV, shape (T,)."""
    kinetic_energies: np.ndarray
    """eV, shape (T,)."""
    volumes: np.ndarray
    """Å³, shape (T,); NaN where there is none."""
    pressures: np.ndarray
    """GPa, shape (T,); NaN where the structure is not a crystal."""
    max_grade: float | None
    """Largest extrapolation grade met; None without an active set."""
    stopped: str | None
    """Why the run ended early; None if it did not."""
    output: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        names = ("times", "temperatures", "energies", "kinetic_energies", "volumes", "pressures")
        units = ("fs", "K", "eV", "eV", "Å3", "GPa")
        records = {
            f"{name}_{unit}": [float(x) if np.isfinite(x) else None for x in getattr(self, name)]
            for name, unit in zip(names, units, strict=True)
        }
        return {
            "steps": self.steps,
            "stopped": self.stopped,
            "max_grade": self.max_grade,
            "output": None if self.output is None else str(self.output),
            **records,
        }

    def __rich__(self) -> Table:
        """Averages over the second half of the run."""
        table = Table("", "mean", "standard deviation", title=f"{self.steps} steps")
        for name, values in (
            ("temperature, K", self.temperatures),
            ("potential energy, eV", self.energies),
            ("pressure, GPa", self.pressures),
            ("volume, Å³", self.volumes),
        ):
            half = values[len(values) // 2 :]
            if np.isfinite(half).all():
                table.add_row(name, f"{half.mean():.5g}", f"{half.std():.2g}")
        notes = [self.stopped] if self.stopped else []
        if self.max_grade is not None:
            table.add_row("largest grade", f"{self.max_grade:.3g}", "")
        else:
            notes.append("no active set: how far the potential knows was not watched")
        notes += [f"trajectory in {self.output}"] if self.output else []
        table.caption = "; ".join(["averages over the second half", *notes])
        return table


@command(MDSettings)
def md(settings: MDSettings) -> MDResult:
    """Run molecular dynamics: NVT, NPT with ``pressure``, NVE with ``friction`` 0.

    The run ends early, and the result says why, when the extrapolation grade exceeds
    ``stop_grade`` or the structure flies apart; the last record is then the structure it ended at.

    Raises
    ------
    FormatError, InputError
        A file cannot be read, or settings and structure do not fit together.
    StorageError
        The trajectory cannot be written.
    """
    atoms = _start(settings)
    ensemble = Ensemble(
        temperature=settings.temperature,
        timestep=settings.timestep,
        friction=settings.friction,
        pressure=settings.pressure,
    )
    rng = np.random.default_rng(settings.seed)
    if not atoms.has("momenta"):
        integrator.thermalise(atoms, settings.temperature, rng)
    watch = _Watch(atoms, settings)
    with Trajectory(settings.output) as trajectory, progress.task("md", settings.steps) as task:
        step, reason = 0, watch.look(0)
        trajectory.write(watch.record(0))
        run = integrator.run(atoms, ensemble, rng, settings.steps)
        while not reason and step < settings.steps:
            step, reason = watch.follow(run, step)
            if not reason and (step % _LOOK == 0 or step == settings.steps):
                reason = watch.look(step)
                task.advance((step - 1) % _LOOK + 1, watch.note)
            if np.isfinite(atoms.positions).all() and (
                reason or step % settings.interval == 0 or step == settings.steps
            ):
                trajectory.write(watch.record(step))
    return watch.result(step, reason)


def _start(settings: MDSettings) -> Atoms:
    """The structure to start from, with its calculator."""
    for name, least in (("steps", 0), ("temperature", 0), ("friction", 0), ("interval", 1)):
        if not getattr(settings, name) >= least:
            raise InputError(f"{name} = {getattr(settings, name)} must be at least {least}")
    if not settings.timestep > 0:
        raise InputError(f"timestep = {settings.timestep} fs must be above 0")
    supercell = tuple(settings.supercell)
    if len(supercell) != 3 or min(supercell) < 1:
        raise InputError(f"supercell = {list(supercell)} must be three whole numbers above 0")
    potential = opened(settings.potential, settings.elements)
    start = given_structures(settings.structure, potential.elements)[-1]
    if any(n > 1 and not periodic for n, periodic in zip(supercell, start.pbc, strict=True)):
        raise InputError(
            f"supercell = {list(supercell)} repeats the structure where it is not periodic"
        )
    atoms = start * supercell
    atoms.calc = Calculator(potential, settings.precision)
    return atoms


class _Watch:
    """Looks at a run from time to time, and keeps its records."""

    def __init__(self, atoms: Atoms, settings: MDSettings) -> None:
        self.atoms = atoms
        self.settings = settings
        self.rows: list[tuple[float, ...]] = []
        self.max_grade = 0.0 if atoms.calc.potential.active_set is not None else None
        self.note = ""
        self.last = atoms

    def follow(self, run: Iterator[int], step: int) -> tuple[int, str | None]:
        """The next step, and why the run must end after it."""
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                return next(run), None
        except InputError:
            if np.isfinite(self.atoms.positions).all():
                raise
            return step + 1, f"the structure flew apart at step {step + 1}"

    def look(self, step: int) -> str | None:
        """Why the run must end here, if it must."""
        temperature = integrator.temperature(self.atoms)
        self.note = f"{temperature:.0f} K"
        if not temperature <= _HOT:
            return f"the structure flew apart at step {step} ({temperature:.0f} K)"
        if self.max_grade is None:
            return None
        grade = float(self.atoms.calc.get_property("grades", self.atoms).max(initial=0.0))
        self.max_grade = max(self.max_grade, grade)
        self.note += f", grade {grade:.2f}"
        if not grade <= (self.settings.stop_grade or np.inf):
            return (
                f"the extrapolation grade reached {grade:.3g} at step {step}, above "
                f"stop_grade = {self.settings.stop_grade:g}: label this structure and train again"
            )
        return None

    def record(self, step: int) -> Atoms:
        """Add a line to the table, and return the structure as it is."""
        atoms = self.atoms
        energy = atoms.get_potential_energy()
        atoms.get_forces()
        crystal = atoms.pbc.all()
        self.rows.append(
            (
                step * self.settings.timestep,
                integrator.temperature(atoms),
                energy,
                atoms.get_kinetic_energy(),
                atoms.get_volume() if atoms.cell.rank == 3 else np.nan,
                integrator.pressure(atoms) if crystal else np.nan,
            )
        )
        self.last = frame(atoms)
        return self.last

    def result(self, steps: int, stopped: str | None) -> MDResult:
        """All records."""
        times, temperatures, energies, kinetic, volumes, pressures = np.array(self.rows).T
        return MDResult(
            atoms=self.last,
            steps=steps,
            times=times,
            temperatures=temperatures,
            energies=energies,
            kinetic_energies=kinetic,
            volumes=volumes,
            pressures=pressures,
            max_grade=self.max_grade,
            stopped=stopped,
            output=self.settings.output,
        )
