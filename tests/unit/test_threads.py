"""Threads: as many as asked for, no harm to forked processes, and errors get through."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from mentor import kernel
from mentor.exceptions import InputError
from mentor.neighbourhoods import find_pairs

SCRIPT = """
import os
from ase.build import bulk
from mentor.neighbourhoods import find_pairs
atoms = bulk("Cu", cubic=True) * (8, 8, 8)
"""


def run(script: str, threads: int) -> str:
    """What a fresh process prints."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT + script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork processes")
def test_a_forked_process_does_not_hang():
    script = """
before = find_pairs([atoms], 5.0)
child = os.fork()
again = find_pairs([atoms], 5.0)
same = all((a == b).all() for a, b in zip(before, again))
if child == 0:
    os._exit(0 if same else 1)
print(same, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(script, threads=3).split() == ["True", "0"]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux to count threads")
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_as_many_threads_as_asked_for(threads):
    script = """
before = len(os.listdir("/proc/self/task"))
for _ in range(3):
    find_pairs([atoms], 5.0)
print(len(os.listdir("/proc/self/task")) - before)
"""
    assert int(run(script, threads)) == threads - 1


def test_an_error_in_one_thread_is_raised():
    structures = [bulk("Cu", cubic=True) * (5, 5, 5) for _ in range(6)]
    structures[4].positions[7, 2] = np.nan
    with pytest.raises(InputError, match="structure 4: atom 7"):
        find_pairs(structures, 5.0)
    arguments = (
        np.concatenate([atoms.positions for atoms in structures]),
        np.array([atoms.cell.array for atoms in structures]),
        np.ones((6, 3), bool),
        500 * np.arange(7),
    )
    for threads in (1, 2, 4):
        with pytest.raises(ValueError, match="a position is not a finite number"):
            kernel.neighbour_list(*arguments, 5.0, threads=threads)


def test_many_callers_share_the_helpers():
    atoms = bulk("Cu", cubic=True) * (8, 8, 8)
    atoms.rattle(0.1, seed=0)
    arguments = (
        atoms.positions,
        atoms.cell.array[None],
        np.ones((1, 3), bool),
        np.array([0, len(atoms)]),
    )

    def search(_):
        return kernel.neighbour_list(*arguments, 5.0, threads=3)

    expected = kernel.neighbour_list(*arguments, 5.0, threads=1)
    with ThreadPoolExecutor(4) as executor:
        for found in executor.map(search, range(40)):
            for a, b in zip(expected, found, strict=True):
                assert np.array_equal(a, b)
