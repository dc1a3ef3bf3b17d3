"""Cu, Li and Si: mean absolute errors against the published MTP and GAP, and time.

    python benchmarks/fit/elements.py FOLDER [--elements Cu Li Si] [--seeds N] [--json FILE]

FOLDER holds zuo2020_Cu, zuo2020_Li and zuo2020_Si with train.xyz and test.xyz of Zuo et al., J.
Phys. Chem. A 124, 731 (2020). Level and cutoff are those of the published MTP; all else are
defaults.
"""

from dataclasses import dataclass
from pathlib import Path

import accuracy
from ase.io import read
from common import Record, parsed, parser


@dataclass(frozen=True)
class Published:
    """Level and cutoff (Å) of the MTP; errors (meV/atom, eV/Å) of GAP and MTP; CPU time (s)."""

    level: int
    cutoff: float
    energy: tuple[float, float]
    force: tuple[float, float]
    seconds: float | None = None


PUBLISHED = {
    "Cu": Published(20, 3.9, energy=(0.46, 0.41), force=(0.01, 0.01), seconds=300),
    "Li": Published(16, 5.1, energy=(0.49, 0.49), force=(0.01, 0.01)),
    "Si": Published(24, 4.7, energy=(2.91, 2.21), force=(0.07, 0.06), seconds=900),
}


def main() -> None:
    options = parser(__doc__, levels=())
    options.add_argument("folder")
    options.add_argument("--elements", nargs="+", choices=PUBLISHED, default=list(PUBLISHED))
    options.add_argument("--seeds", type=int, default=3)
    options = parsed(options)
    record = Record("elements")
    for element in options.elements:
        known = PUBLISHED[element]
        folder = Path(options.folder) / f"zuo2020_{element}"
        training, test = (read(folder / f"{name}.xyz", ":") for name in ("train", "test"))
        lines = accuracy.trained(
            record,
            element,
            training,
            {"test": test},
            seeds=options.seeds,
            level=known.level,
            cutoff=known.cutoff,
        )
        median = accuracy.medians(lines)
        energy = median["test"]["energy_per_atom_mae"]
        force = median["test"]["force_component_mae"] / 1000
        limit = min(known.energy)
        record.check(f"{element}: at most {limit} meV/atom", energy <= limit, f"{energy:.2f}")
        limit = min(known.force)
        record.check(f"{element}: at most {limit} eV/Å", round(force, 2) <= limit, f"{force:.4f}")
        if known.seconds:
            seconds = median["seconds"]
            what = f"{element}: at most {known.seconds:.0f} s of CPU time"
            record.check(what, seconds <= known.seconds, f"{seconds:.0f}")
    record.finish(options, lambda record: None)


if __name__ == "__main__":
    main()
