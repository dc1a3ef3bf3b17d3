"""The active set: the rows that span the potential's knowledge, and the extrapolation grade.

γ = max_j |b A⁻¹|_j (Podryabinkin & Shapeev, Comput. Mater. Sci. 140, 171 (2017), eq. 9), with b
the row dV_i/dθ of an atom (`neighborhood`) or dE/dθ of a structure (`configuration`).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from ase import Atoms

Mode = Literal["neighborhood", "configuration"]


@dataclass(frozen=True, kw_only=True)
class ActiveSet:
    """Active rows A of a potential with m parameters, as stored in ``.almtp`` files.

    ``matrix[r]`` is the row of equation ``eqn_index[r]`` (an atom in `neighborhood` mode, 0 in
    `configuration` mode) of ``structures[cfg_index[r]]``; both are −1 where the row was never
    filled (directions no structure has met yet, and the gauge directions no structure can meet).
    """

    mode: Mode
    matrix: np.ndarray
    inverse: np.ndarray
    cfg_index: np.ndarray
    eqn_index: np.ndarray
    structures: tuple[Atoms, ...] = ()
    energy_weight: float = 0.0
    force_weight: float = 0.0
    stress_weight: float = 0.0
    site_en_weight: float = 1.0
    weight_scaling: int = 0

    @property
    def size(self) -> int:
        """Number of rows, m."""
        return len(self.matrix)

    @property
    def filled(self) -> int:
        """Number of rows that come from a structure."""
        return int(np.count_nonzero(self.eqn_index >= 0))

    @cached_property
    def _columns(self) -> np.ndarray:
        return np.ascontiguousarray(self.inverse)

    def grades(self, rows: np.ndarray) -> np.ndarray:
        """Extrapolation grades of ``rows`` (k, m): max_j |b A⁻¹|_j, shape (k,)."""
        if len(rows) == 0:
            return np.zeros(0)
        return np.abs(rows @ self._columns).max(axis=1)

    def atom_grades(self, rows: np.ndarray) -> np.ndarray:
        """Grade of every atom of one structure, whose rows dV_i/dθ are ``rows`` (N, m); shape (N,).

        In `configuration` mode each atom carries the grade of the structure.
        """
        if self.mode == "configuration":
            return np.repeat(self.grades(rows.sum(axis=0, keepdims=True)), len(rows))
        return self.grades(rows)
