"""Pictures: one style for all, the parity plot, and how a figure becomes a file.

Figures are made without pyplot, so that nothing global changes and no window can open.
"""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mentor.exceptions import InputError
from mentor.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Colours that remain distinct for colour-blind readers (Okabe and Ito)."""

INK, FAINT = "#1d2733", "#d7dde3"

MAX_POINTS = 20_000
"""Points drawn per set of a parity plot; the figures in the legend are those of all points."""

_STYLE = {
    "font.size": 9.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "svg.hashsalt": "mentor",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@dataclass(frozen=True)
class Panel:
    """What a parity plot shows."""

    sets: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """Name -> (references, predictions), arrays of equal length in ``unit``."""
    quantity: str
    """Name on the axes."""
    unit: str
    error_unit: str | None = None
    error_scale: float = 1.0
    """Errors in the legend are multiplied by it, to be in ``error_unit``."""


def new_figure(
    width: float = 6.0, height: float = 3.6, rows: int = 1, columns: int = 1
) -> "tuple[Figure, Any]":
    """An empty figure (inches) in mentor's style with axes, or an array of them."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, sharex=rows > 1)


def parity(
    sets: Mapping[str, tuple[np.ndarray, np.ndarray]],
    quantity: str,
    unit: str,
    error_unit: str | None = None,
    error_scale: float = 1.0,
) -> "Figure":
    """Predictions against references, one colour per set, with mean absolute errors.

    The arguments are the fields of :class:`Panel`.
    """
    return parities([Panel(sets, quantity, unit, error_unit, error_scale)])


def parities(panels: Sequence[Panel]) -> "Figure":
    """Parity plots side by side."""
    figure, axes = new_figure(
        5.4 if len(panels) == 1 else 4.6 * len(panels),
        5.0 if len(panels) == 1 else 4.4,
        columns=len(panels),
    )
    for panel, own in zip(panels, np.atleast_1d(axes), strict=True):
        _draw_parity(own, panel)
    return figure


def _draw_parity(axes: "Axes", panel: Panel) -> None:
    everything = []
    for (name, (reference, predicted)), colour in zip(panel.sets.items(), COLOURS, strict=False):
        reference, predicted = np.ravel(reference), np.ravel(predicted)
        if not len(reference):
            continue
        error = panel.error_scale * np.abs(predicted - reference).mean()
        shown = slice(None, None, -(-len(reference) // MAX_POINTS))
        axes.plot(
            reference[shown],
            predicted[shown],
            ".",
            color=colour,
            markersize=4,
            markeredgewidth=0,
            alpha=0.6,
            rasterized=True,
            label=f"{name}: MAE {error:.3g} {panel.error_unit or panel.unit}",
        )
        everything += [reference, predicted]
    if everything:
        low, high = np.min(np.concatenate(everything)), np.max(np.concatenate(everything))
        margin = 0.04 * (high - low) or 1.0
        ends = (low - margin, high + margin)
        axes.plot(ends, ends, color=INK, linewidth=0.8, zorder=0)
        axes.set(xlim=ends, ylim=ends)
        axes.legend(loc="upper left", handletextpad=0.2, frameon=False, markerscale=2)
    axes.set(
        xlabel=f"QM {panel.quantity} ({panel.unit})",
        ylabel=f"predicted {panel.quantity} ({panel.unit})",
    )
    axes.set_aspect("equal")


def plain_numbers(axis: "Axis") -> None:
    """Ticks 1, 2, 5, 10, … on a logarithmic axis; decades only where it spans many."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 1000 else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def svg(figure: "Figure") -> str:
    """The figure as SVG text."""
    return _render(figure, "svg").decode()


def save(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Write a figure to ``.png``, ``.svg`` or ``.pdf``.

    Raises
    ------
    InputError
        Another ending.
    StorageError
        The file cannot be written.
    """
    ending = Path(path).suffix.removeprefix(".").lower()
    if ending not in ("png", "svg", "pdf"):
        raise InputError(f"{path}: pictures are written as .png, .svg or .pdf")
    write_atomically(path, _render(figure, ending))


def _render(figure: "Figure", ending: str) -> bytes:
    import matplotlib

    date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[ending]
    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format=ending, dpi=160, metadata=date)
    return buffer.getvalue()
