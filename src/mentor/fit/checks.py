"""Checks of labelled structures before a fit: what cannot be right is named, with the reason.

Nothing is left out and nothing stops: whether a finding is a mistake or the most interesting
structure of the set is for its owner to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from scipy.linalg import LinAlgError

from mentor.fit.consistency import energies_beside_forces, stresses_beside_energies
from mentor.fit.disagreement import BEFORE, disagreements
from mentor.fit.errors import group_of
from mentor.fit.findings import Finding, in_order
from mentor.fit.probe import probe, small_potential
from mentor.fit.robust import Trust
from mentor.fit.weighing import without_weights
from mentor.neighbourhoods import find_pairs
from mentor.structures import labels

_CLOSE = 0.55  # distance in units of the sum of covalent radii below which atoms are far too close
_CLOSER = 0.7  # ... if it is also below this part of the usual shortest distance of the set
_SAME = 1e-3  # Å by which positions of one structure given twice may differ
_ENERGY, _FORCE = 0.002, 0.05  # eV/atom and eV/Å by which labels of one structure may differ


@dataclass(frozen=True, eq=False)
class Checked:
    """What is odd about S structures."""

    findings: tuple[Finding, ...]
    """Numbered from 0."""
    trust: Trust
    """How much each label counts in a robust fit."""


def check(structures: Sequence[Atoms], elements: Sequence[str], cutoff: float) -> Checked:
    """What is odd about labelled ``structures``.

    Parameters
    ----------
    elements, cutoff
        Those of the potential that is to be fitted (Å).
    """
    close = _too_close(structures)
    found = [*close, *_contradictions(structures)]
    odd = {each.index for each in close}
    usable = [s for s in range(len(structures)) if s not in odd]
    plain = without_weights([structures[s] for s in usable])
    try:
        judge = probe(plain, elements, cutoff)
    except (LinAlgError, FloatingPointError):  # labels beyond all bounds
        judge = None
    trust = Trust.full(len(structures))
    if judge is not None:
        own = Trust.of(judge.comparison)
        trust.energy[usable], trust.force[usable] = own.energy, own.force
        trust.stress[usable] = own.stress
        start = small_potential(plain, elements, cutoff)
        units = energies_beside_forces(start, plain) + stresses_beside_energies(judge.comparison)
        found += units
        found += [
            Finding(usable[each.index], each.group, each.kind, each.reason)
            for each in disagreements(judge.comparison, plain, BEFORE)
        ]
    return Checked(in_order(found), trust)


def _too_close(structures: Sequence[Atoms]) -> list[Finding]:
    """Structures with atoms much closer than in all others."""
    radius = 1.01 * 2 * max(covalent_radii[z] for atoms in structures for z in set(atoms.numbers))
    ratios, places = np.full(len(structures), np.nan), {}
    for s, atoms in enumerate(structures):
        _, offsets, second, vectors = find_pairs([atoms], radius)
        if not len(second):
            continue
        first = np.repeat(np.arange(len(atoms)), np.diff(offsets))
        distances = np.linalg.norm(vectors, axis=1)
        sums = covalent_radii[atoms.numbers[first]] + covalent_radii[atoms.numbers[second]]
        pair = int(np.argmin(distances / sums))
        ratios[s] = distances[pair] / sums[pair]
        places[s] = (int(first[pair]), int(second[pair]), float(distances[pair]))
    if not places:
        return []
    least = min(_CLOSE, _CLOSER * float(np.nanmedian(ratios)))
    found = []
    for s in np.flatnonzero(ratios < least).tolist():
        i, j, distance = places[s]
        a, b = structures[s].symbols[i], structures[s].symbols[j]
        reason = f"its atoms {i} ({a}) and {j} ({b}) are only {distance:.3g} Å apart"
        found.append(Finding(s, group_of(structures[s]), "distance", reason))
    return found


def _contradictions(structures: Sequence[Atoms]) -> list[Finding]:
    """Structures given twice with different labels."""
    kinds: dict[tuple, list[int]] = {}
    for s, atoms in enumerate(structures):
        key = (tuple(atoms.numbers.tolist()), tuple(atoms.pbc.tolist()))
        kinds.setdefault(key, []).append(s)
    found = []
    for members in kinds.values():
        if len(members) == 1:
            continue
        places = np.array([_place(structures[s]) for s in members])
        direction = np.random.default_rng(0).normal(size=places.shape[1])
        order = np.argsort(places @ direction, kind="stable")
        same = np.abs(np.diff(places[order], axis=0)).max(axis=1) <= _SAME
        for a, b in zip(order[:-1][same], order[1:][same], strict=True):
            first, second = sorted((members[a], members[b]))
            reason = _contradiction(structures[first], structures[second])
            if reason:
                text = f"it is the same as structure {first}, but {reason}"
                found.append(Finding(second, group_of(structures[second]), "duplicate", text))
    return found


def _place(atoms: Atoms) -> np.ndarray:
    """Cell and positions relative to the first atom, shape (9 + 3 N,)."""
    return np.concatenate(
        [atoms.cell.array.ravel(), (atoms.positions - atoms.positions[0]).ravel()]
    )


def _contradiction(first: Atoms, second: Atoms) -> str:
    a, b = labels(first), labels(second)
    reasons = []
    if a.energy is not None and b.energy is not None:
        difference = abs(a.energy - b.energy)
        if difference > _ENERGY * len(first):
            reasons.append(f"their energies differ by {difference:.3g} eV")
    if a.forces is not None and b.forces is not None:
        difference = np.linalg.norm(a.forces - b.forces, axis=1).max()
        if difference > _FORCE:
            reasons.append(f"their forces differ by up to {difference:.3g} eV/Å")
    return " and ".join(reasons)
