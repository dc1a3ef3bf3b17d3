"""Exploration: molecular dynamics of one walker until something new turns up.

:func:`explore` is a pure function of the potential's file and the walker, so that a campaign that
was killed repeats it exactly.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from ase import Atoms

from mentor import integrator
from mentor.exceptions import InputError
from mentor.integrator import Ensemble
from mentor.learning.drivers import ASE, Driver, DriverChoice, make_driver
from mentor.learning.history import Stretch
from mentor.learning.lammps_driver import LammpsDriver
from mentor.learning.settings import ExploreSettings, SelectionSettings
from mentor.learning.store import structure_from_text, structure_to_text

RESTARTS = 4
"""How often a walker that stopped may set off again within one stretch."""
ENOUGH = 40
"""Candidates after which it is better to learn than to go on."""
PATIENCE = 12
"""Stretches in a row that may end at ``stop`` before a walker goes back to its very start."""
EQUILIBRATION = 500
"""Steps before the first structure is sampled."""
COMPANIONS = 100
"""Most companions kept of a stretch."""
GRADES_KEPT = 20
"""Entries of the grade record per stretch."""


@dataclass(frozen=True, kw_only=True)
class Walker:
    """One molecular dynamics run, whole: from this it continues exactly."""

    index: int
    ensemble: Ensemble
    start: Atoms
    """Where it began."""
    atoms: Atoms
    """Where it is, with momenta; a structure the potential is trusted on."""
    rng: dict
    """State of its random generator."""
    steps: int = 0
    """Steps made, those since undone included."""
    goal: int = 0
    """Steps to be made."""
    stops: int = 0
    """Stretches in a row that ended at ``stop``."""
    last_new: int = 0
    """Its steps when a structure was last added to the training set, by whichever walker."""

    @property
    def finished(self) -> bool:
        """Whether it has made its steps."""
        return self.steps >= self.goal

    def generator(self) -> np.random.Generator:
        """Its random generator."""
        generator = np.random.Generator(np.random.PCG64())
        generator.bit_generator.state = self.rng
        return generator

    def to_dict(self) -> dict:
        """As plain JSON types, numbers exact."""
        ensemble = vars(self.ensemble)
        texts = {name: structure_to_text(getattr(self, name)) for name in ("start", "atoms")}
        return vars(self) | {"ensemble": ensemble} | texts

    @classmethod
    def from_dict(cls, values: dict) -> "Walker":
        """The inverse of :meth:`to_dict`."""
        texts = {name: structure_from_text(values[name]) for name in ("start", "atoms")}
        return cls(**values | {"ensemble": Ensemble(**values["ensemble"])} | texts)


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """What one stretch of exploration brought."""

    walker: Walker
    """The walker afterwards."""
    stretch: Stretch
    candidates: list[Atoms] = field(default_factory=list)
    """Structures with a grade above ``threshold``; ``info`` has ``grade`` and ``step``."""
    companions: list[Atoms] = field(default_factory=list)
    """Structures with a grade between ``along`` and ``threshold``, those of the largest grades."""


def first_walkers(starts: list[Atoms], settings: ExploreSettings, seed: int) -> list[Walker]:
    """The walkers of a campaign: for every starting structure, pressure and temperature.

    Raises
    ------
    InputError
        A pressure for a structure that is not periodic, or constraints that cannot be kept.
    """
    groups = [
        (start, temperature, pressure)
        for start in starts
        for pressure in settings.pressures or (None,)
        for temperature in settings.temperatures
        for _ in range(settings.walkers)
    ]
    walkers = []
    for index, (start, temperature, pressure) in enumerate(groups):
        if pressure is not None and not start.pbc.all():
            raise InputError(
                f"[explore] pressures: {start.get_chemical_formula()} is not periodic in three "
                "directions; leave pressures out"
            )
        ensemble = Ensemble(
            temperature=float(temperature),
            pressure=pressure,
            timestep=settings.timestep,
            friction=settings.friction,
        )
        walker = Walker(
            index=index, ensemble=ensemble, start=start, atoms=start, rng={}, goal=settings.steps
        )
        walkers.append(fresh(walker, seed, 0))
    return walkers


def fresh(walker: Walker, seed: int, stream: int) -> Walker:
    """``walker`` at its start, with momenta and random numbers of its own for each ``stream``."""
    generator = np.random.Generator(
        np.random.PCG64(np.random.SeedSequence([seed, stream, walker.index]))
    )
    atoms = walker.start.copy()
    integrator.thermalise(atoms, walker.ensemble.temperature, generator)
    return replace(walker, atoms=atoms, rng=generator.bit_generator.state, steps=0)


def explore(
    potential_path: str,
    walker: Walker,
    steps: int,
    interval: int,
    selection: SelectionSettings,
    choice: DriverChoice = ASE,
) -> Exploration:
    """Advance ``walker`` by at most ``steps``, looking at the grade every ``interval`` steps.

    Structures above ``selection.threshold`` are kept as candidates, others above
    ``selection.along`` as their companions. Above ``selection.stop`` the
    walker goes back to where it was last below ``threshold`` and sets off with new momenta, at most
    RESTARTS times; then, or with ENOUGH candidates, the stretch ends.
    """
    run = _Run(_driver(choice, potential_path, walker), walker, interval, selection)
    run.go(walker.steps + steps)
    stops = walker.stops + 1 if run.stopped else 0
    atoms = run.trusted
    if stops > PATIENCE:
        stops, atoms = 0, walker.start.copy()
        integrator.thermalise(atoms, walker.ensemble.temperature, run.rng)
    after = replace(
        walker, atoms=atoms, rng=run.rng.bit_generator.state, steps=run.steps, stops=stops
    )
    stretch = Stretch(
        walker=walker.index,
        temperature=walker.ensemble.temperature,
        pressure=walker.ensemble.pressure,
        first_step=walker.steps,
        last_step=run.steps,
        grades=_condensed(run.grades, steps),
        stopped=run.stopped,
        candidates=len(run.candidates),
    )
    companions = sorted(run.companions, key=lambda atoms: -atoms.info["grade"])[:COMPANIONS]
    return Exploration(
        walker=after, stretch=stretch, candidates=run.candidates, companions=companions
    )


def sample(
    potential_path: str,
    walker: Walker,
    count: int,
    interval: int,
    stop: float,
    choice: DriverChoice = ASE,
) -> tuple[list[Atoms], bool]:
    """``count`` structures of ``walker``'s dynamics, every ``interval`` steps, and if it stopped.

    The first EQUILIBRATION steps do not count. At a grade above ``stop`` it ends early. ``info`` of
    the structures has ``grade`` and ``temperature``.
    """
    driver = _driver(choice, potential_path, walker)
    atoms, rng = walker.atoms.copy(), walker.generator()
    frames: list[Atoms] = []
    first = -(-EQUILIBRATION // interval)
    for step, grade in driver.run(atoms, rng, 0, (first + count - 1) * interval, interval):
        if grade > stop:
            return frames, True
        if step >= first * interval:
            frame = atoms.copy()
            frame.info |= {"grade": grade, "temperature": walker.ensemble.temperature}
            frames.append(frame)
    return frames, False


def try_out(walker: Walker, choice: DriverChoice) -> None:
    """Find what is wrong with the settings of LAMMPS before the first label is paid for.

    Raises
    ------
    InputError
        LAMMPS is not installed, or cannot do what is asked of it.
    """
    driver = LammpsDriver(None, walker.ensemble, choice.template, walker.index, walker.goal)
    driver.try_out(walker.atoms, walker.generator())


def _driver(choice: DriverChoice, potential_path: str, walker: Walker) -> Driver:
    return make_driver(choice, potential_path, walker.ensemble, walker.index, walker.goal)


class _Point(NamedTuple):
    """Where a run is, whole."""

    atoms: Atoms
    rng: dict
    step: int


class _Run:
    """A stretch under way."""

    def __init__(
        self, driver: Driver, walker: Walker, interval: int, selection: SelectionSettings
    ) -> None:
        self.driver = driver
        self.walker = walker
        self.interval = interval
        self.selection = selection
        self.rng = walker.generator()
        self.trusted = walker.atoms.copy()
        self.steps = walker.steps
        self.grades: list[tuple[int, float]] = []
        self.candidates: list[Atoms] = []
        self.companions: list[Atoms] = []
        self.stopped = False

    def go(self, end: int) -> None:
        """Run to step ``end`` or until there is reason to stop."""
        for _ in range(RESTARTS + 1):
            self.stopped = not self._trajectory(end)
            if not self.stopped or len(self.candidates) >= ENOUGH or self.steps >= end:
                return
            self.trusted = self.trusted.copy()
            integrator.thermalise(self.trusted, self.walker.ensemble.temperature, self.rng)

    def _trajectory(self, end: int) -> bool:
        """Set off from the trusted structure; False if it ran into a grade above ``stop``."""
        atoms = self.trusted.copy()
        origin = before = self._point(atoms)
        for step, grade in self.driver.run(atoms, self.rng, self.steps, end, self.interval):
            self.steps = step
            if grade > self.selection.stop:
                self._come_closer(before if self.driver.continues else origin, before.step, step)
                return False
            self._note(atoms, step, grade)
            if len(self.candidates) >= ENOUGH:
                break
            before = self._point(atoms)
        return True

    def _come_closer(self, origin: _Point, after: int, end: int) -> None:
        """Repeat the run from ``origin``, the steps beyond ``after`` one by one.

        This catches what is new where it begins.
        """
        self.rng.bit_generator.state = origin.rng
        found = len(self.candidates)
        atoms = origin.atoms
        for step, grade in self.driver.run(atoms, self.rng, origin.step, end, 1, after):
            self.steps = step
            if grade > self.selection.stop:
                self.grades.append((step, min(grade, 1e6)))
                if found == len(self.candidates) and np.isfinite(atoms.positions).all():
                    self.candidates.append(_graded(atoms, step, grade))
                return
            self._note(atoms, step, grade)

    def _point(self, atoms: Atoms) -> _Point:
        return _Point(atoms.copy(), self.rng.bit_generator.state, self.steps)

    def _note(self, atoms: Atoms, step: int, grade: float) -> None:
        self.grades.append((step, grade))
        if grade > self.selection.threshold:
            self.candidates.append(_graded(atoms, step, grade))
            return
        if grade > self.selection.along:
            self.companions.append(_graded(atoms, step, grade))
        self.trusted = atoms.copy()


def _graded(atoms: Atoms, step: int, grade: float) -> Atoms:
    copy = atoms.copy()
    del copy.arrays["momenta"]
    copy.info |= {"grade": float(min(grade, 1e6)), "step": step}
    return copy


def _condensed(grades: list[tuple[int, float]], steps: int) -> tuple[tuple[int, float], ...]:
    """The largest grade of every ``steps``/GRADES_KEPT steps, at the step where that part ends."""
    width = max(1, steps // GRADES_KEPT)
    largest: dict[int, tuple[int, float]] = {}
    for step, grade in grades:
        slot = step // width
        known = largest.get(slot, (step, 0.0))[1]
        largest[slot] = (step, max(known, float(grade)))
    return tuple(largest.values())
