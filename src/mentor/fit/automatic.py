"""Settings chosen by validation: level, cutoff and size of the radial basis, within a time budget.

From coarse to fine, since a fit at a high level costs a hundred times one at a low level: cutoffs
are compared at a low level; the level then rises as long as the validation error falls; at the best
level the radial basis and the other cutoffs are compared again. Of all that was tried the cheapest
is chosen whose error is close to the least (decision 0013).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
from ase import Atoms

from mentor import progress
from mentor.basis import LEVEL_WEIGHTS, generate
from mentor.exceptions import InputError
from mentor.fit.choice import CLOSE, Candidate, Choice, Setting, judged
from mentor.fit.fitting import fit
from mentor.fit.starts import work
from mentor.fit.survey import by_kind, evenly, held_out, label_count, suitable_cutoffs
from mentor.neighbourhoods import neighbourhoods
from mentor.potential import Potential
from mentor.structures import labels

LEVELS = (6, 8, 10, 12, 16, 20, 24)
"""Levels that are tried."""

OTHER_WEIGHTS = (3, 2, 2)
"""Weights of levels that are tried beside the usual ones: more radial functions and products, less
of the angles, which is cheaper, and more accurate for most molecules (decision 0020)."""

RADIAL_BASIS_SIZES = (8, 10, 12)
"""Sizes of the radial basis that are tried."""

FEWEST = 10
"""Structures with energies below which none can be spared for validation."""

_FUNCTIONS = (5, 9, 16, 29, 92, 288, 864)  # that LEVELS have
_FIRST = 1  # of the levels: cutoffs are compared there
_GAIN = 0.98  # a higher level must lower the error to this part of the least
_PATIENCE = 2  # levels in a row without gain after which none higher is tried
_LABELS = 1  # per parameter, at least
_LABELS_UNTESTED = 10  # per parameter, at least, where nothing validates
_UNTESTED = 4  # levels, the lowest, that are looked at where nothing validates

_EFFORTS = ((100, 6), (30, 3))
"""Labels per parameter and starts of a candidate's fit: of more labels the error would hardly fall;
the second where time is short."""
_FEWEST_STARTS = 3  # of the final fit
_ITERATIONS, _TOLERANCE = 60, 0.03  # of a candidate's fit
_USUAL = 30  # iterations that a fit takes after its starts
_POWER = 1.5  # of the number of parameters, by which the time of an iteration grows (1 to 2)
_SHARE = 0.1  # of the budget that the first candidates may take each
_IN_TIME = 1.5  # of the time left, within which the final fit is expected; it ends with it at most
_OF_RESERVE = 1.3  # time kept for the final fit, in units of what is expected

_TIMED_ATOMS, _TIMED_ROUNDS = 1000, 5

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_budget(text: str) -> float:
    """Seconds of a time such as ``90s``, ``10m`` or ``1.5h``.

    Raises
    ------
    InputError
        It is no time above zero, or has no unit.
    """
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(s|m|min|h)\s*", str(text))
    if match is None or float(match[1]) == 0:
        raise InputError(f"budget = {text} is not a time; write for example 90s, 10m or 1h")
    return float(match[1]) * _UNITS[match[2]]


def choose(
    untrained: Callable[[Setting], Potential],
    structures: Sequence[Atoms],
    *,
    level: int | None = None,
    cutoff: float | None = None,
    radial_basis_size: int | None = None,
    level_weights: tuple[int, ...] | None = None,
    validation: Sequence[Atoms] = (),
    seconds: float = 600.0,
    starts: int = 24,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> Choice:
    """Choose what is None of ``level``, ``cutoff`` (Å), ``radial_basis_size``, ``level_weights``.

    Nothing is drawn but with ``seed``, so that only a budget that runs out makes the choice depend
    on the speed of the machine.

    Parameters
    ----------
    untrained
        Gives the potential that a fit with a setting begins with.
    structures
        Labelled; a fifth of them is set aside to validate, unless ``validation`` is given.
    seconds
        For the search and the fit of all ``structures`` after it, whose time is kept back.
    starts
        Most starting points of that fit.
    options
        Weights and limits of :func:`mentor.fit.fit`.

    Raises
    ------
    InputError
        A setting makes no sense, or the labels cannot be used.
    """
    begun = perf_counter()
    given = Setting(level, cutoff, radial_basis_size, level_weights)  # type: ignore[arg-type]
    cutoffs = (cutoff,) if cutoff is not None else suitable_cutoffs(structures)
    order = by_kind(structures, seed)
    count = sum(labels(atoms).energy is not None for atoms in structures)
    if count < FEWEST and not len(validation):
        return _untested(untrained, structures, given, cutoffs, starts, begun)
    training = [structures[s] for s in order]
    if not len(validation):
        held = set(held_out(structures, order))
        training = [structures[s] for s in order if s not in held]
        validation = [structures[s] for s in sorted(held)]
    search = _Search(
        untrained,
        training,
        list(validation),
        labels=sum(map(label_count, structures)),
        deadline=begun + seconds,
        starts=starts,
        options={**(options or {}), "seed": seed},
    )
    with progress.task("choose the settings (s)", round(seconds)) as task:
        search.task = task
        reason = _climb(search, given, cutoffs, _SHARE * seconds)
    return search.choice(reason, begun)


def _climb(search: "_Search", given: Setting, cutoffs: Sequence[float], share: float) -> str:
    """Try settings from coarse to fine; returns why no higher level was tried."""
    weights = given.level_weights or LEVEL_WEIGHTS
    levels = _levels(weights) if given.level is None else (given.level,)
    sizes = RADIAL_BASIS_SIZES if given.radial_basis_size is None else (given.radial_basis_size,)
    low = Setting(levels[0], cutoffs[len(cutoffs) // 2], sizes[0], weights)
    first = low._replace(level=levels[min(_FIRST, len(levels) - 1)])
    if search.obstacle(first):
        first = low
    for cutoff in cutoffs:
        search.attempt(first._replace(cutoff=cutoff), share)
    _climb_sizes(search, sizes, share)
    higher = [each for each in levels if each > first.level]
    reason = _climb_levels(search, search.preferred, higher)
    if given.level is None and given.level_weights is None:
        reason = _climb_others(search) or reason
    _climb_sizes(search, sizes)
    here = search.preferred
    for cutoff in cutoffs:
        search.attempt(here._replace(cutoff=cutoff))
    lowest = levels[0] if search.preferred.level_weights == weights else _levels(OTHER_WEIGHTS)[0]
    search.attempt(search.preferred._replace(level=lowest), share)
    return reason


def _climb_others(search: "_Search") -> str:
    """Try ``OTHER_WEIGHTS``, from as many functions as preferred so far; returns why not more.

    Since these cost less, higher levels are tried unless the error is clearly larger.
    """
    usual = search.preferred
    levels = _levels(OTHER_WEIGHTS)[LEVELS.index(usual.level) :]
    setting = usual._replace(level=levels[0], level_weights=OTHER_WEIGHTS)
    if search.attempt(setting) or search.error_of(setting) > CLOSE * search.error_of(usual):
        return ""
    return _climb_levels(search, setting, levels[1:])


@cache
def _levels(weights: tuple[int, ...]) -> tuple[int, ...]:
    """Levels with as many basis functions as LEVELS have, or little more."""
    if weights == LEVEL_WEIGHTS:
        return LEVELS
    levels, level = [], weights[0]
    for least in _FUNCTIONS:
        while len(generate(level, level_weights=weights).scalars) < least:
            level += 1
        levels.append(level)
    return tuple(levels)


def _climb_levels(search: "_Search", below: Setting, levels: Sequence[int]) -> str:
    """Try ``levels`` above ``below`` until they pay no more; returns why not all."""
    without_gain = 0
    for level in levels:
        least = search.least
        setting = below._replace(level=level)
        if obstacle := search.attempt(setting):
            return obstacle
        without_gain = 0 if search.error_of(setting) < _GAIN * least else without_gain + 1
        if without_gain == _PATIENCE:
            return "higher levels no longer lower the error"
        below = setting
    return ""


def _climb_sizes(search: "_Search", sizes: Sequence[int], limit: float = np.inf) -> None:
    """Try larger radial bases beside the preferred setting until they pay no more."""
    below = search.preferred
    for size in (each for each in sizes if each > below.radial_basis_size):
        setting = below._replace(radial_basis_size=size)
        obstacle = search.attempt(setting, limit)
        if obstacle or search.error_of(setting) >= _GAIN * search.error_of(below):
            return
        below = setting


class _Search:
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
        costs = _costs(self.fitted, self.validation)
        rows = [replace(self.tried[each], cost=costs[each]) for each in self.tried]
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


def _untested(
    untrained: Callable[[Setting], Potential],
    structures: Sequence[Atoms],
    given: Setting,
    cutoffs: Sequence[float],
    starts: int,
    begun: float,
) -> Choice:
    """The choice where there are too few structures to validate with: by the number of labels."""
    available = sum(map(label_count, structures))
    weights, size = given.level_weights or LEVEL_WEIGHTS, given.radial_basis_size
    levels = _levels(weights)[:_UNTESTED]
    settings = [
        Setting(level, cutoffs[len(cutoffs) // 2], size or RADIAL_BASIS_SIZES[0], weights)
        for level in (levels if given.level is None else [given.level])
    ]
    sizes = [untrained(each).parameter_count for each in settings]
    fitting = [s for s, size in enumerate(sizes) if _LABELS_UNTESTED * size <= available]
    place = max(fitting, default=0)
    potential = untrained(settings[place])
    row = Candidate(
        *(settings[place], sizes[place], np.nan, np.nan, np.nan, len(structures), 0.0),
        cost=_costs({settings[place]: potential}, structures)[settings[place]],
        chosen=True,
    )
    reason = (
        f"fewer than {FEWEST} structures have energies: none can be spared for validation, "
        f"and the level follows from the number of labels, {available}"
    )
    return Choice((row,), starts, reason, perf_counter() - begun)


def _costs(
    potentials: Mapping[Setting, Potential], structures: Sequence[Atoms]
) -> dict[Setting, float]:
    """µs per atom for energies and forces on one core: the least of some rounds over all."""
    atoms = np.cumsum([len(each) for each in structures])
    some = list(structures[: int(np.searchsorted(atoms, _TIMED_ATOMS)) + 1])
    ready = {
        setting: (
            potential.compiled(threads=1),
            neighbourhoods(some, potential.max_dist, potential.elements),
        )
        for setting, potential in potentials.items()
    }
    least = dict.fromkeys(ready, np.inf)
    for _ in range(_TIMED_ROUNDS):
        for setting, (kernel, nb) in ready.items():
            begun = perf_counter()
            kernel.evaluate(nb, forces=True, virial=False)
            least[setting] = min(least[setting], perf_counter() - begun)
    return {setting: 1e6 * time / len(ready[setting][1].types) for setting, time in least.items()}


def _errors(candidate: Candidate) -> str:
    text = f"{1000 * candidate.energy_rmse:.3g} meV/atom"
    if np.isfinite(candidate.force_rmse):
        text += f", {1000 * candidate.force_rmse:.3g} meV/Å"
    return text
