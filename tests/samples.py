"""Potentials and structures for tests: small, general, of every boundary condition."""

import inspect
from dataclasses import replace
from functools import lru_cache

import numpy as np
import scipy.linalg
from ase import Atoms
from ase.build import bulk, molecule
from numpy.polynomial.chebyshev import chebvander
from rich.console import Console
from tblite.ase import TBLite

import mentor
from mentor import integrator
from mentor.active_set import ActiveSet
from mentor.integrator import Ensemble
from mentor.kernel import Kernel
from mentor.neighbourhoods import neighbourhoods
from mentor.structures import with_labels

ELEMENTS = ("Ag", "Pd", "Cu", "Au")
RADIAL_BASES = ("RBChebyshev", "RBChebyshev_repuls", "BChebyshev", "RBChebyshev_zbl")


CORE_RADII = np.round(2.4 + 0.1 * np.add.outer(range(4), range(4)), 1)
"""Å; about as long as the shortest distances of the structures, so that some are within."""


def potential(
    species: int = 2,
    level: int = 8,
    seed: int = 0,
    cutoff: float = 4.5,
    *,
    level_weights: tuple[int, int, int] = (2, 4, 1),
    shared_moments: bool = True,
    **changes,
) -> mentor.Potential:
    """A potential with random coefficients of order one: nothing in it is small or symmetric."""
    rng = np.random.default_rng(seed)
    blank = mentor.init(
        level=level,
        level_weights=level_weights,
        elements=ELEMENTS[:species],
        cutoff=cutoff,
        min_dist=1.8,
        radial_basis_size=5,
        core_radii=CORE_RADII[:species, :species],
        shared_moments=shared_moments,
        seed=seed,
    )
    return replace(
        blank if changes.get("radial_basis_type") == "RBChebyshev_zbl" else blank.without_core(),
        **{"scaling": 0.3} | changes,
        radial_coeffs=rng.normal(size=blank.radial_coeffs.shape) / 5,
        species_coeffs=rng.normal(size=species),
        moment_coeffs=rng.normal(size=blank.moment_coeffs.shape) / 5,
    )


def built(potential: mentor.Potential, **how) -> Kernel:
    """The kernel of ``potential``, compiled in another way."""
    ways = {"threads", "variant", "precision", "contraction"}
    fields = inspect.signature(Kernel).parameters.keys() - ways
    return Kernel(**{name: getattr(potential, name) for name in fields}, **how)


def structure(kind: str, species: int = 2, seed: int = 0) -> Atoms:
    """A rattled structure of ``kind`` with about ten atoms of all the species."""
    rng = np.random.default_rng(seed)
    atoms = KINDS[kind]()
    atoms.symbols = rng.permutation([ELEMENTS[i % species] for i in range(len(atoms))])
    if len(atoms) > 1:
        atoms.positions += rng.uniform(-0.15, 0.15, (len(atoms), 3))
    return atoms


def _molecule() -> Atoms:
    return Atoms("Cu9", positions=2.3 * np.array(list(np.ndindex(3, 3, 1)), float))


def _wire() -> Atoms:
    atoms = Atoms("Cu4", positions=[[0, 0, 0], [2.2, 0, 0.4], [0, 2.3, 1.0], [2.1, 2.2, 1.5]])
    atoms.set_cell([0, 0, 3.1])
    atoms.pbc = (False, False, True)
    return atoms


def _slab() -> Atoms:
    atoms = bulk("Cu", cubic=True) * (1, 1, 2)
    atoms.cell[2] *= 3
    atoms.pbc = (True, True, False)
    return atoms


def _triclinic() -> Atoms:
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    shear = np.array([[1.02, 0.1, 0.0], [0.05, 0.97, -0.12], [0.2, 0.0, 1.01]])
    atoms.set_cell(atoms.cell.array @ shear, scale_atoms=True)
    return atoms


def _outside() -> Atoms:
    """Atoms far outside the cell they belong to."""
    atoms = _triclinic()
    atoms.positions += np.array([[1, -2, 0], [0, 3, -1], [2, 0, 0], [0, 0, 5]] * 2) @ atoms.cell
    return atoms


KINDS = {
    "molecule": _molecule,
    "wire": _wire,
    "slab": _slab,
    "triclinic crystal": _triclinic,
    "atoms outside the cell": _outside,
    "one-atom cell": lambda: bulk("Cu"),
    "flat one-atom cell": lambda: Atoms("Cu", cell=[2.1, 9.0, 2.4], pbc=(True, False, True)),
    "isolated atom": lambda: Atoms("Cu"),
    "dimer": lambda: Atoms("Cu2", positions=[[0, 0, 0], [1.5, 1.0, 1.2]]),
    "colliding dimer": lambda: Atoms("Cu2", positions=[[0, 0, 0], [0.6, 0.7, 0.9]]),
    "atoms beyond each other's cutoff": lambda: Atoms("Cu2", positions=[[0, 0, 0], [9, 0, 0]]),
}


@lru_cache
def copper() -> mentor.Potential:
    """A potential with the physics of a metal: f₀ is half a Morse function, with a weak M₀₀² term.

    The face-centred cubic crystal is stable, with a lattice constant near 3.6 Å.
    """
    blank = mentor.init(
        level=4, elements=("Cu",), cutoff=5.0, min_dist=1.6, radial_basis_size=10, core=False
    )
    r = np.linspace(blank.min_dist, blank.max_dist, 200)
    decay = np.exp(-1.4 * (r - 2.75))
    morse = 0.4 * (decay**2 - 2 * decay) * (1 - (r / blank.max_dist) ** 6) ** 2
    t = (2 * r - blank.min_dist - blank.max_dist) / (blank.max_dist - blank.min_dist)
    Q = chebvander(t, blank.radial_basis_size - 1) * (r - blank.max_dist)[:, None] ** 2
    c = np.linalg.lstsq(Q, morse / 2, rcond=None)[0]
    return replace(
        blank,
        radial_coeffs=c.reshape(blank.radial_coeffs.shape),
        moment_coeffs=np.array([1.0, 0.01]),
        species_coeffs=np.array([-1.0]),
    )


def with_active_set(potential: mentor.Potential, mode: str = "neighborhood") -> mentor.Potential:
    """The potential with some regular matrix as its active set."""
    m = potential.parameter_count
    return _with_rows(potential, np.random.default_rng(m).normal(size=(m, m)) + 5 * np.eye(m), mode)


def taught(potential: mentor.Potential, structures: list[Atoms]) -> mentor.Potential:
    """The potential with an active set of ``structures``: a greedy choice, not quite maxvol's.

    The directions no structure has anything to say about are filled with large unit rows.
    """
    nb = neighbourhoods(structures, potential.max_dist, potential.elements)
    rows = potential.kernel.rows(nb)
    _, triangle, order = scipy.linalg.qr(rows.T, mode="economic", pivoting=True)
    diagonal = np.abs(np.diag(triangle))
    rank = int((diagonal > 1e-6 * diagonal[0]).sum())
    chosen = rows[order[:rank]]
    others = scipy.linalg.null_space(chosen, rcond=1e-12).T
    return _with_rows(potential, np.concatenate([chosen, 1e3 * others]), "neighborhood")


def _with_rows(potential: mentor.Potential, A: np.ndarray, mode: str) -> mentor.Potential:
    unset = np.full(len(A), -1)
    return replace(
        potential,
        active_set=ActiveSet(
            mode=mode, matrix=A, inverse=np.linalg.inv(A), cfg_index=unset, eqn_index=unset
        ),
    )


CORE_DAMAGE = [
    ("core_radii = ", "core = ", "core = ", "unknown field 'core = "),
    ("core_radii = {", "core_radii = {1.0, ", "core_radii", "has 5 entries, but species_count = 2"),
    ("core_radii = {2.4", "core_radii = {-2.4", "core_radii", "must be symmetric and lie between"),
    ("core_radii = {2.4", "core_radii = {nan", "core_radii", "not finite"),
    (", 2.5, 2.5,", ", 2.5, 2.6,", "core_radii", "must be symmetric and lie between"),
    (", 2.5, 2.5,", ", 7.5, 7.5,", "core_radii", "must be symmetric and lie between"),
    ("elements=Ag,Pd", "", "radial_basis_type", "needs the element of each species"),
    ("elements=Ag,Pd", "elements=Ag", "radial_basis_type", "needs the element of each species"),
    ("RBChebyshev_zbl", "RBChebyshev", "core_radii", "needs radial_basis_type = RBChebyshev_zbl"),
]
"""Text to replace, its replacement, the line that is named, and the message."""


def shown(result, width: int = 100) -> str:
    """What a terminal of ``width`` columns shows of ``result``."""
    with (console := Console(width=width)).capture() as capture:
        console.print(result)
    return capture.get()


def methanol(count: int, seed: int = 0, temperature: float = 600.0) -> list[Atoms]:
    """Methanol as GFN2-xTB sees it at ``temperature``, labelled."""
    rng = np.random.default_rng(seed)
    atoms = molecule("CH3OH")
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    integrator.thermalise(atoms, temperature, rng)
    ensemble = Ensemble(temperature=temperature, timestep=1.0, friction=0.05)
    found = []
    for step in integrator.run(atoms, ensemble, rng, 20 * count + 100):
        if step > 100 and step % 20 == 0:
            found.append(with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces()))
    return found
