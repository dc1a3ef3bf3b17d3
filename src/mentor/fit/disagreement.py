"""Structures whose labels and a potential disagree far more than is usual, each with a reason.

A structure stands out where its difference is many times what is usual for structures like it
(:mod:`mentor.fit.comparison`) and also large beside the values themselves. Forces and stresses that
point as predicted but have another length are told by the unit they seem to be in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mentor.fit.comparison import Comparison, spread, typical
from mentor.fit.errors import group_of
from mentor.fit.findings import Finding
from mentor.units import GPA

FORCE_UNITS = {
    "eV/bohr": 0.529177,
    "Ha/bohr": 1 / 51.4221,
    "Ry/bohr": 1 / 25.7110,
    "kcal/mol/Å": 23.0605,
    "kJ/mol/Å": 96.4853,
    "kJ/mol/nm": 964.853,
}
"""Size of 1 eV/Å in other units."""

STRESS_UNITS = {
    "GPa": 1 / GPA,
    "kbar": 10 / GPA,
    "bar": 1e4 / GPA,
    "Ha/bohr³": 1 / 183.631,
    "Ry/bohr³": 1 / 91.8157,
}
"""Size of 1 eV/Å³ in other units."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """From where on a disagreement is reported."""

    score: float
    """In units of what is usual."""
    energy: float
    """eV."""
    force: float
    """Part of the typical force of the set."""
    far: float = 30.0
    """Score that needs no least difference."""


BEFORE = Limits(score=7.0, energy=0.3, force=0.5)
"""Before the fit, where a small potential is the judge."""

AFTER = Limits(score=7.0, energy=0.0, force=0.1)
"""After the fit."""

_ALIGNED = 0.95  # cosine between labels and predictions from which only the length may be wrong
_ROUGHLY, _VERY_OTHER = 0.8, 1.5  # ... where logarithms of lengths differ by so much
_CLEAR = 3.0  # predictions so many times their usual error can be compared in length
_SAME = 0.25  # difference of logarithms within which two lengths are alike
_OTHER, _SCATTER = 0.4, 6.0  # ... and from which they differ, also in units of their usual scatter


def disagreements(
    comparison: Comparison, structures: Sequence[Atoms], limits: Limits
) -> list[Finding]:
    """What stands out among the labels of ``structures``."""
    groups = [group_of(atoms) for atoms in structures]
    found = []
    for kind, judged in (
        ("energy", _energies(comparison, limits)),
        ("forces", _forces(comparison, structures, limits)),
        ("stress", _stresses(comparison, limits)),
    ):
        found += [Finding(s, groups[s], kind, reason) for s, reason in sorted(judged.items())]
    return found


def unit_of(ratio: float, units: Mapping[str, float]) -> str:
    """The units in which values appear ``ratio`` times as large; empty where none fits."""
    fitting = [name for name, size in units.items() if abs(np.log(abs(ratio) / size)) <= _SAME]
    return " or ".join(sorted(fitting, key=lambda name: abs(np.log(abs(ratio) / units[name]))))


def _energies(comparison: Comparison, limits: Limits) -> dict[int, str]:
    errors, scores = comparison.energy_errors, np.abs(comparison.energy_scores)
    odd = (scores > limits.score) & ((np.abs(errors) >= limits.energy) | (scores > limits.far))
    reasons = {}
    for s in np.flatnonzero(odd).tolist():
        side = "below" if errors[s] > 0 else "above"
        usual = comparison.energy_scales[s]
        reasons[s] = (
            f"its energy is {abs(errors[s]):.3g} eV {side} what is expected, {scores[s]:.0f} times "
            f"the usual difference of {usual:.2g} eV"
        )
    return reasons


def _forces(comparison: Comparison, structures: Sequence[Atoms], limits: Limits) -> dict[int, str]:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio, cosine = _aligned(comparison.per_structure, *comparison.forces)
    clear = comparison.predicted_forces > _CLEAR * np.min(comparison.force_scales)
    reasons = _lengths(ratio, cosine, clear, "forces", FORCE_UNITS)
    least = limits.force * typical(comparison.predicted_forces)
    scores = comparison.force_scores
    odd = (scores > limits.score) & ((comparison.force_errors > least) | (scores > limits.far))
    errors = np.linalg.norm(comparison.forces[1] - comparison.forces[0], axis=1)
    largest, atom = comparison.largest(np.nan_to_num(errors))
    total = np.sqrt(3 * comparison.counts) * comparison.force_errors
    usual = np.sqrt(3) * comparison.force_scales
    alone = (largest > 0.8 * total) & (comparison.counts > 2)
    alone &= (largest > 2 * limits.score * usual) & (largest > 2 * least)
    starts = np.concatenate([[0], np.cumsum(comparison.counts)[:-1]])
    for s in np.flatnonzero(alone).tolist():
        i = int(atom[s])
        label, predicted = np.linalg.norm(comparison.forces[:, starts[s] + i], axis=1)
        reasons[s] = (
            f"the force on its atom {i} ({structures[s].symbols[i]}), {label:.3g} eV/Å, is "
            f"{largest[s]:.3g} eV/Å from the {predicted:.2g} eV/Å expected; all others fit"
        )
    for s in np.flatnonzero(odd).tolist():
        size = comparison.per_structure(comparison.forces[0])[s] if s not in reasons else 0.0
        reasons.setdefault(
            s,
            f"its forces ({size:.3g} eV/Å) are {comparison.force_errors[s]:.3g} eV/Å from what is "
            f"expected, {scores[s]:.0f} times the usual difference",
        )
    return reasons


def _stresses(comparison: Comparison, limits: Limits) -> dict[int, str]:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio, cosine = _aligned(_rms, *comparison.virials)
    size = _rms(comparison.virials[1])
    clear = size / comparison.counts > _CLEAR * np.min(comparison.virial_scales / comparison.counts)
    reasons = _lengths(ratio, cosine, clear, "stress", STRESS_UNITS)
    large = comparison.virial_errors > typical(size)
    odd = (comparison.virial_scores > 2 * limits.score) & large
    volumes = comparison.volumes * GPA
    for s in np.flatnonzero(odd).tolist():
        reasons.setdefault(
            s,
            f"its stress is {comparison.virial_errors[s] / volumes[s]:.3g} GPa from what is "
            f"expected, {comparison.virial_scores[s]:.0f} times the usual difference",
        )
    return reasons


def _aligned(
    rms: Callable[[np.ndarray], np.ndarray], labels: np.ndarray, predicted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Length of labels along predictions in units of these, and the cosine between them, (S,)."""
    a, b = rms(labels) ** 2, rms(predicted) ** 2
    product = (rms(labels + predicted) ** 2 - a - b) / 2
    return product / b, product / np.sqrt(a * b)


def _rms(tensors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(tensors**2, axis=1))


def _lengths(
    ratio: np.ndarray, cosine: np.ndarray, clear: np.ndarray, what: str, units: Mapping[str, float]
) -> dict[int, str]:
    """Structures whose labels point as expected, or just opposite, but have another length."""
    be, them = ("is", "it") if what == "stress" else ("are", "they")
    cosine, ratio = np.abs(np.nan_to_num(cosine)), np.nan_to_num(ratio)
    comparable = clear & (cosine > _ROUGHLY) & (ratio != 0)
    logarithms = np.zeros(len(ratio))
    logarithms[comparable] = np.abs(np.log(np.abs(ratio[comparable])))
    aligned = comparable & (cosine > _ALIGNED)
    other = logarithms > max(_OTHER, _SCATTER * spread(logarithms[aligned]))
    odd = (aligned & (other | (ratio < 0))) | (comparable & (logarithms > _VERY_OTHER))
    reasons = {}
    for s in np.flatnonzero(odd).tolist():
        unit, sign = unit_of(ratio[s], units), ratio[s] < 0
        if unit:
            reversed = ", with the sign reversed" if sign else ""
            reasons[s] = (
                f"its {what} {be} {abs(ratio[s]):.3g} times what is expected; "
                f"{be} {them} in {unit}{reversed}?"
            )
        elif sign and abs(np.log(-ratio[s])) <= _OTHER:
            reasons[s] = f"its {what} {be} opposite to what is expected; is the sign reversed?"
    return reasons
