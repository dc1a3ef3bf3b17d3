"""``fit``: a potential and labelled structures in, a better potential out."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from ase import Atoms

from mentor import progress
from mentor.exceptions import InputError
from mentor.fit import checkpoint as checkpoints
from mentor.fit.checkpoint import Iteration, Progress
from mentor.fit.incremental import Memory, added, digests_of, mark_of
from mentor.fit.least_squares import TRANSFER_PRIOR, Problem, State, advance, begin
from mentor.fit.loss import LabelledSet, Loss, Weighting, Weights, labelled_set, loss, spread
from mentor.fit.starts import start
from mentor.neighbourhoods import Neighbourhoods, neighbourhoods
from mentor.potential import Potential

STALL = 10
"""Iterations over which the loss must fall, and after which a validation loss that has not fallen
ends the fit."""


@dataclass(frozen=True, eq=False)
class FitResult:
    """A fitted potential and how it came about."""

    potential: Potential
    loss: Loss
    """Of the training set."""
    validation: Loss | None
    history: tuple[Iteration, ...]
    reason: str
    """Why the fit ended."""
    precision: np.ndarray | None
    """P of the prior that the labels asked for, in units of the loss, shape (m,); None where the
    potential is no fit of its own."""
    memory: Memory | None = None
    """For the fit of a few structures more."""
    judged: bool = False
    """Whether structures set aside chose the prior, since there are parameters enough to fit what
    is no law."""


def fit(
    potential: Potential,
    structures: Sequence[Atoms],
    *,
    energy_weight: float = 1.0,
    force_weight: float = 0.01,
    stress_weight: float = 0.001,
    weighting: Weighting = "vibrations",
    validation: Sequence[Atoms] = (),
    max_iterations: int = 100,
    tolerance: float = 0.01,
    starts: int = 1,
    seed: int = 0,
    time_limit: float | None = None,
    neighbours: Neighbourhoods | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    memory: Memory | None = None,
    remember: bool = False,
    near: Potential | None = None,
    watch: Callable[[Progress], None] | None = None,
) -> FitResult:
    """Fit all parameters of ``potential`` to labelled ``structures``, beginning where they are.

    Parameters
    ----------
    structures
        Labelled with energies (eV) and, where known, forces (eV/Å) and stresses (eV/Å³).
        ``info["weight"]`` multiplies all terms of a structure in the loss.
    energy_weight, force_weight, stress_weight, weighting
        w_E, w_F, w_S and the power of N in the loss (see :mod:`mentor.fit.loss`).
    validation
        Labelled structures that are not fitted: the parameters with the lowest loss on them are
        returned, and the fit ends when they no longer improve.
    max_iterations
        Most steps, each the cost of one Jacobian; 0 only solves for the linear coefficients.
    tolerance
        The fit ends when ten iterations lower the loss by less than this part of it.
    starts
        Number of starting points compared on a part of the set: the radial coefficients of
        ``potential`` and random ones made with ``seed``.
    time_limit
        Seconds after which no further iteration begins, half of them for the starts; where they
        are needed, the result depends on the speed of the machine.
    neighbours
        Neighbourhoods of ``structures`` within ``potential.max_dist``, if they are known already.
    checkpoint
        File for the state of the fit, written after every iteration.
    resume
        Go on from ``checkpoint``.
    memory
        What the fit of ``potential`` left behind: where few structures are new, the fit costs their
        Jacobian alone (:mod:`mentor.fit.incremental`).
    remember
        Whether to leave such a memory.
    near
        A potential of the same kind, trained on many labels of a cheaper method. Its parameters are
        the mean of the prior: the fit departs from them as far as the labels demand. There are no
        other ``starts`` and no memory then.
    watch
        Called after every iteration.

    Raises
    ------
    InputError
        No structures, no energies, unusable weights, unknown species, or ``checkpoint`` does not
        belong to this fit.
    StorageError
        ``checkpoint`` cannot be written.
    """
    begun, seconds = perf_counter(), np.inf if time_limit is None else time_limit
    weights = Weights(
        energy=energy_weight, force=force_weight, stress=stress_weight, weighting=weighting
    )
    labelled = _labelled(potential, structures, weights, neighbours)
    judge = _labelled(potential, validation, weights) if len(validation) else None
    mean = 0.0 if near is None else _mean(near, potential)
    mark = checkpoints.fingerprint(Problem(potential, labelled, mean), judge)
    remember, memory = remember and near is None, memory if near is None else None
    digests = digests_of(labelled) if remember or memory is not None else ()
    everywhere, judge = spread(labelled), None if judge is None else spread(judge)
    if memory is not None:
        found = added(potential, memory, labelled, everywhere, digests)
        if found is not None:
            return _with_more(*found, everywhere, judge, len(digests) - len(memory.digests))
    problem = Problem(potential, everywhere, mean)
    if resume and checkpoint is not None:
        stand = checkpoints.load(checkpoint, problem, mark)
    else:

        def part(model: Potential, labels: float) -> Problem:
            step = int(labelled.count // (labels * model.parameter_count))
            if step <= 1:
                return Problem(model, everywhere)
            return Problem(model, spread(_labelled(model, structures[::step], weights)))

        if near is not None:
            state = begin(problem, potential.parameters, TRANSFER_PRIOR)
        elif starts > 1:
            state = start(potential, part, starts, seed, begun + seconds / 2)
        else:
            state = begin(problem, potential.parameters, steps=max_iterations > 0)
        stand = _with_iteration(problem, judge, state, None)
    with progress.task("fit", max_iterations) as task:
        task.advance(stand.history[-1].number, _note(stand.history[-1]))
        while not (reason := _reason_to_end(stand, max_iterations, tolerance)):
            stand = _with_iteration(problem, judge, advance(problem, stand.state), stand)
            task.advance(1, _note(stand.history[-1]))
            if checkpoint is not None:
                checkpoints.save(checkpoint, stand, mark)
            if watch is not None:
                watch(stand)
            if perf_counter() - begun > seconds:
                reason = f"the {seconds:.0f} s for it are over"
                break
    fitted, precision = problem.at(stand.best), stand.state.point.precision
    left = None
    if remember:
        linear = problem.linearised(stand.best)
        left = Memory(mark_of(fitted), linear, precision, digests, len(digests))
    return FitResult(
        potential=fitted,
        loss=loss(fitted.kernel, everywhere),
        validation=None if judge is None else loss(fitted.kernel, judge),
        history=stand.history,
        reason=reason,
        precision=precision,
        memory=left,
        judged=stand.state.prior.judged,
    )


def unfitted(
    potential: Potential,
    structures: Sequence[Atoms],
    weights: Weights,
    reason: str,
    validation: Sequence[Atoms] = (),
) -> FitResult:
    """``potential`` as it is, with its loss; ``reason`` says why nothing was fitted."""
    now, held = (
        loss(potential.kernel, spread(_labelled(potential, each, weights))) if len(each) else None
        for each in (structures, validation)
    )
    return FitResult(potential, now, held, (_as_it_is(now, held),), reason, None)


def _as_it_is(now: Loss, held: Loss | None) -> Iteration:
    """The one line of a fit that makes no steps."""
    return Iteration(number=0, loss=now, validation=held, damping=0.0, accepted=True)


def _with_more(
    potential: Potential,
    memory: Memory,
    labelled: LabelledSet,
    judge: LabelledSet | None,
    count: int,
) -> FitResult:
    """The result of a fit to which ``count`` structures were added."""
    now = loss(potential.kernel, labelled)
    held = None if judge is None else loss(potential.kernel, judge)
    reason = f"{count} structures were added to the fit before"
    line = _as_it_is(now, held)
    return FitResult(potential, now, held, (line,), reason, memory.precision, memory)


def _labelled(
    potential: Potential,
    structures: Sequence[Atoms],
    weights: Weights,
    neighbours: Neighbourhoods | None = None,
) -> LabelledSet:
    if neighbours is None:
        neighbours = neighbourhoods(list(structures), potential.max_dist, potential.elements)
    return labelled_set(structures, neighbours, weights)


def _mean(near: Potential, potential: Potential) -> np.ndarray:
    """The parameters of ``near`` as the mean of the prior of those of ``potential``."""
    shapes = [(each.radial_coeffs.shape, each.moment_coeffs.shape) for each in (near, potential)]
    if shapes[0] != shapes[1] or near.elements != potential.elements:
        raise InputError(
            "the potential to stay near to must have the elements, level and radial basis of the "
            "one that is fitted"
        )
    return near.parameters


def _with_iteration(
    problem: Problem, judge: LabelledSet | None, state: State, before: Progress | None
) -> Progress:
    """The fit with ``state`` as its latest iteration."""
    history = () if before is None else before.history
    number = len(history)
    if before is not None and not state.accepted:
        latest = replace(history[-1], number=number, damping=state.damping, accepted=False)
        return Progress(state, before.best, (*history, latest))
    theta = state.point.solved
    kernel = problem.at(theta).kernel
    latest = Iteration(
        number=number,
        loss=loss(kernel, problem.labelled),
        validation=None if judge is None else loss(kernel, judge),
        damping=state.damping,
        accepted=True,
    )
    now = Progress(state, theta, (*history, latest))
    better = before is None or now.judged[-1] < min(before.judged)
    return now if better else replace(now, best=before.best)


def _reason_to_end(stand: Progress, max_iterations: int, tolerance: float) -> str:
    """Why the fit is over; empty as long as it is not."""
    history, judged = stand.history, stand.judged
    if stand.state.exhausted:
        return "no step lowers the loss any more"
    if len(history) > STALL:
        if history[-1].validation is not None and min(judged[-STALL:]) >= min(judged[:-STALL]):
            return f"the validation loss has not fallen for {STALL} iterations"
        if history[-1].loss.value >= (1.0 - tolerance) * history[-1 - STALL].loss.value:
            return f"{STALL} iterations lowered the loss by less than {100 * tolerance:g} %"
    if history[-1].number >= max_iterations:
        return f"max_iterations = {max_iterations} are done"
    return ""


def _note(latest: Iteration) -> str:
    shown = latest.validation or latest.loss
    text = f"loss {latest.loss.value:.4g}, {1000 * shown.energy_rmse:.3g} meV/atom"
    if np.isfinite(shown.force_rmse):
        text += f", {shown.force_rmse:.3g} eV/Å"
    return text + (" (validation)" if latest.validation is not None else "")
