"""Parity plots of a fit: predictions against labels of each set."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mentor.fit.comparison import Comparison
from mentor.plots import Panel, parities
from mentor.units import GPA

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def parity_plots(
    sets: Mapping[str, Comparison], compositions: Mapping[str, np.ndarray]
) -> "Figure":
    """A picture with a panel each for energies, forces and stresses, as far as there are labels.

    Energies are given per atom and less the sum over elements that fits the first set best, so that
    what a potential has to learn is seen.

    Parameters
    ----------
    sets
        Name -> comparison.
    compositions
        Name -> atoms of each element in its structures, shape (S, elements).
    """
    first = next(iter(sets))
    parts = compositions[first] / sets[first].counts[:, None]
    known = np.isfinite(sets[first].energies[0])
    labels = (sets[first].energies[0] / sets[first].counts)[known]
    of_elements = np.linalg.lstsq(parts[known], labels, rcond=1e-10)[0]
    energies, forces, stresses = {}, {}, {}
    for name, each in sets.items():
        base = compositions[name] @ of_elements
        energies[name] = _known((each.energies - base) / each.counts)
        forces[name] = _known(each.forces.reshape(2, -1))
        stresses[name] = _known((-each.virials / each.volumes[:, None] / GPA).reshape(2, -1))
    panels = [
        Panel(energies, "energy less a sum over elements", "eV/atom", "meV/atom", 1000),
        Panel(forces, "force component", "eV/Å", "meV/Å", 1000),
        Panel(stresses, "stress component", "GPa"),
    ]
    return parities([panel for panel in panels if any(len(a) for a, _ in panel.sets.values())])


def _known(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions where both are known."""
    known = np.isfinite(pairs).all(axis=0)
    return pairs[0][known], pairs[1][known]
