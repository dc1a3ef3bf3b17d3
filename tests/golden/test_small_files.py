"""Files written once stay readable and mean the same; ``make.py`` beside them writes them anew."""

import json
from pathlib import Path

import numpy as np
import pytest

import mentor
from mentor.active import grade_structures
from mentor.formats import read_structures, write_structures
from mentor.structures import labels

HERE = Path(__file__).parent
ELEMENTS = ("Ag", "Pd")


@pytest.fixture(scope="module")
def expected() -> dict:
    return json.loads((HERE / "small.json").read_text())


@pytest.fixture(scope="module")
def structures() -> list:
    return read_structures(HERE / "small.cfg", ELEMENTS)


@pytest.mark.parametrize("name", ["small.mtp", "small.almtp"])
def test_energies(name, structures, expected):
    potential = mentor.load(HERE / name)
    assert potential.elements == ELEMENTS
    energies = mentor.evaluate(potential, structures).energies
    assert np.abs(energies - expected["energies"]).max() <= 1e-10


def test_grades(structures, expected):
    graded = grade_structures(mentor.load(HERE / "small.almtp"), structures).structures
    for atoms, grades in zip(graded, expected["grades"], strict=True):
        assert np.abs(atoms.arrays["grades"] / grades - 1.0).max() <= 1e-6


def test_structures(structures):
    assert [atoms.info["kind"] for atoms in structures] == [
        "molecule",
        "wire",
        "slab",
        "triclinic crystal",
        "one-atom cell",
    ]
    assert [int(atoms.pbc.sum()) for atoms in structures] == [0, 1, 2, 3, 3]
    for atoms in structures:
        known = labels(atoms)
        assert known.energy is not None
        assert known.forces.shape == (len(atoms), 3)
        assert known.virial.shape == (6,)


@pytest.mark.parametrize("name", ["small.mtp", "small.almtp"])
def test_potentials_are_rewritten_byte_by_byte(name, tmp_path):
    mentor.load(HERE / name).save(tmp_path / name)
    assert (tmp_path / name).read_bytes() == (HERE / name).read_bytes()


def test_structures_are_rewritten(structures, tmp_path):
    write_structures(tmp_path / "small.cfg", structures, ELEMENTS)
    again = read_structures(tmp_path / "small.cfg", ELEMENTS)
    for a, b in zip(structures, again, strict=True):
        assert np.array_equal(a.positions, b.positions)
        assert labels(a).energy == labels(b).energy
        assert np.array_equal(labels(a).forces, labels(b).forces)
        assert np.abs(labels(a).virial - labels(b).virial).max() <= 1e-15
