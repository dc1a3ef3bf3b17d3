"""What labelled structures say before any fit: fair samples of them, and cutoffs that suit."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from scipy.spatial.distance import pdist

from mentor.fit.errors import group_of
from mentor.structures import labels

_HELD, _FEWEST_HELD = 0.2, 3  # part of the structures that validate, and least number of them
_MOST_HELD = 20_000  # atoms that validate

_DENSE = 60.0  # Å³ per atom, below which a periodic structure is no molecule in a box
_SPACINGS = (1.7, 2.1, 2.6)  # cutoffs in units of (V/N)^(1/3): about 20, 40 and 75 neighbours
_LARGEST_CUTOFF = 7.5  # Å
_SPARSE_CUTOFFS = (4.0, 5.0, 6.0)  # Å, of molecules, surfaces and the like
_SHORTEST_CUTOFF = 3.0  # Å
_SEEN = 500  # molecules, and atoms of each, of which the extent is measured


def suitable_cutoffs(structures: Sequence[Atoms]) -> tuple[float, ...]:
    """Radii worth a comparison, Å, ascending.

    In dense periodic matter those with about 20, 40 and 75 neighbours; else 4, 5 and 6 Å, as far as
    the molecules extend.
    """
    volumes = [
        atoms.get_volume() / len(atoms) if atoms.pbc.all() else np.inf for atoms in structures
    ]
    volume = float(np.median(volumes))
    if volume < _DENSE:
        radii = [min(each * volume ** (1 / 3), _LARGEST_CUTOFF) for each in _SPACINGS]
        return tuple(sorted({round(each, 1) for each in radii}))
    extents = [
        np.inf if atoms.pbc.any() else pdist(atoms.positions[:_SEEN]).max(initial=0.0)
        for atoms in structures[:: 1 + len(structures) // _SEEN]
    ]
    reach = max(_SHORTEST_CUTOFF, 1.1 * max(extents))
    radii = [each for each in _SPARSE_CUTOFFS if each < reach - 0.4]
    if reach <= _SPARSE_CUTOFFS[-1]:
        radii.append(round(float(reach), 1))
    return tuple(radii)


def by_kind(structures: Sequence[Atoms], seed: int) -> list[int]:
    """Numbers of the structures by kind, in random order within each.

    Any evenly spaced part of them has about the same groups, compositions and labels as the whole.
    """

    def kind(number: int) -> tuple:
        atoms, known = structures[number], labels(structures[number])
        absent = (known.energy is None, known.forces is None, known.virial is None)
        return (*absent, group_of(atoms), atoms.get_chemical_formula())

    shuffled = np.random.default_rng(seed).permutation(len(structures)).tolist()
    return sorted(shuffled, key=kind)


def held_out(structures: Sequence[Atoms], order: Sequence[int]) -> list[int]:
    """Numbers of the structures that validate, all of which have energies."""
    usable = [s for s in order if labels(structures[s]).energy is not None]
    most = _MOST_HELD / np.mean([len(structures[s]) for s in usable])
    number = max(_FEWEST_HELD, int(min(_HELD * len(usable), most)))
    return [usable[place] for place in evenly(len(usable), number)]


def evenly(count: int, number: int) -> list[int]:
    """``number`` of the numbers below ``count``, evenly spaced, the first of them 0."""
    return (np.arange(number) * count // number).tolist()


def label_count(atoms: Atoms) -> int:
    """Number of labels: one for the energy, three per atom for forces, six for the stress."""
    known = labels(atoms)
    return sum(
        np.size(each) for each in (known.energy, known.forces, known.virial) if each is not None
    )
