"""Train on published DFT data of Ag-Pd and print time and errors.

    python benchmarks/fit_agpd.py FOLDER [LEVEL ...]

FOLDER holds train.xyz and test_fcc.xyz of the data set of Rosenbrock et al., npj Comput. Mater. 7,
24 (2021), with energies, forces and stresses.
"""

import sys
from pathlib import Path

from ase.io import read

import mentor


def main(folder, levels):
    train, test = (read(folder / name, ":") for name in ("train.xyz", "test_fcc.xyz"))
    print("level seed    s  train meV/atom, eV/Å  test_fcc meV/atom, eV/Å  (RMSE)")
    for level in levels:
        for seed in range(3):
            result = mentor.train(train, level=level, cutoff=5.0, radial_basis_size=8, seed=seed)
            errors = (result.errors, mentor.errors(result.potential, test))
            numbers = [table.groups["all"] for table in errors]
            text = "    ".join(
                f"{1000 * each['energy_per_atom'].rmse:9.2f} {each['force_component'].rmse:9.4f}"
                for each in numbers
            )
            print(f"{level:5d} {seed:4d} {result.seconds:4.0f}  {text}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(level) for level in sys.argv[2:]] or [10])
