"""Weights of structures, of groups of them and of species, as the loss reads them."""

from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms

from mentor.exceptions import InputError
from mentor.fit.errors import group_of
from mentor.fit.loss import TERM_WEIGHTS, WEIGHT
from mentor.tables import nearest


def weighted(
    structures: Sequence[Atoms],
    groups: Mapping[str, float] | None = None,
    species: Mapping[str, float] | None = None,
) -> list[Atoms]:
    """Copies of ``structures`` with the weights of their groups and species on top of their own.

    Parameters
    ----------
    groups
        Group -> factor of all terms of its structures in the loss.
    species
        Chemical symbol -> factor of the forces on its atoms.

    Raises
    ------
    InputError
        A weight is not a number ≥ 0, its group or species does not occur, or nothing is left.
    """
    groups, species = groups or {}, species or {}
    if not groups and not species:
        return list(structures)
    own = [group_of(atoms) for atoms in structures]
    found = {symbol for atoms in structures for symbol in atoms.get_chemical_symbols()}
    _check("group_weights", "group", groups, dict.fromkeys(own))
    _check("species_weights", "species", species, sorted(found))
    if all(groups.get(group, 1.0) == 0 for group in own):
        raise InputError("group_weights are 0 for all structures; leave one group its weight")
    result = []
    for atoms, group in zip(structures, own, strict=True):
        copy = light_copy(atoms)
        _multiply(copy.info, WEIGHT, groups.get(group, 1.0))
        if species:
            factors = np.array([species.get(symbol, 1.0) for symbol in atoms.symbols])
            old = copy.arrays.get(TERM_WEIGHTS[1], 1.0)
            copy.arrays[TERM_WEIGHTS[1]] = factors * old
        result.append(copy)
    return result


def with_terms(
    structures: Sequence[Atoms], energy: np.ndarray, force: np.ndarray, stress: np.ndarray
) -> list[Atoms]:
    """Copies of ``structures`` whose terms count by these factors more, each of shape (S,)."""
    result = []
    for atoms, factors in zip(
        structures, np.array([energy, force, stress]).T.tolist(), strict=True
    ):
        copy = light_copy(atoms)
        for name, factor in zip(TERM_WEIGHTS, factors, strict=True):
            _multiply(copy.info, name, factor)
        result.append(copy)
    return result


def without_weights(structures: Sequence[Atoms]) -> list[Atoms]:
    """Copies of ``structures`` that all count alike."""
    result = []
    for atoms in structures:
        copy = light_copy(atoms)
        for name in (WEIGHT, *TERM_WEIGHTS):
            copy.info.pop(name, None)
            copy.arrays.pop(name, None)
        result.append(copy)
    return result


def light_copy(atoms: Atoms) -> Atoms:
    """A copy with the labels of ``atoms``."""
    copy = atoms.copy()
    copy.calc = atoms.calc
    return copy


def _multiply(info: dict, name: str, factor: float) -> None:
    """Multiply a weight; one that is no number stays as it is, for the loss to complain about."""
    if factor == 1.0:
        return
    try:
        info[name] = factor * float(info.get(name, 1.0))
    except (TypeError, ValueError):
        return


def _check(option: str, kind: str, given: Mapping[str, float], known: Sequence[str]) -> None:
    for name, weight in given.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float | np.number):
            raise InputError(f"{option}: {name} = {weight!r} must be a number ≥ 0")
        if not (weight >= 0 and np.isfinite(weight)):
            raise InputError(f"{option}: {name} = {weight:g} must be a number ≥ 0")
        if name not in known:
            listed = ", ".join(list(known)[:12])
            raise InputError(
                f"{option}: no structure of {kind} {name!r} in the data"
                + (nearest(name, known) or f"; there are {listed}")
            )
