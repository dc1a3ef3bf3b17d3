"""Checks anyone can run on a model: derivatives by finite differences, symmetries of space."""

from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError

from mentor.units import VOIGT

_STENCIL = ((1, 4 / 5), (2, -1 / 5), (3, 4 / 105), (4, -1 / 280))
"""Central differences of order 8: f'(x) ≈ Σ w [f(x + kh) − f(x − kh)]/h."""


def finite_difference(
    function: Callable[[np.ndarray], np.ndarray | float], x: np.ndarray, step: float = 1e-2
) -> np.ndarray:
    """∂f/∂x by central differences of order 8, shape f(x).shape + x.shape."""
    x = np.asarray(x, float)
    columns = []
    for index in np.ndindex(x.shape):
        move = np.zeros_like(x)
        move[index] = step
        columns.append(
            sum(
                w / step * (np.asarray(function(x + k * move)) - function(x - k * move))
                for k, w in _STENCIL
            )
        )
    return np.moveaxis(np.array(columns), 0, -1).reshape(np.shape(columns[0]) + x.shape)


def check_derivatives(
    function: Callable[[np.ndarray], np.ndarray | float],
    derivative: np.ndarray,
    x: np.ndarray,
    *,
    step: float = 1e-2,
    tolerance: float = 1e-6,
) -> float:
    """Check that ``derivative``, of shape f(x).shape + x.shape, is ∂f/∂x at ``x``.

    Returns the largest error in units of the largest component of ∂f/∂x, or of 1 if that is
    smaller.

    Raises
    ------
    AssertionError
        The error exceeds ``tolerance``, is not a number, or the shape is wrong.
    """
    expected = finite_difference(function, x, step)
    derivative = np.asarray(derivative)
    assert derivative.shape == expected.shape, f"shape {derivative.shape}, not {expected.shape}"
    scale = max(1.0, np.abs(expected).max(initial=0.0))
    error = float(np.abs(derivative - expected).max(initial=0.0) / scale)
    assert error <= tolerance, f"derivative is off by {error:.2e}, more than {tolerance:.0e}"
    return error


def check_calculator(
    atoms: Atoms, *, step: float = 1e-3, tolerance: float = 1e-6, seed: int = 0
) -> None:
    """Check that the calculator of ``atoms`` is physically sound at this structure.

    Forces, and the stress where there is one, must be the derivatives of the energy; the energy
    must not change, and the forces must follow, when the structure is translated, rotated,
    reflected or its atoms are renumbered. ``tolerance`` is in eV and eV/Å (and relative to the
    largest derivative where that exceeds 1). Constraints are ignored.

    Raises
    ------
    AssertionError
        One of these does not hold.
    """
    x, cell = atoms.positions, atoms.cell.array
    atoms = _image(atoms, x, cell)
    forces = atoms.get_forces()
    energy = atoms.get_potential_energy()

    def energy_at(positions: np.ndarray) -> float:
        return _image(atoms, positions, cell).get_potential_energy()

    def energy_strained(strain: np.ndarray) -> float:
        deform = np.eye(3)
        for value, (a, b) in zip(strain, VOIGT, strict=True):
            deform[a, b] += value / 2
            deform[b, a] += value / 2
        return _image(atoms, x @ deform, cell @ deform).get_potential_energy()

    check_derivatives(energy_at, -forces, x, step=step, tolerance=tolerance)
    try:
        virial = -atoms.get_stress() * atoms.get_volume()
    except PropertyNotImplementedError:
        pass
    else:
        check_derivatives(energy_strained, -virial, np.zeros(6), step=step, tolerance=tolerance)

    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    order = rng.permutation(len(atoms))
    same = {
        "translated": (_image(atoms, x + rng.normal(size=3), cell), forces),
        "rotated": (_image(atoms, x @ turn, cell @ turn), forces @ turn),
        "rotated and inverted": (_image(atoms, -x @ turn, -cell @ turn), -forces @ turn),
        "renumbered": (_image(atoms[order], x[order], cell, atoms.calc), forces[order]),
    }
    for how, (image, expected) in same.items():
        error = max(
            abs(image.get_potential_energy() - energy),
            np.abs(image.get_forces() - expected).max(initial=0.0),
        )
        assert error <= tolerance, f"the {how} structure differs by {error:.2e} eV or eV/Å"


def _image(atoms: Atoms, positions: np.ndarray, cell: np.ndarray, calculator: Any = None) -> Atoms:
    image = atoms.copy()
    image.set_constraint()
    image.set_cell(cell)
    image.set_positions(positions)
    image.calc = calculator or atoms.calc
    return image
