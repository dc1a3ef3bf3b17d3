"""What happened in a campaign, read from its folder at any time, also while it runs.

The campaign writes one :class:`Iteration` per turn of its loop, as JSON, into ``campaign.db``.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mentor.learning import store
from mentor.learning.settings import CampaignSettings, settings_from_dict


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """One uninterrupted stretch of molecular dynamics of one walker, with one potential."""

    walker: int
    temperature: float
    """K."""
    pressure: float | None
    """GPa; None where the cell is fixed."""
    first_step: int
    """Steps this walker had made before."""
    last_step: int
    """Steps it has made now."""
    grades: tuple[tuple[int, float], ...]
    """(step, largest extrapolation grade since the entry before)."""
    stopped: bool
    """Whether it ended at a grade above ``select.stop`` and went back."""
    candidates: int
    """Structures with a grade above ``select.threshold``."""


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Potential minus engine over a set of structures; None where there is nothing to compare."""

    structures: int
    energy_mae: float | None
    """eV/atom."""
    energy_rmse: float | None
    """eV/atom."""
    force_mae: float | None
    """eV/Å, of components."""
    force_rmse: float | None
    """eV/Å, of components."""
    stress_rmse: float | None
    """GPa, of components."""


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """One turn of the loop: explore, select, label, fit."""

    number: int
    phase: str
    """``start`` (rattled copies), ``learning``, ``final`` (last fit) or ``validation``."""
    stretches: tuple[Stretch, ...]
    md_steps: int
    """Steps of all walkers together up to the end of this iteration; validation not counted."""
    new_labels: int
    """Engine results that came new into the training (or validation) set."""
    failures: int
    """Structures the engine failed on."""
    training_size: int
    """Labels in the training set at the end."""
    generation: int
    """Number of the potential at the end."""
    errors_before: Errors | None
    """Errors on the new labels before they were trained on: a true test of the old potential."""
    errors_after: Errors | None
    """Errors on the whole training set after the fit."""
    seconds: dict[str, float]
    """Wall time of ``explore``, ``label`` and ``fit``."""
    time: float = 0.0
    """When it was stored, seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A structure that was put aside because the engine failed on it."""

    structure: Atoms
    reason: str
    iteration: int


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Fresh structures from molecular dynamics with the final potential, labelled by the engine."""

    structures: tuple[Atoms, ...]
    """With the engine's labels; ``info['temperature']`` in K, ``info['grade']`` of the frame."""
    energies: np.ndarray
    """Of the potential, eV, shape (S,)."""
    forces: tuple[np.ndarray, ...]
    """Of the potential, eV/Å, (N, 3) each."""
    errors: Errors
    errors_by_temperature: dict[float, Errors]
    """Temperature in K → errors of its structures."""


@dataclass(frozen=True, kw_only=True)
class CampaignHistory:
    """Everything there is to tell about a campaign."""

    folder: Path
    status: str
    """``running``, ``interrupted``, ``finished`` or ``failed``."""
    message: str
    """How it ended, or what it is doing."""
    converged: bool | None
    """Whether nothing new turned up in the last part of the exploration; None before the end."""
    settings: CampaignSettings
    iterations: tuple[Iteration, ...]
    failures: tuple[Failure, ...]
    validation: Validation | None
    potential: Path | None
    """The newest potential."""
    walkers: tuple[dict[str, Any], ...]
    """``index``, ``temperature`` (K), ``pressure``, ``steps`` done and ``goal`` of each walker."""
    label_seconds: float
    """Wall time of one engine calculation, mean over all labels, s; 0 before the first."""
    md_seconds_per_step: float
    """Wall time of one step of exploration, s; 0 before the first."""

    @property
    def md_steps(self) -> int:
        """Steps of all walkers together."""
        return self.iterations[-1].md_steps if self.iterations else 0

    @property
    def training_size(self) -> int:
        """Labels in the training set."""
        return self.iterations[-1].training_size if self.iterations else 0

    @property
    def qm_calls(self) -> int:
        """Engine calculations: labels of training and validation, and failures."""
        return sum(each.new_labels for each in self.iterations) + len(self.failures)

    def learning_curve(self) -> list[tuple[int, Errors]]:
        """(labels trained on, errors on the next labels before training on those)."""
        curve, size = [], 0
        for each in self.iterations:
            if each.errors_before is not None and each.phase != "validation":
                curve.append((size, each.errors_before))
            size = each.training_size
        return curve

    def qm_calls_by_step(self) -> list[tuple[int, int]]:
        """(MD steps of all walkers, labels in the training set) after every iteration."""
        return [
            (each.md_steps, each.training_size)
            for each in self.iterations
            if each.phase in ("start", "learning")
        ]

    def time_saved(self) -> tuple[float, float]:
        """(Time pure QM molecular dynamics of as many steps would take, time this took), s."""
        spent = sum(sum(each.seconds.values()) for each in self.iterations)
        return self.md_steps * self.label_seconds, spent


def history(folder: str | os.PathLike[str]) -> CampaignHistory:
    """Read the history of the campaign in ``folder``.

    Raises
    ------
    InputError
        There is no campaign in the folder.
    StorageError
        Its database cannot be read.
    """
    folder = Path(folder)
    with store.read_only(folder) as connection:
        names = ("settings", "status", "message", "converged", "walkers", "potential", "validation")
        facts = {name: store.read_fact(connection, name) for name in names}
        rows = connection.execute("SELECT time, record FROM iterations ORDER BY number").fetchall()
        failed = connection.execute(
            "SELECT structure, reason, iteration FROM failures ORDER BY time"
        ).fetchall()
    status = facts["status"] or "running"
    if status == "running" and not store.running(folder):
        status = "interrupted"
    iterations = tuple(iteration_from_dict(json.loads(record) | {"time": t}) for t, record in rows)
    return CampaignHistory(
        folder=folder,
        status=status,
        message=facts["message"] or "",
        converged=facts["converged"],
        settings=settings_from_dict(facts["settings"]),
        iterations=iterations,
        failures=tuple(
            Failure(structure=store.structure_from_text(text), reason=reason, iteration=iteration)
            for text, reason, iteration in failed
        ),
        validation=_validation(folder, facts["validation"]),
        potential=folder / facts["potential"] if facts["potential"] else None,
        walkers=tuple(facts["walkers"] or ()),
        label_seconds=_mean_label_seconds(folder),
        md_seconds_per_step=_md_seconds_per_step(iterations),
    )


def training_set(folder: str | os.PathLike[str]) -> list[Atoms]:
    """The labelled structures of a campaign's training set; ``info['iteration']`` says when."""
    return store.read_labels(folder, "training")


def iteration_to_dict(iteration: Iteration) -> dict:
    """An iteration as plain JSON types."""
    return asdict(iteration)


def iteration_from_dict(record: dict) -> Iteration:
    """The inverse of :func:`iteration_to_dict`."""
    stretches = tuple(
        Stretch(**each | {"grades": tuple(tuple(pair) for pair in each["grades"])})
        for each in record["stretches"]
    )
    errors = {
        name: None if record[name] is None else Errors(**record[name])
        for name in ("errors_before", "errors_after")
    }
    return Iteration(**record | {"stretches": stretches} | errors)


def _validation(folder: Path, fact: dict | None) -> Validation | None:
    """The fact holds keys of labels, temperatures, grades and what the potential predicted."""
    if fact is None:
        return None
    labelled = {atoms.info["key"]: atoms for atoms in store.read_labels(folder)}
    structures = []
    for key, temperature, grade in zip(
        fact["keys"], fact["temperatures"], fact["grades"], strict=True
    ):
        atoms = labelled[key]
        atoms.info |= {"temperature": temperature, "grade": grade}
        structures.append(atoms)
    return Validation(
        structures=tuple(structures),
        energies=np.array(fact["energies"], float),
        forces=tuple(np.array(each, float).reshape(-1, 3) for each in fact["forces"]),
        errors=Errors(**fact["errors"]),
        errors_by_temperature={
            temperature: Errors(**errors) for temperature, errors in fact["by_temperature"]
        },
    )


def _mean_label_seconds(folder: Path) -> float:
    if not (folder / "labels.db").is_file():
        return 0.0
    seconds = [each for each in store.read_label_seconds(folder) if each > 0]
    return float(np.mean(seconds)) if seconds else 0.0


def _md_seconds_per_step(iterations: tuple[Iteration, ...]) -> float:
    seconds = sum(each.seconds.get("explore", 0.0) for each in iterations)
    steps = sum(
        stretch.last_step - stretch.first_step for each in iterations for stretch in each.stretches
    )
    return seconds / steps if steps else 0.0
