"""Walkers in LAMMPS.

Without a template, LAMMPS integrates Newton's equations (``fix nve``), and every
``barostat_interval`` steps the thermostat and the barostat of :mod:`mentor.integrator` act
on its atoms. So the ensembles are those of the other driver, and nothing is hidden in LAMMPS:
positions, momenta and random generator are the whole state. (The thermostat leaves the canonical
ensemble as it is whether it acts once for one step or once for ten.)

With a template all is up to the user's fixes. What these remember lives as long as one run, which
can only be repeated from where it set off.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mentor import integrator
from mentor.exceptions import InputError
from mentor.integrator import Ensemble
from mentor.lammps.simulation import BAR_PER_GPA, VIRIAL, LammpsError, Simulation
from mentor.learning.template import Template
from mentor.units import GPA

LARGEST_SEED = 900_000_000
"""Of LAMMPS' random generators."""
BREAKDOWN = re.compile(
    "lost atoms|non-numeric|unstable|extrapolation grade|out of range|too far|overflow|"
    "neighbor bins|allocate|fix halt",
    re.IGNORECASE,
)
"""Errors of LAMMPS that come of the dynamics and not of the input."""


@dataclass(frozen=True)
class LammpsDriver:
    """Molecular dynamics by LAMMPS: see :class:`mentor.learning.drivers.Driver`."""

    potential_path: str | None
    """None for atoms that do not interact."""
    ensemble: Ensemble
    template: Template | None = None
    walker: int = 0
    """Its number, for templates."""
    goal: int = 0
    """Steps it is to make in all, for templates."""

    @property
    def continues(self) -> bool:
        """Whether a run set off in the middle of another goes the same way on."""
        return self.template is None

    def run(
        self,
        atoms: Atoms,
        rng: np.random.Generator,
        first: int,
        end: int,
        interval: int,
        after: int = 0,
    ) -> Iterator[tuple[int, float]]:
        """As :meth:`mentor.learning.drivers.Driver.run`."""
        simulation = self._set_off(atoms, rng, first, end)
        for look in _looks(first, end, interval, after):
            step = simulation.step
            try:
                self._advance(simulation, rng, look, graded=look > after)
            except LammpsError as error:
                if not BREAKDOWN.search(str(error)):
                    raise self._wrong(error) from None
                atoms.positions[:] = np.nan
                yield min(look, max(step + 1, simulation.step)), np.inf
                return
            self._read(simulation, atoms)
            if simulation.step < look or not np.isfinite(atoms.positions).all():
                yield simulation.step, np.inf
                return
            if look > after:
                yield look, simulation.grade

    def try_out(self, atoms: Atoms, rng: np.random.Generator) -> None:
        """Make a few steps, to find what is wrong with the settings before it costs anything.

        Raises
        ------
        InputError
            LAMMPS is not installed, does not understand the template, or moves no atoms by it.
        """
        atoms = atoms.copy()
        places = atoms.positions.copy()
        simulation = self._set_off(atoms, rng, 0, 2)
        try:
            self._advance(simulation, rng, 2)
        except LammpsError as error:
            raise self._wrong(error) from None
        self._read(simulation, atoms)
        if atoms.get_momenta().any() and (atoms.positions == places).all():
            raise self._wrong("it does not move the atoms; add a fix that does, such as fix nve")

    # -- the parts of a run -----------------------------------------------------------------

    def _set_off(self, atoms: Atoms, rng: np.random.Generator, first: int, end: int) -> Simulation:
        """LAMMPS with ``atoms`` and all fixes, and with forces."""
        free = integrator.checked_mobile(atoms, self.ensemble)
        if (free.any(axis=1) != free.all(axis=1)).any():
            raise InputError(
                "LAMMPS cannot fix single coordinates of an atom here; use FixAtoms, or "
                'driver = "ase" under [explore]'
            )
        fixed = np.flatnonzero(~free.any(axis=1))
        simulation = Simulation(
            atoms,
            self.potential_path,
            timestep=self.ensemble.timestep,
            first=first,
            last=max(self.goal, end),
            fixed=fixed,
        )
        if self.ensemble.pressure is not None and self.template is None:
            simulation.commands(VIRIAL)
        if self.template is None:
            simulation.command("fix mentor_nve mobile nve")
        else:
            self._follow_template(simulation, rng)
        if len(fixed):
            simulation.command("fix mentor_fixed fixed setforce 0 0 0")
        try:
            with self._folder():
                simulation.run(0)
        except LammpsError as error:
            raise self._wrong(error) from None
        return simulation

    def _follow_template(self, simulation: Simulation, rng: np.random.Generator) -> None:
        """Set the variables a template may use and carry out its commands."""
        ensemble, first = self.ensemble, simulation.step
        variables = {
            "temperature": ensemble.temperature,
            "timestep": ensemble.timestep / 1000,
            "seed": rng.integers(1, LARGEST_SEED, endpoint=True),
            "steps": simulation.last,
            "walker": self.walker,
        }
        if ensemble.pressure is not None:
            variables["pressure"] = ensemble.pressure * BAR_PER_GPA
        if ensemble.friction > 0:
            variables["damp"] = 1 / ensemble.friction / 1000
        for name, value in variables.items():
            simulation.command(f"variable {name} equal {value:.15g}")
        for line, command in self.template.commands():
            try:
                with self._folder():
                    simulation.command(command)
            except LammpsError as error:
                raise InputError(f"{self.template.name}:{line}: LAMMPS says: {error}") from None
        if simulation.step != first:
            raise self._wrong("it runs LAMMPS, which is done by mentor")

    def _advance(
        self, simulation: Simulation, rng: np.random.Generator, goal: int, graded: bool = False
    ) -> None:
        """Go on to step ``goal``, or less far if LAMMPS stops before."""
        step = simulation.step
        if self.template is not None:
            with self._folder():
                simulation.run(goal - step, graded=graded)
            return
        piece = self.ensemble.barostat_interval
        while step < goal:
            if step % piece == 0:
                self._couple(simulation, rng)
            pause = min(goal, step - step % piece + piece)
            simulation.run(pause - step, graded=graded and pause == goal)
            step = pause

    def _couple(self, simulation: Simulation, rng: np.random.Generator) -> None:
        """Let thermostat and barostat act, for the steps from now to the next time."""
        ensemble = self.ensemble
        p, m = simulation.momenta, simulation.masses
        time = ensemble.barostat_interval * ensemble.timestep
        integrator.thermostat(p, m, ensemble, time, simulation.mobile, rng)
        if ensemble.pressure is not None:
            kinetic = float((p * p / m).sum()) / (3 * simulation.volume) / GPA
            pressure = simulation.virial_pressure() + kinetic
            factor = integrator.scaling(ensemble, simulation.volume, pressure, rng)
            simulation.scale(factor)
            p /= factor
        simulation.momenta = p

    def _read(self, simulation: Simulation, atoms: Atoms) -> None:
        """Put where LAMMPS is into ``atoms``."""
        try:
            simulation.read(atoms)
        except LammpsError as error:
            raise self._wrong(error) from None

    def _folder(self) -> contextlib.AbstractContextManager:
        """Where the files of a template are."""
        if self.template is None or not self.template.folder:
            return contextlib.nullcontext()
        return contextlib.chdir(self.template.folder)

    def _wrong(self, what: object) -> InputError:
        """The sentence about an error that is none of the dynamics."""
        says = f"LAMMPS says: {what}" if isinstance(what, LammpsError) else str(what)
        return InputError(says if self.template is None else f"{self.template.name}: {says}")


def _looks(first: int, end: int, interval: int, after: int) -> Iterator[int]:
    """``after``, where it lies ahead; the multiples of ``interval`` that follow; ``end``."""
    if first < after < end:
        yield after
    start = max(first, after)
    yield from range(start - start % interval + interval, end, interval)
    if end > start:
        yield end
