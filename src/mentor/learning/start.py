"""Where a campaign begins: starting structures, rattled copies, an untrained potential."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

from mentor import formats
from mentor import potential as potentials
from mentor.exceptions import InputError
from mentor.learning.settings import CampaignSettings, PotentialSettings, StructureSettings
from mentor.potential import Potential
from mentor.short_range import core_radii
from mentor.structures import check_structures, shortest_distances

CLOSER = 0.8
"""min_dist and the core are by default this part of the shortest distances at the beginning."""


def starting_structures(settings: StructureSettings) -> list[Atoms]:
    """All structures of the files ``settings.start``, without labels and momenta.

    Raises
    ------
    InputError
        A file is missing or unreadable, or a structure cannot be used.
    """
    structures = []
    for path in settings.start:
        read = formats.read_structures(path)
        check_structures(read, source=str(path))
        structures += [bare(atoms) for atoms in read]
    return structures


def bare(atoms: Atoms) -> Atoms:
    """A copy with positions, cell, constraints, charges and magnetic moments, and nothing else."""
    copy = Atoms(
        numbers=atoms.numbers,
        positions=atoms.positions,
        cell=atoms.cell,
        pbc=atoms.pbc,
        constraint=[each.copy() for each in atoms.constraints],
    )
    for name in ("initial_charges", "initial_magmoms"):
        if name in atoms.arrays:
            copy.arrays[name] = atoms.arrays[name].copy()
    return copy


def rattled_copies(
    starts: Sequence[Atoms], settings: StructureSettings, rng: np.random.Generator
) -> list[Atoms]:
    """``settings.initial`` structures near ``starts``, by turns; the first of each is unchanged.

    Displacements (and strains of periodic cells) grow from copy to copy up to the σ of
    ``settings``, so that curvature and anharmonicity are both in the first training set.
    """
    copies = []
    rounds = max(1, -(-settings.initial // len(starts)))
    for number in range(max(settings.initial, len(starts))):
        start = starts[number % len(starts)]
        amplitude = (number // len(starts)) / max(1, rounds - 1)
        copies.append(_rattled(start, amplitude, settings, rng))
    return copies


def _rattled(
    start: Atoms, amplitude: float, settings: StructureSettings, rng: np.random.Generator
) -> Atoms:
    atoms = start.copy()
    if atoms.pbc.any():
        noise = settings.strain * rng.standard_normal((3, 3))
        strain = amplitude * (noise + noise.T) / 2
        strain *= np.outer(atoms.pbc, atoms.pbc)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    displacements = amplitude * settings.rattle * rng.standard_normal((len(atoms), 3))
    # set_positions keeps the constrained coordinates where they are.
    atoms.set_positions(atoms.positions + displacements)
    return atoms


def first_potential(
    settings: CampaignSettings, structures: Sequence[Atoms], seed: int
) -> Potential:
    """The potential to go on from, or an untrained one for the elements of ``structures``.

    Raises
    ------
    InputError
        The given potential lacks an element, or the settings of the potential make no sense.
    """
    own: PotentialSettings = settings.potential
    found = {symbol for atoms in structures for symbol in atoms.get_chemical_symbols()}
    if own.start is not None:
        potential = potentials.load(Path(own.start), own.elements or None)
        elements = potential.elements or ()
    else:
        elements = own.elements or tuple(sorted(found, key=_atomic_number))
        potential = None
    missing = sorted(found - set(elements), key=_atomic_number)
    if missing:
        raise InputError(
            f"[potential] elements {', '.join(elements) or '(none)'} lack {', '.join(missing)} of "
            "the structures; name all elements"
        )
    if potential is not None:
        return potential
    distances = shortest_distances(structures, own.cutoff)
    min_dist = own.min_dist
    if min_dist is None:
        min_dist = round(CLOSER * min(distances.values(), default=own.cutoff), 3)
    return potentials.init(
        level=own.level,
        level_weights=own.level_weights,
        elements=elements,
        cutoff=own.cutoff,
        min_dist=min_dist,
        radial_basis_size=own.radial_basis_size,
        core=own.core,
        core_radii=core_radii(elements, own.cutoff, distances, CLOSER),
        seed=seed,
    )


def _atomic_number(symbol: str) -> int:
    return int(Atoms(symbol).numbers[0])
