"""Separable nonlinear least squares for the parameters of a potential.

The loss |r|² is quadratic in the linear coefficients x = (ξ⁰, ξ) and nonlinear in the radial ones,
c. Each step of Levenberg and Marquardt,

    min |r − J_c δc − J_x δx|² + λ |D δc|²,

is damped in c only, so x is always optimal for the linearised problem; a step counts as progress by
the loss that remains after x has been eliminated (variable projection, Golub & Pereyra, Inverse
Problems 19, R1 (2003)). All of this is read off one triangle R of the QR factorisation of
[J_x, J_c, r]: with the linear columns first, its lower right block is the projected problem in c.

The gauge f_μ → Σ_{μ'≤μ} A_{μμ'} f_μ' leaves the energy as it is: its directions have no gradient,
and the damped step never moves along them.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import solve_triangular

from mentor.fit.loss import LabelledSet, absorb, linearise
from mentor.potential import Potential

RIDGE = 1e-7
"""Weight of a linear coefficient's own size, in units of the weight of its column of J: decides
between coefficients that the data cannot tell apart, and does not move the others."""

FIRST_DAMPING = 1e-2
LARGEST_DAMPING = 1e8
SMALLEST_DAMPING = 1e-12
_FORGETTING = 0.7  # of the scales D from step to step


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


@dataclass(frozen=True, eq=False)
class Point:
    """Parameters θ = (c, x) and the linearised problem there."""

    theta: np.ndarray
    triangle: np.ndarray
    """R of [J_x, J_c, r] and the ridge; shape (m + 1, m + 1)."""
    scales: np.ndarray
    """D, shape (p,)."""

    @property
    def loss(self) -> float:
        """Loss (with ridge) after eliminating x, c as it is."""
        return float(np.sum(self.triangle[self._linear :, -1] ** 2))

    @property
    def _linear(self) -> int:
        return len(self.theta) - len(self.scales)

    @cached_property
    def _spectrum(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """σ, V and Uᵀr of the projected J_c D⁻¹ = U σ Vᵀ."""
        n = self._linear
        U, sigma, Vt = np.linalg.svd(self.triangle[n:-1, n:-1] / self.scales)
        return sigma, Vt.T, U.T @ self.triangle[n:-1, -1]

    def step(self, damping: float) -> tuple[np.ndarray, float]:
        """Parameters after the damped step, and the loss expected there."""
        sigma, V, q = self._spectrum
        dc = V @ (sigma / (sigma**2 + damping) * q) / self.scales
        left = damping / (sigma**2 + damping) * q
        return self._moved(dc), float(np.sum(left**2) + self.triangle[-1, -1] ** 2)

    @property
    def solved(self) -> np.ndarray:
        """Parameters with x optimal for c as it is."""
        return self._moved(np.zeros(len(self.scales)))

    def _moved(self, dc: np.ndarray) -> np.ndarray:
        n = self._linear
        right = self.triangle[:n, -1] - self.triangle[:n, n:-1] @ dc
        dx = solve_triangular(self.triangle[:n, :n], right)
        return self.theta + np.concatenate([dc, dx])


def point(problem: Problem, theta: np.ndarray, scales: np.ndarray | None = None) -> Point:
    """Linearise the problem at ``theta``; ``scales`` are those of the point before."""
    p, m = problem.radial_count, len(theta)
    n = m - p
    columns = np.concatenate([np.arange(p, m), np.arange(p)])
    triangle = linearise(problem.at(theta).kernel, problem.labelled, columns)
    sizes = np.linalg.norm(triangle[:, :n], axis=0)
    sizes = RIDGE * np.where(sizes > 0, sizes, 1.0)
    ridge = np.zeros((n, m + 1))
    ridge[:, :n] = np.diag(sizes)
    ridge[:, -1] = -sizes * theta[p:]
    triangle = absorb(triangle, ridge)
    own = np.linalg.norm(triangle[n:-1, n:-1], axis=0)
    own = np.maximum(own, own.max() * 1e-8) if own.any() else np.ones(p)
    if scales is not None:
        own = np.maximum(own, _FORGETTING * scales)
    return Point(theta, triangle, own)


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

    @property
    def exhausted(self) -> bool:
        """Whether not even the smallest step lowers the loss."""
        return self.damping > LARGEST_DAMPING or self.point.loss == 0.0


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
        there = point(problem, theta, here.scales)
        gain = (here.loss - there.loss) / max(here.loss - expected, np.finfo(float).tiny)
    if gain > 1e-4:
        damping = state.damping * max(0.2, 1.0 - (2.0 * min(gain, 1.0) - 1.0) ** 3)
        return State(there, max(damping, SMALLEST_DAMPING), optimal=False)
    if not state.optimal:
        here = point(problem, here.solved, here.scales)
    return State(
        here,
        damping=state.damping * state.growth,
        growth=2.0 * state.growth,
        accepted=False,
    )


def begin(problem: Problem, theta: np.ndarray) -> State:
    """The state at ``theta`` with its linear coefficients replaced by the optimal ones."""
    return State(point(problem, point(problem, theta).solved))
