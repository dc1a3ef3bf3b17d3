"""Energy, forces and virial of one crystal with mentor and with motep, in one process.

    python benchmarks/speed.py [LEVEL ...]

One thread, double precision, fcc Ag rattled by 0.05 Å, cutoff 5 Å, neighbour search included on
both sides; CPU time, best of several calls. Needs motep (pip install motep). Prints one line per
level and how far the two results differ.
"""

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from time import process_time

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from ase.build import bulk

import mentor

REPEATS = 7


def best(atoms, calls):
    """Smallest CPU time (s) of a call that finds the atoms moved."""
    times = []
    for call in range(calls):
        atoms.positions += 1e-9 * (call + 1)
        begin = process_time()
        atoms.calc.calculate(atoms, ["energy", "forces", "stress"], ["positions"])
        times.append(process_time() - begin)
    return min(times)


def main(levels):
    from motep.calculator import MTP
    from motep.io.mlip.mtp import read_mtp

    atoms = bulk("Ag", "fcc", a=4.09, cubic=True) * (8, 8, 8)
    atoms.rattle(0.05, seed=0)
    print(
        f"{len(atoms)} atoms; µs per atom for energy, forces and stress, neighbour search included"
    )
    print(
        f"{'level':>5} {'mentor':>8} {'motep':>8} {'ratio':>6}  largest difference in forces, eV/Å"
    )
    for level in levels:
        potential = mentor.init(level=level, elements=["Ag"], cutoff=5.0, min_dist=2.0)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pot.mtp"
            replace(potential, elements=None).save(path)  # motep stumbles over the names
            other = read_mtp(path)
        other.species = [47]
        ours, theirs = atoms.copy(), atoms.copy()
        ours.calc, theirs.calc = potential.calculator(), MTP(other)
        mine, yours = best(ours, REPEATS), best(theirs, 2)
        ours.positions = theirs.positions
        difference = np.abs(ours.get_forces() - theirs.get_forces()).max()
        mine, yours = 1e6 * mine / len(atoms), 1e6 * yours / len(atoms)
        line = f"{level:5d} {mine:8.2f} {yours:8.2f} {yours / mine:6.1f} {difference:11.1e}"
        print(line, flush=True)


if __name__ == "__main__":
    main([int(level) for level in sys.argv[1:]] or [8, 12, 16, 20])
