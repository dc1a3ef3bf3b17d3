"""The method in plain NumPy, straight from the equations: slow, short, the judge of the kernel.

Nothing here shares code with the package. A ``potential`` is any object with the attributes of
:class:`mentor.potential.Potential` that stand in a ``.mtp`` file. Derivatives are complex steps,
f'(x) = Im f(x + ih)/h with h = 1e-30, exact to rounding: every function takes complex numbers.
"""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

STEP = 1e-30


@dataclass(frozen=True)
class Pairs:
    """All directed pairs i → j within the cutoff, periodic images included."""

    types: np.ndarray  # (N,) index into elements
    i: np.ndarray  # (P,)
    j: np.ndarray  # (P,)
    displacements: np.ndarray  # (P, 3) x_j − x_i + lattice vector


def pairs(atoms: Atoms, cutoff: float, elements: tuple[str, ...]) -> Pairs:
    """Brute force over every image of the cell that can reach into the cutoff sphere."""
    x = atoms.positions
    images = np.zeros((1, 3))
    if atoms.pbc.any():
        cell = np.array(atoms.cell.complete())
        to_planes = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)  # cell heights
        spread = np.ptp(x @ np.linalg.inv(cell), axis=0)
        reach = np.where(atoms.pbc, np.ceil(cutoff / to_planes + spread), 0).astype(int)
        images = np.array(list(product(*(range(-n, n + 1) for n in reach)))) @ cell
    found = [], [], []
    for i, j in product(range(len(x)), repeat=2):
        d = x[j] - x[i] + images
        r = np.linalg.norm(d, axis=1)
        near = (r < cutoff) & ~((i == j) & (np.abs(images).sum(axis=1) == 0))
        found[0].extend([i] * near.sum())
        found[1].extend([j] * near.sum())
        found[2].extend(d[near])
    types = np.array([elements.index(symbol) for symbol in atoms.symbols])
    i, j, d = found
    return Pairs(types, np.array(i, int), np.array(j, int), np.array(d).reshape(-1, 3))


def core_radii(potential, env: Pairs) -> np.ndarray:
    """Radius of the core of each pair, shape (P,), 0 where the potential has none."""
    if potential.core_radii is None:
        return np.zeros(len(env.i))
    return potential.core_radii[env.types[env.i], env.types[env.j]]


def held_distance(r: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Where the radial functions are taken: R − ∫_r^R h(x) dx, h from 0 at 0.85 R to 1 at R."""
    x = (r / np.where(radius > 0, radius, 1) - 0.85) / 0.15
    x = np.where(x.real < 0, 0, x)
    held = radius - 0.15 * radius * ((1 - x**3) - (1 - x**4) / 2)
    return np.where(r.real < radius, held, r)


def radial_basis(potential, r: np.ndarray) -> np.ndarray:
    """Q_k(r), shape (R, P)."""
    low, high = potential.min_dist, potential.max_dist
    if potential.radial_basis_type == "RBChebyshev_repuls":
        r = np.where(r.real < low, low, r)
    t = (2 * r - low - high) / (high - low)
    T = [np.ones_like(t), t]
    while len(T) < potential.radial_basis_size:
        T.append(2 * t * T[-1] - T[-2])
    Q = np.array(T[: potential.radial_basis_size])
    if potential.radial_basis_type == "BChebyshev":
        return Q
    return Q * (r - high) ** 2


def moments(potential, env: Pairs) -> np.ndarray:
    """M of every atom, the basic ones and those the schedule makes; shape (count, N)."""
    d = env.displacements
    r = np.sqrt((d * d).sum(axis=1))
    unit = (d / r[:, None]).T
    held = held_distance(r, core_radii(potential, env))
    c = potential.radial_coeffs[env.types[env.i], env.types[env.j]]  # (P, K, R)
    f = potential.scaling * np.einsum("pmk,kp->mp", c, radial_basis(potential, held))
    M = np.zeros((potential.alpha_moments_count, len(env.types)), np.result_type(f, float))
    for row, (mu, a, b, e) in enumerate(potential.alpha_index_basic):
        np.add.at(M[row], env.i, f[mu] * unit[0] ** a * unit[1] ** b * unit[2] ** e)
    for i, j, factor, k in potential.alpha_index_times:
        M[k] += factor * M[i] * M[j]
    return M


def basis(potential, env: Pairs) -> np.ndarray:
    """B_α of every atom, shape (N, n)."""
    return moments(potential, env)[potential.alpha_moment_mapping].T


def repulsion(potential, env: Pairs) -> np.ndarray:
    """What ``RBChebyshev_repuls`` adds to V_i, eV, shape (N,)."""
    d, low = env.displacements, potential.min_dist
    r = np.sqrt((d * d).sum(axis=1))
    wall = 1e4 * (np.exp(-10 * (r - 1)) - np.exp(-10 * (low - 1)))
    total = np.zeros(len(env.types), wall.dtype)
    if potential.radial_basis_type == "RBChebyshev_repuls":
        np.add.at(total, env.i, np.where(r.real < low, wall, 0))
    return total


def core(potential, env: Pairs) -> np.ndarray:
    """What ``RBChebyshev_zbl`` adds to V_i, eV, shape (N,): half of the energy of each pair."""
    d, radius = env.displacements, core_radii(potential, env)
    r = np.sqrt((d * d).sum(axis=1))
    Z = np.array([atomic_numbers[symbol] for symbol in potential.elements], float)[env.types]
    length = 0.46850 / (Z[env.i] ** 0.23 + Z[env.j] ** 0.23)
    terms = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))
    screening = sum(factor * np.exp(-decay * r / length) for factor, decay in terms)
    x = (r / np.where(radius > 0, radius, 1) - 0.7) / 0.3
    x = np.where(x.real < 0, 0, x)
    switch = np.where(r.real < radius, 1 - 10 * x**3 + 15 * x**4 - 6 * x**5, 0)
    total = np.zeros(len(env.types), r.dtype)
    np.add.at(total, env.i, 14.399645 * Z[env.i] * Z[env.j] / r * screening * switch / 2)
    return total


def site_energies(potential, env: Pairs) -> np.ndarray:
    """V_i = ξ⁰[z_i] + Σ_α ξ_α B_α(n_i), eV, shape (N,)."""
    linear = potential.species_coeffs[env.types] + basis(potential, env) @ potential.moment_coeffs
    return linear + repulsion(potential, env) + core(potential, env)


def energy(potential, atoms: Atoms) -> float:
    """E = Σ_i V_i, eV."""
    env = pairs(atoms, potential.max_dist, potential.elements)
    return float(site_energies(potential, env).sum())


def forces(potential, atoms: Atoms) -> np.ndarray:
    """−dE/dx, eV/Å, shape (N, 3)."""
    env = pairs(atoms, potential.max_dist, potential.elements)
    F = np.zeros((len(atoms), 3))
    for a, axis in np.ndindex(F.shape):
        d = env.displacements.astype(complex)
        d[:, axis] += 1j * STEP * ((env.j == a).astype(float) - (env.i == a))
        F[a, axis] = -_slope(potential, replace(env, displacements=d)).sum()
    return F


def virial(potential, atoms: Atoms) -> np.ndarray:
    """W = −dE/dε, eV, Voigt xx yy zz yz xz xy, shape (6,)."""
    env = pairs(atoms, potential.max_dist, potential.elements)
    W = np.zeros(6)
    for v, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        strain = np.zeros((3, 3), complex)
        strain[a, b] += 0.5j * STEP
        strain[b, a] += 0.5j * STEP
        d = env.displacements @ (np.eye(3) + strain)
        W[v] = -_slope(potential, replace(env, displacements=d)).sum()
    return W


def rows(potential, atoms: Atoms) -> np.ndarray:
    """dV_i/dθ, θ = (radial_coeffs, species_coeffs, moment_coeffs), shape (N, m)."""
    env = pairs(atoms, potential.max_dist, potential.elements)
    theta = (potential.radial_coeffs, potential.species_coeffs, potential.moment_coeffs)
    columns = []
    for block, values in enumerate(theta):
        for index in np.ndindex(values.shape):
            stepped = [each.astype(complex) for each in theta]
            stepped[block][index] += 1j * STEP
            names = ("radial_coeffs", "species_coeffs", "moment_coeffs")
            columns.append(_slope(_with(potential, dict(zip(names, stepped, strict=True))), env))
    return np.array(columns).T


def _slope(potential, env: Pairs) -> np.ndarray:
    return site_energies(potential, env).imag / STEP


class _with:  # noqa: N801
    """The potential with some attributes replaced."""

    def __init__(self, potential, changed: dict) -> None:
        self._potential = potential
        self.__dict__.update(changed)

    def __getattr__(self, name: str):
        return getattr(self._potential, name)
