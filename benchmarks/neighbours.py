"""Neighbour lists of mentor, vesin and matscipy, in one process.

    python benchmarks/neighbours.py [THREADS]

fcc Ag (a = 4.09 Å) rattled by 0.05 Å, cutoff 5 Å, some 29 neighbours, each with its index and
displacement. One thread unless THREADS says otherwise; wall time, best of several calls. Needs
vesin and matscipy (pip install vesin matscipy); those that are absent are left out.
"""

import os
import sys

os.environ["OMP_NUM_THREADS"] = sys.argv[1] if len(sys.argv) > 1 else "1"

from time import perf_counter

import numpy as np
from ase import Atoms
from ase.build import bulk

from mentor.neighbourhoods import neighbourhoods

CUTOFF = 5.0


def mentor(atoms: Atoms) -> int:
    return len(neighbourhoods(atoms, CUTOFF, ["Ag"]).displacements)


def vesin(atoms: Atoms) -> int:
    from vesin import NeighborList

    found = NeighborList(cutoff=CUTOFF, full_list=True).compute(
        points=atoms.positions, box=atoms.cell.array, periodic=True, quantities="ijD"
    )
    return len(found[2])


def matscipy(atoms: Atoms) -> int:
    from matscipy.neighbours import neighbour_list

    return len(neighbour_list("ijD", atoms, CUTOFF)[2])


def best(search, atoms: Atoms) -> tuple[float, int]:
    """Shortest time (µs per atom) of several calls, and the number of pairs."""
    times, begin = [], perf_counter()
    while len(times) < 3 or (perf_counter() - begin < 1.0 and len(times) < 1000):
        start = perf_counter()
        pairs = search(atoms)
        times.append(perf_counter() - start)
    return 1e6 * min(times) / len(atoms), pairs


def main() -> None:
    threads = os.environ["OMP_NUM_THREADS"]
    print(f"{threads} thread(s); µs per atom, and how much longer than mentor")
    for repeats in (1, 2, 8, 20, 63):
        atoms = bulk("Ag", "fcc", a=4.09, cubic=True) * (repeats, repeats, repeats)
        atoms.rattle(0.05, seed=0)
        line, own = f"{len(atoms):8d} atoms", np.nan
        for search in (mentor, vesin, matscipy):
            try:
                time, pairs = best(search, atoms)
            except ImportError:
                continue
            own = time if search is mentor else own
            line += f"  {search.__name__} {time:7.3f} ({time / own:4.1f}; {pairs} pairs)"
        print(line, flush=True)


if __name__ == "__main__":
    main()
