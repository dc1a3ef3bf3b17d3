"""``mpirun -n N mentor train``: the work is shared, everything else is as with one process."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest

import mentor
import samples
from mentor.lammps.places import file_of
from mentor.neighbourhoods import neighbourhoods
from mentor.structures import with_labels

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason="needs mpi4py"),
]

KINDS = ["triclinic crystal", "molecule", "slab"]


@pytest.fixture
def folder(tmp_path):
    """With labelled structures, some without forces, and a potential to start from."""
    truth = samples.potential(2, level=6, seed=3)
    structures = []
    for seed in range(12):
        atoms = samples.structure(KINDS[seed % 3], 2, seed)
        atoms.calc = truth.calculator()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        structures.append(with_labels(atoms, energy=energy, forces=forces if seed < 9 else None))
    ase.io.write(tmp_path / "data.xyz", structures)
    noise = 0.04 * np.random.default_rng(1).normal(size=truth.radial_coeffs.shape)
    replace(truth, radial_coeffs=truth.radial_coeffs + noise).save(tmp_path / "start.mtp")
    return tmp_path


def run(folder: Path, ranks: int, *program: object) -> subprocess.CompletedProcess:
    """``program`` with ``ranks`` processes."""
    command = [file_of("mpich", "mpiexec"), "-n", ranks, sys.executable, *program]
    return subprocess.run(
        [str(each) for each in command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def train(folder: Path, ranks: int, *options: object) -> subprocess.CompletedProcess:
    return run(folder, ranks, "-m", "mentor", "train", "data.xyz", *options)


@pytest.mark.parametrize("ranks", [2, 3])
def test_any_number_of_processes_gives_the_same_potential(folder, ranks):
    """Also its log, its errors, said once, and the structures that chose when to stop."""
    forces, said = [], []
    test = ase.io.read(folder / "data.xyz", ":")
    for number in (1, ranks):
        done = train(
            *(folder, number, "--potential", "start.mtp", "--max-iterations", 5, "--json"),
            *("--validation-fraction", 0.2, "--output", f"{number}.mtp", "--log", f"{number}.csv"),
        )
        assert done.returncode == 0, done.stderr
        said.append(json.loads(done.stdout))
        fitted = mentor.load(folder / f"{number}.mtp")
        forces.append(
            fitted.kernel.evaluate(neighbourhoods(test, fitted.max_dist, fitted.elements)).forces
        )
    assert np.abs(forces[1] - forces[0]).max() <= 1e-8 * np.abs(forces[0]).max()
    assert len(said[0]["iterations"]) == len(said[1]["iterations"]) == 6
    for name, value in said[0]["iterations"][-1].items():
        other = said[1]["iterations"][-1][name]
        assert other == value or abs(other - value) <= 1e-6 * abs(value), name
    logs = [(folder / f"{number}.csv").read_text() for number in (1, ranks)]
    assert logs[0].count("\n") == logs[1].count("\n")


def test_an_interrupted_fit_goes_on_with_more_processes(folder):
    """A checkpoint does not depend on how many processes wrote it; one has nothing to do."""
    ase.io.write(folder / "data.xyz", ase.io.read(folder / "data.xyz", ":3"))
    options = ("--potential", "start.mtp", "--output", "pot.mtp")
    assert train(folder, 1, *options, "--max-iterations", 2).returncode == 0
    done = train(folder, 4, *options, "--max-iterations", 4, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["iterations"]) == 5


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (("--potential", "none.mtp"), 1, "none.mtp: no such file"),
        (("--elements", "Ag"), 1, "Pd"),
        (("--levle", 8), 2, "did you mean --level?"),
        (
            ("--potential", "start.mtp", "--checkpoint", "none/x.checkpoint"),
            1,
            "cannot be written",
        ),
    ],
)
def test_errors_are_said_once_and_end_all(folder, options, code, sentence):
    """Before the fit, on all processes, or in its midst on the first of them."""
    done = train(folder, 2, *options, "--starts", 1, "--output", "pot.mtp")
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    assert line.startswith("mentor: ")
    assert sentence in line


SCRIPT = """
import operator
import numpy as np
from mentor import parallel
from mentor.exceptions import FormatError, InputError

def sums(part, power):
    if power == 3 and part[-1] == 5.0:
        raise InputError("five is too much")
    return np.array([np.sum(part**power)])

@parallel.led
def lead(kind):
    if kind == "format":
        raise FormatError("file", 3, "wrong")
    team = parallel.team()
    parts = np.split(np.arange(6.0), 2)
    first = team.spread(parts[1:])
    second = team.spread([np.full(3, 7.0)])
    if kind == "sum":
        total = first.total(operator.add, sums, parts[0], 2)[0]
        del first
        return total, second.total(operator.add, sums, parts[0], 1)[0], parallel.rank()
    return first.total(operator.add, sums, parts[0], 3)

import __main__, sys
sys.modules["script"] = __main__
sums.__module__ = "script"
with open(f"said{parallel.rank()}", "w") as file:
    for kind in ("sum", "format", "part"):
        try:
            print(kind, *lead(kind), file=file)
        except InputError as error:
            print(kind, error, file=file)
"""


def test_all_processes_return_and_raise_the_same(folder):
    """In a script of the user's, also where only the part of another process is wrong."""
    done = run(folder, 2, "-c", SCRIPT)
    assert done.returncode == 0, done.stderr
    expected = ["sum 55.0 24.0 0", "format file:3: wrong", "part five is too much"]
    for number in range(2):
        assert (folder / f"said{number}").read_text().splitlines() == expected


def test_mpirun_without_mpi4py_is_refused(folder):
    """Or every process would do the same and write the same files."""
    (folder / "mpi4py.py").write_text("raise ImportError('not installed')")
    script = (
        "import sys; sys.path.insert(0, '.'); from mentor.cli.main import main; sys.exit(main())"
    )
    for ranks, code in ((2, 1), (1, 0)):
        done = run(
            *(folder, ranks, "-c", script, "train", "data.xyz"),
            *("--potential", "start.mtp", "--max-iterations", 1, "--output", "pot.mtp"),
        )
        assert done.returncode == code, done.stderr
        assert ("pip install 'mentor[parallel]'" in done.stderr) == (ranks == 2)
