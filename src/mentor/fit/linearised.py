"""A loss |r|² linearised.

    |r − J δθ|² = |z − R δθ|² + ρ²,   [J r] = Q [R z; 0 ρ],

J = −dr/dθ, Q with orthonormal columns, R triangular. The cheapest way to R is the Cholesky factor
of the sum JᵀJ. But basis functions are nearly dependent at high levels, with singular values of J
twelve orders apart; in JᵀJ = RᵀR they are twenty-four apart, more than double precision has. Where
that matters, R comes from J itself: rows arrive part by part, and each part is factorised together
with the triangle of those before. It takes three times the operations of the sum.

Columns are in the order (x, c), linear coefficients first: eliminating x leaves the lower right
corner of the triangle, variable projection's own problem (:mod:`.least_squares`).
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cholesky
from scipy.linalg.lapack import dgeqrt, dtpqrt

from mentor.fit.loss import LabelledSet, weighted_rows
from mentor.kernel import Kernel

_PANEL = 64  # columns of a block of reflections
_TINY = 1e-13  # added to the unit diagonal of sums that are factorised
_PART = 4  # least rows of a part of J, in units of its columns


@dataclass(frozen=True, eq=False)
class Linearised:
    """|r − J δθ|², θ = (c, x)."""

    triangle: np.ndarray
    """[R z; 0 ρ], shape (m + 1, m + 1), columns in the order (x, c, r)."""
    radial_count: int
    """p, the number of radial coefficients c."""
    precise: bool = True
    """Whether it comes from J itself, not from sums."""

    @property
    def loss(self) -> float:
        """|r|²."""
        return float(self.triangle[:, -1] @ self.triangle[:, -1])

    @property
    def vector(self) -> np.ndarray:
        """Jᵀr, shape (m,)."""
        return self.of_theta(self.triangle[:-1, :-1].T @ self.triangle[:-1, -1])

    @property
    def matrix(self) -> np.ndarray:
        """JᵀJ, shape (m, m)."""
        product = self.triangle[:-1, :-1].T @ self.triangle[:-1, :-1]
        return np.roll(product, (self.radial_count,) * 2, (0, 1))

    def of_theta(self, values: np.ndarray) -> np.ndarray:
        """Values in the order (x, c) as those of θ = (c, x)."""
        return np.roll(values, self.radial_count)

    def of_columns(self, values: np.ndarray) -> np.ndarray:
        """Values in the order of θ = (c, x) as those of (x, c)."""
        return np.roll(values, -self.radial_count)

    def at(self, step: np.ndarray, loss: float) -> "Linearised":
        """The same J, and the residuals after ``step``, shape (m,), of which ``loss`` is left."""
        triangle = self.triangle.copy()
        triangle[:-1, -1] -= triangle[:-1, :-1] @ self.of_columns(step)
        explained = float(triangle[:-1, -1] @ triangle[:-1, -1])
        triangle[-1, -1] = np.sqrt(max(loss - explained, 0.0))
        return Linearised(triangle, self.radial_count)

    def together(self, other: "Linearised") -> "Linearised":
        """The same of the rows of both."""
        return Linearised(joined(self.triangle, other.triangle), self.radial_count)

    def with_prior(self, precision: np.ndarray, off: np.ndarray) -> np.ndarray:
        """The triangle with rows for Σ_k p_k (t_k + δθ_k)², p and t, ``off``, of shape (m,)."""
        roots = np.sqrt(self.of_columns(precision))
        prior = np.zeros((len(roots), len(roots) + 1), order="F")
        np.fill_diagonal(prior, roots)
        prior[:, -1] = -roots * self.of_columns(off)
        return _reduced(self.triangle, prior, len(roots))


def linearised(kernel: Kernel, labelled: LabelledSet, precise: bool = True) -> Linearised:
    """The loss linearised at the parameters of ``kernel``: memory does not grow with the labels.

    Unless it is to be ``precise``, it comes from sums, if these have a Cholesky factor.
    """
    triangle = None if precise else _cholesky(labelled.total(_sums, kernel))
    if triangle is not None:
        return Linearised(triangle, kernel.radial_count, precise=False)
    return Linearised(labelled.total(_triangle, kernel, together=joined), kernel.radial_count)


def joined(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The triangle of the rows of two."""
    return _reduced(one, other, len(other))


def _sums(labelled: LabelledSet, kernel: Kernel) -> np.ndarray:
    """[J_x, J_c, r]ᵀ[J_x, J_c, r]."""
    m = kernel.parameter_count
    sums = np.zeros((m + 1, m + 1))
    for part in labelled.chunks(m + 1, 2 * (m + 1)):
        rows = weighted_rows(kernel, part, _columns(kernel))
        sums += rows.T @ rows
    return sums


def _cholesky(sums: np.ndarray) -> np.ndarray | None:
    """The triangle of which ``sums`` are the products; None where rounding leaves none."""
    sizes = np.sqrt(np.diag(sums))
    units = 1.0 / np.where(sizes > 0, sizes, 1.0)
    scaled = sums * units * units[:, None]
    scaled[np.diag_indices(len(sizes) - 1)] += _TINY
    scaled[-1, -1] = max(scaled[-1, -1], _TINY)
    try:
        return cholesky(scaled, check_finite=False) * sizes
    except LinAlgError:
        return None


def _triangle(labelled: LabelledSet, kernel: Kernel) -> np.ndarray:
    """The triangular factor of [J_x, J_c, r]."""
    m = kernel.parameter_count
    triangle = np.zeros((0, m + 1))
    for part in labelled.chunks(m + 1, _PART * (m + 1)):
        rows = weighted_rows(kernel, part, _columns(kernel))
        known = len(triangle)
        stack = np.zeros((max(known + len(rows), m + 1), m + 1), order="F")
        stack[:known], stack[known : known + len(rows)] = triangle, rows
        triangle = np.triu(dgeqrt(min(_PANEL, m + 1), stack, overwrite_a=1)[0][: m + 1])
    return triangle if len(triangle) else np.zeros((m + 1, m + 1))


def _columns(kernel: Kernel) -> np.ndarray:
    """Numbers of the parameters in the order (x, c)."""
    return np.roll(np.arange(kernel.parameter_count), -kernel.radial_count)


def _reduced(triangle: np.ndarray, more: np.ndarray, triangular: int) -> np.ndarray:
    """The triangular factor of both, the last rows of ``more`` being so many of a triangle."""
    return dtpqrt(triangular, min(_PANEL, len(triangle)), triangle, more)[0]
