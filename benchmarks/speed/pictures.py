"""Pictures of what the benchmarks have measured; dashed lines were measured elsewhere."""

from typing import Any

import elsewhere
from common import Record

from mentor.plots import COLOURS, INK, new_figure

BLUE, ORANGE, GREEN, PINK, SKY, YELLOW = COLOURS
MEASURED = {"marker": "o", "markersize": 4.5}
NOTED = {"marker": "s", "markersize": 3.5, "linestyle": "--", "linewidth": 1.1}
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def levels(record: Record) -> Any:
    """Time of energy, forces and virial by level: mentor and motep here, others elsewhere."""
    lines = [line for line in record.sections["levels"] if line["species"] == 1]
    figure, axes = new_figure(6.4, 4.0)
    _curve(axes, elsewhere.MLIP3, "MLIP-3 (elsewhere)", PINK, NOTED)
    _curve(axes, elsewhere.MLIP2, "MLIP-2 (elsewhere)", YELLOW, NOTED)
    if "motep" in lines[0]:
        _curve(axes, _column(lines, "motep"), "motep 0.2.0", ORANGE, MEASURED)
    _curve(axes, _column(lines, "double"), "mentor", BLUE, MEASURED)
    _curve(axes, _column(lines, "mixed"), "mentor, mixed precision", SKY, MEASURED)
    _finish(axes, "µs per atom: energy, forces, virial")
    return figure


def lammps_levels(record: Record) -> Any:
    """Time of a step of molecular dynamics in LAMMPS by level."""
    lines = record.sections["levels"]
    figure, axes = new_figure(6.4, 4.0)
    _curve(axes, elsewhere.ML_MTP, "ML-MTP (elsewhere)", PINK, NOTED)
    _curve(axes, _column(lines, "grades"), "mentor, grades every step", GREEN, MEASURED)
    _curve(axes, _column(lines, "double"), "mentor", BLUE, MEASURED)
    _curve(axes, _column(lines, "mixed"), "mentor, mixed precision", SKY, MEASURED)
    for line in record.sections.get("snap", []):
        axes.axhline(line["time"], color=INK, linewidth=0.9, linestyle=":")
        axes.text(7.9, line["time"] * 1.06, f"SNAP, 2Jmax {line['twojmax']}", fontsize=8)
    _finish(axes, "µs per atom and step in LAMMPS")
    return figure


def scaling(record: Record) -> Any:
    """Time per atom, and memory, by the number of atoms."""
    figure, (above, below) = new_figure(6.4, 5.0, rows=2)
    for where, name, colour in (("python", "Python", BLUE), ("lammps", "LAMMPS", ORANGE)):
        lines = [line for line in record.sections["sizes"] if line["where"] == where]
        atoms = [line["atoms"] for line in lines]
        above.plot(atoms, [line["time"] for line in lines], color=colour, label=name, **MEASURED)
        below.plot(
            atoms,
            [max(line["memory"], 1) / 1e6 for line in lines],
            color=colour,
            label=name,
            **MEASURED,
        )
    level = record.sections["sizes"][0]["level"]
    above.set(xscale="log", ylabel=f"µs per atom, level {level}", ylim=(0, None))
    below.set(xscale="log", yscale="log", xlabel="atoms", ylabel="memory, MB", ylim=(0.1, None))
    above.legend(frameon=False)
    return figure


def fractions(record: Record) -> Any:
    """Fraction of the arithmetic peak by level."""
    lines = record.sections["peak"]
    figure, axes = new_figure(6.4, 3.2)
    for name, colour in (("double", BLUE), ("mixed", SKY)):
        values = [100 * line[name]["fraction"] for line in lines]
        axes.plot([line["level"] for line in lines], values, color=colour, label=name, **MEASURED)
    axes.set(xlabel="level", ylabel="% of one core's peak", ylim=(0, 100))
    axes.legend(frameon=False)
    return figure


def _column(lines: list[dict], name: str) -> dict[int, float]:
    return {line["level"]: line[name] for line in lines}


def _curve(axes: Any, times: dict[int, float], name: str, colour: str, style: dict) -> None:
    """One curve, with its name beside the last point."""
    x, y = list(times), list(times.values())
    axes.plot(x, y, color=colour, label=name, **style)


def _finish(axes: Any, label: str) -> None:
    axes.set(yscale="log", xlabel="level", ylabel=label, xticks=range(8, 25, 2))
    low, high = axes.get_ylim()
    shown = [tick for tick in TICKS if low <= tick <= high]
    axes.set_yticks(shown, [f"{tick:g}" for tick in shown])
    axes.minorticks_off()
    handles, names = axes.get_legend_handles_labels()
    axes.legend(
        handles, names, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8.5
    )
