"""Bad input: one sentence with the place, exit code 1, no traceback, no half-written file."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

import mentor


def labelled(seed: int = 0) -> Atoms:
    """A rattled Ag-Pd cell with labels."""
    atoms = bulk("Ag", cubic=True, a=4.0)
    atoms.symbols[:2] = "Pd"
    atoms.rattle(0.05, seed=seed)
    atoms.calc = EMT()
    values = {
        "energy": atoms.get_potential_energy(),
        "forces": atoms.get_forces(),
        "stress": atoms.get_stress(),
    }
    atoms.calc = SinglePointCalculator(atoms, **values)
    return atoms


@pytest.fixture
def data(tmp_path) -> Path:
    path = tmp_path / "good.xyz"
    write(path, [labelled(seed) for seed in range(3)])
    return path


@pytest.fixture
def potential(tmp_path) -> Path:
    path = tmp_path / "good.mtp"
    mentor.init(elements=("Ag", "Pd"), level=6, output=path)
    return path


@pytest.fixture
def refused(mentor_command, tmp_path):
    """``refused("train", ...)``: what a command says that must fail and leave nothing behind."""

    def run(*arguments: object) -> str:
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        done = mentor_command(*arguments, "--quiet")
        assert done.code == 1, done
        assert done.out == ""
        assert len(done.err.splitlines()) == 1, done.err
        assert done.err.startswith("mentor: ")
        assert "Traceback" not in done.err
        assert "unexpected" not in done.err, done.err
        after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert after == before
        return done.err

    return run


def broken(atoms: Atoms, what: str) -> Atoms:
    """The structure with one thing wrong."""
    atoms = atoms.copy() if what in ("position", "cell", "overlap") else atoms
    if what == "position":
        atoms.positions[1, 2] = np.nan
    elif what == "cell":
        atoms.cell[0, 0] = np.inf
    elif what == "overlap":
        atoms.positions[2] = atoms.positions[1] + 4 * np.array([1.0, 0, 0])
    elif what == "energy":
        atoms.calc.results["energy"] = np.nan
    elif what == "forces":
        atoms.calc.results["forces"][0, 0] = np.inf
    return atoms


@pytest.mark.parametrize("what", ["position", "cell", "overlap", "energy", "forces"])
def test_training_data_with_a_bad_structure(refused, tmp_path, what):
    path = tmp_path / "bad.xyz"
    structures = [labelled(0), labelled(1), broken(labelled(2), what)]
    for atoms in structures:
        if atoms.calc is None:
            atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.zeros((4, 3)))
    write(path, structures)
    said = refused("train", path, "--level", 4, "--output", tmp_path / "pot.mtp")
    assert str(path) in said
    assert "structure 2" in said


@pytest.mark.parametrize("what", ["position", "overlap"])
@pytest.mark.parametrize("verb", ["evaluate", "relax", "md"])
def test_structure_that_cannot_be_used(refused, tmp_path, potential, verb, what):
    path = tmp_path / "bad.xyz"
    atoms = broken(labelled(), what)
    atoms.calc = None
    write(path, atoms)
    assert str(path) in refused(verb, potential, path)


@pytest.mark.parametrize("verb", ["evaluate", "errors", "relax", "md"])
def test_unknown_species(refused, tmp_path, potential, verb):
    path = tmp_path / "copper.xyz"
    atoms = labelled()
    atoms.symbols[0] = "Cu"
    atoms.calc = SinglePointCalculator(atoms, **labelled().calc.results)
    write(path, atoms)
    said = refused(verb, potential, path)
    assert str(path) in said
    assert "Cu" in said
    assert "Ag, Pd" in said


def test_training_set_without_energies(refused, tmp_path):
    path = tmp_path / "bare.xyz"
    write(path, labelled().copy())
    said = refused("train", path, "--level", 4, "--output", tmp_path / "pot.mtp")
    assert str(path) in said
    assert "energ" in said


NEEDED = {"train": ("--output", "pot.mtp"), "mindist": ()}
"""Options without which a command is not run at all."""


@pytest.mark.parametrize("verb", ["train", "mindist"])
@pytest.mark.parametrize("ending", ["xyz", "cfg", "extxyz", "db", "traj"])
def test_empty_file(refused, tmp_path, verb, ending):
    path = tmp_path / f"empty.{ending}"
    path.write_bytes(b"")
    assert str(path) in refused(verb, path, *NEEDED[verb])


@pytest.mark.parametrize("verb", ["train", "mindist"])
def test_missing_file(refused, tmp_path, verb):
    path = tmp_path / "missing.xyz"
    assert f"{path}" in refused(verb, path, *NEEDED[verb])


def test_folder_instead_of_a_file(refused, tmp_path):
    assert str(tmp_path) in refused("mindist", tmp_path)


GARBAGE = bytes(range(256)) * 20


@pytest.mark.parametrize("ending", ["xyz", "cfg", "traj", "db", "vasp", "cif"])
def test_garbage_instead_of_structures(refused, tmp_path, ending):
    path = tmp_path / f"garbage.{ending}"
    path.write_bytes(GARBAGE)
    assert str(path) in refused("mindist", path)


@pytest.mark.parametrize("ending", ["mtp", "almtp"])
@pytest.mark.parametrize("content", [b"", GARBAGE, b"MTP\n", b"MTP\nversion = 1.1.0\n" + GARBAGE])
def test_garbage_instead_of_a_potential(refused, tmp_path, data, ending, content):
    path = tmp_path / f"garbage.{ending}"
    path.write_bytes(content)
    assert str(path) in refused("evaluate", path, data)


@pytest.mark.parametrize("part", np.linspace(0.02, 0.98, 13))
def test_truncated_potential(refused, tmp_path, data, potential, part):
    path = tmp_path / "cut.mtp"
    content = potential.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    said = refused("evaluate", path, data)
    assert f"{path}:" in said


def test_potential_with_nan(refused, tmp_path, data, potential):
    path = tmp_path / "nan.mtp"
    text = potential.read_text()
    place = text.index("species_coeffs = {") + len("species_coeffs = {")
    path.write_text(text[:place] + "nan, " + text[place:].split(",", 1)[1].lstrip())
    said = refused("evaluate", path, data)
    assert f"{path}:" in said


@pytest.mark.parametrize("ending", ["xyz", "cfg"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_structures(refused, mentor_command, tmp_path, data, ending, part):
    path = tmp_path / f"cut.{ending}"
    full = tmp_path / f"full.{ending}"
    assert mentor_command("convert", data, full, "--elements", "Ag,Pd").code == 0
    lines = full.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: max(1, int(part * len(lines)))]))
    assert f"{path}" in refused("mindist", path, "--elements", "Ag,Pd")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_device(refused, data):
    said = refused("init", "--elements", "Ag", "--level", "4", "--output", "/dev/full")
    assert "/dev/full" in said


WRITERS = {
    "init": ["init", "--elements", "Ag,Pd", "--level", "8", "--output", "{target}.mtp"],
    "convert": ["convert", "{data}", "{target}.cfg", "--elements", "Ag,Pd"],
    "mean": ["mean", "{potential}", "{potential}", "--output", "{target}.mtp"],
    "evaluate": ["evaluate", "{potential}", "{data}", "--output", "{target}.xyz"],
    "train": [
        "train",
        "{data}",
        *("--level", "4", "--cutoff", "5", "--radial-basis-size", "8"),
        "--max-iterations",
        "1",
        "--output",
        "{target}.mtp",
    ],
    "select": ["select", "{data}", "{other}", "--level", "4", "--output", "{target}.xyz"],
    "relax": ["relax", "{potential}", "{data}", "--max-steps", "1", "--output", "{target}.xyz"],
}


@pytest.fixture
def filled(tmp_path, data, potential):
    """``filled(verb, target)``: words of a command that writes ``target``."""
    other = tmp_path / "other.xyz"
    atoms = labelled()
    atoms.set_cell(0.9 * atoms.cell, scale_atoms=True)
    write(other, atoms.copy())
    files = {"data": data, "other": other, "potential": potential}
    return lambda verb, target: [word.format(target=target, **files) for word in WRITERS[verb]]


@pytest.mark.parametrize("verb", WRITERS)
def test_target_in_a_missing_folder(refused, filled, tmp_path, verb):
    target = tmp_path / "missing" / "target"
    said = refused(*filled(verb, target))
    assert f"{target}" in said


@pytest.mark.parametrize("verb", WRITERS)
def test_target_that_cannot_be_written(refused, filled, verb):
    """Nobody, not even root, can make files in /proc."""
    assert "/proc/target" in refused(*filled(verb, "/proc/target"))


@pytest.mark.parametrize("verb", ["init", "convert", "evaluate", "train"])
def test_disk_full_in_the_middle_of_a_file(filled, tmp_path, verb):
    """No file may grow above 300 bytes: the old target stays, and nothing lies beside it."""
    words = filled(verb, tmp_path / "target")
    target = Path(next(word for word in words if word.startswith(str(tmp_path / "target"))))
    target.write_text("old")
    before = set(tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "mentor", *words, "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300)),
    )
    assert done.returncode == 1, done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert str(target.with_suffix("")) in done.stderr
    assert target.read_text() == "old"
    assert set(tmp_path.iterdir()) == before


def test_error_is_said_in_json_too(mentor_command, tmp_path):
    done = mentor_command("mindist", tmp_path / "missing.xyz", "--json")
    assert done.code == 1
    assert "missing.xyz" in json.loads(done.out)["error"]
