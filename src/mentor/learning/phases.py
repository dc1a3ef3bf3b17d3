"""The loop of a campaign, as a state machine.

start → learning (explore, select, label, fit; again and again) → final → validation → finished

What an iteration does is a function of the settings and of the state after the iteration before,
which is stored in one transaction at its end. A campaign that is killed therefore repeats at most
the iteration under way, exactly, and finds the labels it had already got.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from ase import Atoms

from mentor import formats, progress
from mentor import potential as potentials
from mentor.learning import training
from mentor.learning.drivers import DriverChoice
from mentor.learning.engines import Label, label_key
from mentor.learning.explore import Walker, first_walkers, fresh
from mentor.learning.history import Errors, Iteration, Stretch, iteration_to_dict
from mentor.learning.labelling import (
    Labeller,
    explore_task,
    sample_task,
    train_task,
    try_out_task,
)
from mentor.learning.settings import CampaignSettings, EngineSettings
from mentor.learning.start import bare, first_potential, rattled_copies, starting_structures
from mentor.learning.store import Store
from mentor.learning.validation import validation_fact, write_posterior
from mentor.potential import Potential
from mentor.structures import check_structures, labels

ENOUGH_TO_REFIT = 0.03
"""Part by which the training set grows before another fit pays; till then the new labels enter the
active set only."""
VALIDATION_STREAM = 2
"""Number of the random stream of the validation; the walkers' is 0, the rattled copies' is 1."""


@dataclass(frozen=True, kw_only=True)
class State:
    """What there is to know after a complete iteration."""

    phase: str = "start"
    iteration: int = 0
    """Number of the next iteration."""
    generation: int = -1
    """Number of the newest potential."""
    md_steps: int = 0
    training: tuple[str, ...] = ()
    """Keys of the labels trained on, in order."""
    fitted: int = 0
    """How many of them the newest potential was fitted to; the others are in its active set."""
    walkers: tuple[Walker, ...] = ()

    def to_dict(self) -> dict:
        """As plain JSON types."""
        return vars(self) | {"walkers": [walker.to_dict() for walker in self.walkers]}

    @classmethod
    def from_dict(cls, values: dict) -> "State":
        """The inverse of :meth:`to_dict`."""
        walkers = tuple(Walker.from_dict(each) for each in values["walkers"])
        return cls(**values | {"training": tuple(values["training"]), "walkers": walkers})


class Phases:
    """Every phase is a method from one state to the next."""

    def __init__(
        self,
        store: Store,
        settings: CampaignSettings,
        driver: DriverChoice,
        executor: Executor,
        base: str,
        interrupted: Callable[[], None],
    ) -> None:
        self.store = store
        self.settings = settings
        self.driver = driver
        self.executor = executor
        self.labeller = Labeller(store, settings.engine, executor, base)
        self.interrupted = interrupted  # raises an interrupt that has come and was lost
        self.seconds: dict[str, float] = {}

    def run(self) -> None:
        """Go through the phases, from the state stored last to the end."""
        stored = self.store.fact("state")
        state = State() if stored is None else State.from_dict(stored)
        if state.phase == "start":
            state = self._start(state)
        if state.phase == "learning":
            state = self._learn(state)
        if state.phase == "final":
            state = self._finish(state)
        if state.phase == "validation":
            self._validate(state)

    # -- start ------------------------------------------------------------------------------

    def _start(self, state: State) -> State:
        """Label rattled copies of the starting structures and fit the first potential."""
        settings = self.settings
        starts = starting_structures(settings.structures)
        walkers = first_walkers(starts, settings.explore, settings.run.seed)
        if self.driver.name == "lammps":
            self._try_out(walkers)
        rng = np.random.default_rng([settings.run.seed, 1])
        copies = rattled_copies(starts, settings.structures, rng)
        given = self._given()
        potential = first_potential(settings, [*starts, *copies, *given], settings.run.seed)
        with self._timed("label"):
            keys = [*self._store_given(given), *self.labeller.label(copies, "training", 0)]
        state = replace(state, walkers=tuple(walkers))
        return self._refit(state, potential, keys, ())

    def _try_out(self, walkers: Sequence[Walker]) -> None:
        """Let LAMMPS make two steps of one walker of every starting structure."""
        starts = {id(walker.start): walker for walker in reversed(walkers)}
        for walker in sorted(starts.values(), key=lambda each: each.index):
            try_out_task(walker, self.driver)

    def _given(self) -> list[Atoms]:
        """Labelled structures of the user's own files."""
        given = []
        for path in self.settings.structures.training:
            read = formats.read_structures(path)
            check_structures(read, source=str(path), require_labels=("energy", "forces"))
            given += read
        return given

    def _store_given(self, structures: Sequence[Atoms]) -> list[str]:
        keys = []
        for atoms in structures:
            known = labels(atoms)
            key = label_key(EngineSettings(name="given"), atoms)
            stress = None
            if known.virial is not None:
                stress = -known.virial / atoms.get_volume()
            label = Label(energy=known.energy, forces=known.forces, stress=stress)
            self.store.add_label(key, bare(atoms), label, "training", 0)
            keys.append(key)
        return keys

    # -- learning ---------------------------------------------------------------------------

    def _learn(self, state: State) -> State:
        """Explore, select, label and fit until all walkers have made their steps."""
        with progress.task("Molecular dynamics", sum(each.goal for each in state.walkers)) as task:
            task.advance(sum(each.steps for each in state.walkers))
            while state.phase == "learning":
                before = state
                state = self._learn_once(state)
                task.extend(sum(each.goal for each in state.walkers))
                task.advance(state.md_steps - before.md_steps, f"{len(state.training)} labels")
        return state

    def _learn_once(self, state: State) -> State:
        settings = self.settings
        path = self.store.potential_path(state.generation)
        moving = [walker for walker in state.walkers if not walker.finished]
        with self._timed("explore"):
            futures = [
                self.executor.submit(
                    explore_task,
                    str(path),
                    walker,
                    min(settings.explore.segment, walker.goal - walker.steps),
                    settings.explore.grade_interval,
                    settings.select,
                    self.driver,
                )
                for walker in moving
            ]
            explorations = [future.result() for future in futures]
        moved = {each.walker.index: each.walker for each in explorations}
        walkers = tuple(moved.get(each.index, each) for each in state.walkers)
        steps = sum(each.steps for each in walkers)
        candidates = [atoms for each in explorations for atoms in each.candidates]
        if candidates:  # something is new: look at all that enlarges the volume
            candidates += [atoms for each in explorations for atoms in each.companions]
        potential = potentials.load(path)
        room = settings.select.max_labels - len(state.training)
        keys: list[str | None] = []
        if candidates and room > 0:
            with self._timed("select"):
                known = self.store.labels(state.training)
                chosen = train_task(
                    "select",
                    training.threads_for(potential, known),
                    replace(potential),
                    known,
                    candidates,
                    settings.select,
                    min(room, settings.select.limit),
                )
            with self._timed("label"):
                keys = self.labeller.label(
                    [bare(atoms) for atoms in chosen], "training", state.iteration
                )
        state = replace(state, walkers=walkers, md_steps=steps)
        stretches = tuple(each.stretch for each in explorations)
        return self._refit(state, potential, keys, stretches)

    # -- end --------------------------------------------------------------------------------

    def _finish(self, state: State) -> State:
        """Fit once more, thoroughly, and write the results."""
        settings = self.settings
        potential = potentials.load(self.store.potential_path(state.generation))
        structures = self.store.labels(state.training)
        with self._timed("fit"):
            iterations = settings.fit.final_iterations
            potential = self._next_generation(potential, structures, iterations)
        folder = self.store.folder
        generation = state.generation + 1
        potential.save(self.store.potential_path(generation))
        potential.save(folder / "potential.almtp")
        potential.save(folder / "potential.mtp")
        formats.write_structures(folder / "training.xyz", structures)
        after = replace(
            state,
            phase="validation",
            iteration=state.iteration + 1,
            generation=generation,
        )
        self._commit(
            state,
            after,
            (),
            0,
            0,
            None,
            training.errors(potential, structures),
            {"potential": "potential.almtp", "message": "validating the final potential"},
        )
        return after

    def _validate(self, state: State) -> State:
        """Label structures of fresh molecular dynamics with the final potential, and compare."""
        settings = self.settings
        path = self.store.potential_path(state.generation)
        frames: list[Atoms] = []
        keys: list[str | None] = []
        stopped = 0
        if settings.validate.labels:
            with self._timed("explore"):
                frames, stopped = self._sample(str(path), state)
            with self._timed("label"):
                keys = self.labeller.label(
                    [bare(atoms) for atoms in frames], "validation", state.iteration
                )
        kept = [(key, atoms) for key, atoms in zip(keys, frames, strict=True) if key is not None]
        facts: dict = {"status": "finished", "converged": self._converged(state)}
        found, potential = None, potentials.load(path)
        structures = self.store.labels([key for key, _ in kept])
        with self._timed("fit"):
            trained = self.store.labels(state.training)
            write_posterior(self.store, potential, trained, settings.fit, structures)
        if kept:
            fact = validation_fact(potential, kept, structures) | {"stopped": stopped}
            facts["validation"] = fact
            found = Errors(**fact["errors"])
            formats.write_structures(self.store.folder / "validation.xyz", structures)
        facts["message"] = _ending(facts["converged"], found)
        after = replace(state, phase="finished", iteration=state.iteration + 1)
        failures = sum(key is None for key in keys)
        self._commit(state, after, (), len(kept), failures, found, None, facts)
        return after

    def _sample(self, path: str, state: State) -> tuple[list[Atoms], int]:
        """Structures of independent walkers, and how many of the walkers had to stop early."""
        settings = self.settings
        walkers = [fresh(walker, settings.run.seed, VALIDATION_STREAM) for walker in state.walkers]
        each = math.ceil(settings.validate.labels / len(walkers))
        futures = [
            self.executor.submit(
                sample_task,
                path,
                walker,
                each,
                settings.validate.interval,
                settings.select.stop,
                self.driver,
            )
            for walker in walkers
        ]
        results = [future.result() for future in futures]
        frames = [atoms for structures, _ in results for atoms in structures]
        return frames[: settings.validate.labels], sum(stopped for _, stopped in results)

    def _converged(self, state: State) -> bool:
        """Whether nothing new turned up in the last part of every walker's steps."""
        return len(state.training) < self.settings.select.max_labels and all(
            walker.steps >= self._goal(walker.last_new) and walker.stops == 0
            for walker in state.walkers
        )

    # -- common -----------------------------------------------------------------------------

    def _goal(self, last_new: int) -> int:
        """Steps a walker has to make when something new turned up at its step ``last_new``."""
        settings = self.settings.explore
        return max(settings.steps, math.ceil(last_new / (1 - settings.quiet)))

    def _refit(
        self,
        state: State,
        potential: Potential,
        keys: Sequence[str | None],
        stretches: tuple[Stretch, ...],
    ) -> State:
        """Take new labels into the training set, make the next generation, store the state.

        A key of ``keys`` is None where the engine failed.
        """
        settings = self.settings
        known = set(state.training)
        new = [key for key in dict.fromkeys(keys) if key is not None and key not in known]
        failures = sum(key is None for key in keys)
        after = replace(state, iteration=state.iteration + 1, phase="learning")
        before = result = None
        if new:
            if state.phase == "learning":
                before = training.errors(potential, self.store.labels(new))
            after = replace(
                after,
                generation=state.generation + 1,
                training=(*state.training, *new),
                walkers=tuple(self._extended(walker) for walker in state.walkers),
            )
            structures = self.store.labels(after.training)
            with self._timed("fit"):
                iterations = 0
                if len(structures) - state.fitted >= ENOUGH_TO_REFIT * state.fitted:
                    iterations = settings.fit.iterations
                    after = replace(after, fitted=len(structures))
                potential = self._next_generation(potential, structures, iterations)
            result = training.errors(potential, structures)
            potential.save(self.store.potential_path(after.generation))
        if all(walker.finished for walker in after.walkers):
            after = replace(after, phase="final")
        path = self.store.potential_path(after.generation).relative_to(self.store.folder)
        self._commit(
            state,
            after,
            stretches,
            len(new),
            failures,
            before,
            result,
            {"potential": str(path), "message": _doing(after, before)},
        )
        return after

    def _next_generation(
        self, potential: Potential, structures: Sequence[Atoms], iterations: int
    ) -> Potential:
        return train_task(
            "next_generation",
            training.threads_for(potential, structures),
            replace(potential),  # without the compiled kernel
            structures,
            self.settings.fit,
            self.settings.select,
            iterations,
        )

    def _extended(self, walker: Walker) -> Walker:
        """A walker that goes on long enough to show that nothing new turns up any more."""
        settings = self.settings.explore
        goal = min(self._goal(walker.steps), math.ceil(settings.patience * settings.steps))
        return replace(walker, last_new=walker.steps, goal=max(goal, walker.goal))

    def _commit(
        self,
        state: State,
        after: State,
        stretches: tuple[Stretch, ...],
        new_labels: int,
        failures: int,
        before: Errors | None,
        result: Errors | None,
        facts: dict,
    ) -> None:
        """Store the state after an iteration and its record, in one transaction."""
        record = Iteration(
            number=state.iteration,
            phase=state.phase,
            stretches=stretches,
            md_steps=after.md_steps,
            new_labels=new_labels,
            failures=failures,
            training_size=len(after.training),
            generation=after.generation,
            errors_before=before,
            errors_after=result,
            seconds=self.seconds,
        )
        walkers = [
            {
                "index": each.index,
                "temperature": each.ensemble.temperature,
                "pressure": each.ensemble.pressure,
                "steps": each.steps,
                "goal": each.goal,
            }
            for each in after.walkers
        ]
        self.store.commit(
            {"state": after.to_dict(), "walkers": walkers, **facts},
            state.iteration,
            iteration_to_dict(record),
        )
        self.seconds = {}

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        self.interrupted()
        begin = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - begin


def _doing(state: State, before: Errors | None) -> str:
    text = f"{len(state.training)} labels, {state.md_steps} steps of molecular dynamics"
    if before is not None and before.force_mae is not None:
        text += f", force error on the newest labels {1000 * before.force_mae:.0f} meV/Å"
    return text


def _ending(converged: bool, found: Errors | None) -> str:
    text = "finished" if converged else "finished, but new structures were still turning up"
    if found is not None and found.force_mae is not None:
        text += f"; validation: force error {1000 * found.force_mae:.0f} meV/Å"
    return text
