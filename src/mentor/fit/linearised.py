"""A loss |r|² linearised.

    |r − J δθ|² = |z − R δθ|² + ρ²,   [J r] = Q [R z; 0 ρ],

J = −dr/dθ, Q with orthonormal columns, R triangular. Basis functions are nearly dependent at high
levels, with singular values of J twelve orders apart; in JᵀJ = RᵀR they would be twenty-four apart,
more than double precision has. So R comes from J itself: rows arrive part by part, and each part is
reflected into the triangle of those before.

Columns are in the order (x, c), linear coefficients first: eliminating x leaves the lower right
corner of the triangle, variable projection's own problem (:mod:`.least_squares`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dtpqrt

from mentor.blas import threads_for
from mentor.fit.loss import ROWS, LabelledSet, weighted_rows
from mentor.kernel import Kernel

_LARGE = 10_000  # columns, from which on wider blocks of reflections are faster


@dataclass(frozen=True, eq=False)
class Linearised:
    """|r − J δθ|², θ = (c, x)."""

    triangle: np.ndarray
    """[R z; 0 ρ], shape (m + 1, m + 1), columns in the order (x, c, r)."""
    radial_count: int
    """p, the number of radial coefficients c."""

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

    def loss_after(self, step: np.ndarray) -> float:
        """|r − J δθ|² after ``step``, shape (m,)."""
        left = self.triangle[:, -1] - self.triangle[:, :-1] @ self.of_columns(step)
        return float(left @ left)

    def together(self, other: "Linearised") -> "Linearised":
        """The same of the rows of both."""
        return Linearised(joined(self.triangle, other.triangle), self.radial_count)

    def with_prior(self, precision: np.ndarray, off: np.ndarray) -> np.ndarray:
        """The triangle with rows for Σ_k p_k (t_k + δθ_k)², p and t, ``off``, of shape (m,)."""
        roots = np.sqrt(self.of_columns(precision))
        prior = np.zeros((len(roots), len(roots) + 1), order="F")
        np.fill_diagonal(prior, roots)
        prior[:, -1] = -roots * self.of_columns(off)
        return _reduced(self.triangle, prior, len(roots), overwrite_b=1)


def linearised(kernel: Kernel, labelled: LabelledSet) -> Linearised:
    """The loss linearised at the parameters of ``kernel``: memory does not grow with the labels."""
    return Linearised(labelled.total(_triangle, kernel, together=joined), kernel.radial_count)


def linearised_apart(kernel: Kernel, labelled: LabelledSet) -> tuple[Linearised, Linearised]:
    """The same of the structures that are kept, and of those set aside."""
    kept, others = (
        labelled.total(_triangle, kernel, aside, together=joined) for aside in (False, True)
    )
    return Linearised(kept, kernel.radial_count), Linearised(others, kernel.radial_count)


def joined(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The triangle of the rows of two."""
    return _reduced(one, other, len(other))


def _triangle(labelled: LabelledSet, kernel: Kernel, aside: bool | None = None) -> np.ndarray:
    """The triangular factor of [J_x, J_c, r]; of the structures set aside, or of the others."""
    m = kernel.parameter_count
    triangle = np.zeros((m + 1, m + 1), order="F")
    size = max(ROWS, m // 4)  # what is reflected at a time, for the triangle is read each time
    parts = labelled.chunks(size) if aside is None else _chunks(labelled, aside, size)
    for part in parts:
        rows = weighted_rows(kernel, part, _columns(kernel))
        triangle = _reduced(triangle, rows, 0, overwrite_a=1, overwrite_b=1)
    return triangle


def _chunks(labelled: LabelledSet, aside: bool, rows: int) -> Iterator[LabelledSet]:
    """Parts of the structures set aside, or of the others, with about so many rows."""
    edges = np.flatnonzero(np.diff(labelled.aside, prepend=not aside, append=not aside))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        yield from labelled.part(int(start), int(stop)).chunks(rows)


def _columns(kernel: Kernel) -> np.ndarray:
    """Numbers of the parameters in the order (x, c)."""
    return np.roll(np.arange(kernel.parameter_count), -kernel.radial_count)


def _reduced(
    triangle: np.ndarray, more: np.ndarray, triangular: int, **overwriting: int
) -> np.ndarray:
    """The triangular factor of both, the last rows of ``more`` being so many of a triangle."""
    block = 64 if len(triangle) < _LARGE else 128
    with threads_for(len(triangle)):
        return dtpqrt(triangular, min(block, len(triangle)), triangle, more, **overwriting)[0]
