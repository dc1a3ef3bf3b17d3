"""Training against motep 0.2.0: same start, same data, same loss; error against CPU time.

    python benchmarks/fit/against_motep.py TRAIN.xyz --levels LEVEL [--motep FILE] [--json FILE]
                                           [--plot FILE] [--seeds N] [--methods NAME ...]

motep minimises with BFGS of SciPy, also after its linear optimisers: LLS (the optimal linear
coefficients) and Level2MTP (a pair potential), followed by LLS. mentor runs one fit.
Both begin at the coefficients of `mentor init` and end by themselves or after --iterations. The
loss is motep's default, a mean over configurations,

    (ΔE/N)² + 0.01 Σ_i |ΔF_i|²/N + 0.001 ‖ΔW/N‖²,

for mentor the weighting "vibrations" with the weight 1/N of each configuration. That both mean the
same is checked at every potential which lowered motep's loss. The clock is CPU time of one thread
from the structures in memory to the potential, neighbour search included.

motep takes half an hour for each curve; --motep keeps its curves in a file and reads those that are
there. --seeds are starts of mentor, the first of which is motep's as well; with 0 only motep runs.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.io import read
from common import Record, parsed, parser, title
from motep.io.mlip.mtp import read_mtp
from motep.loss import LossFunction, LossSetting
from motep.optimizers import make_optimizer
from motep.potentials.mtp.data import MTPData

import mentor
from mentor.fit.fitting import fit
from mentor.fit.loss import LabelledSet, Loss, Weights, labelled_set, loss
from mentor.neighbourhoods import neighbourhoods
from mentor.plots import COLOURS, new_figure
from mentor.structures import labels, shortest_distances, with_labels

CUTOFF = 5.0  # Å
TARGET = 30  # times less CPU time
AGREEMENT = 1e-9  # relative difference of the two programs' losses
BFGS = {"method": "minimize", "kwargs": {"method": "BFGS"}}
METHODS = {
    "BFGS": [BFGS],
    "LLS, BFGS": [{"method": "LLS"}, BFGS],
    "Level2MTP, LLS": [{"method": "Level2MTP"}, {"method": "LLS"}],
    "Level2MTP, LLS, BFGS": [{"method": "Level2MTP"}, {"method": "LLS"}, BFGS],
}

Curve = list[dict[str, float]]
"""Seconds, loss and errors wherever the loss fell."""


class Recorded(LossFunction):
    """motep's loss, which notes when its value fell, and with what coefficients."""

    def __init__(self, images: list[Atoms], data: MTPData) -> None:
        self.begin = time.process_time()
        self.calls = 0
        self.falls: list[tuple[float, float, dict]] = []
        super().__init__(images, data, LossSetting())

    def __call__(self, parameters: np.ndarray) -> float:
        value = super().__call__(parameters)
        self.calls += 1
        if not self.falls or value < self.falls[-1][1]:
            names = ("radial_coeffs", "species_coeffs", "moment_coeffs")
            now = {name: np.array(getattr(self.mtp_data, name)) for name in names}
            now["scaling"] = float(self.mtp_data.scaling)
            self.falls.append((time.process_time() - self.begin, float(value), now))
        return value


def by_motep(
    start: mentor.Potential, structures: list[Atoms], method: str, iterations: int
) -> tuple[Curve, int]:
    """What motep's ``method`` reaches, and how often it has evaluated the loss."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "start.mtp"
        replace(start, elements=None).save(path)  # motep stumbles over the names
        data = read_mtp(path)
    data.species = [atomic_numbers[symbol] for symbol in start.elements]
    recorded = Recorded(structures, data)
    for step in METHODS[method]:
        options = dict(step.get("kwargs", {}))
        if options:
            options["options"] = {"maxiter": iterations}
        make_optimizer(step["method"])(recorded).optimize(**options)
    labelled = labelled_like_motep(start, structures)
    curve = []
    for seconds, value, coefficients in recorded.falls:
        found = loss(replace(start, **coefficients).kernel, labelled)
        difference = abs(found.value - value) / value
        assert difference <= AGREEMENT, f"the two losses differ by {difference:.1e}"
        curve.append(line_of(seconds, found))
    return curve, recorded.calls


def by_mentor(start: mentor.Potential, structures: list[Atoms], iterations: int) -> Curve:
    """What ``mentor.fit`` reaches."""
    curve = []
    begin = time.process_time()

    def watch(stand: object) -> None:
        curve.append(line_of(time.process_time() - begin, stand.history[-1].loss))

    fit(start, weighted(structures), max_iterations=iterations, tolerance=0.0, watch=watch)
    return curve


def line_of(seconds: float, found: Loss) -> dict[str, float]:
    """One point of a curve."""
    values = (seconds, found.value, 1e3 * found.energy_rmse, found.force_rmse)
    return {
        name: float(f"{value:.6g}")
        for name, value in zip(("seconds", "loss", "meV/atom", "eV/Å"), values, strict=True)
    }


def weighted(structures: Sequence[Atoms]) -> list[Atoms]:
    """With the weights that turn mentor's sum into motep's mean."""
    copies = []
    for atoms in structures:
        known = labels(atoms)
        copies.append(
            with_labels(atoms, energy=known.energy, forces=known.forces, virial=known.virial)
        )
        copies[-1].info["weight"] = 1.0 / (len(atoms) * len(structures))
    return copies


def labelled_like_motep(potential: mentor.Potential, structures: list[Atoms]) -> LabelledSet:
    found = neighbourhoods(structures, potential.max_dist, potential.elements)
    return labelled_set(weighted(structures), found, Weights())


def started(structures: list[Atoms], level: int, seed: int) -> mentor.Potential:
    """Where both begin."""
    symbols = {symbol for atoms in structures for symbol in atoms.get_chemical_symbols()}
    elements = tuple(sorted(symbols, key=atomic_numbers.__getitem__))
    shortest = min(shortest_distances(structures, CUTOFF).values())
    return mentor.init(
        level=level,
        elements=elements,
        cutoff=CUTOFF,
        min_dist=round(0.95 * shortest, 3),
        core=False,  # which motep does not know
        seed=seed,
    )


def reached(curve: Curve, value: float) -> float:
    """Seconds until the loss is ``value``; infinite if it never is."""
    return next((line["seconds"] for line in curve if line["loss"] <= value), np.inf)


def say(name: str, curve: Curve) -> None:
    last = min(curve, key=lambda line: line["loss"])
    print(
        f"{name:24s} {last['seconds']:9.1f} {last['loss']:11.4e}"
        f" {last['meV/atom']:10.2f} {last['eV/Å']:9.4f}",
        flush=True,
    )


def kept_or_new(
    options: argparse.Namespace, structures: list[Atoms], level: int, method: str
) -> dict:
    """motep's curve, from the file that keeps them if it is there."""
    file = Path(options.motep) if options.motep else None
    key = f"{Path(options.train).parent.name}, level {level}: {method}"

    def known() -> dict:
        return json.loads(file.read_text()) if file and file.exists() else {}

    if key in known():
        return known()[key]
    start = started(structures, level, 0)
    curve, calls = by_motep(start, structures, method, options.iterations)
    found = {"curve": curve, "calls": calls, "iterations": options.iterations}
    if file:
        lines = [
            f"{json.dumps(name)}: {json.dumps(each, ensure_ascii=False)}"
            for name, each in {**known(), key: found}.items()
        ]
        file.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return found


def compare(options: argparse.Namespace, record: Record, level: int) -> None:
    """All curves of a level, and how much less time mentor takes."""
    structures = read(options.train, ":")
    title(f"{options.train}, level {level}: {len(structures)} configurations, one thread")
    print(f"{'':24s} {'CPU s':>9s} {'loss':>11s} {'meV/atom':>10s} {'eV/Å':>9s}  (RMSE)")
    for method in options.methods:
        found = kept_or_new(options, structures, level, method)
        record.add("motep", level=level, method=method, seed=0, **found)
        say(f"motep, {method}", found["curve"])
    for seed in range(options.seeds):
        curve = by_mentor(started(structures, level, seed), structures, options.iterations)
        record.add("mentor", level=level, seed=seed, curve=curve)
        say(f"mentor, seed {seed}", curve)
    if options.seeds:
        judge(record, level)


def judge(record: Record, level: int) -> None:
    """CPU time to the loss at which motep ends; of motep there is one start only."""
    ours = [line["curve"] for line in record.sections["mentor"] if line["level"] == level]
    for theirs in record.sections["motep"]:
        if theirs["level"] != level:
            continue
        last = theirs["curve"][-1]
        seconds = float(np.median([reached(curve, last["loss"]) for curve in ours]))
        ratio = last["seconds"] / seconds
        line = {"level": level, "method": theirs["method"], "seconds": seconds, "ratio": ratio}
        record.add("ratios", loss=last["loss"], motep_seconds=last["seconds"], **line)
        what = f"to the loss of motep's {theirs['method']} (one start)"
        found = f"{last['seconds']:.1f} s / {seconds:.2f} s (median of {len(ours)}) = {ratio:.0f}"
        if BFGS in METHODS[theirs["method"]]:
            record.check(f"{what} in {TARGET} times less CPU time", ratio >= TARGET, found)
        else:
            print(f"         {what}: {found}", flush=True)


def draw(record: Record) -> object:
    """Force error against CPU time."""
    figure, axes = new_figure(6.4, 4.0)
    for section, colours in (("motep", COLOURS[1:]), ("mentor", [COLOURS[0]] * 100)):
        for number, (line, colour) in enumerate(
            zip(record.sections[section], colours, strict=False)
        ):
            name = f"motep, {line['method']}" if section == "motep" else "mentor"
            seconds = [each["seconds"] for each in line["curve"]]
            errors = [each["eV/Å"] for each in line["curve"]]
            label = None if section == "mentor" and number else name
            above = 2 + 1 / seconds[-1]  # short curves, which others begin with
            axes.plot(seconds, errors, color=colour, label=label, zorder=above)
    axes.set(xscale="log", yscale="log", xlabel="CPU seconds", ylabel="RMSE of forces, eV/Å")
    lowest = min(each["eV/Å"] for line in record.sections["mentor"]
                 for each in line["curve"])  # fmt: skip
    axes.set_ylim(0.7 * lowest, 200 * lowest)
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def main() -> None:
    options = parser(__doc__, levels=(12,))
    options.add_argument("train", help="labelled structures")
    options.add_argument("--motep", metavar="FILE", help="keeps motep's curves (.json)")
    options.add_argument("--iterations", type=int, default=300)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    options = parsed(options)
    if options.quick:
        options.iterations = min(options.iterations, 2)
    record = Record("against_motep", {})
    for level in options.levels:
        compare(options, record, level)
    record.finish(options, draw)


if __name__ == "__main__":
    main()
