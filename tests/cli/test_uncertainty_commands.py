"""Uncertainties on the command line: trained, evaluated, compared, and refused in one line."""

import json

import ase.io
import pytest

import samples
from mentor.structures import with_labels


@pytest.fixture
def trained(mentor_command, tmp_path):
    """Folder with a potential, its posterior and labelled structures."""
    truth = samples.potential(2, level=4, seed=3)
    structures = []
    for seed in range(30):
        atoms = samples.structure("triclinic crystal", 2, seed)
        atoms.calc = truth.calculator()
        energy, forces, stress = (
            atoms.get_potential_energy(),
            atoms.get_forces(),
            atoms.get_stress(),
        )
        structures.append(with_labels(atoms, energy=energy, forces=forces, stress=stress))
    ase.io.write(tmp_path / "data.xyz", structures)
    words = ("--level", 4, "--cutoff", 4.5, "--radial-basis-size", 8)
    words += ("--starts", 1, "--max-iterations", 5)
    output = tmp_path / "pot.mtp"
    outcome = mentor_command("train", tmp_path / "data.xyz", *words, "--output", output)
    assert outcome.code == 0
    return tmp_path


def test_values_come_with_their_uncertainty(mentor_command, trained):
    files = (trained / "pot.mtp", trained / "data.xyz")
    shown = mentor_command("evaluate", *files, "--uncertainty")
    assert shown.code == 0
    assert "±" in shown.out
    assert "±" not in mentor_command("evaluate", *files).out
    document = json.loads(mentor_command("evaluate", *files, "--uncertainty", "--json").out)
    first = document["structures"][0]
    assert 0 < first["energy_std_eV"] <= first["energy_95_eV"]
    assert len(first["stress_std_eV_per_Å3"]) == 6
    assert "68, 95 %" in mentor_command("errors", *files, "--uncertainty").out


def test_what_is_missing_is_told_in_one_line(mentor_command, trained):
    words = ("evaluate", trained / "pot.mtp", trained / "data.xyz")
    (trained / "pot.posterior").rename(trained / "other.posterior")
    missing = mentor_command(*words, "--uncertainty")
    assert missing.code == 1
    assert missing.err.count("\n") == 1
    assert "pot.posterior: the posterior cannot be read" in missing.err
    given = mentor_command(*words, "--posterior", trained / "other.posterior")
    assert given.code == 0
    assert "±" in given.out


def test_training_without_posterior(mentor_command, trained):
    target = trained / "bare.mtp"
    words = ("--potential", trained / "pot.mtp", "--max-iterations", 1, "--no-posterior")
    outcome = mentor_command("train", trained / "data.xyz", *words, "--output", target)
    assert outcome.code == 0
    assert target.exists()
    assert not target.with_suffix(".posterior").exists()
