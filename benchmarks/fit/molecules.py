"""rMD17 ethanol and aspirin, 3BPA: errors against those of linear ACE.

    python benchmarks/fit/molecules.py FOLDER [--sets NAME ...] [--counts N ...] [--seeds N]
                                       [--levels LEVEL] [--level-weights W W W] [--starts N]
                                       [--committee N] [--cutoff Å] [--radial-basis-size N]
                                       [--higher-levels LEVEL ...] [--higher-iterations N ...]
                                       [--max-iterations N] [--tolerance T] [--json FILE]

FOLDER holds rmd17_ethanol, rmd17_aspirin and 3bpa with train.xyz and test.xyz. Trained on the first
N geometries with few starts; all settings but those above are defaults. Mean absolute errors of
the energy of whole molecules (meV) and of force components (meV/Å). Linear ACE's on rMD17 are those
of Batatia et al., NeurIPS 2022, table 2, and compared with to their one decimal.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import accuracy
import numpy as np
from ase import Atoms
from ase.io import read
from common import Record, parsed, parser

SETS = {"ethanol": "rmd17_ethanol", "aspirin": "rmd17_aspirin", "3BPA": "3bpa"}
LINEAR_ACE = {
    ("ethanol", 50): (8.6, 43.0),
    ("ethanol", 1000): (1.2, 7.3),
    ("aspirin", 50): (26.2, 63.8),
    ("aspirin", 1000): (6.1, 17.9),
}
"""Errors of energies (meV) and forces (meV/Å) by number of geometries."""

CUTOFF = 4.0
TOLERANCE = 0.01


def of_molecules(figures: Mapping[str, float], test: Sequence[Atoms]) -> tuple[float, float]:
    """Errors of whole energies (meV) and of force components (meV/Å)."""
    atoms = np.mean([len(each) for each in test])
    return atoms * figures["energy_per_atom_mae"], figures["force_component_mae"]


def against_linear_ace(record: Record, name: str, count: int, found: Sequence[float]) -> None:
    """Check both errors, where linear ACE's are known."""
    limits = LINEAR_ACE.get((name, count), ())
    for value, limit, unit in zip(found, limits, ("meV", "meV/Å"), strict=False):
        what = f"{name}, {count} geometries: at most {limit} {unit}"
        record.check(what, round(value, 1) <= limit, f"{value:.2f}")


def main() -> None:
    options = parser(__doc__, levels=(20,))
    options.add_argument("folder")
    options.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    options.add_argument("--counts", type=int, nargs="+", default=[50, 1000])
    options.add_argument("--seeds", type=int, default=1)
    options.add_argument("--level-weights", type=int, nargs=3, default=(2, 4, 1), metavar="W")
    options.add_argument("--starts", type=int, default=6)
    options.add_argument("--committee", type=int, default=1)
    options.add_argument("--higher-levels", type=int, nargs="+", default=())
    options.add_argument("--higher-iterations", type=int, nargs="+", default=(3,))
    options.add_argument("--max-iterations", type=int, default=100)
    options.add_argument("--tolerance", type=float, default=TOLERANCE)
    options.add_argument("--cutoff", type=float, default=CUTOFF)
    options.add_argument("--radial-basis-size", type=int, default=10)
    options = parsed(options)
    record = Record("molecules")
    for name in options.sets:
        folder = Path(options.folder) / SETS[name]
        training, test = (read(folder / f"{part}.xyz", ":") for part in ("train", "test"))
        for count in options.counts:
            lines = accuracy.trained(
                record,
                f"{name} {min(count, len(training))}",
                training[:count],
                {"test": test},
                seeds=options.seeds,
                level=options.levels[0],
                level_weights=tuple(options.level_weights),
                cutoff=options.cutoff,
                radial_basis_size=options.radial_basis_size,
                higher_levels=tuple(options.higher_levels),
                higher_iterations=tuple(options.higher_iterations),
                max_iterations=options.max_iterations,
                tolerance=options.tolerance,
                starts=options.starts,
                committee=options.committee,
            )
            found = of_molecules(accuracy.medians(lines)["test"], test)
            print(f"{name} {count}: {found[0]:.2f} meV, {found[1]:.1f} meV/Å", flush=True)
            against_linear_ace(record, name, count, found)
    record.finish(options, lambda record: None)


if __name__ == "__main__":
    main()
