"""The ASE calculator: what it computes, when, and what it refuses."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.calculator import PropertyNotImplementedError
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

import mentor
import reference
import samples
from mentor.structures import labels
from mentor.testing import check_calculator


class Counting:
    """A kernel that notes what is asked of it."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.asked = []

    def evaluate(self, nb, *, forces, virial):
        self.asked.append("derivatives" if forces or virial else "energies")
        return self.kernel.evaluate(nb, forces=forces, virial=virial)


@pytest.fixture
def counted():
    """A calculator and the list of what it asks its kernel."""
    potential = samples.with_active_set(samples.copper())
    kernel = Counting(potential.kernel)
    model = SimpleNamespace(
        kernel=kernel,
        elements=potential.elements,
        max_dist=potential.max_dist,
        active_set=potential.active_set,
        grades=lambda nb: kernel.asked.append("grades") or potential.grades(nb),
    )
    return mentor.Calculator(model), kernel.asked


@pytest.mark.parametrize("kind", sorted(samples.KINDS))
def test_is_sound_for_every_kind_of_structure(kind):
    atoms = samples.structure(kind, 2)
    atoms.calc = samples.potential(2, level=6, cutoff=4.63).calculator()
    check_calculator(atoms, tolerance=1e-6)


def test_results_have_ase_names_units_and_signs():
    potential = samples.potential(2)
    atoms = samples.structure("triclinic crystal", 2)
    atoms.calc = potential.calculator()
    W = reference.virial(potential, atoms)
    assert abs(atoms.get_potential_energy() - reference.energy(potential, atoms)) <= 1e-10
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    assert abs(atoms.get_potential_energies().sum() - atoms.get_potential_energy()) <= 1e-10
    assert np.abs(atoms.get_forces() - reference.forces(potential, atoms)).max() <= 1e-10
    assert np.abs(atoms.get_stress() + W / atoms.get_volume()).max() <= 1e-10


def test_only_what_is_asked_for_is_computed(counted):
    calculator, asked = counted
    atoms = bulk("Cu", cubic=True)
    atoms.calc = calculator
    atoms.get_potential_energy()
    atoms.get_potential_energies()
    assert asked == ["energies"]
    atoms.get_forces()
    atoms.get_stress()
    atoms.get_potential_energy()
    assert asked == ["energies", "derivatives"]
    calculator.get_property("grades", atoms)
    assert calculator.max_grade > 0
    assert asked == ["energies", "derivatives", "grades"]


@pytest.mark.parametrize("change", ["positions", "cell", "numbers", "pbc", "length"])
def test_every_change_of_the_structure_is_noticed(change):
    potential = samples.potential(3)
    atoms = samples.structure("slab", 3)
    atoms.calc = potential.calculator()
    before = atoms.get_forces()
    if change == "positions":
        atoms.positions[0, 0] += 1e-9
    elif change == "cell":
        atoms.cell[0, 0] += 1e-9
    elif change == "numbers":
        atoms.symbols[0] = "Ag" if atoms.symbols[0] == "Pd" else "Pd"
    elif change == "pbc":
        atoms.pbc = (True, True, True)
    else:
        del atoms[0]
    fresh = atoms.copy()
    fresh.calc = potential.calculator()
    assert atoms.calc.check_state(atoms)
    assert np.array_equal(atoms.get_forces(), fresh.get_forces())
    assert not np.array_equal(before[-len(atoms) :], atoms.get_forces())
    assert not atoms.calc.check_state(atoms)


def test_remembers_the_structure_last_computed():
    """Else labels of a structure that was changed since would be taken for its own."""
    atoms = bulk("Cu", cubic=True)
    atoms.calc = samples.copper().calculator()
    for _ in range(3):
        atoms.positions += 0.1 * np.random.default_rng(0).normal(size=(4, 3))
        energy = atoms.get_potential_energy()
        assert atoms.calc.atoms == atoms
        assert labels(atoms).energy == energy
    atoms.positions[0] += 0.1
    assert atoms.calc.atoms != atoms
    assert labels(atoms).energy is None
    other = atoms * (2, 1, 1)
    atoms.calc.calculate(other, ["energy"], ["positions"])
    assert atoms.calc.atoms == other
    atoms.calc.reset()
    assert atoms.get_potential_energy() == atoms.calc.get_property("energy")


def test_results_do_not_change_behind_the_back_of_the_caller():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=0)
    atoms.calc = samples.copper().calculator()
    forces = atoms.get_forces()
    forces[:] = 0
    assert atoms.get_forces().any()


@pytest.mark.parametrize(
    ("atoms", "given"),
    [
        (bulk("Cu"), True),
        (fcc111("Cu", (2, 2, 2), vacuum=5.0, periodic=True), True),
        (fcc111("Cu", (2, 2, 2), vacuum=5.0), True),
        (Atoms("Cu2", positions=[[0, 0, 0], [2, 0, 0]]), False),
        (Atoms("Cu2", positions=[[0, 0, 0], [2, 0, 0]], cell=[9, 9, 9]), False),
        (Atoms("Cu", cell=[2.5, 0, 0], pbc=(True, False, False)), False),
    ],
    ids=["crystal", "slab in a periodic box", "slab", "molecule", "boxed molecule", "wire"],
)
def test_stress_needs_a_volume_and_a_period(atoms, given):
    atoms.calc = samples.copper().calculator()
    if given:
        assert atoms.get_stress().shape == (6,)
    else:
        with pytest.raises(PropertyNotImplementedError):
            atoms.get_stress()
        assert atoms.get_forces().shape == (len(atoms), 3)


def test_grades():
    potential = samples.with_active_set(samples.potential(2))
    atoms = samples.structure("slab", 2)
    atoms.calc = potential.calculator()
    grades = atoms.calc.get_property("grades", atoms)
    rows = reference.rows(potential, atoms)
    expected = np.abs(rows @ potential.active_set.inverse).max(axis=1)
    assert np.abs(grades - expected).max() <= 1e-10 * expected.max()
    assert atoms.calc.max_grade == grades.max()


def test_grades_of_whole_structures():
    potential = samples.with_active_set(samples.potential(2), mode="configuration")
    atoms = samples.structure("slab", 2)
    atoms.calc = potential.calculator()
    grades = atoms.calc.get_property("grades", atoms)
    row = reference.rows(potential, atoms).sum(axis=0)
    expected = np.abs(row @ potential.active_set.inverse).max()
    assert grades.shape == (len(atoms),)
    assert np.abs(grades - expected).max() <= 1e-10 * expected


def test_grades_need_an_active_set():
    atoms = bulk("Cu")
    atoms.calc = samples.copper().calculator()
    with pytest.raises(PropertyNotImplementedError):
        atoms.calc.get_property("grades", atoms)


def test_unknown_element():
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    atoms.calc = samples.copper().calculator()
    with pytest.raises(mentor.InputError, match=r"Cl, Na.*Cu"):
        atoms.get_forces()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_positions_that_are_not_finite(bad):
    atoms = bulk("Cu", cubic=True)
    atoms.calc = samples.copper().calculator()
    atoms.get_forces()
    atoms.positions[2, 1] = bad
    with pytest.raises(mentor.InputError, match="atom 2"):
        atoms.get_forces()
    atoms.positions[2, 1] = 1.8
    assert np.isfinite(atoms.get_forces()).all()


def test_nameless_elements():
    potential = samples.potential(2, elements=None)
    with pytest.raises(mentor.InputError, match="elements"):
        potential.calculator()


def test_no_atoms():
    atoms = Atoms()
    atoms.calc = samples.with_active_set(samples.copper()).calculator()
    assert atoms.get_potential_energy() == 0
    assert atoms.get_forces().shape == (0, 3)
    atoms.calc.get_property("grades", atoms)
    assert atoms.calc.max_grade == 0


def test_works_in_ase_optimisers_and_dynamics():
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.rattle(0.05, seed=0)
    atoms.calc = samples.copper().calculator()
    assert BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.01, steps=100)
    assert np.abs(atoms.get_stress()).max() <= 1e-3
    energy = atoms.get_potential_energy()
    VelocityVerlet(atoms, timestep=0.1).run(5)
    assert abs(atoms.get_total_energy() - energy) <= 1e-4


def test_a_copy_of_the_structure_can_share_the_calculator():
    one, other = bulk("Cu", cubic=True), bulk("Cu", cubic=True)
    other.rattle(0.1, seed=1)
    one.calc = other.calc = samples.copper().calculator()
    forces = one.get_forces(), other.get_forces()
    assert np.array_equal(one.get_forces(), forces[0])
    assert np.array_equal(other.get_forces(), forces[1])


def test_potentials_and_structures_can_be_pickled_and_copied():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.calc = samples.with_active_set(samples.copper()).calculator()
    forces = atoms.get_forces()
    for image in (pickle.loads(pickle.dumps(atoms)), copy.deepcopy(atoms)):
        image.positions[0] += 0.1
        image.get_forces()
        image.positions = atoms.positions
        assert np.array_equal(image.get_forces(), forces)
        assert image.calc.max_grade > 0


def test_one_potential_serves_many_threads():
    potential = samples.with_active_set(samples.copper())
    frames = [bulk("Cu", cubic=True) * (2, 1, 1) for _ in range(8)]
    for seed, atoms in enumerate(frames):
        atoms.rattle(0.1, seed=seed)

    def forces(atoms):
        for _ in range(30):
            atoms.calc = potential.calculator()
            found = atoms.get_forces()
        return found, atoms.calc.get_property("grades", atoms)

    alone = [forces(atoms) for atoms in frames]
    with ThreadPoolExecutor(4) as executor:
        together = list(executor.map(forces, [atoms.copy() for atoms in frames]))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])


def test_results_go_through_the_files_of_ase(tmp_path):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.calc = samples.with_active_set(samples.copper()).calculator()
    atoms.get_forces()
    assert atoms.calc.max_grade > 0
    for name in ("some.traj", "some.xyz", "some.json", "some.db"):
        ase.io.write(tmp_path / name, atoms)
        read = ase.io.read(tmp_path / name)
        assert abs(read.get_potential_energy() - atoms.get_potential_energy()) <= 1e-6
        assert np.abs(read.get_forces() - atoms.get_forces()).max() <= 1e-6
    properties = atoms.get_properties(["energy", "forces", "stress"])
    assert properties["energy"] == atoms.get_potential_energy()


class Spoilt(mentor.Calculator):
    """A calculator with one fault."""

    def __init__(self, potential, name, fault):
        super().__init__(potential)
        self.name_, self.fault = name, fault

    def calculate(self, atoms=None, properties=(), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        if self.name_ in properties:
            self.results[self.name_] = self.fault(self.results[self.name_])


@pytest.mark.parametrize(
    ("name", "fault", "message"),
    [
        ("energy", lambda E: E, None),
        ("forces", lambda F: F + 1e-4 * np.eye(*F.shape), "derivative"),
        ("forces", lambda F: F[::-1], "derivative"),
        ("forces", lambda F: F * np.nan, "derivative"),
        ("energy", lambda E: np.nan, "derivative"),
        ("stress", lambda S: -S, "derivative"),
        ("stress", lambda S: S[[0, 1, 2, 5, 4, 3]], "derivative"),
        ("energy", lambda E: E + 1e-3 * np.random.default_rng().normal(), "derivative"),
    ],
)
def test_the_checker_finds_what_is_wrong(name, fault, message):
    atoms = samples.structure("triclinic crystal", 2)
    atoms.calc = Spoilt(samples.potential(2, level=6, cutoff=4.63), name, fault)
    if message is None:
        check_calculator(atoms)
    else:
        with pytest.raises(AssertionError, match=message):
            check_calculator(atoms)


def test_mixed_precision_is_close_and_an_unknown_one_refused():
    potential = samples.copper()
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.calc = potential.calculator()
    exact = atoms.get_forces()
    atoms.calc = pickle.loads(pickle.dumps(potential.calculator(precision="mixed")))
    assert 0 < np.abs(atoms.get_forces() - exact).max() <= 1e-4
    with pytest.raises(mentor.InputError, match="precision = 'half' is not one of double, mixed"):
        potential.calculator(precision="half")
