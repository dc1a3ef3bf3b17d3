"""Few labels of a good method beside many of a cheap one: rMD17 with 50 geometries and xTB.

    python benchmarks/fit/transfer.py FOLDER [--sets NAME ...] [--count N] [--seeds N]
                                      [--levels LEVEL] [--frames N] [--json FILE]

FOLDER holds rmd17_ethanol and rmd17_aspirin with train.xyz and test.xyz. From each of the first N
training geometries molecular dynamics with GFN2-xTB makes further ones; a potential is trained on
their xTB labels, and from there, with ``transfer``, on the DFT labels of the N geometries. Beside
it the same training without transfer, and without xTB. Mean absolute errors on the whole test set,
energies of molecules (meV) and force components (meV/Å); CPU times of one thread. Linear ACE's are
those of Batatia et al., NeurIPS 2022, table 2; it knew the DFT labels only.
"""

import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import accuracy
import numpy as np
from ase import Atoms, units
from ase.io import read
from ase.md.langevin import Langevin
from common import Record, parsed, parser
from molecules import CUTOFF, SETS, TOLERANCE, against_linear_ace, of_molecules
from tblite.ase import TBLite

import mentor
from mentor.structures import with_labels

TEMPERATURE = 600.0  # K
FRICTION = 0.02 / units.fs
STEPS = 12  # of 1 fs, between two frames
STARTS = 6


def sampled(structures: Sequence[Atoms], frames: int, seed: int) -> list[Atoms]:
    """Geometries that molecular dynamics with xTB meets from ``structures`` on, with its labels."""
    rng = np.random.default_rng(seed)
    found = []
    for given in structures:
        atoms = Atoms(given.symbols, given.positions)
        atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
        spread = np.sqrt(units.kB * TEMPERATURE * atoms.get_masses())[:, None]
        atoms.set_momenta(spread * rng.normal(size=(len(atoms), 3)))
        dynamics = Langevin(
            atoms, units.fs, temperature_K=TEMPERATURE, friction=FRICTION, fixcm=False, rng=rng
        )
        for frame in range(frames + 1):
            if frame:
                dynamics.run(STEPS)
            found.append(with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces()))
    return found


def main() -> None:
    options = parser(__doc__, levels=(20,))
    options.add_argument("folder")
    options.add_argument("--sets", nargs="+", choices=list(SETS)[:2], default=list(SETS)[:2])
    options.add_argument("--count", type=int, default=50)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--frames", type=int, default=10)
    options = parsed(options)
    warnings.simplefilter("ignore")
    record = Record("transfer")
    common = {"tolerance": TOLERANCE, "plots": False, "checks": False}
    for name in options.sets:
        folder = Path(options.folder) / SETS[name]
        training, test = (read(folder / f"{part}.xyz", ":") for part in ("train", "test"))
        few = training[: options.count]
        found = []
        for seed in range(options.seeds):
            times = [time.process_time()]
            many = sampled(few, options.frames, seed)
            times.append(time.process_time())
            new = {"level": options.levels[0], "cutoff": CUTOFF, "starts": STARTS, "seed": seed}
            cheap = mentor.train(many, **new, **common).potential
            times.append(time.process_time())
            better = mentor.train(few, potential=cheap, transfer=True, **common).potential
            times.append(time.process_time())
            ways = {
                "transfer": better,
                "begun with it": mentor.train(few, potential=cheap, **common).potential,
                "DFT alone": mentor.train(few, **new, **common).potential,
            }
            tables = {way: mentor.errors(potential, test) for way, potential in ways.items()}
            line = {way: of_molecules(accuracy.figures(t), test) for way, t in tables.items()}
            seconds = np.diff(times)
            record.add(f"{name} {options.count}", seed=seed, seconds=seconds.tolist(), **line)
            found.append(line["transfer"])
            shown = ", ".join(f"{way} {e:.2f} meV, {f:.1f} meV/Å" for way, (e, f) in line.items())
            spent = "sampling {:.0f} s, on xTB {:.0f} s, transfer {:.0f} s".format(*seconds)
            print(f"{name} {options.count} seed {seed}: {shown}; {spent}", flush=True)
        median = np.median(found, axis=0)
        against_linear_ace(record, name, options.count, median)
    record.finish(options, lambda record: None)


if __name__ == "__main__":
    main()
