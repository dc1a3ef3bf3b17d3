"""The command evaluate: one table, and structures that carry their results."""

from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase.build import molecule

import mentor
import samples
from mentor import evaluation
from mentor.evaluation import evaluate_structures

KINDS = sorted(samples.KINDS)


@pytest.fixture(scope="module")
def structures():
    return [samples.structure(kind, 2) for kind in KINDS if kind != "colliding dimer"]


@pytest.mark.parametrize("batch", [1, 10, 10_000])
def test_results_are_those_of_the_calculator(structures, batch, monkeypatch):
    monkeypatch.setattr(evaluation, "BATCH", batch)
    potential = samples.with_active_set(samples.potential(2))
    for before, after in zip(structures, evaluate_structures(potential, structures), strict=True):
        expected = before.copy()
        expected.calc = potential.calculator()
        assert before.calc is None
        assert after.get_potential_energy() == pytest.approx(expected.get_potential_energy())
        assert np.abs(after.get_forces() - expected.get_forces()).max() <= 1e-10
        grades = expected.calc.get_property("grades", expected)
        assert np.abs(after.arrays["grades"] / grades - 1).max() <= 1e-10
        has_stress = expected.pbc.any() and expected.cell.rank == 3
        assert ("stress" in after.calc.results) == has_stress
        if has_stress:
            assert np.abs(after.get_stress() - expected.get_stress()).max() <= 1e-10


def test_old_labels_are_replaced(structures):
    atoms = structures[0].copy()
    atoms.info["energy"] = 123.0
    atoms.arrays["forces"] = np.ones((len(atoms), 3))
    (after,) = evaluate_structures(samples.potential(2), [atoms])
    assert "energy" not in after.info
    assert "forces" not in after.arrays
    assert "grades" not in after.arrays


@pytest.mark.parametrize("ending", ["xyz", "traj", "cfg"])
def test_output_reads_back(structures, tmp_path, ending):
    path = tmp_path / f"evaluated.{ending}"
    crystals = [atoms for atoms in structures if atoms.pbc.all()]
    potential = samples.with_active_set(samples.potential(2))
    result = mentor.evaluate(potential, crystals, output=path)
    read = mentor.formats.read_structures(path, potential.elements)
    assert len(read) == len(crystals)
    for atoms, energy, again in zip(result.structures, result.energies, read, strict=True):
        assert abs(again.get_potential_energy() - energy) <= 1e-6
        assert np.abs(again.get_forces() - atoms.get_forces()).max() <= 1e-6
        assert np.abs(again.get_stress() - atoms.get_stress()).max() <= 1e-6


def test_from_files(structures, tmp_path):
    potential = samples.potential(2)
    potential.save(tmp_path / "pot.mtp")
    ase.io.write(tmp_path / "some.xyz", structures)
    result = mentor.evaluate(tmp_path / "pot.mtp", tmp_path / "some.xyz")
    assert len(result.structures) == len(structures)
    assert result.grades is None
    direct = mentor.evaluate(potential, structures)
    assert np.abs(result.energies - direct.energies).max() <= 1e-4  # .xyz has eight decimals
    document = direct.as_dict()
    assert [each["energy_eV"] for each in document["structures"]] == direct.energies.tolist()
    assert np.shape(document["structures"][0]["forces_eV_per_Å"])[1] == 3


def test_table_of_results():
    atoms = samples.structure("triclinic crystal", 2)
    potential = samples.with_active_set(samples.potential(2))
    result = mentor.evaluate(potential, atoms)
    (evaluated,) = result.structures
    forces = np.linalg.norm(evaluated.get_forces(), axis=1)
    assert result.largest_forces[0] == forces.max()
    assert result.pressures[0] == pytest.approx(
        -evaluated.get_stress()[:3].mean() / mentor.units.GPA
    )
    assert result.grades[0] == evaluated.arrays["grades"].max()


def test_what_cannot_be_used_is_refused(structures, tmp_path):
    potential = samples.potential(2)
    with pytest.raises(mentor.InputError, match=r"structure 1.*[HO]"):
        mentor.evaluate(potential, [structures[0], molecule("H2O")])
    with pytest.raises(mentor.InputError, match="no structures"):
        mentor.evaluate(potential, [])
    with pytest.raises(mentor.InputError, match="no such file"):
        mentor.evaluate(potential, tmp_path / "missing.xyz")
    with pytest.raises(mentor.InputError, match="elements"):
        mentor.evaluate(replace(potential, elements=None), structures)
