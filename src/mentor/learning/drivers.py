"""What runs the molecular dynamics of a walker: mentor itself with ASE, or LAMMPS."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from ase import Atoms

from mentor import integrator
from mentor import potential as potentials
from mentor.calculator import Calculator
from mentor.exceptions import InputError
from mentor.integrator import Ensemble
from mentor.learning.lammps_driver import LammpsDriver
from mentor.learning.settings import ExploreSettings
from mentor.learning.template import Template, read_template


@dataclass(frozen=True)
class DriverChoice:
    """Which driver it is to be, with all it needs to know, so that a worker process can make it."""

    name: str = "ase"
    template: Template | None = None


ASE = DriverChoice()


class Driver(Protocol):
    """Molecular dynamics with one potential at one temperature and pressure."""

    continues: bool
    """Whether a run set off in the middle of another goes the same way on."""

    def run(
        self,
        atoms: Atoms,
        rng: np.random.Generator,
        first: int,
        end: int,
        interval: int,
        after: int = 0,
    ) -> Iterator[tuple[int, float]]:
        """Advance ``atoms``, in place, from step ``first`` to ``end``: (step, largest grade).

        It yields at multiples of ``interval`` and at the end, after step ``after``. Where the
        dynamics breaks down it ends with an infinite grade. The same atoms, random numbers and
        arguments give the same run, bit by bit, in any process.
        """


def make_driver(
    choice: DriverChoice, potential_path: str, ensemble: Ensemble, walker: int = 0, goal: int = 0
) -> Driver:
    """The driver of ``choice``; ``walker`` and ``goal`` are its number and the steps it makes.

    Raises
    ------
    InputError
        The potential cannot be read, or LAMMPS is not installed.
    """
    if choice.name == "lammps":
        return LammpsDriver(potential_path, ensemble, choice.template, walker, goal)
    return AseDriver(Calculator(_load(potential_path)), ensemble)


def chosen_driver(settings: ExploreSettings, folder: Path) -> DriverChoice:
    """The driver that a campaign in ``folder`` is to use.

    Raises
    ------
    InputError
        The template cannot be read, or has commands that mentor provides.
    """
    template = None
    if settings.template is not None:
        template = read_template(folder / settings.template, folder, bool(settings.pressures))
    return DriverChoice(settings.driver, template)


@lru_cache(maxsize=2)
def _load(path: str) -> Any:
    return potentials.load(path)


@dataclass(frozen=True)
class AseDriver:
    """mentor's own integrator (:mod:`mentor.integrator`) on an ASE calculator."""

    calculator: Calculator
    ensemble: Ensemble
    continues = True

    def run(
        self,
        atoms: Atoms,
        rng: np.random.Generator,
        first: int,
        end: int,
        interval: int,
        after: int = 0,
    ) -> Iterator[tuple[int, float]]:
        """As :meth:`Driver.run`."""
        atoms.calc = self.calculator
        run = integrator.run(atoms, self.ensemble, rng, end - first, first)
        step = first
        while step < end:
            try:
                with np.errstate(all="ignore"):
                    step = next(run)
            except InputError:
                if np.isfinite(atoms.positions).all():
                    raise
                yield step + 1, np.inf
                return
            if step > after and (step % interval == 0 or step == end):
                yield step, self._grade(atoms)

    def _grade(self, atoms: Atoms) -> float:
        """Largest grade; infinite where the dynamics has broken down."""
        if not np.isfinite(atoms.positions).all():
            return np.inf
        self.calculator.get_property("grades", atoms)
        grade = self.calculator.max_grade
        return grade if np.isfinite(grade) else np.inf
