"""Memory of a fit, and time of an iteration, by the number of configurations.

    python benchmarks/fit/scaling.py [--levels LEVEL] [--counts N ...] [--json FILE] [--plot FILE]

The configurations are strained and rattled fcc cells of 32 atoms of two species, labelled by a
known potential. Each size is trained on in a process of its own with few iterations, from a file of
structures to a potential with its posterior; it says the most memory it has held.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))

import numpy as np
from ase import Atoms
from ase.io import write
from common import CUTOFF, Record, crystal, metal, parsed, parser, title

import mentor
from mentor.neighbourhoods import neighbourhoods
from mentor.plots import COLOURS, new_figure
from mentor.structures import with_labels

TARGET = 2.0  # GiB
LINEAR = 1.15  # largest ratio of times per configuration and iteration
ITERATIONS = 4
LABELLED_AT_A_TIME = 500

TRAINING = """
import json, resource, sys, time
import mentor
from mentor.progress import Reporter, Task, reporting

ends = []

class Clock(Task):
    def advance(self, steps=1, note=None):
        ends.append(time.process_time())

class Watch(Reporter):
    def task(self, description, total=None):
        return Clock() if description == "fit" else Task()

data, start, output, iterations = sys.argv[1:]
with reporting(Watch()):
    mentor.train(data, potential=start, output=output, max_iterations=int(iterations), tolerance=0)
seconds = (ends[-1] - ends[0]) / (len(ends) - 1)
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": seconds, "memory": memory, "total": time.process_time()}))
"""


def labelled_crystals(potential: mentor.Potential, count: int, seed: int) -> list[Atoms]:
    """Cells of 32 atoms with the energies, forces and stresses of ``potential``."""
    rng = np.random.default_rng(seed)
    structures = []
    for _ in range(count):
        atoms = crystal((2, 2, 2), species=2)
        atoms.symbols = rng.permutation(atoms.symbols)
        strain = np.eye(3) + rng.uniform(-0.04, 0.04, (3, 3))
        atoms.set_cell(atoms.cell @ strain, scale_atoms=True)
        atoms.positions += rng.normal(0.0, 0.08, (len(atoms), 3))
        structures.append(atoms)
    nb = neighbourhoods(structures, potential.max_dist, potential.elements)
    found = potential.kernel.evaluate(nb)
    forces = found.forces.reshape(count, -1, 3)
    return [
        with_labels(atoms, energy=energy, forces=force, virial=virial)
        for atoms, energy, force, virial in zip(
            structures, found.energies, forces, found.virials, strict=True
        )
    ]


def measure(level: int, count: int, folder: Path) -> dict[str, float]:
    """Seconds of an iteration and bytes of a fit to ``count`` configurations."""
    data, start, output = (folder / name for name in ("data.xyz", "start.mtp", "fitted.mtp"))
    truth = metal(level, species=2)
    data.unlink(missing_ok=True)
    for first in range(0, count, LABELLED_AT_A_TIME):
        some = min(LABELLED_AT_A_TIME, count - first)
        write(data, labelled_crystals(truth, some, seed=first), format="extxyz", append=True)
    mentor.init(
        level=level, elements=truth.elements, cutoff=CUTOFF, min_dist=1.8, seed=0, output=start
    )
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, data, start, output, str(ITERATIONS)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def draw(record: Record) -> object:
    """Time of an iteration and memory by the number of configurations."""
    figure, (above, below) = new_figure(6.4, 5.0, rows=2)
    lines = record.sections["sizes"]
    counts = [line["count"] for line in lines]
    above.plot(counts, [line["seconds"] for line in lines], color=COLOURS[0], marker="o")
    below.plot(counts, [line["memory"] / 2**30 for line in lines], color=COLOURS[0], marker="o")
    above.set(xscale="log", yscale="log", ylabel="CPU seconds per iteration")
    below.set(xscale="log", xlabel="configurations", ylabel="memory, GiB", ylim=(0, None))
    return figure


def main() -> None:
    options = parser(__doc__, levels=(16,))
    options.add_argument("--counts", type=int, nargs="+", default=[1000, 3000, 10_000])
    options = parsed(options)
    if options.quick:
        options.counts = [10, 20]
    record = Record("fit_scaling")
    with tempfile.TemporaryDirectory() as folder:
        for level in options.levels:
            title(f"fcc cells of 32 atoms, two species, level {level}, one thread")
            print("configurations  CPU s per iteration  CPU s altogether  peak memory GiB")
            for count in options.counts:
                line = measure(level, count, Path(folder))
                record.add("sizes", level=level, count=count, **line)
                print(
                    f"{count:14d} {line['seconds']:20.2f} {line['total']:17.0f}"
                    f" {line['memory'] / 2**30:16.2f}",
                    flush=True,
                )
            judge(record, level)
    record.finish(options, draw)


def judge(record: Record, level: int) -> None:
    """Whether memory is small and time linear."""
    lines = [line for line in record.sections["sizes"] if line["level"] == level]
    most = max(line["memory"] for line in lines) / 2**30
    each = [line["seconds"] / line["count"] for line in lines]
    record.check(f"peak memory below {TARGET:g} GiB", most < TARGET, f"{most:.2f} GiB")
    record.check(
        f"time per configuration the same within {100 * (LINEAR - 1):.0f} %",
        max(each) <= LINEAR * min(each),
        f"{1e3 * min(each):.2f} to {1e3 * max(each):.2f} ms",
    )


if __name__ == "__main__":
    main()
