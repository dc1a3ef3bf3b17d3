"""What the tables of accuracy share: training with several seeds, errors on test sets, medians.

Importing it sets one thread for everything; import it before numpy.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))

import numpy as np
from ase import Atoms
from common import Record

import mentor

UNITS = {"energy_per_atom": 1000.0, "force_component": 1000.0}
"""From eV/atom to meV/atom and eV/Å to meV/Å."""


def trained(
    record: Record,
    section: str,
    training: Sequence[Atoms],
    tests: Mapping[str, Sequence[Atoms]],
    *,
    seeds: int,
    folder: str | None = None,
    **settings: Any,
) -> list[dict]:
    """Errors of potentials from ``seeds`` trainings, printed and recorded, one line each.

    With ``folder`` the potentials are kept there.
    """
    lines = []
    for seed in range(seeds):
        begin = time.process_time()
        output = (
            None if folder is None else Path(folder) / f"{section.replace(' ', '_')}-{seed}.mtp"
        )
        result = mentor.train(training, seed=seed, output=output, plots=False, **settings)
        seconds = time.process_time() - begin
        line = {"seed": seed, "seconds": seconds, "iterations": len(result.history) - 1}
        line["parameters"] = result.potential.parameter_count
        line["train"] = figures(result.errors)
        for name, structures in tests.items():
            line[name] = figures(mentor.errors(result.potential, structures))
        record.add(section, **line)
        lines.append(line)
        names = ("train", *tests)
        print(f"{section} seed {seed} {seconds:6.0f} s  {row(line, names)}", flush=True)
    if seeds > 1:
        print(f"{section} median {'':8s}  {row(medians(lines), ('train', *tests))}", flush=True)
    return lines


def figures(table: Any) -> dict[str, float]:
    """RMSE and MAE in meV/atom and meV/Å, and the MAE of whole energies in meV."""
    group = table.groups["all"]
    found = {}
    for name, unit in UNITS.items():
        if name in group:
            found[f"{name}_rmse"] = unit * group[name].rmse
            found[f"{name}_mae"] = unit * group[name].mae
    return found


def row(line: Mapping[str, Any], names: Sequence[str]) -> str:
    """RMSE (MAE) of energies and forces on each set."""
    texts = []
    for name in names:
        each = line[name]
        energy = f"{each['energy_per_atom_rmse']:.2f} ({each['energy_per_atom_mae']:.2f})"
        force = f"{each['force_component_rmse']:.1f} ({each['force_component_mae']:.1f})"
        texts.append(f"{name} {energy} meV/atom, {force} meV/Å")
    return "; ".join(texts)


def medians(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of every figure over the seeds."""
    first = lines[0]
    return {
        name: {k: float(np.median([line[name][k] for line in lines])) for k in value}
        if isinstance(value, dict)
        else float(np.median([line[name] for line in lines]))
        for name, value in first.items()
    }
