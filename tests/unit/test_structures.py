"""Neighbour lists against ASE's, labels, and the checks of structures."""

import itertools

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.neighborlist import neighbor_list

from mentor.exceptions import InputError
from mentor.neighbourhoods import Neighbourhoods, neighbourhoods
from mentor.structures import check_structures, labels, shortest_distances, with_labels


def sorted_pairs(first, second, vectors):
    rows = np.column_stack([first, second, np.round(vectors, 7) + 0.0])
    return rows[np.lexsort(rows.T[::-1])]


def assert_same_as_ase(atoms: Atoms, cutoff: float, nb: Neighbourhoods) -> None:
    expected = sorted_pairs(*neighbor_list("ijD", atoms, cutoff))
    first = np.repeat(np.arange(len(atoms)), np.diff(nb.offsets))
    found = sorted_pairs(first, nb.neighbours, nb.displacements)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max(initial=0.0) <= 1e-6


def random_structure(rng: np.random.Generator, pbc: tuple[bool, bool, bool]) -> Atoms:
    """Atoms inside and far outside a skewed cell between a tenth and twice the cutoff wide."""
    while True:
        cell = rng.normal(size=(3, 3)) * rng.uniform(0.6, 5.0)
        if abs(np.linalg.det(cell)) > max(0.2 * np.prod(np.linalg.norm(cell, axis=1)), 2.0):
            break
    count = rng.integers(1, 10)
    symbols = rng.choice(["Ag", "Pd"], count)
    return Atoms(symbols, positions=6.0 * rng.normal(size=(count, 3)), cell=cell, pbc=pbc)


@pytest.mark.parametrize("pbc", list(itertools.product([False, True], repeat=3)))
def test_neighbours_equal_ase(pbc):
    rng = np.random.default_rng(sum(2**i * p for i, p in enumerate(pbc)))
    for _ in range(25):
        atoms = random_structure(rng, pbc)
        assert_same_as_ase(atoms, 3.3, neighbourhoods([atoms], 3.3, ["Ag", "Pd"]))


def test_cell_much_shorter_than_cutoff():
    atoms = bulk("Cu", "fcc", a=3.6)
    assert_same_as_ase(atoms, 11.0, neighbourhoods(atoms, 11.0, ["Cu"]))


def test_periodic_directions_without_other_cell_vectors():
    wire = Atoms("Cu2", positions=[[0, 0, 0], [1.2, 3.0, 1]], cell=[0, 0, 2.5], pbc=[0, 0, 1])
    slab = Atoms("Cu", positions=[[0, 0, 7.0]], cell=[2.5, 2.5, 0], pbc=[1, 1, 0])
    padded_wire, padded_slab = wire.copy(), slab.copy()
    padded_wire.cell[0, 0] = padded_wire.cell[1, 1] = 50.0
    padded_slab.cell[2, 2] = 50.0
    assert_same_as_ase(padded_wire, 5.0, neighbourhoods(wire, 5.0, ["Cu"]))
    assert_same_as_ase(padded_slab, 5.0, neighbourhoods(slab, 5.0, ["Cu"]))


@pytest.mark.parametrize("far", [[2e3, 0, 0], [1e6, 0, 0], [0, 1e4, 1e4], [1e9, 1e9, 1e9]])
def test_atoms_lost_far_away(far):
    nb = neighbourhoods(Atoms("H3", [[0, 0, 0], [0.7, 0, 0], far]), 5.0, ["H"])
    assert nb.offsets.tolist() == [0, 1, 2, 2]
    assert nb.neighbours.tolist() == [1, 0]


def test_wide_monolayer():
    few = Atoms("Cu2", [[0, 0, 0], [0, 2399, 1]], cell=[2400, 2400, 20], pbc=[1, 1, 0])
    assert neighbourhoods(few, 3.0, ["Cu"]).neighbours.tolist() == [1, 0]


def test_structures_are_concatenated_in_order():
    parts = [molecule("H2O"), bulk("Cu", "fcc", a=3.6), Atoms("H"), molecule("CH4")]
    elements = ["H", "C", "O", "Cu"]
    whole = neighbourhoods(parts, 4.0, elements)
    assert whole.structure_count == 4
    assert whole.structure_offsets.tolist() == [0, 3, 4, 5, 10]
    assert whole.types.tolist() == [2, 0, 0, 3, 0, 1, 0, 0, 0, 0]
    assert whole.types.dtype == np.int32
    assert whole.neighbours.dtype == np.int32
    for index, atoms in enumerate(parts):
        alone, part = neighbourhoods(atoms, 4.0, elements), whole.part(index, index + 1)
        for name in ("types", "structure_offsets", "offsets", "neighbours", "displacements"):
            assert np.array_equal(getattr(alone, name), getattr(part, name)), name


def test_neighbours_are_deterministic():
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True) * (4, 4, 4)
    atoms.rattle(0.2, seed=1)
    first, second = (neighbourhoods(atoms, 5.0, ["Cu"]) for _ in range(2))
    assert np.array_equal(first.neighbours, second.neighbours)
    assert np.array_equal(first.displacements, second.displacements)


def test_no_structures_and_no_atoms():
    assert neighbourhoods([], 5.0, ["H"]).structure_offsets.tolist() == [0]
    nb = neighbourhoods([Atoms(), Atoms("H")], 5.0, ["H"])
    assert nb.structure_offsets.tolist() == [0, 0, 1]
    assert nb.displacements.shape == (0, 3)


def test_pairs_at_the_cutoff_are_left_out():
    assert len(neighbourhoods(Atoms("H2", [[0, 0, 0], [3.0, 0, 0]]), 3.0, ["H"]).neighbours) == 0


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        (["Ag"], r"structure 1 contains Pd, which is not among the elements Ag"),
        (None, "does not name its elements"),
        (["Ag", "Qq"], "'Qq' is no chemical symbol"),
    ],
)
def test_unusable_elements(elements, message):
    with pytest.raises(InputError, match=message):
        neighbourhoods([Atoms("Ag"), Atoms("Pd")], 5.0, elements)


def test_labels_round_trip_through_calculator():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=0)
    virial = np.arange(6.0)
    labelled = with_labels(atoms, energy=-1.5, forces=np.ones((4, 3)), virial=virial)
    known = labels(labelled)
    assert known.energy == -1.5
    assert np.array_equal(known.forces, np.ones((4, 3)))
    assert np.allclose(known.virial, virial, rtol=1e-14)
    assert np.allclose(labelled.get_stress(), -virial / atoms.get_volume(), rtol=1e-14)
    assert atoms.calc is None


def test_labels_of_calculated_structure_and_after_a_move():
    atoms = bulk("Cu", cubic=True)
    atoms.calc = EMT()
    assert labels(atoms).energy is None
    energy = atoms.get_potential_energy(force_consistent=True)
    assert labels(atoms).energy == energy
    atoms.positions[0, 0] += 0.1
    assert labels(atoms).energy is None


@pytest.mark.parametrize("prefix", ["", "REF_", "dft_", "qm_"])
def test_labels_in_info_and_arrays(prefix):
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 1]], cell=[2, 2, 2], pbc=True)
    atoms.info[prefix + "energy"] = np.float64(2.0)
    atoms.info[prefix + "stress"] = np.diag([1.0, 2.0, 3.0])
    atoms.arrays[prefix + "forces"] = np.ones((2, 3))
    known = labels(atoms)
    assert known.energy == 2.0
    assert known.forces.shape == (2, 3)
    assert np.allclose(known.virial, [-8.0, -16.0, -24.0, 0, 0, 0])


def test_virial_without_volume():
    assert labels(with_labels(Atoms("H"), energy=1.0, virial=np.ones(6))).virial.tolist() == [1] * 6


def test_with_labels_forgets_old_labels():
    atoms = Atoms("H", info={"energy": 1.0, "REF_forces": np.zeros((1, 3)), "name": "x"})
    copy = with_labels(atoms, energy=2.0)
    assert labels(copy).energy == 2.0
    assert labels(copy).forces is None
    assert copy.info == {"name": "x"}


def bad(**changes) -> Atoms:
    atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]], cell=[5, 5, 5], pbc=True)
    for name, value in changes.items():
        if name in ("positions", "cell"):
            getattr(atoms, f"set_{name}")(value)
        elif name == "symbols":
            atoms.symbols = value
        elif name == "forces":
            atoms.arrays["forces"] = value
        else:
            atoms.info[name] = value
    return atoms


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (bad(positions=[[0, 0, 0], [0, np.nan, 0]]), r"atom 1 \(Cu\) has a position that is not"),
        (bad(positions=[[np.inf, 0, 0], [0, 0, 0]]), r"atom 0 \(Cu\) has a position that is not"),
        (bad(cell=np.full((3, 3), np.nan)), "cell contains values that are not finite"),
        (bad(cell=np.zeros((3, 3))), "are zero or lie in one plane"),
        (bad(cell=[[5, 0, 0], [5, 0, 0], [0, 0, 5]]), "are zero or lie in one plane"),
        (bad(cell=[1e-12, 1e-12, 1e-12]), "cell is far too small"),
        (bad(cell=[0.05, 5, 5]), "cell is far too small"),
        (bad(positions=[[0, 0, 0], [0, 0, 0]]), r"atom 0 \(Cu\) is only 0 Å from atom 1"),
        (bad(positions=[[0, 0, 0], [5, 0, 5.01]]), r"atom 0 \(Cu\) is only 0.01 Å from atom 1"),
        (bad(symbols=["Cu", "Au"]), "contains Au, which is not among the elements Cu, Ag"),
        (bad(energy=np.nan), "its energy contains values that are not finite"),
        (bad(energy="low"), "its energy are not numbers"),
        (bad(forces=np.full((2, 3), np.nan)), "its forces contains values that are not finite"),
        (bad(forces=np.zeros((2, 2))), r"its forces have shape \(2, 2\) instead of \(2, 3\)"),
        (bad(stress=np.zeros(5)), r"its stress have shape \(5,\) instead of \(6,\)"),
        (Atoms(), "has no atoms"),
    ],
)
def test_unusable_structures_are_named(atoms, message):
    with pytest.raises(InputError, match=f"^data.xyz: structure 1: .*{message}"):
        check_structures([bad(), atoms], ["Cu", "Ag"], "data.xyz")


def test_missing_labels_are_named():
    with pytest.raises(InputError, match="structure 0: has no energy"):
        check_structures([bad()], require_labels=("energy",))
    with pytest.raises(InputError, match="structure 0: has no stress"):
        check_structures([bad(energy=1.0)], require_labels=("energy", "virial"))
    check_structures([bad(energy=1.0)], require_labels=("energy",))


def test_empty_list_is_named():
    with pytest.raises(InputError, match=r"^train.xyz: contains no structures"):
        check_structures([], source="train.xyz")


def test_shortest_distances():
    salt = bulk("NaCl", "rocksalt", a=5.6)
    found = shortest_distances([salt, molecule("H2O")], 4.5)
    assert list(found) == [("H", "H"), ("H", "O"), ("Na", "Na"), ("Na", "Cl"), ("Cl", "Cl")]
    assert found["Na", "Cl"] == pytest.approx(2.8, rel=1e-12)
    assert found["Cl", "Cl"] == pytest.approx(2.8 * 2**0.5, rel=1e-12)
    assert found["H", "O"] == pytest.approx(molecule("H2O").get_distance(0, 1), rel=1e-12)
