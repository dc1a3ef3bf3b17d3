"""Which of many structures are worth a QM calculation."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from mentor.active.building import Rows, frame_of, volume_of
from mentor.active.maxvol import REFACTORISE, TOLERANCE, UNIT, Volume
from mentor.active_set import Mode
from mentor.exceptions import InputError
from mentor.potential import Potential
from mentor.structures import check_structures

THRESHOLD = 2.1
"""Grade above which a structure is worth a label."""

_MOST_ROWS = 30_000


def select_structures(
    potential: Potential,
    training: Sequence[Atoms],
    candidates: Sequence[Atoms],
    *,
    threshold: float = THRESHOLD,
    limit: int | None = None,
    mode: Mode = "neighborhood",
) -> list[Atoms]:
    """The candidates that enlarge the volume spanned by the training set, the most telling first.

    The candidate of largest grade is taken, its rows are swapped into the active set, and so on
    until no grade exceeds ``threshold``; duplicates of what was taken have grades ≤ 1 by then.
    Candidates whose rows later ones have driven out again are dropped. Labels are not needed, and
    the potential need not be trained.

    Parameters
    ----------
    training
        May be empty.
    limit
        Largest number of structures to select; None for all.

    Raises
    ------
    InputError
        Structures that cannot be used, unknown elements, or settings that make no sense.
    """
    indices, _ = selected(potential, training, candidates, threshold, limit, mode)
    return [candidates[index] for index in indices]


def selected(
    potential: Potential,
    training: Sequence[Atoms],
    candidates: Sequence[Atoms],
    threshold: float,
    limit: int | None,
    mode: Mode,
) -> tuple[list[int], np.ndarray]:
    """As :func:`select_structures`: indices of the chosen, and grades (S,) of all candidates.

    The grades are those against the training set; they are arbitrarily large where it is empty.
    """
    if not threshold > 1.0:
        raise InputError(f"threshold = {threshold} must be larger than 1")
    if limit is not None and limit < 1:
        raise InputError(f"limit = {limit} must be at least 1")
    for name, structures in (("training set", training), ("candidates", candidates)):
        if len(structures):
            check_structures(structures, potential.elements, name)
    if not len(candidates):
        return [], np.zeros(0)
    rows = Rows(potential, list(candidates), mode)
    known = Rows(potential, list(training), mode)
    frame = frame_of(known if len(training) else rows)
    volume = volume_of(known, frame)
    grades = np.zeros(len(candidates))
    kept, owners = np.zeros((0, len(frame.kept))), np.zeros(0, int)
    for batch, batch_rows in rows:
        scaled = frame(batch_rows)
        by_row = np.abs(scaled @ volume.inverse).max(axis=1)
        own = rows.origin(rows.numbers(batch))[0]
        np.maximum.at(grades, own, by_row)
        worth = (by_row > 1.0 + TOLERANCE) & (grades[own] > threshold)
        kept, owners = np.concatenate([kept, scaled[worth]]), np.concatenate([owners, own[worth]])
        if len(kept) > _MOST_ROWS:
            winners = np.isin(owners, _greedy(volume.copy(), kept, owners, threshold, None))
            kept, owners = kept[winners], owners[winners]
    return _greedy(volume, kept, owners, threshold, limit), grades


def _greedy(
    volume: Volume, rows: np.ndarray, owners: np.ndarray, threshold: float, limit: int | None
) -> list[int]:
    """Owners of the ``rows`` (k, p) that enlarge ``volume``, in order of choice.

    The volume changes; its rows so far lose their owners.
    """
    coefficients = rows @ volume.inverse
    volume.owner[:] = UNIT
    order: list[int] = []
    while len(rows):
        by_row = np.abs(coefficients).max(axis=1)
        best = int(by_row.argmax())
        if not by_row[best] > threshold:
            break
        own = owners == owners[best]
        volume.absorb(rows[own], owners[own], coefficients)
        if volume.swaps >= REFACTORISE:
            volume.refactorise()
            coefficients = rows @ volume.inverse
        order.append(int(owners[best]))
        if limit is not None and len(np.unique(volume.owner[volume.owner != UNIT])) >= limit:
            break
    surviving = set(volume.owner.tolist())
    return [owner for owner in dict.fromkeys(order) if owner in surviving]
