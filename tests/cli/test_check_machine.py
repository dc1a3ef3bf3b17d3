"""What ``make`` says on a machine where something is missing: one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parents[2] / ".ci" / "check-machine"


def check(python: object, cxx: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(CHECK), str(python), str(cxx)], capture_output=True, text=True, check=False
    )


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def without(path: Path, word: str, code: int = 1) -> Path:
    """This Python, failing on scripts that contain ``word``."""
    test = f'case "$2" in *{word}*) exit {code};; esac'
    return program(path, f'{test}\nexec "{sys.executable}" "$@"')


def test_machine_with_everything(tmp_path):
    assert check(sys.executable, program(tmp_path / "cxx", "exit 0")).returncode == 0


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("version_info", "Python 3.11 or newer is needed"),
        ("ensurepip", "apt-get install python3-venv"),
        ("Python.h", "apt-get install python3-dev"),
    ],
)
def test_python_that_does_not_do(tmp_path, missing, words):
    done = check(without(tmp_path / "python", missing), program(tmp_path / "cxx", "exit 0"))
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_python(tmp_path):
    done = check(tmp_path / "python", "true")
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr


def test_no_compiler(tmp_path):
    done = check(sys.executable, tmp_path / "cxx")
    assert done.returncode == 1
    assert "a C++17 compiler is needed" in done.stderr


def test_old_compiler(tmp_path):
    done = check(sys.executable, program(tmp_path / "cxx", "exit 1"))
    assert done.returncode == 1
    assert "does not know C++17" in done.stderr
