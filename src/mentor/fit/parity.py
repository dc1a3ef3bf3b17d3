"""Parity plots of a fit: predictions against labels of each set."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mentor import plots
from mentor.fit.comparison import Comparison, compare
from mentor.fit.data import TrainingData
from mentor.plots import Panel, parities
from mentor.potential import Potential
from mentor.structures import compositions
from mentor.units import GPA

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def parity_plots(sets: Mapping[str, Comparison], counts: Mapping[str, np.ndarray]) -> "Figure":
    """A picture with a panel each for energies, forces and stresses, as far as there are labels.

    Energies are given per atom and less the sum over elements that fits the first set best, so that
    what a potential has to learn is seen.

    Parameters
    ----------
    sets
        Name -> comparison.
    counts
        Name -> atoms of each element in its structures, shape (S, elements).
    """
    first = next(iter(sets))
    parts = counts[first] / sets[first].counts[:, None]
    known = np.isfinite(sets[first].energies[0])
    labels = (sets[first].energies[0] / sets[first].counts)[known]
    of_elements = np.linalg.lstsq(parts[known], labels, rcond=1e-10)[0]
    energies, forces, stresses = {}, {}, {}
    for name, each in sets.items():
        base = counts[name] @ of_elements
        energies[name] = _known((each.energies - base) / each.counts)
        forces[name] = _known(each.forces.reshape(2, -1))
        stresses[name] = _known((-each.virials / each.volumes[:, None] / GPA).reshape(2, -1))
    panels = [
        Panel(energies, "energy less a sum over elements", "eV/atom", "meV/atom", 1000),
        Panel(forces, "force component", "eV/Å", "meV/Å", 1000),
        Panel(stresses, "stress component", "GPa"),
    ]
    return parities([panel for panel in panels if any(len(a) for a, _ in panel.sets.values())])


def draw(path: Path, potential: Potential, data: TrainingData) -> None:
    """Write the parity plots of all sets of a training.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    sets = {"training": data.structures, "validation": data.validation, "test": data.test}
    sets = {name: structures for name, structures in sets.items() if structures}
    elements = potential.elements
    plots.save(
        parity_plots(
            {name: compare(potential, each) for name, each in sets.items()},
            {name: compositions(each, elements) for name, each in sets.items()},
        ),
        path,
    )


def _known(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions where both are known."""
    known = np.isfinite(pairs).all(axis=0)
    return pairs[0][known], pairs[1][known]
