"""Where a fit starts: the best of several starting points.

The loss has many minima, and which one a descent finds depends on where it starts. So several
starts run side by side, on part of the labels, and again and again the worse ones are given up
(successive halving, Jamieson & Talwalkar, AISTATS 2016).
"""

from time import perf_counter

import numpy as np

from mentor import progress
from mentor.fit.least_squares import Problem, State, advance, begin
from mentor.potential import random_coefficients

ROUND = 10
"""Iterations between two comparisons."""

KEPT = 3
"""Of so many starts one goes on."""


def best_start(part: Problem, starts: int, seed: int, until: float = np.inf) -> np.ndarray:
    """Parameters after some iterations on ``part`` of the labels, from the start that fares best.

    Parameters
    ----------
    starts
        How many: the radial coefficients of the potential, and random ones made with ``seed``.
    until
        When to take the best so far, by the clock of ``time.perf_counter``.
    """
    rng = np.random.default_rng(seed)
    states = [begin(part, _start(part, rng, number)) for number in range(starts)]
    with progress.task("compare starts", _rounds(starts)) as task:
        while len(states) > 1:
            for number, state in enumerate(states):
                if perf_counter() > until:
                    return min(states, key=_objective).point.solved
                states[number] = _descended(part, state)
                task.advance(1, f"loss {min(map(_objective, states)):.4g}")
            states = sorted(states, key=_objective)[: max(1, len(states) // KEPT)]
    return states[0].point.solved


def _rounds(starts: int) -> int:
    """Descents in all."""
    return 0 if starts <= 1 else starts + _rounds(max(1, starts // KEPT))


def iterations(starts: int) -> int:
    """Iterations that :func:`best_start` makes, each the cost of a Jacobian of the part."""
    return ROUND * _rounds(starts)


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
        random = random_coefficients(rng, shape, len(problem.potential.moment_coeffs))
        theta[: problem.radial_count] = random["radial_coeffs"].ravel()
    return theta
