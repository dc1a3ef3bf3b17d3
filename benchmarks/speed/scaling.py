"""Time and memory from 10 to a million atoms, threads, and the latency of a small call.

    python benchmarks/speed/scaling.py [--level 16] [--json F] [--plot F]

Rattled fcc Ag, cutoff 5 Å. Each size has a process of its own, so that its memory is known: the
largest resident set less that after all imports. "python" is a neighbour search and energy, forces
and virial; "lammps" is molecular dynamics as in in_lammps.py. CPU time of one core, but threads and
latency are wall time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# sets one thread, and so comes before numpy
from common import SMALLEST_FOR_SLOPE, Record, fastest, metal, parsed, parser, title

# isort: split
import numpy as np
from ase import Atoms
from ase.build import bulk
from with_motep import Motep, available

from mentor import Potential
from mentor.neighbourhoods import neighbourhoods

SIZES = ((1, 2, 5), (4, 5, 5), (10, 10, 10), (20, 20, 25), (40, 50, 50), (100, 100, 100))
CELLS = (2, 5, 10, 18, 30, 63)  # edges of cubes of four-atom cells, for LAMMPS


def primitive(repeats: tuple[int, ...]) -> Atoms:
    """A rattled crystal of primitive cells."""
    atoms = bulk("Ag", "fcc", a=4.09) * tuple(repeats)
    atoms.rattle(0.05, seed=0)
    return atoms


def calls(potential: Potential, atoms: Atoms) -> None:
    potential.kernel.evaluate(neighbourhoods(atoms, potential.max_dist, potential.elements))


# ---- one size, in a process of its own


def peak_memory() -> int:
    """Largest resident set of this process so far, bytes."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def one_size(where: str, size: list[int], level: int, seconds: float) -> dict:
    """µs per atom and bytes per atom."""
    potential = metal(level)
    calls(potential, primitive((2, 2, 2)))
    if where == "python":
        before = peak_memory()
        atoms = primitive(size)
        count, steps = len(atoms), 1
        call = lambda: calls(potential, atoms)  # noqa: E731
    else:
        from in_lammps import REBUILD, Dynamics, mtp

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pot.mtp"
            potential.save(path)
            Dynamics(mtp(path), 2)()
            before = peak_memory()
            call = Dynamics(mtp(path), size[0])
        count, steps = call.atoms, REBUILD
    least = fastest({"call": call}, seconds, rounds=2)["call"]
    return {
        "where": where,
        "atoms": count,
        "time": 1e6 * least / count / steps,
        "memory": peak_memory() - before,
    }


def in_own_process(where: str, size: tuple[int, ...], options: argparse.Namespace) -> dict:
    command = [sys.executable, __file__, "--level", str(options.level), "--one", where]
    command += [*map(str, size), "--seconds", str(options.seconds / 3)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{where} {size}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


# ---- all


def main(options: argparse.Namespace) -> Record:
    record = Record("scaling")
    if not options.no_sizes:
        compare_sizes(record, options)
    compare_threads(record, options)
    measure_latency(record, options)
    return record


def compare_sizes(record: Record, options: argparse.Namespace) -> None:
    title(f"level {options.level}; one core\nwhere       atoms  µs per atom  bytes per atom     MB")
    for where, sizes in (("python", SIZES), ("lammps", [(n,) for n in CELLS])):
        for size in sizes[:3] if options.quick else sizes:
            line = in_own_process(where, size, options)
            record.add("sizes", **line, level=options.level)
            print(
                f"{where:6s} {line['atoms']:10d} {line['time']:12.2f}"
                f" {line['memory'] / line['atoms']:15.0f} {line['memory'] / 1e6:6.0f}",
                flush=True,
            )
    for where in ("python", "lammps"):
        lines = [
            line
            for line in record.sections["sizes"]
            if line["where"] == where and line["atoms"] >= SMALLEST_FOR_SLOPE
        ]
        if len(lines) < 2:
            continue
        atoms, times = (np.array([line[name] for line in lines]) for name in ("atoms", "time"))
        power = float(np.polyfit(np.log(atoms), np.log(atoms * times), 1)[0])
        record.check(
            f"time in {where} is linear in the number of atoms (power below 1.05)",
            power < 1.05,
            f"N^{power:.3f} from {atoms[0]} to {atoms[-1]} atoms",
        )


def compare_threads(record: Record, options: argparse.Namespace) -> None:
    title("threads of the kernel, wall time, µs per atom\n     atoms  1 thread  2 threads  faster")
    potential = metal(options.level)
    for repeats in ((1, 2, 5), (4, 5, 5), (10, 10, 20)) if not options.quick else ((1, 2, 5),):
        atoms = primitive(repeats)
        nb = neighbourhoods(atoms, potential.max_dist, potential.elements)
        kernels = {n: potential.compiled(threads=n) for n in (1, 2)}
        sides = {str(n): lambda k=k, nb=nb: k.evaluate(nb) for n, k in kernels.items()}
        times = fastest(sides, options.seconds, clock=time.perf_counter)
        one, two = (1e6 * t / len(atoms) for t in times.values())
        record.add("threads", atoms=len(atoms), one=one, two=two)
        print(f"{len(atoms):10d} {one:9.2f} {two:10.2f} {one / two:7.2f}", flush=True)
        if len(atoms) == 10:
            ratio = f"{two / one:.2f} times the time of one"
            record.check("two threads are no slower at 10 atoms", two < 1.1 * one, ratio)


def measure_latency(record: Record, options: argparse.Namespace) -> None:
    """Energy, forces and stress of 10 atoms that have moved, through ASE."""
    potential, atoms = metal(options.level), primitive((1, 2, 5))
    atoms.calc = potential.calculator()
    sides = {"mentor": lambda: moved(atoms)}
    if available():
        motep = Motep(potential, atoms.copy())
        other = motep.atoms
        other.calc = motep.calculator
        sides["motep, list kept"] = lambda: moved(other)
        sides["motep, new list"] = lambda: moved(motep.forget_list())
    times = fastest(sides, options.seconds, clock=time.perf_counter)
    title(f"{len(atoms)} atoms, level {options.level}: one call through ASE, wall time, µs")
    for name, seconds in times.items():
        record.add("latency", side=name, time=1e6 * seconds)
        print(f"{name:16s} {1e6 * seconds:8.1f}")


def moved(atoms: Atoms) -> None:
    """All results after a step of molecular dynamics."""
    atoms.positions += 1e-9
    atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()


def draw(record: Record) -> object:
    """Time per atom and memory by the number of atoms."""
    from pictures import scaling

    return scaling(record)


def read_options() -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("--level", type=int, default=16)
    found.add_argument("--no-sizes", action="store_true")
    found.add_argument("--one", nargs="+", metavar="SIZE", help=argparse.SUPPRESS)
    return parsed(found)


if __name__ == "__main__":
    OPTIONS = read_options()
    if OPTIONS.one:
        where, *size = OPTIONS.one
        print(json.dumps(one_size(where, [*map(int, size)], OPTIONS.level, OPTIONS.seconds)))
    else:
        main(OPTIONS).finish(OPTIONS, draw)
