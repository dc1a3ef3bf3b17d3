"""Molecular dynamics in LAMMPS with pair_style mtp, one process.

    python benchmarks/speed_lammps.py [LEVEL ...]

fcc Ag, 2048 atoms rattled by 0.05 Å, cutoff 5 Å, LAMMPS' default list (skin 2 Å); CPU time per atom
and step, integration included, best of several runs. Prints one line per level: double precision,
mixed precision, and double precision with the extrapolation grade on every step
(its active set is a random matrix).
"""

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from time import process_time

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

import mentor
from mentor.active_set import ActiveSet
from mentor.lammps import lammps

REPEATS, STEPS = 5, 20
STYLES = ("mtp", "mtp precision mixed", "mtp/extrapolation break 1e30 every 1")
INPUT = """
units metal
lattice fcc 4.09
region box block 0 8 0 8 0 8
create_box 1 box
create_atoms 1 box
mass 1 107.87
displace_atoms all random 0.05 0.05 0.05 1
pair_style {style}
pair_coeff * * {path} Ag
fix nve all nve
timestep 1e-7
run 2
"""


def microseconds(path, style):
    """CPU time per atom and step, µs."""
    instance = lammps()
    instance.commands_string(INPUT.format(style=style, path=path))
    times = []
    for _ in range(REPEATS):
        begin = process_time()
        instance.command(f"run {STEPS} pre no post no")
        times.append(process_time() - begin)
    atoms = instance.get_natoms()
    instance.close()
    return min(times) / STEPS / atoms * 1e6


def with_active_set(potential):
    """The potential with some regular matrix as active set: what it holds does not cost time."""
    m = potential.parameter_count
    A = np.random.default_rng(0).normal(size=(m, m)) + 5 * np.eye(m)
    unset = np.full(m, -1)
    active_set = ActiveSet(
        mode="neighborhood", matrix=A, inverse=np.linalg.inv(A), cfg_index=unset, eqn_index=unset
    )
    return replace(potential, active_set=active_set)


def main(levels):
    print(f"{'level':>5} {'double':>8} {'mixed':>8} {'grades':>8}  µs per atom and step")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pot.almtp"
        for level in levels:
            potential = mentor.init(level=level, elements=["Ag"], cutoff=5.0, min_dist=2.0)
            with_active_set(potential).save(path)
            times = " ".join(f"{microseconds(path, style):8.2f}" for style in STYLES)
            print(f"{level:>5} {times}", flush=True)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [8, 12, 16, 20, 22, 24])
