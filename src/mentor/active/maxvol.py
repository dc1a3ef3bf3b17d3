"""Square submatrices of (nearly) maximal volume, by swapping rows.

Goreinov, Oseledets, Savostyanov, Tyrtyshnikov & Zamarashkin, "How to find a good submatrix", 2010;
for MTP: Podryabinkin & Shapeev, Comput. Mater. Sci. 140, 171 (2017). With C = X A⁻¹, replacing row
j of A by row i of X multiplies |det A| by |C_ij|.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

FLOOR = 1e-6
"""Size of the unit rows that stand for directions nothing has been met in yet.

In coordinates of order one, what varies by less among all rows counts as not met.
"""

TOLERANCE = 1e-3
"""A swap must enlarge the volume by more than this fraction."""

UNIT = -1
"""Owner of a unit row."""

REFACTORISE = 64
"""Swaps after which the inverse is computed afresh."""


@dataclass
class Volume:
    """A regular matrix A (p, p), its inverse, and the numbers of the rows it was taken from."""

    matrix: np.ndarray
    inverse: np.ndarray
    owner: np.ndarray
    """Number of each row, :data:`UNIT` for unit rows; shape (p,)."""
    swaps: int = 0
    """Swaps since the inverse was computed afresh."""

    def copy(self) -> "Volume":
        """An independent copy."""
        return Volume(self.matrix.copy(), self.inverse.copy(), self.owner.copy(), self.swaps)

    def absorb(
        self, rows: np.ndarray, numbers: np.ndarray, others: np.ndarray | None = None
    ) -> int:
        """Swap ``rows`` (k, p) in as long as the volume grows; returns the number of swaps.

        Parameters
        ----------
        numbers
            What :attr:`owner` shall say of them, shape (k,).
        others
            Coefficients C = X A⁻¹ of other rows X, to be kept up to date in place; the caller then
            refactorises.
        """
        coefficients = rows @ self.inverse
        swaps = 0
        while len(rows):
            i, j = np.unravel_index(np.abs(coefficients).argmax(), coefficients.shape)
            pivot = coefficients[i, j]
            if not abs(pivot) > 1.0 + TOLERANCE:
                break
            change = coefficients[i].copy()
            change[j] -= 1.0
            self.matrix[j], self.owner[j] = rows[i], numbers[i]
            for each in (self.inverse, coefficients, others):
                if each is not None:
                    each -= np.outer(each[:, j] / pivot, change)
            swaps += 1
            self.swaps += 1
            if others is None and self.swaps >= REFACTORISE:
                self.refactorise()
                coefficients = rows @ self.inverse
        return swaps

    def refactorise(self) -> None:
        """Compute the inverse from the matrix, removing the rounding of many updates."""
        self.inverse = np.linalg.inv(self.matrix)
        self.swaps = 0


def empty(size: int) -> Volume:
    """A volume of unit rows: nothing has been met yet."""
    return Volume(FLOOR * np.eye(size), np.eye(size) / FLOOR, np.full(size, UNIT))


def spanning(rows: np.ndarray, numbers: np.ndarray, size: int) -> Volume:
    """A volume of many independent rows of ``rows`` (k, ``size``), completed by unit rows.

    Rows are taken greedily, each time the one farthest from the span of those before, down to
    :data:`FLOOR`.
    """
    order = independent_rows(rows)
    columns = np.arange(size)
    if len(order):
        columns = scipy.linalg.qr(rows[order], mode="r", pivoting=True)[1]
    matrix = np.zeros((size, size))
    matrix[: len(order)] = rows[order]
    matrix[np.arange(len(order), size), columns[len(order) :]] = FLOOR
    owner = np.full(size, UNIT)
    owner[: len(order)] = numbers[order]
    return Volume(matrix, np.linalg.inv(matrix), owner)


def independent_rows(rows: np.ndarray) -> np.ndarray:
    """Places of rows independent of each other to :data:`FLOOR`, the most telling first."""
    if len(rows) == 0:
        return np.zeros(0, int)
    triangle, order = scipy.linalg.qr(rows.T, mode="r", pivoting=True)
    return order[: np.count_nonzero(np.abs(np.diag(triangle)) > FLOOR)]
