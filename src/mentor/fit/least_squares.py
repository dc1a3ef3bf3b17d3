"""Separable nonlinear least squares for the parameters of a potential.

The loss |r|² is quadratic in the linear coefficients x = (ξ⁰, ξ) and nonlinear in the radial ones,
c. Each step of Levenberg and Marquardt,

    min |r − J_c δc − J_x δx|² + λ |D δc|² + Σ_k p_k θ_k²,

is damped in c only, so x is always optimal for the linearised problem; a step counts as progress by
the objective that remains after x has been eliminated (variable projection, Golub & Pereyra,
Inverse Problems 19, R1 (2003)). All of this is read off the sums JᵀJ and Jᵀr: a Gauss–Newton step
corrects the rounding errors of the one before, since r itself is exact.

The last term is a prior, θ_k ~ N(0, s²/p_k), s² the variance of the residuals (:mod:`.prior`).

Basis functions that are nearly combinations of others may get large coefficients that cancel. The
matrix is factorised with a little more on its diagonal than so weak a prior puts there, so nothing
calls them back; with many of them rounding lets them grow from step to step, until nothing but
rounding is left. The prior's own term tells: where it is no longer small beside the labels, x is
solved for from nothing, with a prior as strong as what is added.

The gauge f_μ → Σ_{μ'≤μ} A_{μμ'} f_μ' leaves the energy as it is: its directions have no gradient,
and the damped step hardly moves along them.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from mentor.fit.loss import LabelledSet, NormalEquations, normal_equations, size
from mentor.fit.prior import Prior
from mentor.potential import Potential

FIRST_PRIOR = Prior()
FIRST_DAMPING = 1e-2
LARGEST_DAMPING = 1e8
SMALLEST_DAMPING = 1e-12
_FORGETTING = 0.7  # of the scales D from step to step
_TINY = 1e-13  # added to the unit diagonal of matrices that are factorised
_EVIDENCE_EVERY = 3  # steps that succeed, between two choices of the prior
_LOST = 1e-4  # the prior's term beside the squares of the labels, above which x is lost
_SETTLING = 8  # choices of the prior, one after the other, where a fit goes on


@dataclass(frozen=True, eq=False)
class Problem:
    """What is fitted: a potential, of which only the parameters change, and labelled structures."""

    potential: Potential
    labelled: LabelledSet

    @property
    def radial_count(self) -> int:
        """Number of radial coefficients, p."""
        return self.potential.radial_coeffs.size

    def at(self, theta: np.ndarray) -> Potential:
        """The potential with parameters ``theta``."""
        return self.potential.with_parameters(theta)

    @cached_property
    def size(self) -> float:
        """The weighted squares of the labels."""
        return size(self.labelled)

    def linearised(self, theta: np.ndarray) -> NormalEquations:
        """JᵀJ, Jᵀr and |r|² at ``theta``."""
        return normal_equations(self.at(theta).kernel, self.labelled)


@dataclass(frozen=True, eq=False)
class Point:
    """Parameters θ = (c, x), the linearised problem there, and the precision of the prior."""

    theta: np.ndarray
    equations: NormalEquations
    precision: np.ndarray
    """p, shape (m,)."""
    radial_count: int
    former_scales: np.ndarray | None = None
    """D of the point before, shape (p,)."""

    @cached_property
    def _units(self) -> np.ndarray:
        """Units of the parameters in which JᵀJ has a unit diagonal."""
        sizes = np.diag(self.equations.matrix)
        return 1.0 / np.sqrt(np.maximum(sizes, 1e-14 * sizes.max(initial=1e-300)))

    @cached_property
    def _matrix(self) -> np.ndarray:
        """JᵀJ + P in those units."""
        with_prior = self.equations.matrix + np.diag(self.precision)
        return with_prior * self._units * self._units[:, None]

    @cached_property
    def _vector(self) -> np.ndarray:
        return (self.equations.vector - self.precision * self.theta) * self._units

    @cached_property
    def _linear(self) -> tuple[np.ndarray, bool]:
        """Cholesky factor of the block of x."""
        p = self.radial_count
        return cho_factor(self._matrix[p:, p:] + _TINY * np.eye(len(self.theta) - p))

    @cached_property
    def _best_linear(self) -> np.ndarray:
        """δx that is optimal where δc = 0."""
        return cho_solve(self._linear, self._vector[self.radial_count :])

    @cached_property
    def objective(self) -> float:
        """Loss and prior after eliminating x, c as it is."""
        here = self.equations.loss + float(self.precision @ self.theta**2)
        return max(here - float(self._vector[self.radial_count :] @ self._best_linear), 0.0)

    @cached_property
    def _projected(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """JᵀJ and Jᵀr of c with x eliminated, and δx per δc."""
        p = self.radial_count
        follow = cho_solve(self._linear, self._matrix[p:, :p])
        matrix = self._matrix[:p, :p] - self._matrix[:p, p:] @ follow
        return matrix, self._vector[:p] - follow.T @ self._vector[p:], follow

    @cached_property
    def scales(self) -> np.ndarray:
        """D, shape (p,)."""
        own = np.sqrt(np.maximum(np.diag(self._projected[0]), 0.0)) / self._units[: len(self._c)]
        own = np.maximum(own, own.max() * 1e-8) if own.any() else np.ones(len(own))
        if self.former_scales is not None:
            own = np.maximum(own, _FORGETTING * self.former_scales)
        return own

    @property
    def _c(self) -> np.ndarray:
        return self.theta[: self.radial_count]

    @cached_property
    def _spectrum(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """w, V and Vᵀq of the projected problem D⁻¹ J_cᵀJ_c D⁻¹ = V w Vᵀ, q = D⁻¹ J_cᵀr."""
        matrix, vector, _ = self._projected
        D = self.scales * self._units[: len(self._c)]
        w, V = np.linalg.eigh(matrix / D / D[:, None])
        return np.maximum(w, 0.0), V, V.T @ (vector / D)

    def step(self, damping: float) -> tuple[np.ndarray, float]:
        """Parameters after the damped step, and the objective expected there."""
        w, V, q = self._spectrum
        dc = V @ (q / (w + damping)) / (self.scales * self._units[: len(self._c)])
        expected = self.objective - float(np.sum(q**2 * (w + 2 * damping) / (w + damping) ** 2))
        return self._moved(dc), expected

    @property
    def solved(self) -> np.ndarray:
        """Parameters with x optimal for c as it is."""
        return self._moved(np.zeros(self.radial_count))

    def _moved(self, dc: np.ndarray) -> np.ndarray:
        dx = self._best_linear - self._projected[2] @ dc if dc.any() else self._best_linear
        return self.theta + np.concatenate([dc, dx]) * self._units


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
    equations = problem.linearised(theta)
    if precision is None:
        precision = prior.precision(problem.potential, equations.matrix)
    return Point(theta, equations, precision, problem.radial_count, scales)


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
        potential, matrix = problem.potential, there.equations.matrix
        prior = state.prior.carried(potential, there.solved, there.precision, matrix)
        successes = state.successes + 1
        if successes % _EVIDENCE_EVERY == 0:
            there = replace(there, precision=prior.precision(potential, matrix))
            prior = prior.improved(problem, there)
        precision = prior.precision(potential, matrix)
        there = replace(there, precision=precision)
        if _lost(problem, there):
            anew = _from_nothing(problem, there)
            return replace(anew, damping=damping, successes=successes)
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


def begin(problem: Problem, theta: np.ndarray, prior: Prior | None = None) -> State:
    """The state at ``theta`` with its linear coefficients replaced by the optimal ones.

    Without a ``prior`` it is a weak one or, where ``theta`` is better than that allows, the one
    that the evidence asks for.
    """
    here = point(problem, theta, prior or FIRST_PRIOR)
    if prior is None:
        good = here.equations.loss < here.objective
        prior = _settled(problem, here) if good else FIRST_PRIOR
        precision = prior.precision(problem.potential, here.equations.matrix)
        here = replace(here, precision=precision)
    there = point(problem, here.solved, prior)
    return _from_nothing(problem, there) if _lost(problem, there) else State(there, prior=prior)


def _lost(problem: Problem, here: Point) -> bool:
    """Whether x has grown beyond what the prior allows, so that rounding rules."""
    return not float(here.precision @ here.solved**2) <= _LOST * problem.size


def _from_nothing(problem: Problem, here: Point) -> State:
    """The state with the radial coefficients of ``here`` and x solved for from zero."""
    theta, prior = here.theta.copy(), replace(FIRST_PRIOR, moments=_TINY)
    theta[problem.radial_count :] = 0.0
    return State(point(problem, point(problem, theta, prior).solved, prior), prior=prior)


def _settled(problem: Problem, here: Point) -> Prior:
    """The prior that the evidence at a point asks for."""
    prior, matrix = FIRST_PRIOR, here.equations.matrix
    for _ in range(_SETTLING):
        here = replace(here, precision=prior.precision(problem.potential, matrix))
        prior = prior.improved(problem, here)
    return prior
