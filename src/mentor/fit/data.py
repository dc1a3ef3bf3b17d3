"""What a training is given: structures to fit to, to validate and to test with."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from mentor.evaluation import given_structures
from mentor.exceptions import InputError
from mentor.fit.settings import TrainSettings
from mentor.fit.weighing import weighted
from mentor.structures import check_structures, labels


@dataclass(frozen=True, eq=False)
class TrainingData:
    """All structures given, and which of them are set aside."""

    given: list[Atoms]
    fitted: list[int]
    """Numbers in ``given``."""
    set_aside: list[int]
    validation: list[Atoms]
    """Those set aside, or those of another file."""
    test: list[Atoms]

    @property
    def structures(self) -> list[Atoms]:
        """Those that are fitted to."""
        return [self.given[s] for s in self.fitted]


def training_data(settings: TrainSettings) -> TrainingData:
    """Training, validation and test structures, with the weights of groups and species.

    Raises
    ------
    InputError
        The data cannot be read, have no energies or too few structures to set some aside.
    """
    elements = settings.elements or None
    if settings.potential is not None:
        elements = settings.potential.elements
    given = given_structures(settings.data, elements)
    source = settings.data if isinstance(settings.data, Path | str) else "data"
    if all(labels(atoms).energy is None for atoms in given):
        raise InputError(
            f"{source}: none of its {len(given)} structures has an energy; "
            "label them with a QM code first"
        )
    given = weighted(given, settings.group_weights, settings.species_weights)
    test = [] if settings.test is None else given_structures(settings.test, elements)
    set_aside = _set_aside(settings, len(given))
    fitted = sorted(set(range(len(given))).difference(set_aside))
    validation = [given[s] for s in set_aside]
    if settings.validation is not None:
        if settings.validation_fraction:
            raise InputError("give either validation or validation_fraction, not both")
        validation = given_structures(settings.validation, elements)
    return TrainingData(given, fitted, set_aside, validation, test)


def _set_aside(settings: TrainSettings, count: int) -> list[int]:
    """Numbers of the structures that validate, among ``count``."""
    part = settings.validation_fraction
    if not 0 <= part < 1:
        raise InputError(f"validation_fraction = {part} must lie between 0 and 1")
    number = round(part * count)
    if part and not 0 < number < count:
        raise InputError(
            f"validation_fraction = {part} of {count} structures "
            f"sets {number} aside; give more data or another fraction"
        )
    return sorted(np.random.default_rng(settings.seed).permutation(count)[:number].tolist())


def elements_of(settings: TrainSettings, structures: list[Atoms]) -> tuple[str, ...]:
    """Those of the potential, all of which the structures may have."""
    if settings.potential is not None:
        elements = settings.potential.elements
    else:
        found = {symbol for atoms in structures for symbol in atoms.get_chemical_symbols()}
        elements = settings.elements or tuple(sorted(found, key=atomic_numbers.__getitem__))
    check_structures(structures, elements, "data")
    return elements
