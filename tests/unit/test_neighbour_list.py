"""Neighbour lists against ASE's, in every instruction set, with any number of threads."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from mentor import kernel
from mentor.exceptions import InputError
from mentor.neighbourhoods import find_pairs


def search(structures, cutoff, **how):
    """``offsets``, ``neighbours``, ``displacements`` of some structures."""
    return kernel.neighbour_list(
        np.concatenate([atoms.positions for atoms in structures]),
        np.array([atoms.cell.array for atoms in structures]),
        np.array([atoms.pbc for atoms in structures]),
        np.cumsum([0, *map(len, structures)]),
        cutoff,
        **how,
    )


def sorted_pairs(first, second, vectors):
    rows = np.column_stack([first, second, np.round(vectors, 6) + 0.0])
    return rows[np.lexsort(rows.T[::-1])]


def assert_same_pairs(found, atoms: Atoms, cutoff: float) -> None:
    offsets, neighbours, vectors = found
    first = np.repeat(np.arange(len(atoms)), np.diff(offsets))
    expected = sorted_pairs(*neighbor_list("ijD", atoms, cutoff))
    ours = sorted_pairs(first, neighbours, vectors)
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max(initial=0.0) <= 2e-6
    assert (np.linalg.norm(vectors, axis=1) < cutoff).all()


def reversed_pairs(found):
    """Pairs as rows (i, j, r), and the same of the opposite pairs, both sorted."""
    offsets, neighbours, vectors = found
    first = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    forth = np.column_stack([first, neighbours, vectors])
    back = np.column_stack([neighbours, first, -vectors])
    return forth[np.lexsort(forth.T[::-1])], back[np.lexsort(back.T[::-1])]


def rattled(repeats, seed=0) -> Atoms:
    atoms = bulk("Cu", cubic=True) * repeats
    atoms.rattle(0.2, seed=seed)
    return atoms


@pytest.mark.parametrize("variant", kernel.variants())
@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_equals_ase_for_any_structure(variant, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    pbc = data.draw(st.tuples(*3 * [st.booleans()]))
    count = data.draw(st.integers(1, 150))
    shape = np.array([data.draw(st.sampled_from([0.3, 1.0, 3.0])) for _ in range(3)])
    cell = (np.eye(3) + data.draw(st.sampled_from([0.0, 0.3])) * rng.normal(size=(3, 3))) * shape
    if abs(np.linalg.det(cell)) < 0.1 * np.prod(np.linalg.norm(cell, axis=1)):
        cell = np.diag(shape)
    cell *= (count * data.draw(st.sampled_from([5.0, 20.0, 500.0])) / abs(np.linalg.det(cell))) ** (
        1 / 3
    )
    outside = data.draw(st.sampled_from([0.5, 5.0]))
    positions = rng.uniform(-outside, outside, (count, 3)) @ cell
    atoms = Atoms(f"Cu{count}", positions=positions, cell=cell, pbc=pbc)
    cutoff = data.draw(st.sampled_from([1.0, 3.0, 4.7]))
    assert_same_pairs(search([atoms], cutoff, variant=variant), atoms, cutoff)


@pytest.mark.parametrize("variant", kernel.variants())
@pytest.mark.parametrize("repeats", [(6, 5, 4), (30, 1, 1), (1, 30, 1), (1, 1, 30), (12, 12, 1)])
@pytest.mark.parametrize("pbc", [True, False, (True, False, True)])
def test_equals_ase_for_hundreds_of_atoms(variant, repeats, pbc):
    atoms = rattled(repeats)
    atoms.pbc = pbc
    assert_same_pairs(search([atoms], 4.4, variant=variant), atoms, 4.4)


def test_strongly_sheared_cell():
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=0)
    straight = search([atoms], 4.0)
    atoms.cell[0] += 7 * atoms.cell[1] - 4 * atoms.cell[2]
    sheared = search([atoms], 4.0)
    assert np.array_equal(np.diff(straight[0]), np.diff(sheared[0]))
    assert_same_pairs(sheared, atoms, 4.0)


def test_the_number_of_threads_changes_nothing():
    structures = [rattled((8, 8, 8)), Atoms(), Atoms("Cu"), rattled((3, 2, 1)), rattled((7, 7, 7))]
    structures += [rattled((1, 1, 1), seed) for seed in range(500)]
    one = search(structures, 5.0, threads=1)
    for threads in (2, 3, 8):
        many = search(structures, 5.0, threads=threads)
        for a, b in zip(one, many, strict=True):
            assert np.array_equal(a, b)


@pytest.mark.parametrize("shift", [0.0, 1e3, -1e7])
def test_shells_exactly_at_the_cutoff(shift):
    """The pairs at 4 Å in the simple cubic crystal are listed from both sides or from none."""
    atoms = bulk("Cu", "sc", a=2.0) * (5, 4, 3)
    atoms.positions += [shift, 0.3, shift]
    forth, back = reversed_pairs(search([atoms], 4.0))
    assert np.array_equal(forth, back)
    if shift == 0:
        assert len(forth) == len(atoms) * 26


def test_every_pair_has_its_opposite_exactly():
    atoms = rattled((5, 4, 6))
    atoms.set_cell(atoms.cell.array @ [[1, 0.1, 0], [0, 1, 0], [0.2, 0.1, 1]], scale_atoms=True)
    for structure in (atoms, rattled((1, 1, 1)), bulk("Cu")):
        forth, back = reversed_pairs(search([structure], 5.0))
        assert np.array_equal(forth, back)


@pytest.mark.parametrize("far", [1e5, 1e7, 1e9, 1e15, 1e300])
@pytest.mark.parametrize("sign", [1, -1])
def test_one_atom_lost_in_space(far, sign):
    """Its distance costs the others neither their neighbours nor memory."""
    atoms = rattled((3, 3, 3))
    atoms.pbc = False
    alone = search([atoms], 4.0)
    both = search([atoms + Atoms("Cu", [[sign * far, 0, 0]])], 4.0)
    assert np.array_equal(both[0][:-1], alone[0])
    assert both[0][-1] == alone[0][-1]
    forth, back = reversed_pairs(both)
    assert np.array_equal(forth, back)


def test_a_few_atoms_in_a_huge_box():
    atoms = Atoms("Cu2", positions=[[0, 0, 0], [1e6 - 1, 0, 1e6 - 1]], cell=[1e6] * 3, pbc=True)
    offsets, neighbours, vectors = search([atoms], 3.0)
    assert offsets.tolist() == [0, 1, 2]
    assert neighbours.tolist() == [1, 0]
    assert np.abs(vectors - [[-1, 0, -1], [1, 0, 1]]).max() <= 1e-9


@pytest.mark.parametrize(
    ("cell", "pbc", "positions"),
    [
        (np.diag([2.0, 0, 2.0]), True, 0.0),
        ([[1, 2, 3], [2, 4, 6], [0, 0, 1]], (True, True, False), 0.0),
        (np.diag([2.0, np.nan, 2.0]), True, 0.0),
        (np.diag([2.0, 2.0, 2.0]), True, np.inf),
        (np.zeros((3, 3)), False, np.nan),
    ],
)
def test_unusable_structures_are_named(cell, pbc, positions):
    bad = Atoms("Cu", positions=np.full((1, 3), positions), pbc=pbc)
    bad.cell[:] = cell
    with pytest.raises(InputError, match="structure 1: "):
        find_pairs([Atoms("H"), bad], 5.0)
