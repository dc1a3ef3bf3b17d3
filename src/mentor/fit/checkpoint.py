"""A fit under way, and its file: an interrupted fit goes on as if it had never stopped."""

import hashlib
import io
import json
import os
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np

from mentor.exceptions import InputError
from mentor.files import BROKEN_ARRAYS, write_arrays
from mentor.fit.least_squares import Problem, State, point
from mentor.fit.loss import LabelledSet, Loss
from mentor.fit.prior import Prior


@dataclass(frozen=True)
class Iteration:
    """The fit after one trial step."""

    number: int
    loss: Loss
    """Of the training set, with the linear coefficients optimal."""
    validation: Loss | None
    damping: float
    accepted: bool
    """Whether the step lowered the loss; if not, this is the loss of the last one that did."""

    def as_dict(self) -> dict[str, Any]:
        """One line of the log."""
        line = {"iteration": self.number, **self.loss.as_dict()}
        if self.validation is not None:
            named = self.validation.as_dict()
            line |= {f"validation_{name}": value for name, value in named.items()}
        return line | {"damping": self.damping, "accepted": self.accepted}


@dataclass(frozen=True, eq=False)
class Progress:
    """Where a fit stands; everything needed to go on."""

    state: State
    best: np.ndarray
    """Parameters with the lowest validation loss, or loss where nothing validates; shape (m,)."""
    history: tuple[Iteration, ...]

    @property
    def judged(self) -> list[float]:
        """The loss that decides, of each iteration."""
        return [(each.validation or each.loss).value for each in self.history]


def fingerprint(problem: Problem, judge: LabelledSet | None) -> str:
    """A text that is the same only for fits of the same potential to the same labels."""
    potential, digest = problem.potential, hashlib.sha256()
    shapes = (potential.radial_coeffs.shape, potential.moment_coeffs.shape)
    sizes = (shapes, potential.min_dist, potential.max_dist)
    kind = (potential.radial_basis_type, potential.scaling, potential.elements)
    digest.update(repr((sizes, kind)).encode())
    arrays = [potential.alpha_index_basic, potential.alpha_index_times]
    arrays += [] if potential.core_radii is None else [potential.core_radii]
    arrays += [np.asarray(problem.mean)]
    for labelled in (problem.labelled, judge):
        arrays += [] if labelled is None else labelled.arrays
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def save(path: str | os.PathLike[str], stand: Progress, mark: str) -> None:
    """Write ``stand`` of the fit with fingerprint ``mark``.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    write_arrays(
        path,
        fingerprint=mark,
        theta=stand.state.point.theta,
        former_scales=_or_empty(stand.state.point.former_scales),
        precision=stand.state.point.precision,
        damping=stand.state.damping,
        growth=stand.state.growth,
        accepted=stand.state.accepted,
        optimal=stand.state.optimal,
        successes=stand.state.successes,
        prior=astuple(stand.state.prior),
        best=stand.best,
        history=json.dumps([asdict(each) for each in stand.history]),
    )


def load(path: str | os.PathLike[str], problem: Problem, mark: str) -> Progress:
    """The fit of ``problem`` with fingerprint ``mark`` that :func:`save` wrote to ``path``.

    Raises
    ------
    InputError
        There is no such file, it is damaged, or it belongs to another fit.
    """
    try:
        with open(path, "rb") as file:
            content = io.BytesIO(file.read())
        with np.load(content, allow_pickle=False) as stored:
            arrays = dict(stored)
        history = tuple(_iteration(each) for each in json.loads(str(arrays["history"])))
        theta, scales, best = arrays["theta"], arrays["former_scales"], arrays["best"]
        radial, moments, judged = arrays["prior"].tolist()
        prior, successes = Prior(radial, moments, bool(judged)), int(arrays["successes"])
        precision = arrays["precision"]
        damping, growth = float(arrays["damping"]), float(arrays["growth"])
        accepted, optimal = bool(arrays["accepted"]), bool(arrays["optimal"])
        same = str(arrays["fingerprint"]) == mark
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); leave resume out to begin anew"
        ) from None
    except BROKEN_ARRAYS:
        raise InputError(
            f"{path}: is not a checkpoint of a fit or is damaged; leave resume out to begin anew"
        ) from None
    if not same:
        raise InputError(
            f"{path}: belongs to another fit (other structures, labels, weights or potential); "
            "leave resume out to begin anew"
        )
    former = scales if scales.size else None
    here = point(problem, theta, scales=former, precision=precision)
    state = State(here, damping, growth, accepted, optimal, prior, successes)
    return Progress(state, best, history)


def _or_empty(values: np.ndarray | None) -> np.ndarray:
    return np.empty(0) if values is None else values


def _iteration(fields: dict[str, Any]) -> Iteration:
    validation = fields["validation"]
    return Iteration(
        **{
            **fields,
            "loss": Loss(**fields["loss"]),
            "validation": None if validation is None else Loss(**validation),
        }
    )
