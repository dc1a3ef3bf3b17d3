"""What a search for settings found: each candidate's cost and error, and which was chosen."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.table import Table

from mentor import plots
from mentor.basis import LEVEL_WEIGHTS
from mentor.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLOSE = 1.05
"""The cheapest candidate is chosen whose validation error is at most so many times the least."""

SAME_COST = 1.05
"""Costs whose ratio is below this count as equal: they cannot be measured any better."""


class Setting(NamedTuple):
    """What is chosen."""

    level: int
    cutoff: float
    """Å."""
    radial_basis_size: int
    level_weights: tuple[int, ...] = LEVEL_WEIGHTS

    @property
    def named_level(self) -> str:
        """The level, with its weights where they are not the usual ones."""
        usual = self.level_weights == LEVEL_WEIGHTS
        return f"{self.level}" if usual else f"{self.level} ({self._weights})"

    @property
    def options(self) -> str:
        """What gives it to ``mentor train``."""
        usual = self.level_weights == LEVEL_WEIGHTS
        return (
            f"--level {self.level}{'' if usual else f' --level-weights {self._weights}'} "
            f"--cutoff {self.cutoff:g} --radial-basis-size {self.radial_basis_size}"
        )

    @property
    def _weights(self) -> str:
        return ",".join(map(str, self.level_weights))

    def __str__(self) -> str:
        return (
            f"level {self.named_level}, cutoff {self.cutoff:g} Å, "
            f"radial_basis_size {self.radial_basis_size}"
        )


@dataclass(frozen=True)
class Candidate:
    """A setting that was tried, what it costs and how wrong it is."""

    setting: Setting
    parameters: int
    error: float
    """Square root of the validation loss; NaN where nothing validates."""
    energy_rmse: float
    """Of the validation structures, eV/atom; NaN where none has an energy."""
    force_rmse: float
    """eV/Å per component; NaN where none has forces."""
    structures: int
    """Fitted to."""
    seconds: float
    """Of its fit."""
    cost: float = np.nan
    """µs per atom for energies and forces on one core of this machine."""
    on_front: bool = True
    """Whether no other candidate is more accurate at the same cost or less."""
    chosen: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The fields under names with units; None for NaN."""
        line = {
            **self.setting._asdict(),
            "parameters": self.parameters,
            "µs_per_atom": self.cost,
            "validation_error": self.error,
            "validation_energy_rmse_eV_per_atom": self.energy_rmse,
            "validation_force_rmse_eV_per_Å": self.force_rmse,
            "structures": self.structures,
            "seconds": self.seconds,
            "on_front": self.on_front,
            "chosen": self.chosen,
        }
        return {name: None if value != value else value for name, value in line.items()}


@dataclass(frozen=True)
class Choice:
    """The candidates by cost, one of them chosen."""

    rows: tuple[Candidate, ...]
    starts: int
    """Starting points that the final fit compares."""
    reason: str
    """Why this one was chosen and no others were tried."""
    seconds: float

    @property
    def chosen(self) -> Candidate:
        """The one chosen."""
        return next(row for row in self.rows if row.chosen)

    @property
    def options(self) -> str:
        """What to give ``mentor train`` so that it does the same without a search."""
        return f"{self.chosen.setting.options} --starts {self.starts}"

    def as_dict(self) -> dict[str, Any]:
        """The chosen setting and all rows, as plain values."""
        return {
            **self.chosen.setting._asdict(),
            "starts": self.starts,
            "options": self.options,
            "reason": self.reason,
            "seconds": self.seconds,
            "rows": [row.as_dict() for row in self.rows],
        }

    def __rich__(self) -> Table:
        """The candidates, from the cheapest to the most expensive."""
        table = Table(
            title="accuracy against cost, by validation",
            caption="* chosen; + the most accurate at its cost or less\n"
            f"{self.reason}\nthe same again: {self.options}",
            caption_justify="left",
            box=None,
            pad_edge=False,
        )
        for name in ("", "level", "cutoff\n(Å)", "radial\nbasis", "parameters"):
            table.add_column(name, justify="right")
        for name in ("cost\n(µs/atom)", "energy RMSE\n(meV/atom)", "force RMSE\n(meV/Å)"):
            table.add_column(name, justify="right")
        table.add_column("above\nthe best", justify="right")
        best = min(row.error for row in self.rows)
        for row in self.rows:
            level, cutoff, size = row.setting.named_level, *row.setting[1:3]
            above = 100 * (row.error / best - 1) if best > 0 else np.nan
            table.add_row(
                "*" if row.chosen else "+" if row.on_front else "",
                *(level, f"{cutoff:g}", str(size), str(row.parameters)),
                *map(_shown, (row.cost, 1000 * row.energy_rmse, 1000 * row.force_rmse)),
                f"{above:.0f} %" if np.isfinite(above) else "-",
            )
        return table

    def figure(self) -> "Figure":
        """Validation errors of energies and forces against the cost, with the front."""
        panels = [
            (1000 * np.array([row.energy_rmse for row in self.rows]), "energy", "meV/atom"),
            (1000 * np.array([row.force_rmse for row in self.rows]), "force component", "meV/Å"),
        ]
        panels = [each for each in panels if np.isfinite(each[0]).any()] or panels[:1]
        figure, axes = plots.new_figure(4.6 * len(panels), 3.8, columns=len(panels))
        for own, (errors, name, unit) in zip(np.atleast_1d(axes), panels, strict=True):
            self._draw(own, errors)
            own.set(xlabel="cost (µs per atom, one core)", ylabel=f"RMSE of {name} ({unit})")
        return figure

    def _draw(self, axes: "Axes", errors: np.ndarray) -> None:
        costs = np.array([row.cost for row in self.rows])
        front = np.array([row.on_front for row in self.rows])
        chosen = np.array([row.chosen for row in self.rows])
        axes.plot(costs[~front], errors[~front], "o", color=plots.FAINT, markersize=5)
        axes.plot(
            costs[front], errors[front], "o-", color=plots.COLOURS[0], label="best at its cost"
        )
        axes.plot(
            *(costs[chosen], errors[chosen], "o"),
            color=plots.COLOURS[1],
            markersize=9,
            label=f"chosen: {self.chosen.setting}",
        )
        for row, cost, error in zip(self.rows, costs, errors, strict=True):
            if row.on_front and np.isfinite(error):
                axes.annotate(
                    *(row.setting.named_level, (cost, error)),
                    xytext=(4, 5),
                    textcoords="offset points",
                    fontsize=8,
                )
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            plots.plain_numbers(axis)
        axes.legend(frameon=False, fontsize=8)

    def save(self, output: Path, picture: bool) -> tuple[Path, ...]:
        """Write the record (.json), and a ``picture``, beside ``output``; returns their paths.

        Raises
        ------
        StorageError
            A file cannot be written.
        """
        record = output.with_name(output.stem + "-choice.json")
        write_atomically(record, json.dumps(self.as_dict(), ensure_ascii=False, indent=1) + "\n")
        if not picture:
            return (record,)
        plots.save(self.figure(), record.with_suffix(".png"))
        return (record, record.with_suffix(".png"))


def judged(candidates: Sequence[Candidate], allowed: Sequence[bool]) -> tuple[Candidate, ...]:
    """The candidates by cost, with the front and the chosen one marked.

    Parameters
    ----------
    allowed
        Which of them may be chosen; one at least.
    """
    marked = [
        (replace(each, on_front=_on_front(each, candidates)), may)
        for each, may in zip(candidates, allowed, strict=True)
    ]
    usable = [each for each, may in marked if may and each.on_front]
    usable = usable or [each for each, may in marked if may]
    best = min(each.error for each in usable)
    close = [each for each in usable if not each.error > CLOSE * best]
    chosen = min(close, key=lambda each: (each.cost, each.setting))
    rows = [replace(each, chosen=each is chosen) for each, _ in marked]
    return tuple(sorted(rows, key=lambda each: (each.cost, each.setting)))


def _on_front(candidate: Candidate, others: Sequence[Candidate]) -> bool:
    return not any(
        each.error < candidate.error and each.cost <= SAME_COST * candidate.cost for each in others
    )


def _shown(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "-"
