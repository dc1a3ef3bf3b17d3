"""Three optimisers on the same loss, from the same starts: how far they get with so much time.

    python benchmarks/fit/optimisers.py TRAIN.xyz [--levels LEVEL] [--starts N] [--json FILE]
                                        [--plot FILE]

- variable projection: what mentor does, Levenberg-Marquardt of the radial coefficients with the
  linear ones eliminated;
- all parameters: Levenberg-Marquardt of all of them, each damped;
- L-BFGS: SciPy's, of the radial coefficients, the linear ones solved for anew at each evaluation
  (the gradient of what remains is Jᵀr of the radial ones there).
The objective is the loss and a fixed weak prior, the same for all. All begin at random radial
coefficients with the linear ones solved for. An evaluation costs one Jacobian, for L-BFGS that of
the linear coefficients, whose share of the time is printed, and a gradient; here it makes two whole
ones, so compare evaluations, not seconds. One thread, CPU time.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))

import numpy as np
from ase.io import read
from common import CUTOFF, Record, parsed, parser, title
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

import mentor
from mentor.fit.least_squares import Point, Problem
from mentor.fit.loss import Weights, labelled_set
from mentor.fit.prior import Prior
from mentor.neighbourhoods import neighbourhoods
from mentor.plots import COLOURS, new_figure
from mentor.potential import random_coefficients
from mentor.structures import shortest_distances

EVALUATIONS = 300
ALLOWED = (25, 50, 100, 200, 300)
Curve = list[tuple[float, float]]
"""CPU seconds and the lowest objective so far, after each evaluation."""


class SpentError(Exception):
    """All evaluations are used up."""


class Counted:
    """A problem with a fixed prior that notes what each evaluation found."""

    def __init__(self, problem: Problem, precision: np.ndarray, evaluations: int) -> None:
        self.problem, self.precision, self.evaluations = problem, precision, evaluations
        self.curve: Curve = []
        self.begin = time.process_time()

    def at(self, theta: np.ndarray) -> Point:
        """The linearised problem."""
        if len(self.curve) == self.evaluations:
            raise SpentError
        return Point(theta, self.problem.linearised(theta), self.precision)

    def note(self, objective: float) -> None:
        least = min(objective, self.curve[-1][1]) if self.curve else objective
        self.curve.append((time.process_time() - self.begin, least))


def variable_projection(counted: Counted, theta: np.ndarray) -> None:
    """Levenberg-Marquardt of the radial coefficients."""
    descend(
        counted,
        counted.at(theta),
        objective=lambda point: point.objective,
        step=lambda point, damping: point.step(damping),
        correct=lambda point: counted.at(point.solved),
    )


def all_parameters(counted: Counted, theta: np.ndarray) -> None:
    """Levenberg-Marquardt of all parameters, scaled by the diagonal of JᵀJ."""
    P = counted.precision

    def objective(point: Point) -> float:
        return point.linearised.loss + float(P @ point.theta**2)

    def step(point: Point, damping: float) -> tuple[np.ndarray, float]:
        matrix = point.linearised.matrix + np.diag(P)
        gradient = point.linearised.vector - P * point.theta
        units = 1.0 / np.sqrt(np.maximum(np.diag(matrix), 1e-14 * np.diag(matrix).max()))
        scaled = matrix * units * units[:, None]
        factor = cho_factor(scaled + (damping + 1e-13) * np.eye(len(units)))
        move = units * cho_solve(factor, units * gradient)
        return point.theta + move, objective(point) - 2 * gradient @ move + move @ matrix @ move

    descend(counted, counted.at(theta), objective, step, correct=None)


def descend(
    counted: Counted,
    here: Point,
    objective: Callable[[Point], float],
    step: Callable[[Point, float], tuple[np.ndarray, float]],
    correct: Callable[[Point], Point] | None,
) -> None:
    """Steps damped after Nielsen, until all evaluations are used up or no step helps."""
    damping, growth, optimal = 1e-2, 2.0, True
    counted.note(objective(here))
    while damping < 1e10:
        theta, expected = step(here, damping)
        there = counted.at(theta)
        counted.note(objective(there))
        foretold = max(objective(here) - expected, np.finfo(float).tiny)
        gain = min((objective(here) - objective(there)) / foretold, 1.0)
        if gain > 1e-4:
            here, growth, optimal = there, 2.0, False
            damping = max(damping * max(0.2, 1.0 - (2.0 * gain - 1.0) ** 3), 1e-12)
            continue
        if correct is not None and not optimal:
            here, optimal = correct(here), True
            counted.note(objective(here))
        damping, growth = damping * growth, 2.0 * growth


def lbfgs(counted: Counted, theta: np.ndarray) -> None:
    """SciPy's L-BFGS-B of the radial coefficients, in units of their effect at the start."""
    p = counted.problem.radial_count
    scales = counted.at(theta).scales
    last = theta

    def reduced(y: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal last
        guess = np.concatenate([y / scales, last[p:]])
        solved = counted.at(guess).solved  # exact: the model is linear in these
        solved = np.concatenate([guess[:p], solved[p:]])
        point = counted.at(solved)
        last = solved
        counted.note(point.objective)
        gradient = -2 * (point.linearised.vector - point.precision * solved)[:p]
        return point.objective, gradient / scales

    options = {"maxfun": 10**6, "maxiter": 10**6, "maxcor": 30, "ftol": 0.0, "gtol": 0.0}
    minimize(reduced, theta[:p] * scales, jac=True, method="L-BFGS-B", options=options)


METHODS = {
    "variable projection": variable_projection,
    "all parameters": all_parameters,
    "L-BFGS": lbfgs,
}


def starts(problem: Problem, count: int) -> Iterator[np.ndarray]:
    """Random radial coefficients, linear ones zero."""
    for seed in range(count):
        potential = problem.potential
        shape, n = potential.radial_coeffs.shape, len(potential.moment_coeffs)
        random = random_coefficients(np.random.default_rng(seed), shape, n)
        theta = np.zeros(potential.parameter_count)
        theta[: problem.radial_count] = random["radial_coeffs"].ravel()
        yield theta


def linear_share(problem: Problem, theta: np.ndarray) -> float:
    """Time of the Jacobian by the linear coefficients, as a part of that by all."""
    kernel, labelled = problem.at(theta).kernel, problem.labelled
    seconds = []
    for columns in (np.arange(problem.radial_count, len(theta)), np.arange(len(theta))):
        begin = time.process_time()
        for part in labelled.chunks():
            rows = kernel.weighted_rows(
                part.neighbourhoods,
                energy_weights=part.energy_weights,
                force_weights=part.force_weights,
                virial_weights=part.virial_weights,
                columns=columns,
            )
            rows.T @ rows
        seconds.append(time.process_time() - begin)
    return seconds[0] / seconds[1]


def main() -> None:
    options = parser(__doc__, levels=(12, 16))
    options.add_argument("train")
    options.add_argument("--starts", type=int, default=5)
    options = parsed(options)
    record = Record("optimisers")
    structures = read(options.train, ":")
    evaluations = 20 if options.quick else EVALUATIONS
    elements = sorted({symbol for atoms in structures for symbol in atoms.symbols})
    shortest = min(shortest_distances(structures, CUTOFF).values())
    for level in options.levels:
        potential = mentor.init(
            level=level, elements=elements, cutoff=CUTOFF, min_dist=0.95 * shortest, core=False
        )
        nb = neighbourhoods(structures, CUTOFF, potential.elements)
        problem = Problem(potential, labelled_set(structures, nb, Weights()))
        title(f"level {level}, {len(structures)} structures: the lowest objective so far")
        for number, theta in enumerate(starts(problem, options.starts)):
            linear = problem.linearised(theta)
            precision = Prior().precision(potential, linear)
            begun = Point(theta, linear, precision).solved
            share = linear_share(problem, begun)
            for name, method in METHODS.items():
                counted = Counted(problem, precision, evaluations)
                with suppress(SpentError):
                    method(counted, begun)
                line = {"level": level, "start": number, "method": name, "share": share}
                record.add("curves", **line, curve=counted.curve)
                shown = [counted.curve[min(n, len(counted.curve)) - 1] for n in ALLOWED]
                text = "  ".join(f"{each[1]:.4f}" for each in shown)
                print(f"{number:3d} {name:20s} {text}  {counted.curve[-1][0]:6.1f} s", flush=True)
        summary(record, level)
    record.finish(options, draw)


def summary(record: Record, level: int) -> None:
    """Medians over the starts of what was reached after so many evaluations."""
    lines = [line for line in record.sections["curves"] if line["level"] == level]
    print(f"medians after {', '.join(map(str, ALLOWED))} evaluations")
    for name in METHODS:
        own = [line["curve"] for line in lines if line["method"] == name]
        medians = [np.median([c[min(n, len(c)) - 1][1] for c in own]) for n in ALLOWED]
        record.add("medians", level=level, method=name, evaluations=ALLOWED, objectives=medians)
        print(f"{name:24s} " + "  ".join(f"{each:.4f}" for each in medians))
    share = np.median([line["share"] for line in lines])
    print(f"time of the Jacobian by the linear coefficients alone: {100 * share:.0f} %")


def draw(record: Record):
    """Objective against evaluations."""
    levels = sorted({line["level"] for line in record.sections["curves"]})
    figure, axes = new_figure(width=4.0 * len(levels), columns=len(levels))
    axes = np.atleast_1d(axes)
    for ax, level in zip(axes, levels, strict=True):
        for line in record.sections["curves"]:
            if line["level"] == level:
                colour = COLOURS[list(METHODS).index(line["method"])]
                label = line["method"] if line["start"] == 0 else None
                objectives = [each[1] for each in line["curve"]]
                ax.loglog(np.arange(len(objectives)) + 1, objectives, color=colour, label=label)
        ax.set(title=f"level {level}", xlabel="evaluations", ylabel="objective")
    axes[0].legend()
    return figure


if __name__ == "__main__":
    main()
