"""The one place for units and signs.

Inside mentor everything is in Å, eV, eV/Å, fs, amu and K. The virial is W = -∂E/∂ε (eV), the sign
of LAMMPS and of ``PlusStress`` in ``.cfg`` files; ASE's stress is σ = -W/V (eV/Å³). Symmetric
tensors are stored in Voigt order xx yy zz yz xz xy.
"""

import numpy as np
from ase import units as _ase

GPA = _ase.GPa
"""One gigapascal in eV/Å³."""

FS = _ase.fs
"""One femtosecond in ASE's unit of time (Å·√(amu/eV)); multiply when calling ASE's dynamics."""

KB = _ase.kB
"""Boltzmann's constant in eV/K."""

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Tensor indices of the six Voigt components, in ASE's order."""


def volume_of(cell: np.ndarray) -> float:
    """Volume (Å³) of a cell of three vectors, shape (3, 3)."""
    # ten times faster than numpy.linalg.det, which counts in dynamics of a few atoms
    (a, b, c), (d, e, f), (g, h, i) = cell.tolist()
    return abs(a * (e * i - f * h) + b * (f * g - d * i) + c * (d * h - e * g))


def stress_from_virial(virial: np.ndarray, volume: float) -> np.ndarray:
    """ASE stress (eV/Å³, Voigt, shape (..., 6)) of a virial (eV, Voigt) in a cell of ``volume``."""
    return -np.asarray(virial) / volume


def virial_from_stress(stress: np.ndarray, volume: float) -> np.ndarray:
    """Virial (eV, Voigt, shape (..., 6)) of an ASE stress (eV/Å³, Voigt); the inverse of above."""
    return -np.asarray(stress) * volume
