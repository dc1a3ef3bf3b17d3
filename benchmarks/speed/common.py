"""What the benchmarks of speed share: crystals and potentials, timing of several sides, checks.

Importing it sets one thread for everything; import it before numpy.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
from ase import Atoms
from ase.build import bulk
from numpy.polynomial.chebyshev import chebvander

import mentor
import mentor.plots
from mentor.active import build_active_set
from mentor.active_set import ActiveSet
from mentor.kernel import variants

ELEMENTS = ("Ag", "Pd", "Cu", "Au")
LATTICE = 4.09
CUTOFF = 5.0
LEVELS = (8, 12, 16, 20, 22, 24)
SMALLEST_FOR_SLOPE = 1000  # atoms; below, the time of a call itself counts


def crystal(repeats: tuple[int, int, int] = (8, 8, 8), species: int = 1) -> Atoms:
    """Cubic fcc cells rattled by 0.05 Å, with ``species`` elements at random places."""
    atoms = bulk("Ag", "fcc", a=LATTICE, cubic=True) * repeats
    atoms.rattle(0.05, seed=0)
    mixed = np.arange(len(atoms)) % species
    atoms.symbols = np.array(ELEMENTS)[np.random.default_rng(0).permutation(mixed)]
    return atoms


def metal(level: int, species: int = 1) -> mentor.Potential:
    """A potential in which fcc Ag is stable, with all basis functions at work.

    The scalar M₀₀ with f₀ is a Morse potential (its well 0.33 eV deep at 3.0 Å); the others are
    random and contribute a tenth of the forces.
    """
    blank = mentor.init(
        level=level, elements=ELEMENTS[:species], cutoff=CUTOFF, min_dist=2.0, core=False
    )
    rng = np.random.default_rng(level)
    r = np.linspace(blank.min_dist, CUTOFF, 200)
    decay = np.exp(-1.4 * (r - 3.0))
    smooth = (1 - (r / CUTOFF) ** 6) ** 2
    t = (2 * r - blank.min_dist - CUTOFF) / (CUTOFF - blank.min_dist)
    Q = chebvander(t, blank.radial_basis_size - 1) * (r - CUTOFF)[:, None] ** 2
    C, K = species, blank.radial_funcs_count
    radial = np.empty((C, C, K, blank.radial_basis_size))
    radial[:, :, 0] = np.linalg.lstsq(Q, 0.165 * (decay**2 - 2 * decay) * smooth, rcond=None)[0]
    for mu in range(1, K):
        shape = 0.2 * np.cos(mu * np.pi * t / 2) * smooth
        radial[:, :, mu] = np.linalg.lstsq(Q, shape, rcond=None)[0]
    radial *= 1 + 0.05 * rng.standard_normal((C, C, 1, 1))
    small = rng.standard_normal(len(blank.moment_coeffs)) / np.sqrt(len(blank.moment_coeffs))
    small[0] = 0.0
    first = np.zeros_like(small)
    first[0] = 1.0
    blank = replace(blank, radial_coeffs=radial)
    atoms = crystal((3, 3, 3), species)
    forces = [
        replace(blank, moment_coeffs=each).calculator().get_property("forces", atoms)
        for each in (first, small)
    ]
    small *= 0.1 * np.linalg.norm(forces[0]) / max(np.linalg.norm(forces[1]), 1e-300)
    return replace(blank, moment_coeffs=first + small)


def active_set(
    potential: mentor.Potential, amplitudes: tuple[float, ...], repeats: int
) -> ActiveSet:
    """That of crystals strained by up to 8 % and rattled by ``amplitudes`` (Å)."""
    structures = []
    for amplitude in amplitudes:
        for seed, strain in enumerate((0.92, 0.97, 1.0, 1.03, 1.08)):
            each = crystal((repeats,) * 3)
            each.set_cell(strain * each.cell, scale_atoms=True)
            each.rattle(amplitude, seed=seed)
            structures.append(each)
    return build_active_set(potential, structures)


def fastest(
    sides: Mapping[str, Callable[[], object]],
    seconds: float,
    rounds: int = 3,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, float]:
    """Shortest time (s) of a call of each side; the sides take turns for ``seconds``, at least
    ``rounds`` times, quick ones with several calls at each turn. All are called once before."""
    turn = min(0.2, seconds / 10)  # s
    least = {}
    for name, call in sides.items():
        begin = clock()
        call()
        least[name] = clock() - begin
    calls = {name: int(np.clip(turn / max(t, 1e-7), 1, 1000)) for name, t in least.items()}
    least = dict.fromkeys(sides, np.inf)
    end = time.monotonic() + seconds
    done = 0
    while done < rounds or time.monotonic() < end:
        for name, call in sides.items():
            for _ in range(calls[name]):
                begin = clock()
                call()
                least[name] = min(least[name], clock() - begin)
        done += 1
    return least


# What the project wants inside LAMMPS on a machine where motep takes so long, µs per atom.
TARGETS = {8: 2.0, 12: 3.5, 16: 6.5, 20: 14.0, 22: 24.0, 24: 45.0}
TARGETS_MOTEP = {8: 21.0, 12: 40.0, 16: 80.0, 20: 250.0, 22: 397.0, 24: 653.0}
MOTEP_RATIO = 12.0
MIXED_RATIO = 1.6


@dataclass
class Record:
    """Everything one script has measured: lines of a table by section, and checks."""

    script: str
    machine: dict = field(default_factory=dict)
    sections: dict[str, list[dict]] = field(default_factory=dict)
    checks: list[dict] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine = {
            "processor": processor(),
            "cores": os.cpu_count(),
            "instructions": variants()[0],
            "mentor": mentor.__version__,
        }

    def add(self, section: str, **values: object) -> None:
        self.sections.setdefault(section, []).append(values)

    def check(self, what: str, met: bool, value: str) -> None:
        """Print and keep whether a target is met."""
        self.checks.append({"what": what, "met": bool(met), "value": value})
        print(f"{'met    ' if met else 'NOT met'}  {what}: {value}", flush=True)

    def finish(self, options: argparse.Namespace, draw: Callable[["Record"], object]) -> None:
        """Write what ``--json`` and ``--plot`` ask for."""
        if options.json:
            Path(options.json).write_text(json.dumps(asdict(self), indent=1, default=float) + "\n")
        if options.plot:
            mentor.plots.save(draw(self), options.plot)


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def parser(text: str, levels: Sequence[int] = LEVELS) -> argparse.ArgumentParser:
    """Options that all scripts have."""
    found = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--levels", type=int, nargs="+", default=list(levels))
    found.add_argument("--seconds", type=float, default=6.0, help="for each group of timings")
    found.add_argument("--quick", action="store_true", help="small and inaccurate, for tests")
    found.add_argument("--json", metavar="FILE", help="write all numbers")
    found.add_argument("--plot", metavar="FILE", help="draw a picture (.png, .svg or .pdf)")
    return found


def parsed(options: argparse.ArgumentParser) -> argparse.Namespace:
    """The options; ``--quick`` measures for a moment only."""
    found = options.parse_args()
    if found.quick:
        found.seconds = 0.0
    return found


def title(text: str) -> None:
    print(f"\n{text}", flush=True)
