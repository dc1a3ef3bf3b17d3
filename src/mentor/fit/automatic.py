"""Settings chosen by validation: level, cutoff and size of the radial basis, within a time budget.

From coarse to fine, since a fit at a high level costs a hundred times one at a low level: cutoffs
are compared at a low level; the level then rises as long as the validation error falls; where time
is left, other basis functions are tried (decision 0020); at the best level the radial basis and the
other cutoffs are compared again. Of all that was tried the cheapest
is chosen whose error is close to the least (decision 0013).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
from ase import Atoms

from mentor import progress
from mentor.basis import LEVEL_WEIGHTS, generate
from mentor.exceptions import InputError
from mentor.fit.choice import CLOSE, Candidate, Choice, Setting
from mentor.fit.search import FEWEST, Search, costs
from mentor.fit.survey import by_kind, held_out, label_count, suitable_cutoffs
from mentor.potential import Potential
from mentor.structures import labels

LEVELS = (6, 8, 10, 12, 16, 20, 24)
"""Levels that are tried."""

OTHER_WEIGHTS = (3, 2, 2)
"""Weights of levels that are tried beside the usual ones: more radial functions, less of the
angles, which is cheaper, and as accurate for ethanol and aspirin (decision 0020)."""

RADIAL_BASIS_SIZES = (8, 10, 12)
"""Sizes of the radial basis that are tried."""

_FUNCTIONS = (5, 9, 16, 29, 92, 288, 864)  # that LEVELS have
_FIRST = 1  # of the levels: cutoffs are compared there
_GAIN = 0.98  # a higher level must lower the error to this part of the least
_PATIENCE = 2  # levels in a row without gain after which none higher is tried
_LABELS_UNTESTED = 10  # per parameter, at least, where nothing validates
_UNTESTED = 4  # levels, the lowest, that are looked at where nothing validates

_SHARE = 0.1  # of the budget that the first candidates may take each
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
    search = Search(
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


def _climb(search: Search, given: Setting, cutoffs: Sequence[float], share: float) -> str:
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


def _climb_others(search: Search) -> str:
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


def _climb_levels(search: Search, below: Setting, levels: Sequence[int]) -> str:
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


def _climb_sizes(search: Search, sizes: Sequence[int], limit: float = np.inf) -> None:
    """Try larger radial bases beside the preferred setting until they pay no more."""
    below = search.preferred
    for size in (each for each in sizes if each > below.radial_basis_size):
        setting = below._replace(radial_basis_size=size)
        obstacle = search.attempt(setting, limit)
        if obstacle or search.error_of(setting) >= _GAIN * search.error_of(below):
            return
        below = setting


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
        cost=costs({settings[place]: potential}, structures)[settings[place]],
        chosen=True,
    )
    reason = (
        f"fewer than {FEWEST} structures have energies: none can be spared for validation, "
        f"and the level follows from the number of labels, {available}"
    )
    return Choice((row,), starts, reason, perf_counter() - begun)
