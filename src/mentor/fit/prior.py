"""How large the parameters of a fit may be: a prior whose strength the data choose.

Each parameter has a prior θ_k ~ N(θ⁰_k, s²/p_k), s² being the variance of the weighted residuals,
with p_k = α w_k d_k: d_k is how much the labels tell of θ_k (the diagonal of JᵀJ, the mean energies
of the species taken out), so √d_k θ_k is the parameter's part of the labels whatever its units. w_k
grows with the order k of the Chebyshev polynomials and with the level of the basis functions, so
that energies are smooth where the labels do not say otherwise. The two strengths α, of the radial
coefficients and of the moment_coeffs, maximise the evidence (MacKay, Neural Comput. 4, 415 (1992)):

    α = γ s² / Σ_k w_k d_k (θ_k − θ⁰_k)²,
    γ = Σ_k (1 − p_k Σ_kk),   s² = |r|² / (number of labels − γ),

with Σ = (JᵀJ + P)⁻¹ and γ the number of parameters that the labels determine. θ⁰ is 0, or the
parameters of a potential that was trained on many labels of a cheaper method: a few of a better one
then say where it has to change (transfer learning).
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg.lapack import dtrtri

from mentor.fit.growth import levels_of
from mentor.fit.linearised import Linearised
from mentor.potential import Potential

if TYPE_CHECKING:
    from mentor.fit.least_squares import Point, Problem

SMOOTHNESS = 4
"""Power of (k + 1)/R in w_k."""

OF_LEVEL = 2
"""Power of level/highest level in w_k."""

WEAKEST, STRONGEST = 1e-28, 1e2
_LARGEST_CHANGE = 10.0  # of a strength at a time
_UNIT = 1e-12


@dataclass(frozen=True)
class Prior:
    """The strengths α."""

    radial: float = 1e-10
    moments: float = 1e-10
    judged: bool = False
    """Whether structures set aside chose them; they keep them then, whatever the evidence."""

    def precision(self, potential: Potential, linear: Linearised) -> np.ndarray:
        """P where the problem is ``linear``; shape (m,)."""
        return self._strengths(potential) * unit_precision(potential, linear)

    def carried(
        self, potential: Potential, off: np.ndarray, precision: np.ndarray, linear: Linearised
    ) -> "Prior":
        """The strengths with which θ − θ⁰, ``off``, costs what it cost with ``precision``.

        d, where the problem is ``linear``, changes from step to step; the objective must not jump
        with it.
        """
        unit = unit_precision(potential, linear)
        radial, _, moments = _blocks(potential)

        def strength(block: slice, now: float) -> float:
            before = float(precision[block] @ off[block] ** 2)
            size = float(unit[block] @ off[block] ** 2)
            return float(np.clip(before / size, WEAKEST, STRONGEST)) if size > 0 else now

        return replace(
            self,
            radial=strength(radial, self.radial),
            moments=strength(moments, self.moments),
        )

    def improved(self, problem: "Problem", point: "Point") -> "Prior":
        """The strengths that the evidence at ``point`` asks for, a step towards them."""
        if self.judged:
            return self
        potential = problem.potential
        off, P = point.solved - point.mean, point.precision
        unit = unit_precision(potential, point.linearised)
        determined = 1.0 - P * posterior_variances(point)
        residual = max(point.objective - float(P @ off**2), 0.0)
        free = max(problem.labelled.count - determined.sum(), 1.0)
        radial, _, moments = _blocks(potential)

        def strength(block: slice, now: float) -> float:
            size = float(unit[block] @ off[block] ** 2)
            wanted = determined[block].sum() * residual / free / max(size, 1e-300)
            wanted = np.clip(wanted, now / _LARGEST_CHANGE, now * _LARGEST_CHANGE)
            return float(np.clip(wanted, WEAKEST, STRONGEST))

        return replace(
            self,
            radial=strength(radial, self.radial),
            moments=strength(moments, self.moments),
        )

    def _strengths(self, potential: Potential) -> np.ndarray:
        radial, species, moments = _blocks(potential)
        alpha = np.empty(potential.parameter_count)
        alpha[radial], alpha[species], alpha[moments] = self.radial, _UNIT, self.moments
        return alpha


def unit_precision(potential: Potential, linear: Linearised) -> np.ndarray:
    """w d, P of unit strengths where the problem is ``linear``; shape (m,)."""
    radial, species, moments = _blocks(potential)
    R, C = linear.triangle[:-1, :-1], potential.species_count
    means = R[:C] - R[:C, :C] @ np.linalg.lstsq(R[:C, :C], R[:C], rcond=1e-8)[0]
    d = linear.of_theta(np.sum(R[C:] ** 2, axis=0) + np.sum(means**2, axis=0))
    d[species] = np.sum(R[:C, :C] ** 2, axis=0)
    for block in (radial, species, moments):
        d[block] = np.maximum(d[block], 1e-6 * d[block].max(initial=1e-300))
    order = np.arange(1, potential.radial_basis_size + 1) / potential.radial_basis_size
    shape = potential.radial_coeffs.shape
    d[radial] *= np.broadcast_to(order**SMOOTHNESS, shape).ravel()
    levels = levels_of(potential)
    of_level = (levels / levels.max(initial=1)) ** OF_LEVEL
    d[moments] *= np.broadcast_to(of_level, potential.moment_coeffs.shape).ravel()
    return d


def posterior_variances(point: "Point") -> np.ndarray:
    """Diagonal of (JᵀJ + P)⁻¹ = S⁻¹S⁻ᵀ."""
    inverse = dtrtri(point.triangle[:-1, :-1])[0]
    return point.linearised.of_theta(np.sum(inverse**2, axis=1))


def _blocks(potential: Potential) -> tuple[slice, slice, slice]:
    """Radial, species and moment coefficients in θ."""
    p, C = potential.radial_coeffs.size, potential.species_count
    return slice(p), slice(p, p + C), slice(p + C, None)
