"""The active set of a training set."""

from collections.abc import Iterator, Sequence

import numpy as np
from ase import Atoms

from mentor import progress
from mentor.active.coordinates import Coordinates, coordinates, rows_of
from mentor.active.maxvol import UNIT, Volume, independent_rows, spanning
from mentor.active_set import ActiveSet, Mode
from mentor.exceptions import InputError
from mentor.potential import Potential
from mentor.structures import check_structures

BATCH = 5_000
"""Atoms whose rows are held at once where not all of them fit."""

_MEMORY = 400_000_000  # bytes of rows that are kept instead of computed again in every pass
_PASSES = 20


class Rows:
    """The rows of many structures, batch by batch, kept where they are not too many."""

    def __init__(self, potential: Potential, structures: Sequence[Atoms], mode: Mode) -> None:
        if mode not in ("neighborhood", "configuration"):
            raise InputError(f"mode = {mode!r} is not one of neighborhood, configuration")
        self.potential = potential
        self.structures = structures
        self.per_structure = mode == "configuration"
        sizes = np.ones(len(structures), int) if self.per_structure else list(map(len, structures))
        self.offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
        self._batches = list(_batches(structures))
        bytes_ = 8 * potential.parameter_count * int(self.offsets[-1])
        self._kept: dict[int, np.ndarray] | None = {} if bytes_ <= _MEMORY else None

    def __iter__(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Pairs of the structures of a batch and their rows (k, m)."""
        with progress.task("rows", len(self.structures)) as task:
            for index, batch in enumerate(self._batches):
                rows = self._kept.get(index) if self._kept is not None else None
                if rows is None:
                    rows = rows_of(self.potential, self.structures[batch], self.per_structure)
                    if self._kept is not None:
                        self._kept[index] = rows
                yield batch, rows
                task.advance(batch.stop - batch.start)

    def numbers(self, batch: slice) -> np.ndarray:
        """Numbers of the rows of ``batch`` among all rows."""
        return np.arange(self.offsets[batch.start], self.offsets[batch.stop])

    def origin(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Structure, and atom in it (0 in `configuration` mode), of rows by their numbers."""
        structure = np.searchsorted(self.offsets, numbers, side="right") - 1
        return structure, numbers - self.offsets[structure]


def _batches(structures: Sequence[Atoms]) -> Iterator[slice]:
    start, atoms = 0, 0
    for index, structure in enumerate(structures):
        if atoms and atoms + len(structure) > BATCH:
            yield slice(start, index)
            start, atoms = index, 0
        atoms += len(structure)
    if start < len(structures):
        yield slice(start, len(structures))


def frame_of(rows: Rows) -> Coordinates:
    """Coordinates for ``rows``."""
    largest = np.zeros(rows.potential.parameter_count)
    for _, batch_rows in rows:
        largest = np.maximum(largest, np.abs(batch_rows).max(axis=0, initial=0.0))
    return coordinates(rows.potential, rows.structures, largest, rows.per_structure)


def volume_of(rows: Rows, frame: Coordinates) -> Volume:
    """The rows of maximal volume among all ``rows``, owned by their numbers."""
    best, numbers = np.zeros((0, len(frame.kept))), np.zeros(0, int)
    for batch, batch_rows in rows:
        best = np.concatenate([best, frame(batch_rows)])
        numbers = np.concatenate([numbers, rows.numbers(batch)])
        order = independent_rows(best)
        best, numbers = best[order], numbers[order]
    volume = spanning(best, numbers, len(frame.kept))
    for _ in range(_PASSES):
        swaps = sum(volume.absorb(frame(part), rows.numbers(batch)) for batch, part in rows)
        volume.refactorise()
        if swaps == 0:
            break
    return volume


def build_active_set(
    potential: Potential, structures: Sequence[Atoms], mode: Mode = "neighborhood"
) -> ActiveSet:
    """Active set of ``potential`` for its training set: grades of all ``structures`` are ≤ 1.

    Parameters
    ----------
    structures
        The training set; labels are not needed.
    mode
        ``neighborhood`` grades every atom by its row dV_i/dθ, ``configuration`` whole structures by
        dE/dθ = Σ_i dV_i/dθ.

    Raises
    ------
    InputError
        No structures, structures that cannot be used, or unknown elements.
    """
    structures = list(structures)
    check_structures(structures, potential.elements, "training set")
    rows = Rows(potential, structures, mode)
    frame = frame_of(rows)
    volume = volume_of(rows, frame)
    filled = np.flatnonzero(volume.owner != UNIT)
    chosen, atoms = rows.origin(volume.owner[filled])
    used = np.unique(chosen)
    cfg_index, eqn_index = np.full((2, potential.parameter_count), UNIT)
    cfg_index[filled] = np.searchsorted(used, chosen)
    eqn_index[filled] = atoms
    dropped = np.zeros((len(frame.kept), len(frame.dropped)))
    for index in used:
        own = rows_of(potential, [structures[index]], rows.per_structure)
        dropped[filled[chosen == index]] = own[atoms[chosen == index]][:, frame.dropped]
    matrix, inverse = _full(frame, volume, dropped)
    return ActiveSet(
        mode=mode,
        matrix=matrix,
        inverse=inverse,
        cfg_index=cfg_index,
        eqn_index=eqn_index,
        structures=tuple(structures[index] for index in used),
        energy_weight=float(rows.per_structure),
        site_en_weight=float(not rows.per_structure),
        weight_scaling=0 if rows.per_structure else 2,
    )


def _full(frame: Coordinates, volume: Volume, dropped: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A and A⁻¹ over all m parameters, as ``.almtp`` files hold them.

    With the kept columns first, A = [[A_kept, A_dropped], [0, S]] and S the diagonal of the scales;
    ``dropped`` (p, m − p) is A_dropped. The last m − p components of b A⁻¹ are then zero for every
    row b that a structure can have.
    """
    p, m = len(frame.kept), len(frame.scale)
    order = np.concatenate([frame.kept, frame.dropped])
    dropped = dropped / frame.scale[frame.dropped]
    matrix, inverse = np.zeros((m, m)), np.zeros((m, m))
    matrix[:p, :p], matrix[:p, p:] = volume.matrix, dropped
    inverse[:p, :p], inverse[:p, p:] = volume.inverse, -volume.inverse @ dropped
    matrix[range(p, m), range(p, m)] = inverse[range(p, m), range(p, m)] = 1.0
    full_matrix, full_inverse = np.empty((m, m)), np.empty((m, m))
    full_matrix[:, order] = matrix * frame.scale[order]
    full_inverse[order] = inverse / frame.scale[order][:, None]
    return full_matrix, full_inverse
