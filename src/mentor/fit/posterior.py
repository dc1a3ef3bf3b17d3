"""The posterior of fitted parameters.

At the optimum of the loss |r|² + θᵀPθ, J = −dr/dθ, the posterior of Laplace and Gauss-Newton has
the covariance Σ = s² (JᵀJ + P)⁻¹, with s² the loss per degree of freedom left. It is factorised in
parameters scaled to columns of J of length one, with a ridge that keeps what the data say nothing
about finite: directions of the gauge change no prediction, pairs of elements that were never met
get large spreads.

It is calibrated on what the fit would have said of each training structure without it. With
H = J (JᵀJ + P)⁻¹ Jᵀ and its block H_bb of the rows of a structure, these errors are
(1 − H_bb)⁻¹ r_b and their variances, in units of s², the diagonal of (1 − H_bb)⁻¹ − 1, to first
order in the change of the parameters. Validation structures, where there are some, may widen the
intervals. With three labels per parameter the change is not small, and the errors are far larger: a
fit without a tenth of the structures bears witness then.

A potential that a committee of K has taught (:mod:`.committee`) is calibrated on how far its
members are from their mean instead: the truth is taken to be one more member, so that differences
times √(K/(K−1)) stand for errors.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from ase import Atoms
from scipy.linalg import cho_factor, cho_solve

from mentor import progress
from mentor.fit.calibration import calibrate, widened
from mentor.fit.loss import LabelledSet, Weighting, Weights, labelled_set
from mentor.neighbourhoods import neighbourhoods
from mentor.potential import Potential
from mentor.uncertainty import (
    RESOLUTIONS,
    Calibration,
    Posterior,
    chunks,
    fingerprint,
    volumes,
)

RIDGE = 1e-8
"""Precision added to each parameter, in units of that of its column of J."""

_BATCH = 100  # structures whose differences are computed together
_ALONE = 1e-9  # keeps 1 − H_bb regular where a structure alone determines a parameter


@dataclass(frozen=True, eq=False)
class Witness:
    """A fit that does not know all structures."""

    potential: Potential
    structures: list[Atoms]
    """Those it knows."""
    precision: np.ndarray
    """P of its prior, shape (m,)."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Labels of one quantity in a part of the set: n of them, with weights above zero."""

    quantity: str
    jacobian: np.ndarray
    """dQ/dθ, shape (n, m)."""
    residuals: np.ndarray
    """Label minus prediction, shape (n,)."""
    weights: np.ndarray
    """Square roots of the weights in the loss, shape (n,)."""
    structures: np.ndarray
    """Number of each one's structure, shape (n,)."""


def posterior(
    potential: Potential,
    structures: Sequence[Atoms],
    *,
    energy_weight: float = 1.0,
    force_weight: float = 0.01,
    stress_weight: float = 0.001,
    weighting: Weighting = "vibrations",
    prior: np.ndarray | None = None,
    validation: Sequence[Atoms] = (),
    members: Sequence[Potential] = (),
    witness: Witness | None = None,
) -> Posterior:
    """The posterior of the parameters of ``potential``, fitted to ``structures``.

    It costs two Jacobians of the training set; the memory does not depend on its size.

    Parameters
    ----------
    structures, energy_weight, force_weight, stress_weight, weighting
        As in :func:`mentor.fit.fit`.
    prior
        Diagonal of P, the precision that the fit added to each parameter, in units of the loss;
        shape (m,).
    validation
        Labelled structures that were not fitted to; where their errors exceed the intervals, these
        become wider.
    members
        Those of the committee whose mean the labels of ``structures`` are; two at least.
    witness
        A fit like this one, but without the structures of ``validation``, to which this one was
        fitted as well: its errors and spreads there count. It costs a third Jacobian.

    Raises
    ------
    InputError
        The structures cannot be used or have no labels.
    """
    weights = Weights(
        energy=energy_weight, force=force_weight, stress=stress_weight, weighting=weighting
    )
    labelled = _labelled(potential, structures, weights)
    held = _labelled(potential, validation, weights) if len(validation) else None
    with progress.task("posterior", 2) as task:
        factor, noise = _factor(potential, labelled, prior)
        task.advance()
        if members:
            judged = _apart(members, labelled, _held_out(potential, labelled, noise * factor))
            source = f"a committee of {len(members)} on {len(structures)} structures"
        else:
            judged = _left_out(potential, labelled, factor, noise)
            source = f"{len(structures)} training structures, each left out"
        found = _calibrations(judged, structures)
        task.advance()
    known = Posterior(
        factor=noise * factor,
        calibrations=found,
        fingerprint=fingerprint(potential),
        source=source,
    )
    if held is None:
        return known
    seen, by = potential, known.factor
    if witness is not None:
        own = _labelled(witness.potential, witness.structures, weights)
        factor, noise = _factor(witness.potential, own, witness.precision)
        seen, by = witness.potential, noise * factor
    return _tested(known, _held_out(seen, held, by), validation)


def _tested(known: Posterior, found: "Known", validation: Sequence[Atoms]) -> Posterior:
    """The posterior after a look at structures that were not fitted to."""
    calibrations, tested = dict(known.calibrations), known.tested
    for quantity, labels in found.items():
        errors, spreads, _ = _in_units(quantity, labels, validation)
        calibration = calibrations[quantity]
        free = calibration.free(spreads)
        if quantity == "forces" and free.any():
            tested = np.mean(np.abs(errors[free]) <= calibration(spreads[free]), axis=1)
        calibrations[quantity] = widened(calibration, errors, spreads)
    source = f"{known.source}, and {len(validation)} validation structures"
    return replace(known, calibrations=calibrations, source=source, tested=tested)


def _labelled(potential: Potential, structures: Sequence[Atoms], weights: Weights) -> LabelledSet:
    nb = neighbourhoods(list(structures), potential.max_dist, potential.elements)
    return labelled_set(structures, nb, weights)


def _parts(potential: Potential, labelled: LabelledSet) -> Iterator[list[Rows]]:
    """Rows of the labels that count, part by part of whole structures."""
    kernel, m = potential.kernel, potential.parameter_count
    wants = {
        "forces": bool(labelled.force_weights.any()),
        "virial": bool(labelled.virial_weights.any()),
    }
    for start, stop in chunks(labelled.neighbourhoods, m):
        part = labelled.part(start, stop)
        J = kernel.jacobian(part.neighbourhoods, **wants)
        now = kernel.evaluate(part.neighbourhoods, **wants)
        numbers = np.arange(start, stop)
        atoms = 3 * part.neighbourhoods.atom_counts
        blocks = [
            ("energy", J.energies, part.energies - now.energies, part.energy_weights, numbers)
        ]
        if wants["forces"]:
            r, w = part.forces - now.forces, np.repeat(part.force_weights, 3)
            blocks.append(("forces", J.forces, r, w, np.repeat(numbers, atoms)))
        if wants["virial"]:
            r, w = part.virials - now.virials, part.virial_weights
            blocks.append(("stress", J.virials, r, w, np.repeat(numbers, 6)))
        yield [_known(*block) for block in blocks]


def _known(
    quantity: str, jacobian: np.ndarray, r: np.ndarray, w: np.ndarray, structures: np.ndarray
) -> Rows:
    r, w = r.ravel(), w.ravel()
    jacobian = jacobian.reshape(len(w), -1)
    if np.all(w > 0):
        return Rows(quantity, jacobian, r, w, structures)
    known = w > 0
    return Rows(quantity, jacobian[known], r[known], w[known], structures[known])


def _factor(
    potential: Potential, labelled: LabelledSet, prior: np.ndarray | None
) -> tuple[np.ndarray, float]:
    """F with F Fᵀ = (JᵀJ + P)⁻¹, shape (m, m), and the noise s."""
    m = potential.parameter_count
    hessian, loss, count = np.zeros((m, m)), 0.0, 0
    for blocks in _parts(potential, labelled):
        for rows in blocks:
            weighted = rows.jacobian * rows.weights[:, None]
            hessian += weighted.T @ weighted
            loss += float(np.sum((rows.weights * rows.residuals) ** 2))
            count += len(rows.weights)
    data = np.diag(hessian).copy()
    if prior is not None:
        hessian[np.diag_indices(m)] += prior
    scales = _scales(potential, np.sqrt(np.diag(hessian)))
    values, vectors = np.linalg.eigh(hessian / np.outer(scales, scales) + RIDGE * np.eye(m))
    values = np.maximum(values, RIDGE)
    added = (np.zeros(m) if prior is None else prior) / scales**2 + RIDGE
    effective = m - np.sum(np.einsum("ij,i->j", vectors**2, added) / values) if data.any() else 0
    noise = np.sqrt(loss / max(count - effective, 1.0))
    noise = max(float(noise), np.finfo(float).tiny ** 0.25)
    return vectors / np.sqrt(values) / scales[:, None], noise


def _scales(potential: Potential, sizes: np.ndarray) -> np.ndarray:
    """Lengths of the columns of J; those of pairs never met are taken from the other pairs."""
    radial = potential.radial_coeffs
    block = sizes[: radial.size].reshape(radial.shape)
    over_pairs = np.broadcast_to(block.max(axis=(0, 1)), radial.shape)
    sizes = sizes.copy()
    sizes[: radial.size] = np.where(block > 0, block, over_pairs).ravel()
    return np.where(sizes > 0, sizes, sizes.max(initial=0.0) or 1.0)


Known = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Quantity -> errors, spreads and numbers of the structures of all its labels."""


def _held_out(potential: Potential, held: LabelledSet, factor: np.ndarray) -> Known:
    """Errors and spreads of structures that were not fitted to."""
    known = defaultdict(list)
    for blocks in _parts(potential, held):
        for rows in blocks:
            spreads = np.linalg.norm(rows.jacobian @ factor, axis=1)
            known[rows.quantity].append((rows.residuals, spreads, rows.structures))
    return _joined(known)


def _apart(members: Sequence[Potential], labelled: LabelledSet, known: Known) -> Known:
    """Differences of ``members`` from their mean, the labels, in place of the errors ``known``."""
    apart = defaultdict(list)
    for member in members:
        differences = _differences(member, labelled)
        for quantity, (_, spreads, numbers) in known.items():
            stretched = differences[quantity] * np.sqrt(len(members) / (len(members) - 1))
            apart[quantity].append((stretched, spreads, numbers))
    return _joined(apart)


def _differences(potential: Potential, labelled: LabelledSet) -> dict[str, np.ndarray]:
    """Labels that count minus predictions, quantity by quantity."""
    found = defaultdict(list)
    count = labelled.neighbourhoods.structure_count
    for start, stop in pairwise([*range(0, count, _BATCH), count]):
        part = labelled.part(start, stop)
        now = potential.kernel.evaluate(part.neighbourhoods)
        for quantity, off, weights in (
            ("energy", part.energies - now.energies, part.energy_weights),
            ("forces", part.forces - now.forces, np.repeat(part.force_weights, 3)),
            ("stress", part.virials - now.virials, part.virial_weights),
        ):
            found[quantity].append(off.ravel()[weights.ravel() > 0])
    return {quantity: np.concatenate(parts) for quantity, parts in found.items()}


def _left_out(
    potential: Potential, labelled: LabelledSet, factor: np.ndarray, noise: float
) -> Known:
    """Errors and spreads of each training structure had it been left out."""
    known = defaultdict(list)
    for blocks in _parts(potential, labelled):
        rows = [each.jacobian @ factor for each in blocks]
        for s in np.unique(np.concatenate([each.structures for each in blocks])):
            own = [slice(*np.searchsorted(each.structures, [s, s + 1])) for each in blocks]
            B = np.concatenate([J[some] for J, some in zip(rows, own, strict=True)])
            r = np.concatenate([x.residuals[some] for x, some in zip(blocks, own, strict=True)])
            w = np.concatenate([x.weights[some] for x, some in zip(blocks, own, strict=True)])
            errors, spreads = without(B, r, w)
            ends = np.cumsum([some.stop - some.start for some in own])[:-1]
            pairs = zip(np.split(errors, ends), np.split(noise * spreads, ends), strict=True)
            for each, (error, spread) in zip(blocks, pairs, strict=True):
                known[each.quantity].append((error, spread, np.full(len(error), s)))
    return _joined(known)


def _joined(known: dict[str, list[tuple[np.ndarray, ...]]]) -> Known:
    return {
        quantity: tuple(np.concatenate(each) for each in zip(*parts, strict=True))
        for quantity, parts in known.items()
    }


def without(B: np.ndarray, r: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors and spreads (without s) of labels with rows ``B`` = J F had they been left out.

    Done in the space of the labels or in that of the parameters, whichever is smaller.
    """
    weighted = B * w[:, None]
    n, k = B.shape
    if n <= k:
        inverse = _inverse(weighted @ weighted.T)
        variances = (np.diag(inverse) - 1.0) / w**2
        return inverse @ (w * r) / w, np.sqrt(np.maximum(variances, 0.0))
    moved = B @ _inverse(weighted.T @ weighted)
    variances = np.einsum("ij,ij->i", moved, B)
    return r + moved @ (weighted.T @ (w * r)), np.sqrt(np.maximum(variances, 0.0))


def _inverse(H: np.ndarray) -> np.ndarray:
    """(1 − H)⁻¹ of a symmetric H < 1."""
    one = np.eye(len(H))
    return cho_solve(cho_factor((1.0 + _ALONE) * one - H, overwrite_a=True), one)


def _calibrations(known: Known, structures: Sequence[Atoms]) -> dict[str, Calibration]:
    """One for each quantity; without labels of its own, one gets the factor of another."""
    found = {
        quantity: calibrate(*_in_units(quantity, each, structures), RESOLUTIONS[quantity])
        for quantity, each in known.items()
    }
    made = {quantity: each for quantity, each in found.items() if each is not None}
    other = made.get("forces") or made.get("energy") or _ALL
    return {
        quantity: made.get(quantity) or _borrowed(other, resolution)
        for quantity, resolution in RESOLUTIONS.items()
    }


def _in_units(
    quantity: str, known: tuple[np.ndarray, np.ndarray, np.ndarray], structures: Sequence[Atoms]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors, spreads and structures with energies per atom and stresses instead of virials."""
    errors, spreads, numbers = known
    counts = np.array([len(atoms) for atoms in structures])
    units = {"energy": counts, "forces": np.ones(len(counts)), "stress": volumes(structures)}
    unit = units[quantity][numbers]
    use = np.isfinite(unit)
    return errors[use] / unit[use], spreads[use] / unit[use], numbers[use]


_ALL = Calibration(np.ones(1), np.array([[1.0], [2.0]]), np.zeros(2), 0.0)


def _borrowed(other: Calibration, resolution: float) -> Calibration:
    """The largest ratio of width to spread of another quantity, at all spreads."""
    ratios = (other.widths / other.spreads).max(axis=1)
    return Calibration(np.ones(1), ratios[:, None], np.full(2, resolution), 0.0)
