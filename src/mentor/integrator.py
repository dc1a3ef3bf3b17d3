"""Molecular dynamics whose whole state is a structure with momenta and a random generator.

One step is BAOAB (Leimkuhler & Matthews, J. Chem. Phys. 138, 174102 (2013)): half a kick B, half a
drift A, the Ornstein-Uhlenbeck thermostat O, half a drift A, half a kick B,

    B: p += F dt/2      A: x += (p/m) dt/2      O: p → c p + √((1 − c²) m k_B T) ξ,  c = e^(−γ dt)

With friction γ = 0 it is velocity Verlet. The barostat is stochastic cell rescaling (Bernetti &
Bussi, J. Chem. Phys. 153, 114107 (2020)) of ε = ln V, first order and without state of its
own, so that a run can be stopped and continued exactly:

    dε = −(β/τ)(P₀ − P − k_B T/V) dt + √(2 k_B T β/(V τ)) dW,   P = (2 E_kin + tr W)/(3V)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian, FixCom

from mentor.exceptions import InputError
from mentor.units import FS, GPA, KB


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Temperature and pressure of a run, and how they are kept."""

    temperature: float = 300.0
    """K."""
    timestep: float = 1.0
    """fs."""
    friction: float = 0.01
    """γ of the thermostat, 1/fs; 0 conserves the energy instead."""
    pressure: float | None = None
    """P₀ in GPa; None keeps the cell."""
    barostat_time: float = 1000.0
    """τ, fs: relaxation time of the volume."""
    bulk_modulus: float = 100.0
    """1/β, GPa: only its magnitude matters, it scales τ."""
    barostat_interval: int = 10
    """Steps between two changes of the volume."""


def mobile(atoms: Atoms) -> np.ndarray:
    """1.0 for each coordinate that may move, 0.0 for the fixed ones, shape (N, 3).

    Raises
    ------
    InputError
        A constraint other than ``FixAtoms``, ``FixCartesian`` and ``FixCom``.
    """
    free = np.ones((len(atoms), 3))
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms):
            free[constraint.index] = 0.0
        elif isinstance(constraint, FixCartesian):
            free[constraint.index] = ~np.asarray(constraint.mask)
        elif not isinstance(constraint, FixCom):
            raise InputError(
                f"the constraint {type(constraint).__name__} is not supported in molecular "
                "dynamics; use FixAtoms or FixCartesian, or remove it"
            )
    return free


def checked_mobile(atoms: Atoms, ensemble: Ensemble) -> np.ndarray:
    """:func:`mobile` of atoms that can be in ``ensemble``.

    Raises
    ------
    InputError
        An unsupported constraint, or a pressure for a structure that is not a crystal.
    """
    free = mobile(atoms)
    if ensemble.pressure is not None and not (atoms.pbc.all() and free.all()):
        raise InputError(
            "a pressure needs a crystal that is periodic in three directions, without fixed "
            "atoms; leave pressure out to keep the cell"
        )
    return free


def degrees_of_freedom(free: np.ndarray) -> int:
    """Of the momenta; without fixed coordinates the centre of mass is kept at rest."""
    return int(free.sum()) - (3 if _centred(free) else 0)


def temperature(atoms: Atoms) -> float:
    """Kinetic temperature 2 E_kin/(f k_B), K, of f degrees of freedom."""
    return 2 * atoms.get_kinetic_energy() / (max(1, degrees_of_freedom(mobile(atoms))) * KB)


def pressure(atoms: Atoms) -> float:
    """Instantaneous pressure P = (2 E_kin + tr W)/(3V), GPa; three periodic directions needed."""
    stress = atoms.get_stress(apply_constraint=False)
    kinetic = 2 * atoms.get_kinetic_energy() / (3 * atoms.get_volume())
    return float(kinetic - stress[:3].sum() / 3) / GPA


def thermalise(atoms: Atoms, temperature: float, rng: np.random.Generator) -> None:
    """Draw the momenta of ``atoms`` from the Maxwell-Boltzmann distribution at ``temperature`` (K).

    The centre of mass is at rest unless coordinates are fixed.
    """
    free = mobile(atoms)
    atoms.arrays["momenta"] = _noise(atoms.get_masses()[:, None], temperature, free, rng)


def run(
    atoms: Atoms,
    ensemble: Ensemble,
    rng: np.random.Generator,
    steps: int,
    first: int = 0,
) -> Iterator[int]:
    """Advance ``atoms`` (in place) by ``steps`` time steps, yielding the number of each when done.

    ``atoms`` needs a calculator. Steps are numbered from ``first + 1``; continuing with the same
    atoms, generator and ``first`` = last number gives the same trajectory as one long run.

    Raises
    ------
    InputError
        An unsupported constraint, or a pressure for a structure that is not a crystal.
    """
    free = checked_mobile(atoms, ensemble)
    if "momenta" not in atoms.arrays:
        atoms.arrays["momenta"] = np.zeros((len(atoms), 3))
    for number in range(first + 1, first + steps + 1):
        _step(atoms, ensemble, rng, free)
        if ensemble.pressure is not None and number % ensemble.barostat_interval == 0:
            _rescale(atoms, ensemble, rng)
        yield number


def _step(atoms: Atoms, ensemble: Ensemble, rng: np.random.Generator, free: np.ndarray) -> None:
    dt = ensemble.timestep * FS
    m = atoms.get_masses()[:, None]
    x, p = atoms.arrays["positions"], atoms.arrays["momenta"]
    p += dt / 2 * free * _forces(atoms)
    x += dt / 2 * p / m
    thermostat(p, m, ensemble, ensemble.timestep, free, rng)
    x += dt / 2 * p / m
    p += dt / 2 * free * _forces(atoms)


def thermostat(
    p: np.ndarray,
    m: np.ndarray,
    ensemble: Ensemble,
    time: float,
    free: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Let the thermostat act for ``time`` fs on the momenta ``p`` (N, 3), in place: the step O.

    ``m`` are the masses, shape (N, 1), ``free`` the coordinates that may move (:func:`mobile`).
    """
    c = np.exp(-ensemble.friction * time)
    if c < 1:
        p *= c
        p += np.sqrt(1 - c * c) * _noise(m, ensemble.temperature, free, rng)


def scaling(ensemble: Ensemble, volume: float, pressure: float, rng: np.random.Generator) -> float:
    """By how much the barostat stretches lengths where the pressure is ``pressure`` (GPa).

    It acts once in ``ensemble.barostat_interval`` steps; momenta shrink by the same factor.
    """
    V, kT = volume, KB * ensemble.temperature
    excess = ensemble.pressure * GPA - pressure * GPA - kT / V
    rate = ensemble.barostat_interval * ensemble.timestep / ensemble.barostat_time
    rate /= ensemble.bulk_modulus * GPA  # β dt/τ
    strain = -rate * excess + np.sqrt(2 * kT * rate / V) * rng.standard_normal()
    return float(np.exp(strain / 3))


def _rescale(atoms: Atoms, ensemble: Ensemble, rng: np.random.Generator) -> None:
    scale = scaling(ensemble, atoms.get_volume(), pressure(atoms), rng)
    atoms.set_cell(atoms.cell.array * scale)
    atoms.arrays["positions"] *= scale
    atoms.arrays["momenta"] /= scale


def _forces(atoms: Atoms) -> np.ndarray:
    return atoms.calc.get_property("forces", atoms)


def _noise(
    m: np.ndarray, temperature: float, free: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Momenta √(m k_B T) ξ of the mobile coordinates, projected onto a resting centre of mass."""
    p = np.sqrt(m * KB * temperature) * rng.standard_normal((len(m), 3)) * free
    return p - m * (p.sum(axis=0) / m.sum()) if _centred(free) else p


def _centred(free: np.ndarray) -> bool:
    return len(free) > 1 and bool(free.all())
