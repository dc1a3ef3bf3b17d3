"""What the Jacobian by all parameters costs, in calls for energies, forces and virials.

    python benchmarks/fit/jacobian.py [FOLDER] [--levels LEVEL ...] [--json FILE]

The structures are fcc crystals of 32 and 108 atoms and, where FOLDER with the Ag-Pd data of
Rosenbrock et al., npj Comput. Mater. 7, 24 (2021), is given, its train.xyz: small cells, in which
many neighbours are images of the same atom. `rows` are the weighted rows that a fit is made of.
One thread, CPU time.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))

import numpy as np
from ase import Atoms
from ase.io import read
from common import CUTOFF, Record, crystal, fastest, metal, parsed, parser

import mentor
from mentor.fit.loss import Weights, labelled_set
from mentor.neighbourhoods import neighbourhoods

TARGET = 30  # calls, for the small cells at level 16: the estimate the method was planned with


def data_sets(folder: str | None, quick: bool) -> Iterator[tuple[str, list[Atoms], int]]:
    """Name, structures and species."""
    repeats = {32: (2, 2, 2)} if quick else {32: (2, 2, 2), 108: (3, 3, 3)}
    for atoms, size in repeats.items():
        for species in (1, 3):
            yield f"fcc, {atoms} atoms, {species} species", [crystal(size, species)] * 4, species
    if folder:
        yield "Ag-Pd, 1 to 12 atoms", read(Path(folder) / "train.xyz", ":"), 2


def measure(structures: list[Atoms], level: int, species: int, seconds: float) -> dict:
    """Times of one call for all structures, s."""
    potential = metal(level, species)
    nb = neighbourhoods(structures, CUTOFF, potential.elements)
    labelled = labelled_set(with_zeros(structures), nb, Weights())
    columns = np.arange(potential.parameter_count)
    parts = list(labelled.chunks())
    kernel = potential.kernel

    def rows() -> None:
        for part in parts:
            kernel.weighted_rows(
                part.neighbourhoods,
                energy_weights=part.energy_weights,
                force_weights=part.force_weights,
                virial_weights=part.virial_weights,
                columns=columns,
            )

    found = fastest({"forces": lambda: kernel.evaluate(nb), "rows": rows}, seconds)
    return {
        "parameters": potential.parameter_count,
        "pairs": len(nb.neighbours),
        "atoms": len(nb.types),
        **found,
        "calls": found["rows"] / found["forces"],
    }


def with_zeros(structures: list[Atoms]) -> list[Atoms]:
    """With labels, the values of which do not matter."""
    return [
        mentor.structures.with_labels(
            atoms, energy=0.0, forces=np.zeros((len(atoms), 3)), virial=np.zeros(6)
        )
        for atoms in structures
    ]


def main() -> None:
    options = parser(__doc__, levels=(10, 16, 20, 24))
    options.add_argument("folder", nargs="?")
    options = parsed(options)
    record = Record("jacobian")
    print("structures                level  parameters  forces ms   rows ms  calls")
    for name, structures, species in data_sets(options.folder, options.quick):
        for level in options.levels:
            line = measure(structures, level, species, options.seconds)
            record.add("jacobian", structures=name, level=level, **line)
            print(
                f"{name:25s} {level:5d} {line['parameters']:11d} {1e3 * line['forces']:10.2f}"
                f" {1e3 * line['rows']:9.1f} {line['calls']:6.1f}",
                flush=True,
            )
            if options.folder and species == 2 and level == 16:
                met = line["calls"] <= TARGET
                record.check(f"Ag-Pd: at most {TARGET} calls", met, f"{line['calls']:.1f}")
    record.finish(options, lambda record: None)


if __name__ == "__main__":
    main()
