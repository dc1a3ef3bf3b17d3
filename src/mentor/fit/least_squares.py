"""Separable nonlinear least squares for the parameters of a potential.

The loss |r|² is quadratic in the linear coefficients x = (ξ⁰, ξ) and nonlinear in the radial ones,
c. Each step of Levenberg and Marquardt,

    min |r − J_c δc − J_x δx|² + λ |D δc|² + Σ_k p_k (θ_k − θ⁰_k)²,

is damped in c only, so x is always optimal for the linearised problem; a step counts as progress by
the objective that remains after x has been eliminated (variable projection, Golub & Pereyra,
Inverse Problems 19, R1 (2003)). All of this is read off the triangular factor of [J_x, J_c, r] and
the rows of the prior, the last term (:mod:`.linearised`):

    [S_xx S_xc s_x; 0 S_cc s_c; 0 0 σ],   min over x = |s_c − S_cc δc|² + σ².

A Gauss–Newton step corrects the rounding errors of the one before, since r itself is exact.

The prior is θ_k ~ N(θ⁰_k, s²/p_k), s² the variance of the residuals (:mod:`.prior`).

The gauge f_μ → Σ_{μ'≤μ} A_{μμ'} f_μ' leaves the energy as it is: its directions have no gradient,
and the damped step hardly moves along them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from mentor.blas import threads_for
from mentor.fit.linearised import Linearised, linearised, linearised_apart
from mentor.fit.loss import LabelledSet, loss
from mentor.fit.prior import Prior
from mentor.potential import Potential

FIRST_PRIOR = Prior()
TRANSFER_PRIOR = Prior(1e-3, 1e-3)
"""Where the mean is that of a trained potential; the evidence decides from there."""
FIRST_DAMPING = 1e-2
LARGEST_DAMPING = 1e8
SMALLEST_DAMPING = 1e-12
_FORGETTING = 0.7  # of the scales D from step to step
_EVIDENCE_EVERY = 3  # steps that succeed, between two choices of the prior
_SETTLING = 8  # choices of the prior, one after the other, where a fit goes on
_DETERMINED = 20.0  # labels per parameter from which on the evidence is to be trusted
_LEAST_JUDGES = 300  # structures, a tenth of which can choose a prior
_FIRST_EXPONENT, _STRIDE, _EXPONENTS = -14.0, 4.0, (-28.0, -2.0)  # of ten, for strengths


@dataclass(frozen=True, eq=False)
class Problem:
    """What is fitted: a potential, of which only the parameters change, and labelled structures."""

    potential: Potential
    labelled: LabelledSet
    mean: np.ndarray | float = 0.0
    """θ⁰ of the prior, shape (m,)."""

    @property
    def radial_count(self) -> int:
        """Number of radial coefficients, p."""
        return self.potential.radial_coeffs.size

    def at(self, theta: np.ndarray) -> Potential:
        """The potential with parameters ``theta``."""
        return self.potential.with_parameters(theta)

    def linearised(self, theta: np.ndarray) -> Linearised:
        """The loss linearised at ``theta``."""
        return linearised(self.at(theta).kernel, self.labelled)

    def linearised_apart(self, theta: np.ndarray) -> tuple[Linearised, Linearised]:
        """The same of nine tenths of the structures, and of those set aside."""
        return linearised_apart(self.at(theta).kernel, self.labelled)


@dataclass(frozen=True, eq=False)
class Point:
    """Parameters θ = (c, x), the linearised problem there, and the precision of the prior."""

    theta: np.ndarray
    linearised: Linearised
    precision: np.ndarray
    """P, shape (m,)."""
    former_scales: np.ndarray | None = None
    """D of the point before, shape (p,)."""
    mean: np.ndarray | float = 0.0
    """θ⁰, shape (m,)."""

    @cached_property
    def triangle(self) -> np.ndarray:
        """S, with the rows of the prior; columns in the order (x, c, r)."""
        return self.linearised.with_prior(self.precision, self.theta - self.mean)

    @property
    def _linear_count(self) -> int:
        return len(self.theta) - self.linearised.radial_count

    @cached_property
    def _best_linear(self) -> np.ndarray:
        """δx that is optimal where δc = 0."""
        n = self._linear_count
        return solve_triangular(self.triangle[:n, :n], self.triangle[:n, -1])

    @cached_property
    def _following(self) -> np.ndarray:
        """−δx per δc."""
        n = self._linear_count
        return solve_triangular(self.triangle[:n, :n], self.triangle[:n, n:-1])

    @cached_property
    def objective(self) -> float:
        """Loss and prior after eliminating x, c as it is."""
        return float(np.sum(self.triangle[self._linear_count :, -1] ** 2))

    @cached_property
    def scales(self) -> np.ndarray:
        """D, shape (p,)."""
        n = self._linear_count
        own = np.linalg.norm(self.triangle[n:-1, n:-1], axis=0)
        own = np.maximum(own, own.max() * 1e-8) if own.any() else np.ones(len(own))
        if self.former_scales is not None:
            own = np.maximum(own, _FORGETTING * self.former_scales)
        return own

    @cached_property
    def _spectrum(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """w, Vᵀ and q = Uᵀs_c of S_cc D⁻¹ = U w Vᵀ."""
        n = self._linear_count
        U, w, Vt = np.linalg.svd(self.triangle[n:-1, n:-1] / self.scales)
        return w, Vt, U.T @ self.triangle[n:-1, -1]

    def step(self, damping: float) -> tuple[np.ndarray, float]:
        """Parameters after the damped step, and the objective expected there."""
        w, Vt, q = self._spectrum
        dc = (q * w / (w**2 + damping)) @ Vt / self.scales
        left = q * damping / (w**2 + damping)
        return self._moved(dc), float(left @ left) + float(self.triangle[-1, -1] ** 2)

    @property
    def solved(self) -> np.ndarray:
        """Parameters with x optimal for c as it is."""
        return self._moved(np.zeros(self.linearised.radial_count))

    def _moved(self, dc: np.ndarray) -> np.ndarray:
        dx = self._best_linear - self._following @ dc if dc.any() else self._best_linear
        return self.theta + np.concatenate([dc, dx])


def point(
    problem: Problem,
    theta: np.ndarray,
    prior: Prior = FIRST_PRIOR,
    scales: np.ndarray | None = None,
    precision: np.ndarray | None = None,
) -> Point:
    """Linearise the problem at ``theta``; ``scales`` are those of the point before.

    ``precision`` is that of ``prior`` there unless it is given.
    """
    linear = problem.linearised(theta)
    found = prior.precision(problem.potential, linear) if precision is None else precision
    return Point(theta, linear, found, scales, problem.mean)


def _with_prior(problem: Problem, here: Point, prior: Prior) -> Point:
    """The point with another prior."""
    return replace(here, precision=prior.precision(problem.potential, here.linearised))


@dataclass(frozen=True, eq=False)
class State:
    """Where an optimisation stands; everything needed to go on."""

    point: Point
    damping: float = FIRST_DAMPING
    growth: float = 2.0
    accepted: bool = True
    """Whether the last trial was."""
    optimal: bool = True
    """Whether x is the optimal one at ``point``; J_c depends on it."""
    prior: Prior = FIRST_PRIOR
    successes: int = 0

    @property
    def exhausted(self) -> bool:
        """Whether not even the smallest step lowers the objective."""
        return self.damping > LARGEST_DAMPING or self.point.objective == 0.0


def _with_threads(run: Callable[..., State]) -> Callable[..., State]:
    """With as many threads as suit the size of the problem."""

    @wraps(run)
    def call(problem: Problem, *given: Any, **options: Any) -> State:
        with threads_for(problem.potential.parameter_count):
            return run(problem, *given, **options)

    return call


@_with_threads
def advance(problem: Problem, state: State) -> State:
    """One trial step, damped less or more next time by how well the linearisation foretold it.

    (Damping after Nielsen, IMM-REP-1999-05.) J_c belongs to the x that the step before expected to
    be optimal. That is good enough as long as steps succeed; after a failure it is corrected, since
    no damping makes progress along a wrong gradient.
    """
    here = state.point
    theta, expected = here.step(state.damping)
    gain = -1.0
    if np.isfinite(theta).all():
        there = point(problem, theta, scales=here.scales, precision=here.precision)
        foretold = max(here.objective - expected, np.finfo(float).tiny)
        gain = min((here.objective - there.objective) / foretold, 1.0)
    if gain > 1e-4:
        damping = max(state.damping * max(0.2, 1.0 - (2.0 * gain - 1.0) ** 3), SMALLEST_DAMPING)
        potential, linear = problem.potential, there.linearised
        off = there.solved - problem.mean
        prior = state.prior.carried(potential, off, there.precision, linear)
        successes = state.successes + 1
        if successes % _EVIDENCE_EVERY == 0:
            there = _with_prior(problem, there, prior)
            prior = prior.improved(problem, there)
        there = _with_prior(problem, there, prior)
        return State(there, damping, optimal=False, prior=prior, successes=successes)
    if not state.optimal:
        here = point(problem, here.solved, state.prior, here.scales)
    return replace(
        state,
        point=here,
        damping=state.damping * state.growth,
        growth=2.0 * state.growth,
        accepted=False,
        optimal=True,
    )


@_with_threads
def begin(
    problem: Problem, theta: np.ndarray, prior: Prior | None = None, steps: bool = True
) -> State:
    """The state at ``theta`` with its linear coefficients replaced by the optimal ones.

    Without a ``prior`` it is a weak one or, where ``theta`` is better than that allows, the one
    that structures set aside choose where parameters are many, else the evidence. J_c there, which
    only ``steps`` need, is half of the work.
    """
    if prior is None and _with_misfit(problem, theta):
        kept, others = problem.linearised_apart(theta)
        prior = _judged(problem, theta, kept, others)
        linear = kept.together(others)
        del kept, others
        here = Point(theta, linear, prior.precision(problem.potential, linear), None, problem.mean)
    else:
        here = point(problem, theta, prior or FIRST_PRIOR)
        if prior is None:
            good = here.linearised.loss < here.objective
            prior = _settled(problem, here) if good else FIRST_PRIOR
            here = _with_prior(problem, here, prior)
    if not steps:
        return State(here, optimal=False, prior=prior)
    return State(point(problem, here.solved, prior), prior=prior)


def _settled(problem: Problem, here: Point) -> Prior:
    """The prior that the evidence at a point asks for."""
    prior = FIRST_PRIOR
    for _ in range(_SETTLING):
        here = _with_prior(problem, here, prior)
        prior = prior.improved(problem, here)
    return prior


def _with_misfit(problem: Problem, theta: np.ndarray) -> bool:
    """Whether θ is that of a trained potential, and more freedom still removes what it leaves.

    The evidence takes that for noise, and its prior is far too strong (decision 0022).
    """
    labelled = problem.labelled
    if labelled.structure_count < _LEAST_JUDGES:
        return False
    if labelled.count > _DETERMINED * len(theta):
        return False
    now, blank = (loss(problem.at(each).kernel, labelled) for each in (theta, 0.0 * theta))
    return now.value < blank.value / 2


def _judged(problem: Problem, theta: np.ndarray, kept: Linearised, others: Linearised) -> Prior:
    """The prior with which the fit to the structures ``kept`` errs least on the ``others``.

    Errors change little over orders of magnitude of the strength, so these are steps of four; the
    minimum is that of the parabola through the least error and its neighbours.
    """
    potential = problem.potential

    def error(exponent: float) -> float:
        prior = replace(FIRST_PRIOR, moments=10.0**exponent)
        here = Point(theta, kept, prior.precision(potential, kept), None, problem.mean)
        return max(others.loss_after(here.solved - theta), np.finfo(float).tiny)

    return replace(FIRST_PRIOR, moments=10.0 ** _least(error), judged=True)


def _least(error: Callable[[float], float]) -> float:
    """Where the error, a positive function of log₁₀ α, is least."""
    best, step = _FIRST_EXPONENT, -_STRIDE
    found = {each: error(each) for each in (best, best + step)}
    if found[best] <= found[best + step]:
        step = _STRIDE
    else:
        best += step
    while _EXPONENTS[0] <= (there := best + step) <= _EXPONENTS[1]:
        found[there] = error(there)
        if found[best] <= found[there]:
            break
        best = there
    else:
        return best
    below, least, above = (np.log(found[best + side * step]) for side in (-1, 0, 1))
    curvature = float(below - 2.0 * least + above)
    if not 0 < curvature < np.inf:
        return best
    return best + step * float(below - above) / (2.0 * curvature)
