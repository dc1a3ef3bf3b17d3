"""Basis functions of other level weights: errors and speed against those of the usual levels.

    python benchmarks/fit/level_weights.py FOLDER [--sets NAME ...] [--count N] [--seeds N]
                                           [--starts N] [--bases LEVEL:W,W,W ...] [--json FILE]

FOLDER holds rmd17_ethanol and rmd17_aspirin with train.xyz and test.xyz. Each basis is fitted to
the first N geometries, with the cutoff and tolerance of molecules.py; mean absolute errors are
those of whole energies (meV) and force components (meV/Å) on the test set. Costs are the least of
several interleaved measurements of energies and forces of test geometries on one core; the first
basis is what the others are compared with.
"""

from pathlib import Path

import accuracy
from ase.io import read
from common import Record, parsed, parser
from molecules import CUTOFF, SETS, TOLERANCE, of_molecules

import mentor
from mentor.fit.search import costs

BASES = ("20:2,4,1", "25:3,2,2", "22:2,2,2", "14:2,1,1")
"""A usual level, and others with about as many functions."""


def basis(text):
    """The level and its weights."""
    level, weights = text.split(":")
    return int(level), tuple(map(int, weights.split(",")))


def untrained(text, structures):
    """A potential for the structures with such a basis: it costs what a trained one costs."""
    elements = tuple(sorted({each for atoms in structures for each in atoms.symbols}))
    options = {"elements": elements, "cutoff": CUTOFF, "min_dist": 0.8, "radial_basis_size": 10}
    level, weights = basis(text)
    return mentor.init(level=level, level_weights=weights, **options)


def main() -> None:
    options = parser(__doc__, levels=())
    options.add_argument("folder")
    options.add_argument("--sets", nargs="+", choices=("ethanol", "aspirin"), default=["ethanol"])
    options.add_argument("--count", type=int, default=300)
    options.add_argument("--seeds", type=int, default=1)
    options.add_argument("--starts", type=int, default=6)
    options.add_argument("--bases", nargs="+", default=BASES, metavar="LEVEL:W,W,W")
    options = parsed(options)
    record = Record("level_weights")
    for name in options.sets:
        folder = Path(options.folder) / SETS[name]
        training, test = (read(folder / f"{part}.xyz", ":") for part in ("train", "test"))
        found = costs({text: untrained(text, test) for text in options.bases}, test)
        for text, cost in found.items():
            (level, weights), label = basis(text), f"{name} {text}"
            lines = accuracy.trained(
                record,
                label,
                training[: options.count],
                {"test": test},
                seeds=options.seeds,
                level=level,
                level_weights=weights,
                cutoff=CUTOFF,
                tolerance=TOLERANCE,
                starts=options.starts,
            )
            energy, force = of_molecules(accuracy.medians(lines)["test"], test)
            ratio = found[options.bases[0]] / cost
            record.add("cost", basis=label, cost=cost, faster=ratio)
            print(
                f"{label}: {energy:.2f} meV, {force:.1f} meV/Å, {cost:.2f} µs/atom, "
                f"{ratio:.2f} times as fast as the first",
                flush=True,
            )
    record.finish(options, lambda record: None)


if __name__ == "__main__":
    main()
