"""Where a fit starts: the best of several starting points.

The loss has many minima, and which one a descent finds depends on where it starts. So several
starts run side by side on part of the labels. Again and again the worse ones are given up, and the
others go on with more labels, so that every round costs the same (successive halving, Jamieson &
Talwalkar, AISTATS 2016, with labels as the resource). All species share their ``moment_coeffs``
here: the minima differ in the radial coefficients.
"""

from collections.abc import Callable
from math import ceil
from time import perf_counter

import numpy as np

from mentor import progress
from mentor.fit.least_squares import Problem, State, advance, begin
from mentor.potential import random_coefficients

ROUND = 10
"""Iterations between two comparisons."""

KEPT = 3
"""Of so many starts one goes on, with so many times the labels."""

LABELS = 15.0
"""Labels per parameter in the first round."""


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
            states = [moved(problem, state) for state in best]
    return states[0]


def moved(problem: Problem, state: State) -> State:
    """The beginning of a descent on other labels, where ``state`` is and with its prior.

    Where each species has ``moment_coeffs`` of its own and had not in ``state``, they begin equal.
    """
    theta, own = state.point.solved, problem.potential.moment_coeffs
    if len(theta) < problem.potential.parameter_count:
        theta = np.concatenate([theta, *[theta[-own.shape[-1] :]] * (len(own) - 1)])
    return begin(problem, theta, state.prior)


def _rounds(starts: int) -> list[int]:
    """Starts in each round."""
    return [] if starts <= 1 else [starts, *_rounds(ceil(starts / KEPT))]


def work(starts: int, labels: int, parameters: int) -> float:
    """What :func:`best_start` costs: the sum of the labels over all iterations."""
    rounds = _rounds(starts)
    each = [min(labels, LABELS * KEPT**k * parameters) for k in range(len(rounds))]
    return ROUND * float(np.dot(rounds, each))


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
