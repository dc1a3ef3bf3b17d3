"""Where a fit starts: the best of several starting points, found at a lower level.

The loss has many minima, and which one a descent finds depends on where it starts. So several
starts run side by side on part of the labels. Again and again the worse ones are given up, and the
others go on with more labels, so that every round costs the same (successive halving, Jamieson &
Talwalkar, AISTATS 2016, with labels as the resource). All species share their ``moment_coeffs``
here: the minima differ in the radial coefficients.

This happens with a fifth of the basis functions, those of the lowest levels. From there the fit
climbs: those of the next levels begin with coefficients 0 where a descent of the lower ones has
ended. That takes a part of the time, and ends in better minima (decision 0016).
"""

from collections.abc import Callable
from math import ceil
from time import perf_counter

import numpy as np

from mentor import progress
from mentor.fit.growth import lowered, raised
from mentor.fit.least_squares import Problem, State, advance, begin
from mentor.potential import Potential, random_coefficients

ROUND = 10
"""Iterations between two comparisons."""

KEPT = 3
"""Of so many starts one goes on, with so many times the labels."""

LABELS = 15.0
"""Labels per parameter in the first round."""

RUNGS, PART, FEWEST = 3, 0.6, 9
"""Starts are compared so many rungs below the potential, of which each has at most that part of the
functions of the next, but not so few. With the usual levels a rung is two of them."""

CLIMB = 20
"""Iterations on each rung of the way up."""

_LOW = 0.3  # parameters of the lowest potential, as a part of those of the last
_POWER = 1.5  # of the parameters, by which the time of an iteration grows
_CLIMB = 2.4  # time of an iteration of each potential on the way, in units of the last one's


def start(
    potential: Potential,
    problem: Callable[[Potential, float], Problem],
    starts: int,
    seed: int,
    until: float = np.inf,
) -> State:
    """The state from which the fit of ``potential`` descends.

    Parameters
    ----------
    potential
        Its radial coefficients are among the ``starts`` that are compared.
    problem
        The problem of a potential with so many labels per parameter, or with all there are.
    starts, seed, until
        As in :func:`best_start`; then no potential on the way to ``potential`` is fitted any more.
    """
    rungs = _rungs(potential)
    low = rungs[0].with_mean_moments()
    state = best_start(lambda labels: problem(low, labels), starts, seed, until)
    here = low.with_parameters(state.point.solved)
    with progress.task("climb", (len(rungs) - 1) * CLIMB) as task:
        for rung in rungs[:-1]:
            whole = problem(rung, np.inf)
            state = begin(whole, _in(here, rung).parameters, state.prior)
            for _ in range(CLIMB):
                if perf_counter() > until or state.exhausted:
                    break
                state = advance(whole, state)
                task.advance(1, f"{rung.scalar_count} functions, loss {_objective(state):.4g}")
            here = rung.with_parameters(state.point.solved)
    return begin(problem(potential, np.inf), _in(here, potential).parameters, state.prior)


def _rungs(potential: Potential) -> list[Potential]:
    """Potentials of rising levels, the last of which is ``potential``."""
    rungs = [potential]
    while len(rungs) <= RUNGS:
        lower = lowered(rungs[0], int(PART * rungs[0].scalar_count))
        if lower is None or lower.scalar_count < FEWEST:
            break
        rungs.insert(0, lower)
    return rungs


def _in(potential: Potential, rung: Potential) -> Potential:
    """``rung`` with the energies of ``potential``, which is lower or the same."""
    own = potential.with_own_moments() if rung.moment_coeffs.ndim == 2 else potential
    return own if own.scalar_count == rung.scalar_count else raised(own, rung)


def best_start(
    part: Callable[[float], Problem], starts: int, seed: int, until: float = np.inf
) -> State:
    """Where the start that fares best ends after some iterations on part of the labels.

    Parameters
    ----------
    part
        The problem with so many labels per parameter, or with all there are.
    starts
        How many: the radial coefficients of the potential, and random ones made with ``seed``.
    until
        When to take the best so far, by the clock of ``time.perf_counter``.
    """
    rng = np.random.default_rng(seed)
    labels, problem = LABELS, part(LABELS)
    states = [begin(problem, _start(problem, rng, number)) for number in range(starts)]
    with progress.task("compare starts", sum(_rounds(starts))) as task:
        while len(states) > 1:
            for number, state in enumerate(states):
                if perf_counter() > until:
                    return min(states, key=_objective)
                states[number] = _descended(problem, state)
                task.advance(1, f"loss {min(map(_objective, states)):.4g}")
            labels *= KEPT
            problem = part(labels)
            best = sorted(states, key=_objective)[: ceil(len(states) / KEPT)]
            states = [begin(problem, state.point.solved, state.prior) for state in best]
    return states[0]


def _rounds(starts: int) -> list[int]:
    """Starts in each round."""
    return [] if starts <= 1 else [starts, *_rounds(ceil(starts / KEPT))]


def work(starts: int, labels: int, parameters: int) -> float:
    """What :func:`start` costs: labels, summed over iterations of the potential itself."""
    if starts <= 1:
        return 0.0
    rounds = _rounds(starts)
    each = [min(labels, LABELS * KEPT**k * _LOW * parameters) for k in range(len(rounds))]
    return ROUND * (_LOW**_POWER * float(np.dot(rounds, each)) + _CLIMB * labels)


def _objective(state: State) -> float:
    return state.point.objective


def _descended(problem: Problem, state: State) -> State:
    for _ in range(ROUND):
        if state.exhausted:
            break
        state = advance(problem, state)
    return state


def _start(problem: Problem, rng: np.random.Generator, number: int) -> np.ndarray:
    """Parameters of start ``number``; the first ones are those of the potential."""
    theta = problem.potential.parameters.copy()
    if number > 0:
        shape = problem.potential.radial_coeffs.shape
        random = random_coefficients(rng, shape, problem.potential.scalar_count)
        theta[: problem.radial_count] = random["radial_coeffs"].ravel()
    return theta
