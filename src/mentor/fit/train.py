"""``mentor train``: from labelled structures to a potential."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from rich.console import Group
from rich.table import Table

from mentor import potential as potentials
from mentor.active import build_active_set
from mentor.evaluation import given_structures
from mentor.exceptions import InputError
from mentor.files import write_atomically
from mentor.fit.checkpoint import Iteration, Progress
from mentor.fit.errors import ErrorTable, error_table
from mentor.fit.fitting import FitResult, fit
from mentor.fit.posterior import posterior
from mentor.parallel import led
from mentor.potential import Potential, opened
from mentor.settings import command, option
from mentor.short_range import CLOSER, core_radii
from mentor.structures import check_structures, labels, shortest_distances
from mentor.uncertainty import Posterior, posterior_path


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of a training."""

    data: Path | Sequence[Atoms] = option(
        help="Labelled structures, in any format of ASE or .cfg.", positional=True
    )
    potential: Path | Potential | None = option(
        None, "Potential to start from; the next six settings are then unused."
    )
    elements: tuple[str, ...] = option(
        (), "Chemical symbols; by default those of the data, by atomic number."
    )
    level: int = option(16, "Highest level of the basis functions; even, 2 to 28.")
    cutoff: float = option(5.0, "Radius of the neighbourhood (max_dist).", unit="Å")
    min_dist: float | None = option(
        None, "Shortest distance resolved; by default 0.95 of the shortest in the data.", unit="Å"
    )
    radial_basis_size: int = option(8, "Number of Chebyshev polynomials per radial function.")
    core: bool = option(
        True,
        "Repel atoms that come very close; other programs can only read potentials without it.",
    )
    validation: Path | Sequence[Atoms] | None = option(
        None, "Labelled structures that are not fitted but decide when to stop."
    )
    validation_fraction: float = option(
        0.0, "Part of the data to set aside for that, drawn with the seed."
    )
    energy_weight: float = option(1.0, "Weight of the energies.")
    force_weight: float = option(0.01, "Weight of the forces.", unit="Å²")
    stress_weight: float = option(0.001, "Weight of the stresses (as virials).")
    weighting: str = option(
        "vibrations",
        "Energies per atom count N¹ᐟ²-fold (vibrations), N-fold (molecules) or once (structures).",
        choices=("vibrations", "molecules", "structures"),
    )
    max_iterations: int = option(100, "Most iterations.")
    tolerance: float = option(0.01, "Ends when ten iterations lower the loss by less than this.")
    starts: int = option(
        24, "Starting coefficients tried on a part of the data; 1 where a potential is given."
    )
    seed: int = option(0, "Seed of the starting coefficients and of the validation set.")
    output: Path | None = option(
        None, "File for the potential: .mtp, or .almtp with its active set."
    )
    posterior: bool = option(
        True, "Write the posterior beside the output, for mentor evaluate --uncertainty."
    )
    log: Path | None = option(None, "File for a table of all iterations (.csv).")
    checkpoint: Path | None = option(
        None, "File for the state of the fit; by default beside the output."
    )
    resume: bool = option(False, "Go on from the checkpoint of an interrupted training.")


@dataclass(frozen=True, eq=False)
class TrainResult:
    """A trained potential, its errors, and how the fit went."""

    potential: Potential
    errors: ErrorTable
    """On the training structures."""
    validation_errors: ErrorTable | None
    history: tuple[Iteration, ...]
    reason: str
    """Why the fit ended."""
    seconds: float
    output: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """Errors, iterations and where the potential is, as plain values."""
        validation = self.validation_errors
        return {
            "output": None if self.output is None else str(self.output),
            "reason": self.reason,
            "seconds": self.seconds,
            "parameters": self.potential.parameter_count,
            "train": self.errors.as_dict(),
            "validation": None if validation is None else validation.as_dict(),
            "iterations": [_finite(each.as_dict()) for each in self.history],
        }

    def __rich__(self) -> Group:
        """The error tables and a line on the fit."""
        parts: list[Any] = [_titled(self.errors, "training set")]
        if self.validation_errors is not None:
            parts.append(_titled(self.validation_errors, "validation set"))
        where = f"; written to {self.output}" if self.output else ""
        parts.append(
            f"{len(self.history) - 1} iterations in {self.seconds:.0f} s: {self.reason}{where}"
        )
        return Group(*parts)


def _titled(table: ErrorTable, title: str) -> Table:
    shown = table.__rich__()
    shown.title = title
    return shown


def _finite(line: dict[str, Any]) -> dict[str, Any]:
    """NaN, which JSON lacks, as None."""
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in line.items()
    }


@command(TrainSettings)
@led
def train(settings: TrainSettings) -> TrainResult:
    """Fit a potential to energies, forces and stresses.

    The linear coefficients are solved for exactly, the radial ones by damped Gauss-Newton steps
    with the exact Jacobian. Forces or stresses may be missing, also from single structures. The
    same seed gives the same coefficients.

    Interrupted, the fit goes on from its checkpoint with ``resume``.

    Raises
    ------
    InputError
        The data cannot be read or used, or have no energies; settings make no sense; the checkpoint
        belongs to another fit.
    StorageError
        A file cannot be written.
    """
    begin = perf_counter()
    settings = replace(
        settings,
        **{
            name: Path(getattr(settings, name))
            for name in ("output", "log", "checkpoint")
            if getattr(settings, name) is not None
        },
    )
    structures, held = _data(settings)
    start = _start(settings, structures)
    if settings.output is not None and settings.output.suffix not in (".mtp", ".almtp"):
        raise InputError(f"output = {settings.output}: the name must end in .mtp or .almtp")
    checkpoint = settings.checkpoint
    if checkpoint is None and settings.output is not None:
        checkpoint = settings.output.with_suffix(".checkpoint")
    if settings.resume and checkpoint is None:
        raise InputError("resume needs a checkpoint or an output beside which it is")
    fitted = fit(
        start,
        structures,
        energy_weight=settings.energy_weight,
        force_weight=settings.force_weight,
        stress_weight=settings.stress_weight,
        weighting=settings.weighting,
        validation=held,
        max_iterations=settings.max_iterations,
        tolerance=settings.tolerance,
        starts=settings.starts if settings.potential is None else 1,
        seed=settings.seed,
        checkpoint=checkpoint,
        resume=settings.resume,
        watch=_logger(settings.log),
    )
    result = _result(settings, fitted, structures, held)
    if settings.output is not None:
        result.potential.save(settings.output)
        if settings.posterior:
            _posterior(settings, result.potential, structures, held).save(
                posterior_path(settings.output)
            )
    if checkpoint is not None and len(fitted.history) <= settings.max_iterations:
        checkpoint.unlink(missing_ok=True)
    return replace(result, seconds=perf_counter() - begin)


def _data(settings: TrainSettings) -> tuple[list[Atoms], list[Atoms]]:
    """Training and validation structures."""
    elements = settings.elements or None
    if isinstance(settings.potential, Potential):
        elements = settings.potential.elements
    structures = given_structures(settings.data, elements)
    source = settings.data if isinstance(settings.data, Path | str) else "data"
    if all(labels(atoms).energy is None for atoms in structures):
        raise InputError(
            f"{source}: none of its {len(structures)} structures has an energy; "
            "label them with a QM code first"
        )
    if not 0 <= settings.validation_fraction < 1:
        raise InputError(
            f"validation_fraction = {settings.validation_fraction} must lie between 0 and 1"
        )
    if settings.validation is not None:
        if settings.validation_fraction:
            raise InputError("give either validation or validation_fraction, not both")
        return structures, given_structures(settings.validation, elements)
    count = round(settings.validation_fraction * len(structures))
    if settings.validation_fraction and not 0 < count < len(structures):
        raise InputError(
            f"validation_fraction = {settings.validation_fraction} of {len(structures)} structures "
            f"sets {count} aside; give more data or another fraction"
        )
    held = set(np.random.default_rng(settings.seed).permutation(len(structures))[:count].tolist())
    return (
        [atoms for index, atoms in enumerate(structures) if index not in held],
        [structures[index] for index in sorted(held)],
    )


def _start(settings: TrainSettings, structures: list[Atoms]) -> Potential:
    """The potential to begin with: the given one, or an untrained one for the structures."""
    found = {symbol for atoms in structures for symbol in atoms.get_chemical_symbols()}
    if settings.potential is not None:
        potential = opened(settings.potential, settings.elements)
        check_structures(structures, potential.elements, "data")
        return potential.with_core_below(structures)
    elements = settings.elements or tuple(sorted(found, key=atomic_numbers.__getitem__))
    check_structures(structures, elements, "data")
    distances = shortest_distances(structures, settings.cutoff)
    min_dist = settings.min_dist
    if min_dist is None:
        shortest = min(distances.values(), default=None)
        min_dist = round(CLOSER * shortest, 3) if shortest else 0.5 * settings.cutoff
    return potentials.init(
        level=settings.level,
        elements=elements,
        cutoff=settings.cutoff,
        min_dist=min_dist,
        radial_basis_size=settings.radial_basis_size,
        core=settings.core,
        core_radii=core_radii(elements, settings.cutoff, distances),
        seed=settings.seed,
    )


def _result(
    settings: TrainSettings, fitted: FitResult, structures: list[Atoms], held: list[Atoms]
) -> TrainResult:
    potential = fitted.potential
    if settings.output is not None and settings.output.suffix == ".almtp":
        potential = replace(potential, active_set=build_active_set(potential, structures))
    return TrainResult(
        potential=potential,
        errors=error_table(potential, structures),
        validation_errors=error_table(potential, held) if held else None,
        history=fitted.history,
        reason=fitted.reason,
        seconds=0.0,
        output=settings.output,
    )


def _posterior(
    settings: TrainSettings, potential: Potential, structures: list[Atoms], held: list[Atoms]
) -> Posterior:
    return posterior(
        potential,
        structures,
        energy_weight=settings.energy_weight,
        force_weight=settings.force_weight,
        stress_weight=settings.stress_weight,
        weighting=settings.weighting,
        validation=held,
    )


def _logger(path: Path | None):
    """Writes the table of iterations anew after each of them."""
    if path is None:
        return None

    def write(stand: Progress) -> None:
        text = io.StringIO()
        lines = [each.as_dict() for each in stand.history]
        writer = csv.DictWriter(text, lines[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        write_atomically(path, text.getvalue())

    return write
