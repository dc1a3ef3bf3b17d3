"""The box of LAMMPS for a structure of any boundary conditions.

LAMMPS wants its cell lower triangular, so the structure is turned. With the periodic cell vectors
A (k rows) this is the decomposition A = L Q, L lower triangular with a positive diagonal, Q
orthogonal (with a reflection for left-handed cells, which changes nothing in the physics). The rows
of Q are LAMMPS' axes; those beyond k are normal to the periodic vectors.
"""

from dataclasses import dataclass

import numpy as np

_MARGIN = 1000.0
# Å around the atoms where the structure does not repeat. What leaves this box is lost, which is an
# error; a box that grows with its atoms would end the process where they fly off to infinity.
_STRAIGHT = 1e-12  # part of the longest vector below which a tilt is rounding


@dataclass(frozen=True, eq=False)
class Box:
    """LAMMPS' box, and the way there and back."""

    pbc: np.ndarray
    """Of the structure's three cell vectors, shape (3,) bool."""
    axes: np.ndarray
    """Q: LAMMPS' axes in the structure's frame, shape (3, 3)."""
    origin: np.ndarray
    """Lower corner, LAMMPS' frame, Å."""
    vectors: np.ndarray
    """Box vectors, lower triangular, LAMMPS' frame, Å; the periodic ones come first."""

    def turned(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (N, 3) of the structure's frame in LAMMPS' frame."""
        return vectors @ self.axes.T

    def turned_back(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (N, 3) of LAMMPS' frame in the structure's frame."""
        return vectors @ self.axes

    def cell(self, vectors: np.ndarray, before: np.ndarray) -> np.ndarray:
        """The structure's cell of new ``vectors``; ``before`` where it does not repeat."""
        cell = np.array(before, float)
        cell[self.pbc] = self.turned_back(vectors)
        return cell

    def commands(self, types: int) -> list[str]:
        """LAMMPS' commands that make the box, for a number of atom types."""
        count = int(self.pbc.sum())
        lower, upper = self.origin, self.origin + np.diag(self.vectors)
        sides = [f"{a:.17g} {b:.17g}" for a, b in zip(lower, upper, strict=True)]
        tilts = [self.vectors[1, 0], self.vectors[2, 0], self.vectors[2, 1]]
        shape = "block " + " ".join(sides)
        if any(tilts):
            shape = "prism " + " ".join([*sides, *(f"{tilt:.17g}" for tilt in tilts)])
        return [
            "boundary " + " ".join("p" if axis < count else "f" for axis in range(3)),
            "box tilt large",
            f"region mentor_box {shape} units box",
            f"create_box {types} mentor_box",
        ]


def box_of(cell: np.ndarray, pbc: np.ndarray, positions: np.ndarray) -> Box:
    """The box of a structure with cell vectors in rows; ``positions`` (N, 3), all in Å.

    The periodic cell vectors must be linearly independent.
    """
    pbc = np.asarray(pbc, bool)
    count = int(pbc.sum())
    Q, R = np.linalg.qr(np.asarray(cell, float)[pbc].T, mode="complete")
    sign = np.ones(3)
    sign[:count] = np.where(np.diag(R) < 0, -1.0, 1.0)
    axes = sign[:, None] * Q.T
    vectors = np.zeros((3, 3))
    vectors[:count] = R.T * sign
    vectors[np.abs(vectors) < _STRAIGHT * np.abs(vectors).max(initial=0.0)] = 0.0
    origin = np.zeros(3)
    places = positions @ axes.T
    for axis in range(count, 3):
        origin[axis] = places[:, axis].min() - _MARGIN
        vectors[axis, axis] = np.ptp(places[:, axis]) + 2 * _MARGIN
    return Box(pbc=pbc, axes=axes, origin=origin, vectors=vectors)
