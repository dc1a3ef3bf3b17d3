"""Larger potentials that begin where a smaller one is: more basis functions, polynomials, species.

What is new has no part in the energy yet, so that a fit of the larger potential begins with the
errors of the smaller one instead of those of random coefficients.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from scipy.spatial import cKDTree

from mentor.basis import LEVEL_WEIGHTS, Basis, generate
from mentor.exceptions import InputError
from mentor.potential import Potential, random_coefficients
from mentor.short_range import core_radii

_SAMPLES = 3  # sets of random moments by which basis functions are told apart
_SAME = 1e-9  # relative difference of their values up to which two functions are one


def grown(
    potential: Potential,
    *,
    level: int | None = None,
    level_weights: tuple[int, ...] = LEVEL_WEIGHTS,
    radial_basis_size: int | None = None,
    elements: Sequence[str] | None = None,
    seed: int = 0,
) -> Potential:
    """``potential`` with a larger basis; energies of its own elements are exactly as before.

    Coefficients of basis functions and Chebyshev polynomials that are new are 0. Radial functions
    f_μ that are new are random, as large as the others. A new species begins as the old one whose
    covalent radius is nearest to its own. The active set is left out.

    Parameters
    ----------
    level, radial_basis_size
        Those of the result, not below those of ``potential``; None for the same.
    level_weights
        Of the level.
    elements
        Chemical symbols of the result in the order of its types, among them all of ``potential``;
        None for the same.
    seed
        Of the new radial functions.

    Raises
    ------
    InputError
        Something would become smaller, or ``potential`` has basis functions of another kind than
        those of a level.
    """
    result = replace(potential, active_set=None)
    if elements is not None and tuple(elements) != potential.elements:
        result = _with_elements(result, tuple(elements))
    if radial_basis_size is not None:
        result = _with_radial_basis_size(result, radial_basis_size)
    return result if level is None else _with_level(result, level, tuple(level_weights), seed)


def _with_elements(potential: Potential, elements: tuple[str, ...]) -> Potential:
    old = potential.elements
    if not old:
        raise InputError("only a potential that names its elements can be given more of them")
    lacking, unknown = set(old) - set(elements), [s for s in elements if s not in atomic_numbers]
    if lacking or unknown or len(set(elements)) != len(elements):
        raise InputError(
            f"elements = {', '.join(elements)}: give each chemical symbol once, "
            f"and among them those of the potential ({', '.join(old)})"
        )
    like = np.array([old.index(_nearest(symbol, old)) for symbol in elements])
    radii, moments = potential.core_radii, potential.moment_coeffs
    if radii is not None:
        kept = np.isin(elements, old)
        inherited = radii[np.ix_(like, like)]
        fresh = core_radii(elements, limit=potential.min_dist)
        radii = np.where(np.outer(kept, kept), inherited, fresh)
    return replace(
        potential,
        species_count=len(elements),
        elements=elements,
        radial_coeffs=potential.radial_coeffs[np.ix_(like, like)],
        species_coeffs=potential.species_coeffs[like],
        moment_coeffs=moments if moments.ndim == 1 else moments[like],
        core_radii=radii,
    )


def _nearest(symbol: str, known: Sequence[str]) -> str:
    """``symbol`` itself where it is known, else the known element of the most similar size."""

    def difference(other: str) -> float:
        return abs(covalent_radii[atomic_numbers[other]] - covalent_radii[atomic_numbers[symbol]])

    return symbol if symbol in known else min(known, key=difference)


def _with_radial_basis_size(potential: Potential, size: int) -> Potential:
    more = size - potential.radial_basis_size
    if more < 0:
        raise InputError(
            f"radial_basis_size = {size} is below that of the potential, "
            f"{potential.radial_basis_size}; leave it out or train anew"
        )
    return replace(potential, radial_coeffs=padded(potential.radial_coeffs, 3, more))


def _with_level(
    potential: Potential, level: int, level_weights: tuple[int, ...], seed: int
) -> Potential:
    basis, now = generate(level, level_weights=level_weights), level_of(potential, level_weights)
    if level < now:
        raise InputError(
            f"level = {level} is below that of the potential, {now} with level_weights = "
            f"{','.join(map(str, level_weights))}; leave it out or train anew"
        )
    if level == now:
        return potential
    if _places(potential, basis) is None:
        raise InputError(
            f"the potential has basis functions that are not among those of level {level}, "
            "so that it cannot be grown"
        )
    shape, rng = list(potential.radial_coeffs.shape), np.random.default_rng(seed)
    shape[2] = max(shape[2], basis.radial_funcs_count)
    fresh = random_coefficients(rng, tuple(shape), 0)["radial_coeffs"]
    return raised(potential, _with_basis(potential, basis, fresh))


def raised(potential: Potential, larger: Potential) -> Potential:
    """``larger`` with the energies of ``potential``, whose basis functions it has among its own.

    Its further basis functions get coefficients 0; its further radial functions stay as they are,
    made as large as those of ``potential``.
    """
    K, moments = potential.radial_funcs_count, potential.moment_coeffs
    radial_coeffs = larger.radial_coeffs.copy()
    size = np.sqrt(np.mean(potential.radial_coeffs**2) / np.mean(radial_coeffs**2)) or 1.0
    radial_coeffs[:, :, :K] = potential.radial_coeffs
    radial_coeffs[:, :, K:] *= size
    moment_coeffs = np.zeros((*moments.shape[:-1], larger.scalar_count))
    moment_coeffs[..., _places(potential, larger)] = moments
    return replace(
        larger,
        radial_coeffs=radial_coeffs,
        species_coeffs=potential.species_coeffs,
        moment_coeffs=moment_coeffs,
        active_set=None,
    )


def lowered(potential: Potential, most: int) -> Potential | None:
    """``potential`` without its highest levels, so that at most ``most`` basis functions are left.

    None where the lowest level has more. Whatever basis it is, levels are the usual ones.
    """
    levels = levels_of(potential)
    highest = [level for level in np.unique(levels) if np.count_nonzero(levels <= level) <= most]
    return _with_only(potential, levels <= highest[-1]) if highest else None


def _with_only(potential: Potential, kept: np.ndarray) -> Potential:
    """``potential`` with the basis functions ``kept``, a mask, and the moments they are made of."""
    basic, times = potential.alpha_index_basic, potential.alpha_index_times
    mapping = potential.alpha_moment_mapping[kept]
    needed, run = np.zeros(potential.alpha_moments_count, bool), np.zeros(len(times), bool)
    needed[mapping] = True
    for row in range(len(times) - 1, -1, -1):
        i, j, _, k = times[row]
        run[row] = needed[k]
        needed[[i, j]] |= needed[k]
    place = (np.cumsum(needed) - 1).astype(np.int32)
    basic, times = basic[needed[: len(basic)]], times[run]
    times[:, [0, 1, 3]] = place[times[:, [0, 1, 3]]]
    return replace(
        potential,
        radial_coeffs=potential.radial_coeffs[:, :, : basic[:, 0].max() + 1],
        alpha_moments_count=int(needed.sum()),
        alpha_index_basic=basic,
        alpha_index_times=times,
        alpha_moment_mapping=place[mapping],
        moment_coeffs=potential.moment_coeffs[..., kept],
        active_set=None,
    )


def _with_basis(potential: Potential, basis: Basis, radial_coeffs: np.ndarray) -> Potential:
    """``potential`` with other basis and radial functions; its ``moment_coeffs`` no longer fit."""
    return replace(
        potential,
        radial_coeffs=radial_coeffs,
        alpha_moments_count=basis.alpha_moments_count,
        alpha_index_basic=basis.alpha_index_basic,
        alpha_index_times=basis.alpha_index_times,
        alpha_moment_mapping=basis.alpha_moment_mapping,
        active_set=None,
    )


def _places(smaller: Potential | Basis, larger: Potential | Basis) -> np.ndarray | None:
    """Which basis functions of ``larger`` those of ``smaller`` are; None where some are not."""
    apart, place = cKDTree(np.log(_scalars(larger))).query(np.log(_scalars(smaller)))
    if apart.max(initial=0.0) > _SAME or len(set(place.tolist())) != len(place):
        return None
    return place


def level_of(potential: Potential, level_weights: tuple[int, ...] = LEVEL_WEIGHTS) -> int:
    """Highest level of the basis functions of ``potential``."""
    return int(levels_of(potential, level_weights).max(initial=0))


@lru_cache(maxsize=16)  # a fit asks for those of the same potential again and again
def levels_of(potential: Potential, level_weights: tuple[int, ...] = LEVEL_WEIGHTS) -> np.ndarray:
    """Level of each of the basis functions of ``potential``, shape (n,).

    A function of level L grows 2^L-fold where each M_{μ,ν} grows 2^(w₀ + w₁μ + w₂ν)-fold.
    """
    ratios = _scalars(potential, 2.0, level_weights) / _scalars(potential)
    return np.rint(np.log2(ratios.max(axis=1, initial=1.0))).astype(int)


def _scalars(
    schedule: Potential | Basis,
    stretch: float = 1.0,
    level_weights: tuple[int, ...] = LEVEL_WEIGHTS,
) -> np.ndarray:
    """The basis functions for some sets of random basic moments, shape (n, _SAMPLES).

    They are polynomials in the moments {μ, a, b, c}. Equal moments get equal values, positive so
    that nothing cancels, whatever the order of the schedule: equal values mean equal functions.
    """
    moments = np.zeros((schedule.alpha_moments_count, _SAMPLES))
    for place, (mu, *powers) in enumerate(schedule.alpha_index_basic.tolist()):
        value = np.random.default_rng([mu, *powers]).uniform(0.5, 1.5, _SAMPLES)
        level = np.dot(level_weights, (1, mu, sum(powers)))
        moments[place] = value * stretch**level
    for i, j, factor, k in schedule.alpha_index_times.tolist():
        moments[k] += factor * moments[i] * moments[j]
    return moments[schedule.alpha_moment_mapping]


def padded(values: np.ndarray, axis: int, more: int) -> np.ndarray:
    """``values`` with ``more`` zeros at the end of ``axis``."""
    widths = [(0, more if axis == each else 0) for each in range(values.ndim)]
    return np.pad(values, widths)
