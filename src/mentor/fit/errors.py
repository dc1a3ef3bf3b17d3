"""The errors of a potential on labelled structures, group by group."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from rich.table import Table

from mentor.evaluation import evaluate_structures, given_structures
from mentor.exceptions import InputError
from mentor.potential import Potential, opened
from mentor.settings import command, option
from mentor.structures import check_structures, compositions, labels
from mentor.uncertainty import Posterior, Uncertainty, given_posterior, standard_deviations
from mentor.units import GPA

GROUP_NAMES = ("config_type", "group")
"""Entries of ``atoms.info`` that name the group of a structure."""

QUANTITIES = {
    "energy_per_atom": "eV/atom",
    "force_component": "eV/Å",
    "force_vector": "eV/Å",
    "stress": "GPa",
}
"""What is compared: E/N, each component of the forces, the length of their difference, σ."""

_FEWEST = 10  # structures per shift of energies, below which it is not spoken of
_SHIFTED = 0.6  # part of the RMSE that shifts leave, up to which it is (0.86 and more without),
_NOTICED = 1e-3  # eV/atom, where that is larger


@dataclass(frozen=True, kw_only=True)
class ErrorsSettings:
    """Settings of a comparison with labels."""

    potential: Path | Potential = option(help="Potential (.mtp or .almtp).", positional=True)
    data: Path | Sequence[Atoms] = option(
        help="Labelled structures, in any format of ASE or .cfg.", positional=True
    )
    elements: tuple[str, ...] = option(
        (), "Chemical symbols of the types, where the potential does not name them."
    )
    uncertainty: bool = option(
        False, "Say how many of the errors lie within the intervals foretold."
    )
    posterior: Path | Posterior | None = option(
        None, "File of the potential's posterior; by default the .posterior beside it."
    )


@dataclass(frozen=True)
class Error:
    """Largest and mean errors of one quantity."""

    count: int
    max: float
    mae: float
    rmse: float
    within: tuple[float, float] | None = None
    """Parts of them within the intervals for 68 % and 95 %, not counting what symmetry fixes."""

    @classmethod
    def of(cls, differences: np.ndarray, within: np.ndarray | None = None) -> "Error":
        """Of ``differences`` (n,), n > 0; ``within`` (2, k) says which lie in the intervals."""
        size = np.abs(differences)
        rmse = np.sqrt(np.mean(size**2))
        parts = None
        if within is not None and within.size:
            parts = (float(within[0].mean()), float(within[1].mean()))
        return cls(len(size), float(size.max()), float(size.mean()), float(rmse), parts)

    def as_dict(self) -> dict[str, Any]:
        """Its fields, ``within`` only where it is known."""
        known = {name: value for name, value in vars(self).items() if name != "within"}
        return known | ({} if self.within is None else {"within_68_95": list(self.within)})


@dataclass(frozen=True)
class Shift:
    """Errors of energies per atom (eV/atom) as one energy for each element."""

    mean: float
    """Mean error, potential minus label."""
    rmse: float
    """What is left after taking out the shifts of all elements that fit best."""
    evident: bool
    """Whether little is left of errors that are worth a word."""

    @classmethod
    def of(cls, differences: np.ndarray, shares: np.ndarray) -> "Shift":
        """Of ``differences`` (n,) of structures with ``shares`` (n, elements) of their atoms."""
        shifts, _, rank, _ = np.linalg.lstsq(shares, differences, rcond=1e-6)
        whole, left = (
            float(np.sqrt(np.mean(each**2)))
            for each in (differences, differences - shares @ shifts)
        )
        enough = len(differences) >= _FEWEST * rank and whole >= _NOTICED
        return cls(float(differences.mean()), left, bool(enough and left <= _SHIFTED * whole))

    def as_dict(self) -> dict[str, float]:
        """``{mean, rmse}``."""
        return {"mean": self.mean, "rmse": self.rmse}


@dataclass(frozen=True)
class ErrorTable:
    """Errors by group and quantity; the group ``all`` holds every structure."""

    groups: dict[str, dict[str, Error]]
    """Group -> quantity of :data:`QUANTITIES` -> error; quantities without labels are absent."""
    counts: dict[str, int]
    """Structures of each group."""
    shifts: dict[str, Shift]
    """Group with energies -> what of their errors is a shift."""

    def as_dict(self) -> dict[str, Any]:
        """Groups, each with its number of structures and ``{max, mae, rmse, count}``.

        ``energy_shift`` is the mean error of energies per atom and the RMSE after one shift for
        each element, eV/atom. With uncertainties also ``within_68_95``, the parts of the errors
        within their intervals.
        """
        return {
            "units": QUANTITIES,
            "groups": {
                name: {"structures": self.counts[name]}
                | {quantity: error.as_dict() for quantity, error in errors.items()}
                | ({"energy_shift": self.shifts[name].as_dict()} if name in self.shifts else {})
                for name, errors in self.groups.items()
            },
        }

    def __rich__(self) -> Table:
        """A line per group and quantity; the last column: how many are within the intervals.

        Beneath it a word on groups whose energies are shifted.
        """
        every = [error for errors in self.groups.values() for error in errors.values()]
        calibrated = any(error.within is not None for error in every)
        table = Table(caption="\n".join(self._notes()) or None, caption_justify="left")
        for name in ("group", "structures", "quantity", "unit"):
            table.add_column(name, justify="right" if name == "structures" else "left")
        for name in ("max", "MAE", "RMSE", "values", *(["68, 95 %"] * calibrated)):
            table.add_column(name, justify="right")
        for group, errors in self.groups.items():
            for row, (quantity, error) in enumerate(errors.items()):
                scale, unit = (1000.0, "meV/atom") if quantity == "energy_per_atom" else (1.0, "")
                numbers = (error.max, error.mae, error.rmse)
                table.add_row(
                    group if row == 0 else "",
                    str(self.counts[group]) if row == 0 else "",
                    quantity.replace("_", " "),
                    unit or QUANTITIES[quantity],
                    *(f"{scale * value:.4g}" for value in numbers),
                    str(error.count),
                    *([", ".join(f"{100 * part:.0f}" for part in error.within or ())] * calibrated),
                    end_section=row == len(errors) - 1,
                )
        return table

    def _notes(self) -> list[str]:
        """What to know of each group whose energies are shifted."""
        return [
            f"{name}: energies are off by {1000 * shift.mean:+.2f} meV/atom in the mean. One shift "
            f"for each element would leave {1000 * shift.rmse:.2f} of "
            f"{1000 * self.groups[name]['energy_per_atom'].rmse:.2f} meV/atom. Labels from other "
            "settings of the QM code look like this, or structures unlike all that were fitted to."
            for name, shift in self.shifts.items()
            if shift.evident
        ]


@command(ErrorsSettings)
def errors(settings: ErrorsSettings) -> ErrorTable:
    """Compare a potential with labelled structures.

    Structures are grouped by ``info["config_type"]`` or ``info["group"]``, where they have one.

    With ``uncertainty`` the table says how many of the errors lie within the intervals that the
    potential's posterior foretells for 68 % and 95 % of them.

    Raises
    ------
    InputError
        The files cannot be read, a structure cannot be used, or nothing has a label; the posterior
        belongs to another potential.
    """
    potential = opened(settings.potential, settings.elements)
    posterior = None
    if settings.uncertainty or settings.posterior is not None:
        posterior = given_posterior(settings.posterior, settings.potential, potential)
    structures = given_structures(settings.data, potential.elements)
    source = "data" if not isinstance(settings.data, Path | str) else str(settings.data)
    check_structures(structures, potential.elements, source)
    return error_table(potential, structures, source, posterior)


def error_table(
    potential: Potential,
    structures: Sequence[Atoms],
    source: str = "data",
    posterior: Posterior | None = None,
) -> ErrorTable:
    """Errors of ``potential`` on labelled ``structures``, with a posterior also their intervals.

    Raises
    ------
    InputError
        No structure has a label.
    """
    evaluated = evaluate_structures(potential, structures, grades=False)
    intervals = [None] * len(structures)
    if posterior is not None:
        intervals = standard_deviations(potential, posterior, structures)
    shares = compositions(structures, potential.elements)
    shares /= shares.sum(axis=1, keepdims=True)
    groups = [group_of(atoms) for atoms in structures]
    names = ["all"] if len(set(groups)) == 1 else [*dict.fromkeys(groups), "all"]
    cases: dict[str, list[_Case]] = {name: [] for name in names}
    for atoms, result, group, interval, share in zip(
        structures, evaluated, groups, intervals, shares, strict=True
    ):
        differences = _differences(atoms, result)
        inside = {} if interval is None else _within(differences, interval, len(atoms))
        for name in {group, "all"} & set(names):
            cases[name].append(_Case(differences, inside, share))
    counts = {name: len(each) for name, each in cases.items()}
    table = {name: found for name, each in cases.items() if (found := _by_quantity(each))}
    if not table:
        raise InputError(
            f"{source}: none of the {len(structures)} structures has an energy, forces or a "
            "stress; label them with a QM code first"
        )
    energies = (name for name, found in table.items() if "energy_per_atom" in found)
    return ErrorTable(table, counts, {name: _shift(cases[name]) for name in energies})


@dataclass(frozen=True, eq=False)
class _Case:
    """What one structure adds to a table."""

    differences: dict[str, np.ndarray]
    inside: dict[str, np.ndarray]
    shares: np.ndarray


def _by_quantity(cases: Sequence[_Case]) -> dict[str, Error]:
    """Errors of each quantity with labels."""
    found = {}
    for quantity in QUANTITIES:
        values = [case.differences[quantity] for case in cases if quantity in case.differences]
        inside = [case.inside[quantity] for case in cases if quantity in case.inside]
        if values:
            within = np.concatenate(inside, axis=1) if inside else None
            found[quantity] = Error.of(np.concatenate(values), within)
    return found


def _shift(cases: Sequence[_Case]) -> Shift:
    """Of the energies."""
    known = [case for case in cases if "energy_per_atom" in case.differences]
    differences = np.concatenate([case.differences["energy_per_atom"] for case in known])
    return Shift.of(differences, np.array([case.shares for case in known]))


def group_of(atoms: Atoms) -> str:
    """The group a structure says it belongs to, else ``all``."""
    for name in GROUP_NAMES:
        if name in atoms.info:
            return str(atoms.info[name])
    return "all"


def _differences(atoms: Atoms, result: Atoms) -> dict[str, np.ndarray]:
    """Potential minus label of one structure, flat arrays by quantity."""
    known, found = labels(atoms), result.calc.results
    differences = {}
    if known.energy is not None:
        differences["energy_per_atom"] = np.array([(found["energy"] - known.energy) / len(atoms)])
    if known.forces is not None:
        difference = found["forces"] - known.forces
        differences["force_component"] = difference.ravel()
        differences["force_vector"] = np.linalg.norm(difference, axis=1)
    if known.virial is not None and "stress" in found:
        stress = -known.virial / atoms.get_volume()
        differences["stress"] = (found["stress"] - stress) / GPA
    return differences


def _within(
    differences: dict[str, np.ndarray], uncertainty: Uncertainty, count: int
) -> dict[str, np.ndarray]:
    """Which errors of a structure lie in the intervals for 68 % and 95 %, (2, k) by quantity."""
    intervals = {
        "energy_per_atom": (uncertainty.energy, count),
        "force_component": (uncertainty.forces, 1.0),
        "stress": (uncertainty.stress, GPA),
    }
    found = {}
    for quantity, (interval, unit) in intervals.items():
        if interval is not None and quantity in differences:
            size, free = np.abs(differences[quantity]), np.ravel(interval.free)
            halves = np.array([np.ravel(interval.std), np.ravel(interval.half95)]) / unit
            found[quantity] = (size <= halves)[:, free]
    return found
