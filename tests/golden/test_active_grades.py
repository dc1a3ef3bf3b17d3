"""Grades of published potentials: those of MLIP-3, and those of a gauge-fixed active set."""

import json
from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase import Atoms

import mentor
from mentor.active import build_active_set, grade_structures, select_structures


@pytest.fixture(scope="module")
def graded(shared) -> list[tuple[Atoms, dict]]:
    records = json.loads((shared / "reference" / "grades.json").read_text())
    names = ("symbols", "positions", "cell", "pbc")
    return [
        (Atoms(**{name: record[name] for name in names}), record)
        for record in records["AgPd-L10-neighborhood"]
    ]


@pytest.fixture(scope="module")
def mlip3(shared) -> mentor.Potential:
    path = shared / "reference" / "potentials" / "AgPd-L10-neighborhood.almtp"
    return mentor.load(path, elements=["Ag", "Pd"])


def test_grades_equal_those_of_mlip3(mlip3, graded):
    assert len(graded) == 5
    for atoms, record in graded:
        (result,) = grade_structures(mlip3, [atoms]).structures
        expected = np.array(record["nbh_grades"])
        assert np.abs(result.arrays["grades"] / expected - 1.0).max() <= 1e-4
        assert abs(result.arrays["grades"].max() / record["MV_grade"] - 1.0) <= 1e-5


def test_active_rows_are_what_mlip3_stored(mlip3):
    """Equation numbers are read right: the stored rows are those of the atoms they name."""
    active_set = mlip3.active_set
    rebuilt = [grade_structures(mlip3, [atoms]).grades[0] for atoms in active_set.structures]
    assert np.abs(np.array(rebuilt) - 1.0).max() <= 0.1


def test_gauge_fixed_set_fills_on_published_data(published, shared):
    """Only the K(K+1)/2 = 10 gauge directions and 1 dependent scalar stay empty of 190."""
    potential = published("AgPd-clean")
    data = shared / "data" / "agpd"
    training = ase.io.read(data / "train.xyz", ":")
    active_set = build_active_set(potential, training)
    assert active_set.filled == potential.parameter_count - 10 - 1
    taught = replace(potential, active_set=active_set)
    assert grade_structures(taught, training).largest <= 1.0 + 1e-3
    fcc = grade_structures(taught, ase.io.read(data / "test_fcc.xyz", ":"))
    assert np.median(fcc.grades) <= 1.5
    assert fcc.largest <= 10.0
    displaced = grade_structures(taught, ase.io.read(data / "displaced_test.xyz", "::40"))
    assert displaced.largest <= 2.0
    pathway = ase.io.read(data / "test_pathway.xyz", ":")
    assert grade_structures(taught, pathway).largest > 1e3
    chosen = select_structures(potential, training, pathway)
    assert 0 < len(chosen) <= len(pathway)
