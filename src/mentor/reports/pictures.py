"""The pictures of a campaign's report, each a function of its history."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from mentor.learning.history import CampaignHistory, Stretch
from mentor.plots import COLOURS, INK, MAX_POINTS, new_figure, parity, plain_numbers
from mentor.reports.uncertainty import Expectation
from mentor.structures import labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Predictions = tuple[Sequence[Atoms], np.ndarray, Sequence[np.ndarray]]
"""Labelled structures with the potential's energies (eV) and forces (eV/Å)."""


def qm_calls(history: CampaignHistory) -> "Figure":
    """Labels in the training set against steps of molecular dynamics, with the last call marked."""
    figure, axes = new_figure()
    points = [(0, 0), *history.qm_calls_by_step()]
    steps, calls = (np.array(column) for column in zip(*points, strict=True))
    axes.step(steps, calls, where="post", color=COLOURS[0])
    axes.fill_between(steps, calls, step="post", color=COLOURS[0], alpha=0.12, linewidth=0)
    last = steps[np.flatnonzero(np.diff(calls))[-1] + 1] if np.any(np.diff(calls)) else 0
    if 0 < last < steps[-1]:
        axes.axvline(last, color=INK, linewidth=0.8, linestyle=":")
        axes.annotate(
            f"last QM calculation\nnone in the last {1 - last / steps[-1]:.0%} of the dynamics",
            (last, 0.06 * calls[-1]),
            xytext=(-6 if last > 0.5 * steps[-1] else 6, 0),
            textcoords="offset points",
            ha="right" if last > 0.5 * steps[-1] else "left",
        )
    axes.set(
        xlabel="steps of molecular dynamics (all walkers)",
        ylabel="QM calculations trained on",
        xlim=(0, None),
        ylim=(0, None),
    )
    return figure


def grades(history: CampaignHistory) -> "Figure":
    """Extrapolation grades along the dynamics, by temperature and pressure, with the thresholds."""
    figure, axes = new_figure()
    by_kind: dict[str, list[Stretch]] = defaultdict(list)
    for each in history.iterations:
        if each.phase == "learning":
            for stretch in each.stretches:
                by_kind[_kind(stretch)].append(stretch)
    for (kind, stretches), colour in zip(sorted(by_kind.items()), _cycle(), strict=False):
        points = np.array([pair for stretch in stretches for pair in stretch.grades], float)
        if not len(points):
            continue
        style = {"color": colour, "markersize": 3.5, "alpha": 0.7, "rasterized": True}
        axes.plot(*points.T, ".", label=kind, **style)
        stops = np.array([each.grades[-1] for each in stretches if each.stopped and each.grades])
        if len(stops):
            axes.plot(*stops.T, "x", color=colour, markersize=6)
    select = history.settings.select
    for value, text, up in (
        (select.threshold, "worth a label", -1),
        (select.stop, "stop and go back", 1),
    ):
        axes.axhline(value, color=INK, linewidth=0.8, linestyle="--")
        axes.annotate(
            f"{text} (γ > {value:g})",
            (1, value),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3 * up),
            textcoords="offset points",
            ha="right",
            va="bottom" if up > 0 else "top",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1},
        )
    axes.set_yscale("log")
    plain_numbers(axes.yaxis)
    axes.set(xlabel="step of the walker", ylabel="largest extrapolation grade γ", xlim=(0, None))
    if by_kind:
        figure.legend(
            loc="outside upper left", ncols=4, handletextpad=0.1, markerscale=2, frameon=False
        )
    return figure


def learning_curve(history: CampaignHistory) -> "Figure":
    """Errors on new structures before they were trained on, against the labels known by then."""
    figure, both = new_figure(rows=2)
    curve = history.learning_curve()
    for axes, attribute, name in (
        (both[0], "energy_mae", "energy MAE\n(meV/atom)"),
        (both[1], "force_mae", "force MAE\n(meV/Å)"),
    ):
        points = [(n, getattr(errors, attribute)) for n, errors in curve]
        points = [(n, 1000 * value) for n, value in points if value]
        if points:
            axes.plot(*zip(*points, strict=True), "o-", color=COLOURS[0], markersize=4)
        if history.validation and (final := getattr(history.validation.errors, attribute)):
            star = {"color": COLOURS[1], "markersize": 12}
            axes.plot([history.training_size], [1000 * final], "*", **star)
        if axes.lines:
            axes.set_yscale("log")
            plain_numbers(axes.yaxis)
        axes.set_ylabel(name)
    both[1].set_xlabel("QM calculations trained on")
    return figure


def parities(sets: dict[str, Predictions]) -> "dict[str, Figure]":
    """Parity plots of energies (above a fit per element) and force components."""
    references = [_energies(structures) for structures, _, _ in sets.values()]
    counts = [_compositions(structures) for structures, _, _ in sets.values()]
    elements = sorted(set().union(*(one for each in counts for one in each)))
    rows = [np.array([[c.get(e, 0) for e in elements] for c in each], float) for each in counts]
    atoms = [each.sum(axis=1) for each in rows]
    per_atom = [row / n[:, None] for row, n in zip(rows, atoms, strict=True)]
    stacked = np.concatenate([e / n for e, n in zip(references, atoms, strict=True)])
    offsets = np.linalg.lstsq(np.concatenate(per_atom), stacked, rcond=None)[0]
    energies, forces = {}, {}
    for (name, (structures, predicted, pulls)), e, row, n in zip(
        sets.items(), references, rows, atoms, strict=True
    ):
        baseline = row @ offsets
        energies[name] = ((e - baseline) / n, (predicted - baseline) / n)
        true = np.concatenate([labels(each).forces for each in structures])
        forces[name] = (true.ravel(), np.concatenate(pulls).ravel())
    return {
        "energies": parity(energies, "energy above the mean", "eV/atom", "meV/atom", 1000),
        "forces": parity(forces, "force component", "eV/Å", "meV/Å", 1000),
    }


def expected_errors(expectation: Expectation) -> "Figure":
    """Force errors of validation structures against those expected, coloured by grade."""
    figure, axes = new_figure()
    expected, found = 1000 * expectation.expected, 1000 * expectation.found
    shown = slice(None, None, -(-len(found) // MAX_POINTS))
    points = axes.scatter(
        expected[shown],
        found[shown],
        c=expectation.grades[shown],
        s=7,
        alpha=0.6,
        linewidths=0,
        cmap="viridis",
        rasterized=True,
    )
    order = np.argsort(expected)
    bins = np.array_split(order, max(1, min(12, len(order) // 30)))
    middle = [np.median(expected[own]) for own in bins]
    level = [np.quantile(found[own], 0.68) for own in bins]
    axes.plot(middle, level, "o-", color=COLOURS[1], markersize=5, label="68 % of those found")
    ends = np.array([expected.min(), expected.max()])
    axes.plot(ends, ends, color=INK, linewidth=1.0, label="68 % expected")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="expected force error (meV/Å)",
        ylabel="force error (meV/Å)",
        ylim=(max(np.quantile(found, 0.02), 1e-3 * ends[0]), 1.5 * found.max()),
    )
    axes.legend(loc="lower right", framealpha=0.9, edgecolor="none")
    figure.colorbar(points, label="grade γ")
    return figure


def time_spent(history: CampaignHistory) -> "Figure":
    """Wall time of the campaign against molecular dynamics of as many steps with the QM code."""
    figure, axes = new_figure(height=1.7)
    pure, _ = history.time_saved()
    names = {"explore": "dynamics", "label": "QM", "fit": "fits", "select": "selection"}
    parts = dict.fromkeys(names, 0.0)
    for each in history.iterations:
        for name, seconds in each.seconds.items():
            parts[name] = parts.get(name, 0.0) + seconds
    unit, size = _time_unit(max(pure, sum(parts.values())))
    axes.barh([1], [pure / size], color=COLOURS[4], height=0.6)
    left = 0.0
    for (name, seconds), colour in zip(parts.items(), COLOURS, strict=False):
        label = names.get(name, name)
        axes.barh([0], [seconds / size], left=left, color=colour, height=0.6, label=label)
        left += seconds / size
    axes.set_yticks([0, 1], ["this campaign", "QM dynamics\n(estimate)"])
    axes.grid(visible=False, axis="y")
    axes.set(xlabel=f"wall time ({unit})")
    figure.legend(loc="outside upper right", ncols=4, frameon=False)
    return figure


def _kind(stretch: Stretch) -> str:
    pressure = "" if stretch.pressure is None else f", {stretch.pressure:g} GPa"
    return f"{stretch.temperature:g} K{pressure}"


def _cycle() -> list[str]:
    return list(COLOURS) * 20


def _energies(structures: Sequence[Atoms]) -> np.ndarray:
    return np.array([labels(each).energy for each in structures])


def _compositions(structures: Sequence[Atoms]) -> list[dict[str, int]]:
    return [dict(each.symbols.formula.count()) for each in structures]


def _time_unit(seconds: float) -> tuple[str, float]:
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds > 2 * size:
            return unit, size
    return "s", 1.0
