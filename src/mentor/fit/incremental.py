"""Labels added to a fit that is done: the cost of their Jacobian, not of everybody's.

The triangular factor of [J, r] is all that a step needs of the labels. A fit leaves it behind; the
rows of further structures join it, and the step of Gauss and Newton to the new minimum is there.
Whether it leads downhill is found out by evaluating all structures, which is cheap. The rows of the
old structures then belong to parameters a small step away: r is carried along to first order. Where
the loss is not what was foretold, or many structures have come since the last full fit, the fit
begins anew from where it is.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mentor.files import BROKEN_ARRAYS, write_arrays
from mentor.fit.least_squares import Point
from mentor.fit.linearised import Linearised, linearised
from mentor.fit.loss import LabelledSet, loss
from mentor.potential import Potential
from mentor.uncertainty import fingerprint

ENDING = ".memory"

MOST = 0.2
"""Structures that may come, as a part of those of the last full fit."""

_MISSED = 0.3  # part of the foretold change by which the loss may differ from what was foretold
_CHANGE = 1e-3  # or so small a part of the loss
_DAMPINGS = (1e-12, 1e-6, 1e-4, 1e-2, 1.0, 1e2)
"""Of the radial coefficients; the more, the nearer to a step of the linear ones alone, of which the
loss is known exactly."""


@dataclass(frozen=True, eq=False)
class Memory:
    """What a fit leaves behind for the next one."""

    potential: str
    """A text that is the same only for the fitted potential."""
    linearised: Linearised
    """There, of the structures of ``digests``."""
    precision: np.ndarray
    """P of the prior, shape (m,)."""
    digests: tuple[str, ...]
    """One per structure: its neighbourhood, labels and weights."""
    complete: int
    """Structures of the last full fit."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it; :func:`remembered` reads it.

        Raises
        ------
        StorageError
            The file cannot be written.
        """
        write_arrays(
            path,
            potential=self.potential,
            triangle=self.linearised.triangle,
            radial_count=self.linearised.radial_count,
            precision=self.precision,
            digests=np.array(self.digests),
            complete=self.complete,
        )


def memory_path(potential: str | os.PathLike[str]) -> Path:
    """Where the memory of the fit of a potential's file is."""
    return Path(potential).with_suffix(ENDING)


def remembered(path: str | os.PathLike[str]) -> Memory | None:
    """The memory in ``path``; None if there is none or it is damaged."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            fields = dict(stored)
        return Memory(
            potential=str(fields["potential"]),
            linearised=Linearised(fields["triangle"], int(fields["radial_count"])),
            precision=fields["precision"],
            digests=tuple(fields["digests"].tolist()),
            complete=int(fields["complete"]),
        )
    except (OSError, *BROKEN_ARRAYS):
        return None


def mark_of(potential: Potential) -> str:
    """A text that is the same only for potentials with the same energies."""
    core = b"" if potential.core_radii is None else potential.core_radii.astype("<f8").tobytes()
    return fingerprint(potential) + hashlib.sha256(core).hexdigest()[:16]


def digests_of(labelled: LabelledSet) -> tuple[str, ...]:
    """A short text per structure that is the same only for the same labels and weights."""
    found = []
    for s in range(labelled.neighbourhoods.structure_count):
        digest = hashlib.sha256()
        for array in labelled.part(s, s + 1).arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        found.append(digest.hexdigest()[:32])
    return tuple(found)


def added(
    potential: Potential,
    memory: Memory,
    labelled: LabelledSet,
    everywhere: LabelledSet,
    digests: tuple[str, ...],
) -> tuple[Potential, Memory] | None:
    """``potential`` fitted to ``labelled``, which ``memory`` knows most of.

    None where that cannot be had cheaply: the memory is another potential's, structures of it are
    gone, too many are new, or the step does not lead where it should.

    Parameters
    ----------
    labelled, everywhere
        All structures, and the same on all processes of a team (:func:`mentor.fit.loss.spread`).
    digests
        Of ``labelled``.
    """
    new = _new(memory, potential, digests)
    if new is None:
        return None
    linear = _with_structures(potential, memory.linearised, labelled, new)
    theta, P = potential.parameters, memory.precision
    here = Point(theta, linear, P)
    before = linear.loss + float(P @ theta**2)
    for damping in _DAMPINGS:
        there, foretold = here.step(damping)
        moved = potential.with_parameters(there)
        prior = float(P @ moved.parameters**2)
        now = loss(moved.kernel, everywhere).value + prior
        allowed = max(_MISSED * (before - foretold), _CHANGE * now)
        if now <= before and abs(now - foretold) <= allowed:
            carried = linear.at(there - theta, now - prior)
            return moved, Memory(mark_of(moved), carried, P, digests, memory.complete)
    return None


def _new(memory: Memory, potential: Potential, digests: Sequence[str]) -> list[int] | None:
    """Numbers of the structures that ``memory`` does not know; None if it does not fit."""
    if memory.potential != mark_of(potential):
        return None
    known = set(memory.digests)
    new = [s for s, digest in enumerate(digests) if digest not in known]
    if len(digests) - len(new) != len(memory.digests) or not known <= set(digests):
        return None
    return new if new and len(digests) <= (1 + MOST) * memory.complete else None


def _with_structures(
    potential: Potential, linear: Linearised, labelled: LabelledSet, new: Sequence[int]
) -> Linearised:
    """``linear`` with the rows of the structures ``new``."""
    runs = np.split(new, np.flatnonzero(np.diff(new) > 1) + 1)
    for run in runs:
        part = labelled.part(run[0], run[-1] + 1)
        linear = linear.together(linearised(potential.kernel, part))
    return linear
