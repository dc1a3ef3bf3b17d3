"""The candidates of a search for settings: what each costs in time, and how wrong it is.

A candidate is fitted to a part of the labels, as far as the budget allows: time is kept back for
the fit to all labels that follows.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from ase import Atoms

from mentor import progress
from mentor.fit.choice import CLOSE, Candidate, Choice, Setting, judged
from mentor.fit.fitting import fit
from mentor.fit.starts import work
from mentor.fit.survey import evenly, label_count
from mentor.neighbourhoods import neighbourhoods
from mentor.potential import Potential

Key = TypeVar("Key", bound=Hashable)

FEWEST = 10
"""Structures with energies below which none can be spared for validation."""

_LABELS = 1  # per parameter, at least

_EFFORTS = ((100, 6), (30, 3))
"""Labels per parameter and starts of a candidate's fit: of more labels the error would hardly fall;
the second where time is short."""
_FEWEST_STARTS = 3  # of the final fit
_ITERATIONS, _TOLERANCE = 60, 0.03  # of a candidate's fit
_USUAL = 30  # iterations that a fit takes after its starts
_POWER = 1.5  # of the number of parameters, by which the time of an iteration grows (1 to 2)
_IN_TIME = 1.5  # of the time left, within which the final fit is expected; it ends with it at most
_OF_RESERVE = 1.3  # time kept for the final fit, in units of what is expected

_TIMED_ATOMS, _TIMED_ROUNDS = 1000, 5


class Search:
    """The candidates tried so far, and what further ones would take.

    Parameters
    ----------
    training
        In an order of which any evenly spaced part is like the whole.
    labels
        Number of them that the final fit is to.
    deadline
        End of the final fit, by the clock of ``time.perf_counter``.
    """

    def __init__(
        self,
        untrained: Callable[[Setting], Potential],
        training: list[Atoms],
        validation: list[Atoms],
        *,
        labels: int,
        deadline: float,
        starts: int,
        options: Mapping[str, Any],
    ) -> None:
        self.untrained, self.training, self.validation = untrained, training, validation
        self.labels, self.deadline, self.starts = labels, deadline, starts
        self.options = {
            **options,
            "max_iterations": min(_ITERATIONS, options.get("max_iterations", _ITERATIONS)),
            "tolerance": max(_TOLERANCE, options.get("tolerance", _TOLERANCE)),
        }
        self.available = sum(map(label_count, training))
        self.task = progress.Task()
        self.reported = 0
        self.begun = perf_counter()
        self.tried: dict[Setting, Candidate] = {}
        self.fitted: dict[Setting, Potential] = {}
        self.paces: dict[int, float] = {}  # parameters -> seconds per iteration and label

    @property
    def least(self) -> float:
        """The least error so far."""
        return min(each.error for each in self.tried.values())

    @property
    def preferred(self) -> Setting:
        """The smallest setting whose error is close to the least."""
        close = [each for each in self.tried.values() if each.error <= CLOSE * self.least]
        return min(close, key=lambda each: (each.parameters, each.setting)).setting

    def error_of(self, setting: Setting) -> float:
        """Error of a candidate that was tried."""
        return self.tried[setting].error

    def obstacle(self, setting: Setting) -> str:
        """What keeps ``setting`` from being tried; empty if nothing does."""
        size = self.untrained(setting).parameter_count
        if self.available < _LABELS * size:
            return f"level {setting.named_level} has too many parameters for the data"
        *_, least = _EFFORTS
        if self.tried and self._time(size, least) > self.left - self._reserve(size):
            return f"level {setting.named_level} would have taken longer than the budget"
        return ""

    def attempt(self, setting: Setting, limit: float = np.inf) -> str:
        """Fit and judge ``setting`` in ``limit`` seconds; returns why not, if it is not."""
        if setting in self.tried:
            return ""
        if self.tried and (obstacle := self.obstacle(setting)):
            return obstacle
        self._report(f"{setting}")
        begun, clock = perf_counter(), []
        start = self.untrained(setting)
        limit = min(limit, self.left - self._reserve())
        effort = self._effort(start.parameter_count, limit)
        part = self._part(start.parameter_count, effort)
        with progress.reporting(progress.Reporter()):
            result = fit(
                start,
                part,
                validation=self.validation,
                time_limit=max(limit, 0.0),
                starts=min(effort[1], self.starts),
                watch=lambda _: clock.append(perf_counter()),
                **self.options,
            )
        own = result.validation
        self.tried[setting] = Candidate(
            setting,
            start.parameter_count,
            error=float(np.sqrt(own.value)),
            energy_rmse=own.energy_rmse,
            force_rmse=own.force_rmse,
            structures=len(part),
            seconds=perf_counter() - begun,
        )
        self.fitted[setting] = result.potential
        if len(clock) > 1:
            pace = (clock[-1] - clock[0]) / (len(clock) - 1) / sum(map(label_count, part))
            self.paces[start.parameter_count] = pace
        self._report(f"{setting}: {_errors(self.tried[setting])}")
        return ""

    def choice(self, reason: str, begun: float) -> Choice:
        """The candidates with their costs, and the one that is chosen."""
        measured = costs(self.fitted, self.validation)
        rows = [replace(self.tried[each], cost=measured[each]) for each in self.tried]
        times = [self._final(row.parameters) for row in rows]
        in_time = [time <= max(_IN_TIME * self.left, min(times)) for time in times]
        rows = judged(rows, in_time)
        chosen = next(row for row in rows if row.chosen)
        size = chosen.parameters
        starts = self.starts
        while starts > _FEWEST_STARTS and self._final(size, starts) > self.left:
            starts = max(_FEWEST_STARTS, starts // 2)
        why = f"the cheapest of them within {100 * (CLOSE - 1):.0f} % of the least error"
        if chosen.error > CLOSE * self.least:
            why += " among those whose fit to all structures the budget allows"
        why += f"; {reason}" if reason else ""
        return Choice(rows, starts, why, perf_counter() - begun)

    @property
    def left(self) -> float:
        """Seconds to the deadline."""
        return self.deadline - perf_counter()

    def _effort(self, size: int, seconds: float) -> tuple[int, int]:
        """The greatest effort for a fit of ``size`` parameters that ``seconds`` allow."""
        *greater, least = _EFFORTS
        return next((each for each in greater if self._time(size, each) <= seconds), least)

    def _part(self, size: int, effort: tuple[int, int]) -> list[Atoms]:
        """Training structures enough for ``size`` parameters."""
        part = min(1.0, effort[0] * size / max(self.available, 1))
        number = max(min(FEWEST, len(self.training)), int(np.ceil(part * len(self.training))))
        return [self.training[s] for s in evenly(len(self.training), number)]

    def _time(self, size: int, effort: tuple[int, int]) -> float:
        """Seconds that a candidate of ``size`` parameters is expected to take."""
        return self._expected(min(self.available, effort[0] * size), size, effort[1])

    def _reserve(self, *sizes: int) -> float:
        """Seconds kept for a final fit of the preferred setting, or of ``sizes`` parameters."""
        if self.tried:
            sizes += (self.tried[self.preferred].parameters,)
        return _OF_RESERVE * max(map(self._final, sizes), default=0.0)

    def _final(self, size: int, starts: int = _FEWEST_STARTS) -> float:
        """Seconds that the final fit is expected to take."""
        return self._expected(self.labels, size, starts)

    def _expected(self, labels: int, size: int, starts: int) -> float:
        """Seconds that a fit of ``size`` parameters is expected to take."""
        if not self.paces:
            return 0.0
        near = min(self.paces, key=lambda known: abs(np.log(known / size)))
        pace = self.paces[near] * (size / near) ** _POWER
        return pace * (labels * _USUAL + work(min(starts, self.starts), labels, size))

    def _report(self, note: str) -> None:
        """Advance the progress, which is counted in seconds."""
        now = round(perf_counter() - self.begun)
        self.task.advance(now - self.reported, note)
        self.reported = now


def costs(potentials: Mapping[Key, Potential], structures: Sequence[Atoms]) -> dict[Key, float]:
    """µs per atom for energies and forces on one core: the least of some rounds over all."""
    atoms = np.cumsum([len(each) for each in structures])
    some = list(structures[: int(np.searchsorted(atoms, _TIMED_ATOMS)) + 1])
    ready = {
        key: (
            potential.compiled(threads=1),
            neighbourhoods(some, potential.max_dist, potential.elements),
        )
        for key, potential in potentials.items()
    }
    least = dict.fromkeys(ready, np.inf)
    for _ in range(_TIMED_ROUNDS):
        for key, (kernel, nb) in ready.items():
            begun = perf_counter()
            kernel.evaluate(nb, forces=True, virial=False)
            least[key] = min(least[key], perf_counter() - begun)
    return {key: 1e6 * time / len(ready[key][1].types) for key, time in least.items()}


def _errors(candidate: Candidate) -> str:
    text = f"{1000 * candidate.energy_rmse:.3g} meV/atom"
    if np.isfinite(candidate.force_rmse):
        text += f", {1000 * candidate.force_rmse:.3g} meV/Å"
    return text
