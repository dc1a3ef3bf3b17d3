"""The command relax: minima of energy and enthalpy, and honest reports where none is reached."""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.constraints import FixAtoms

import mentor
import samples
from mentor.units import GPA


@pytest.fixture
def crystal():
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.rattle(0.1, seed=0)
    atoms.set_cell(atoms.cell.array * [[1.03], [0.98], [1.0]], scale_atoms=True)
    return atoms


def test_positions(crystal):
    result = mentor.relax(samples.copper(), crystal, fmax=1e-4)
    (relaxed,) = result.relaxed
    assert result.converged
    assert relaxed.converged
    assert relaxed.fmax <= 1e-4
    assert np.linalg.norm(relaxed.atoms.get_forces(), axis=1).max() <= 1e-4
    assert relaxed.energy_change < 0
    assert np.array_equal(relaxed.atoms.cell.array, crystal.cell.array)
    check = crystal.copy()
    check.calc = samples.copper().calculator()
    before = check.get_potential_energy()
    after = relaxed.atoms.get_potential_energy()
    assert abs(after - before - relaxed.energy_change) <= 1e-10


@pytest.mark.parametrize("optimizer", ["lbfgs", "fire"])
@pytest.mark.parametrize("pressure", [0.0, 20.0])
def test_full_cell(crystal, pressure, optimizer):
    result = mentor.relax(
        samples.copper(), crystal, cell="full", pressure=pressure, fmax=1e-3, optimizer=optimizer
    )
    (atoms,) = result.structures
    assert result.converged
    stress = atoms.get_stress() / GPA
    assert np.abs(stress[:3] + pressure).max() <= 0.05
    assert np.abs(stress[3:]).max() <= 0.05
    lengths = atoms.cell.lengths()
    assert abs(lengths[0] / lengths[1] - 2) <= 1e-3


def test_isotropic_cell_keeps_its_shape(crystal):
    (atoms,) = mentor.relax(samples.copper(), crystal, cell="isotropic", fmax=1e-3).structures
    scale = atoms.cell.array[0, 0] / crystal.cell.array[0, 0]
    assert abs(scale - 1) > 1e-4
    assert np.abs(atoms.cell.array - scale * crystal.cell.array).max() <= 1e-6
    assert abs(atoms.get_stress()[:3].mean() / GPA) <= 0.05


def test_molecules_and_slabs_with_fixed_atoms():
    dimer = Atoms("Cu2", positions=[[0, 0, 0], [2.4, 0.3, 0.2]])
    slab = fcc111("Cu", (2, 2, 3), a=3.6, vacuum=6.0)
    slab.set_constraint(FixAtoms(mask=slab.get_tags() == 3))
    slab.rattle(0.05, seed=1)
    result = mentor.relax(samples.copper(), [dimer, slab], fmax=0.005)
    assert result.converged
    assert len(result.structures) == 2
    fixed = slab.get_tags() == 3
    assert np.array_equal(result.structures[1].positions[fixed], slab.positions[fixed])
    assert not np.array_equal(result.structures[1].positions[~fixed], slab.positions[~fixed])


def test_input_is_left_alone_and_output_written(crystal, tmp_path):
    before = crystal.copy()
    result = mentor.relax(samples.copper(), crystal, output=tmp_path / "relaxed.xyz")
    assert crystal == before
    written = ase.io.read(tmp_path / "relaxed.xyz")
    assert np.abs(written.positions - result.structures[0].positions).max() <= 1e-6
    energy = result.structures[0].get_potential_energy()
    assert abs(written.get_potential_energy() - energy) <= 1e-6
    document = result.as_dict()
    assert document["structures"][0]["energy_eV"] == energy


def test_says_where_it_did_not_converge(crystal):
    result = mentor.relax(samples.copper(), crystal, max_steps=2, fmax=1e-6)
    assert not result.converged
    assert "2 steps" in result.relaxed[0].note
    assert result.as_dict()["converged"] is False


def test_stops_where_the_potential_no_longer_knows(crystal):
    ideal = bulk("Cu", cubic=True)
    known = [ideal * (2, 1, 1)] * 2
    for seed in range(6):
        known.append(ideal * (2, 1, 1))
        known[-1].rattle(0.01, seed=seed)
    potential = samples.taught(samples.copper(), known)
    (far,) = mentor.relax(potential, crystal, stop_grade=5.0).relaxed
    assert not far.converged
    assert "grade" in far.note
    assert far.grade > 5
    (near,) = mentor.relax(potential, known[-1], stop_grade=5.0, fmax=1e-3).relaxed
    assert near.converged
    assert near.grade <= 5
    (bold,) = mentor.relax(potential, crystal, stop_grade=0).relaxed
    assert bold.converged


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fmax": 0.0}, "fmax"),
        ({"pressure": 1.0}, "cell"),
        ({"cell": "cubic"}, "cell"),
        ({"optimizer": "newton"}, "optimizer"),
        ({"max_steps": -1}, "max_steps"),
    ],
)
def test_wrong_settings(crystal, wrong, message):
    with pytest.raises(mentor.InputError, match=message):
        mentor.relax(samples.copper(), crystal, **wrong)


def test_the_cell_of_a_molecule_cannot_relax(crystal):
    with pytest.raises(mentor.InputError, match="structure 1"):
        mentor.relax(samples.copper(), [crystal, Atoms("Cu")], cell="full")
