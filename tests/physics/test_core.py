"""The short-range core: smooth, repulsive, and absent where the atoms keep their distance."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import mentor
import samples
from mentor.neighbourhoods import neighbourhoods
from mentor.testing import check_calculator

EDGES = (1.0, 0.85, 0.7)
"""Where the core begins, where the radial functions stop to change, where all of it acts."""


@pytest.fixture(scope="module")
def copper() -> mentor.Potential:
    """A metal that would collapse at short distances without its core."""
    plain = samples.copper()
    return replace(plain, radial_basis_type="RBChebyshev_zbl", core_radii=np.array([[2.0]]))


def evaluate(potential, structures):
    nb = neighbourhoods(structures, potential.max_dist, potential.elements)
    return potential.kernel.evaluate(nb)


def dimer(potential, r: float, elements: str = "Cu2") -> tuple[float, float]:
    """Energy without that of the atoms, and the force that drives the atoms apart."""
    result = evaluate(potential, Atoms(elements, positions=[[0, 0, 0], [0, 0, r]]))
    alone = evaluate(potential, [Atoms([symbol]) for symbol in Atoms(elements).symbols])
    return result.energies[0] - alone.energies.sum(), result.forces[1, 2]


@pytest.mark.parametrize("edge", EDGES)
def test_forces_and_their_slopes_are_continuous(edge, copper):
    """Molecular dynamics keeps its energy, phonons exist: no step in F or dF/dr at the edges."""
    r, h = edge * copper.core_radii[0, 0], 1e-5
    F = [dimer(copper, r + step * h)[1] for step in (-2, -1, 1, 2)]
    below, above = (F[1] - F[0]) / h, (F[3] - F[2]) / h
    assert abs(F[2] - F[1] - h * (below + above)) <= 1e-6 * abs(F[1])
    assert abs(above - below) <= 0.01 * max(1.0, abs(below))


@pytest.mark.parametrize("part", [0.2, 0.5, 0.69, 0.71, 0.8, 0.84, 0.86, 0.95, 0.99, 1.01])
def test_forces_and_stress_are_derivatives_at_close_contact(part):
    """Two species, an atom of a crystal pushed upon its neighbour."""
    potential = samples.potential(2, radial_basis_type="RBChebyshev_zbl")
    atoms = samples.structure("triclinic crystal")
    axis = atoms.get_distance(0, 1, mic=True, vector=True)
    near = part * potential.core_radii[0, 1] / np.linalg.norm(axis)
    atoms.symbols[:2] = "Ag", "Pd"
    atoms.positions[1] = atoms.positions[0] + near * axis
    atoms.calc = potential.calculator()
    scale = max(1.0, np.abs(atoms.get_forces()).max())
    check_calculator(atoms, step=2e-4, tolerance=2e-8 * scale)


@pytest.mark.parametrize("precision", ["double", "mixed"])
def test_nothing_changes_beyond_the_radii(precision):
    """Bit for bit the energies, forces and virials of the plain potential."""
    core = samples.potential(3, radial_basis_type="RBChebyshev_zbl")
    core = replace(core, core_radii=np.full((3, 3), 2.0))
    atoms = samples.structure("triclinic crystal", 3) * (2, 2, 1)
    nb = neighbourhoods(atoms, core.max_dist, core.elements)
    with_core, plain = (p.compiled(precision).evaluate(nb) for p in (core, core.without_core()))
    assert np.linalg.norm(nb.displacements, axis=1).min() > core.core_radii.max()
    for name in ("site_energies", "forces", "virials"):
        assert np.array_equal(getattr(with_core, name), getattr(plain, name)), name


def test_only_pairs_within_their_own_radius_are_repelled():
    """C-H bonds are shorter than a C-C contact may be: radii are those of the pair."""
    potential = mentor.init(
        level=4, elements=("H", "C"), min_dist=0.5, core_radii=[[0.5, 0.9], [0.9, 1.3]]
    )
    plain = potential.without_core()
    for elements, r, repelled in (
        ("CH", 1.1, False),
        ("HC", 1.1, False),
        ("C2", 1.1, True),
        ("CH", 0.8, True),
        ("HC", 0.8, True),
        ("H2", 0.8, False),
    ):
        bond, other = dimer(potential, r, elements), dimer(plain, r, elements)
        assert (bond != other) == repelled, (elements, r)
        if repelled:
            assert bond[1] > other[1]


@pytest.mark.parametrize("elements", ["Cu2", "CuAg", "H2", "HC", "U2"])
def test_atoms_on_top_of_each_other_repel_as_nuclei_do(elements):
    """The universal potential of Ziegler, Biersack and Littmark, its limit Z₁Z₂e²/r, no bottom."""
    species = tuple(dict.fromkeys(Atoms(elements).symbols))
    potential = mentor.init(level=4, elements=species, min_dist=1.0)
    numbers = Atoms(elements).numbers
    r = np.geomspace(1e-3, 0.5 * potential.core_radii[0, -1], 30)
    E, F = np.array([dimer(potential, each, elements) for each in r]).T
    assert (F > 0).all()
    assert (np.diff(E) < 0).all()
    screened = 14.399645 * numbers.prod() / r[0]
    assert 0.9 * screened <= E[0] <= screened


def test_a_metal_is_repulsive_all_the_way(copper):
    """From where the metal's own repulsion begins down to the nuclei, alone and in a crystal."""
    r = np.linspace(0.05, 2.3, 400)
    F = np.array([dimer(copper, each)[1] for each in r])
    assert (F > 0).all()
    crystal = bulk("Cu", cubic=True) * (2, 2, 2)
    axis = crystal.get_distance(0, 1, vector=True)
    E = []
    for each in r:
        atoms = crystal.copy()
        atoms.positions[1] = atoms.positions[0] + each * axis / np.linalg.norm(axis)
        E.append(evaluate(copper, atoms).energies[0])
    assert (np.diff(E) < 0).all()


def test_mixed_precision_is_close_to_double_in_the_core():
    potential = samples.potential(2, level=12, radial_basis_type="RBChebyshev_zbl")
    nb = neighbourhoods(
        [samples.structure(kind, 2) for kind in ("slab", "dimer", "colliding dimer")],
        potential.max_dist,
        potential.elements,
    )
    double, mixed = (potential.compiled(p).evaluate(nb) for p in ("double", "mixed"))
    assert np.abs(double.forces - mixed.forces).max() <= 2e-5 * np.abs(double.forces).max()
    largest = np.abs(double.site_energies).max()
    assert np.abs(double.site_energies - mixed.site_energies).max() <= 2e-5 * largest


def test_a_contact_within_the_core_has_a_high_grade():
    """A campaign must see, and label, what the core only keeps from going wrong."""
    known = [samples.structure("triclinic crystal", 1, seed) for seed in range(40)]
    potential = samples.potential(1, level=6)
    shortest = min(np.linalg.norm(neighbourhoods(known, 4.0, ("Ag",)).displacements, axis=1))
    potential = replace(
        samples.potential(1, level=6, radial_basis_type="RBChebyshev_zbl"),
        core_radii=np.array([[0.95 * shortest]]),
    )
    potential = samples.taught(potential, known)
    atoms = samples.structure("triclinic crystal", 1, 99)
    axis = atoms.get_distance(0, 1, mic=True, vector=True)
    grades = []
    for r in (0.9, 0.7, 0.5):
        atoms.positions[1] = atoms.positions[0] + r * shortest * axis / np.linalg.norm(axis)
        nb = neighbourhoods(atoms, potential.max_dist, potential.elements)
        grades.append(potential.grades(nb).max())
    assert min(grades) > 2.1
