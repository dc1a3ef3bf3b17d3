"""Nothing but the arrangement of the atoms matters: symmetries of space and of the description."""

from functools import lru_cache

import numpy as np
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

import samples
from mentor.neighbourhoods import neighbourhoods

kinds = st.sampled_from(sorted(samples.KINDS))
species = st.integers(1, 4)
seeds = st.integers(0, 10**6)
few = settings(max_examples=40, deadline=None, derandomize=True)


@lru_cache
def potential(species):
    """With a core: it does all that a plain potential does, and some atoms are within."""
    return samples.potential(species, radial_basis_type="RBChebyshev_zbl")


def evaluate(species, atoms):
    nb = neighbourhoods(atoms, potential(species).max_dist, samples.ELEMENTS[:species])
    return potential(species).kernel.evaluate(nb)


def assert_same(result, expected, forces, virial):
    scale = 1e-11 * max(1.0, np.abs(expected.forces).max(), np.abs(expected.virials).max())
    assert abs(result.energies[0] - expected.energies[0]) <= scale
    assert np.abs(result.forces - forces).max() <= scale
    assert np.abs(tensor(result) - virial).max() <= scale


def tensor(result):
    xx, yy, zz, yz, xz, xy = result.virials[0]
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


@few
@given(kinds, species, seeds)
def test_rotations_and_reflections(kind, species, seed):
    atoms = samples.structure(kind, species, seed)
    expected = evaluate(species, atoms)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    for Q in (turn, -turn):
        image = Atoms(
            atoms.numbers, positions=atoms.positions @ Q, cell=atoms.cell @ Q, pbc=atoms.pbc
        )
        virial = Q.T @ tensor(expected) @ Q
        assert_same(evaluate(species, image), expected, expected.forces @ Q, virial)


@few
@given(kinds, species, seeds)
def test_translations_and_choice_of_images(kind, species, seed):
    atoms = samples.structure(kind, species, seed)
    expected = evaluate(species, atoms)
    rng = np.random.default_rng(seed)
    image = atoms.copy()
    image.positions += rng.normal(size=3) * 10
    image.positions += rng.integers(-3, 4, (len(atoms), 3)) * atoms.pbc @ atoms.cell.array
    assert_same(evaluate(species, image), expected, expected.forces, tensor(expected))


@few
@given(kinds, species, seeds)
def test_renumbering(kind, species, seed):
    atoms = samples.structure(kind, species, seed)
    expected = evaluate(species, atoms)
    order = np.random.default_rng(seed).permutation(len(atoms))
    assert_same(evaluate(species, atoms[order]), expected, expected.forces[order], tensor(expected))


@few
@given(
    st.sampled_from(["triclinic crystal", "one-atom cell", "wire", "slab", "flat one-atom cell"]),
    species,
    seeds,
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
)
def test_supercells(kind, species, seed, repeat):
    atoms = samples.structure(kind, species, seed)
    repeat = np.where(atoms.pbc, repeat, 1)
    expected, result = evaluate(species, atoms), evaluate(species, atoms * repeat)
    copies = repeat.prod()
    scale = 1e-11 * copies * max(1.0, np.abs(expected.forces).max())
    assert abs(result.energies[0] - copies * expected.energies[0]) <= scale
    assert np.abs(result.forces - np.tile(expected.forces, (copies, 1))).max() <= scale
    assert np.abs(result.virials - copies * expected.virials).max() <= 10 * scale


@few
@given(st.sampled_from(["triclinic crystal", "atoms outside the cell"]), species, seeds)
def test_choice_of_lattice_vectors(kind, species, seed):
    """The same lattice written with other vectors (determinant 1)."""
    atoms = samples.structure(kind, species, seed)
    expected = evaluate(species, atoms)
    rng = np.random.default_rng(seed)
    lower, upper = np.tril(rng.integers(-1, 2, (3, 3)), -1), np.triu(rng.integers(-1, 2, (3, 3)), 1)
    image = atoms.copy()
    image.set_cell((lower + np.eye(3)) @ (upper + np.eye(3)) @ atoms.cell.array)
    assert_same(evaluate(species, image), expected, expected.forces, tensor(expected))


@few
@given(kinds, species, seeds)
def test_no_net_force_and_for_molecules_no_torque(kind, species, seed):
    atoms = samples.structure(kind, species, seed)
    result = evaluate(species, atoms)
    scale = 1e-11 * max(1.0, np.abs(result.forces).max())
    assert np.abs(result.forces.sum(axis=0)).max() <= scale
    if not atoms.pbc.any():
        torque = np.cross(atoms.positions, result.forces).sum(axis=0)
        assert np.abs(torque).max() <= 10 * scale


@few
@given(species, seeds, st.floats(-3, 3), st.floats(-3, 3))
def test_far_molecules_do_not_feel_each_other(species, seed, y, z):
    one = samples.structure("molecule", species, seed)
    other = samples.structure("dimer", species, seed)
    apart = other.copy()
    apart.positions += [20.0, y, z]
    together = evaluate(species, one + apart)
    separate = [evaluate(species, each) for each in (one, other)]
    energy = sum(each.energies[0] for each in separate)
    forces = np.concatenate([each.forces for each in separate])
    assert abs(together.energies[0] - energy) <= 1e-11 * max(1, abs(energy))
    assert np.abs(together.forces - forces).max() <= 1e-11 * max(1, np.abs(forces).max())
