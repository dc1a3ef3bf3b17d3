"""The settings of a campaign: one frozen class per table of ``campaign.toml``."""

import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mentor import tables
from mentor.basis import LEVEL_WEIGHTS
from mentor.exceptions import InputError
from mentor.settings import check_choices, option


@dataclass(frozen=True, kw_only=True)
class StructureSettings:
    """Where the campaign starts from."""

    start: tuple[Path, ...] = option(
        (), "Files of starting structures; every structure in them is explored."
    )
    training: tuple[Path, ...] = option((), "Files of labelled structures to train on as well.")
    initial: int = option(
        12, "Rattled copies of the starting structures labelled before anything is known."
    )
    rattle: float = option(0.06, "Largest displacement of these copies (normal, σ).", unit="Å")
    strain: float = option(0.03, "Largest strain of these copies where periodic (normal, σ).")


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """The quantum-mechanics engine: any ASE calculator, by name and parameters."""

    name: str = option(
        "", "ASE calculator (tblite, gpaw, espresso, …), or your own as module:Class."
    )
    parameters: dict = option({}, "Arguments of the calculator, as in ASE.")
    profile: dict = option({}, "Arguments of its ASE profile (command, pseudo_dir, …), if any.")
    time_limit: float = option(3600.0, "Longest time one calculation may take.", unit="s")
    retries: int = option(1, "How often a failed calculation is tried again.")
    threads: int = option(1, "Threads (OMP_NUM_THREADS) of one calculation.")
    max_force: float = option(
        100.0, "Calculations with larger forces are put aside as nonsense.", unit="eV/Å"
    )


@dataclass(frozen=True, kw_only=True)
class PotentialSettings:
    """The potential to be learned."""

    start: Path | None = option(None, "Potential to go on from; the other entries are then unused.")
    level: int = option(16, "Highest level of the basis functions; usually even, 2 to 28.")
    level_weights: tuple[int, ...] = option(
        LEVEL_WEIGHTS,
        "Levels sum w0 + w1 μ + w2 ν over the moments of a function; [3, 2, 2] with levels of 18 "
        "to 30 suits molecules.",
    )
    elements: tuple[str, ...] = option((), "Chemical symbols; by default those of the structures.")
    cutoff: float = option(5.0, "Radius of the neighbourhood (max_dist).", unit="Å")
    min_dist: float | None = option(
        None, "Shortest distance resolved; by default 0.8 of the shortest met.", unit="Å"
    )
    radial_basis_size: int = option(8, "Number of Chebyshev polynomials per radial function.")
    core: bool = option(True, "Repulsion of atoms that come very close.")


@dataclass(frozen=True, kw_only=True)
class RefitSettings:
    """How the potential is fitted each time new labels arrive, and once more at the end."""

    energy_weight: float = option(1.0, "Weight of the energies.")
    force_weight: float = option(0.01, "Weight of the forces.", unit="Å²")
    stress_weight: float = option(0.001, "Weight of the stresses.")
    iterations: int = option(5, "Iterations of every refit.")
    final_iterations: int = option(40, "Iterations of the last fit.")


@dataclass(frozen=True, kw_only=True)
class ExploreSettings:
    """The molecular dynamics that looks for what is new."""

    driver: str = option(
        "ase",
        "Program that runs it: mentor itself, with ASE, or LAMMPS.",
        choices=("ase", "lammps"),
    )
    template: Path | None = option(
        None, "Your own LAMMPS commands (fixes, …) for driver lammps, in place of mentor's."
    )
    temperatures: tuple[float, ...] = option((300.0,), "One group of walkers each.", unit="K")
    pressures: tuple[float, ...] = option(
        (), "One group of walkers each, with a moving cell; none: fixed cell.", unit="GPa"
    )
    walkers: int = option(1, "Walkers per temperature, pressure and starting structure.")
    steps: int = option(20000, "Steps every walker makes at least.")
    timestep: float = option(1.0, "Time step.", unit="fs")
    friction: float = option(0.01, "Friction of the Langevin thermostat.", unit="1/fs")
    segment: int = option(1000, "Longest stretch of steps between two looks at what was found.")
    grade_interval: int = option(5, "Steps between two looks at the extrapolation grade.")
    quiet: float = option(1 / 3, "Part of the steps, at the end, in which nothing new may turn up.")
    patience: float = option(
        3.0, "A walker that never gets quiet is ended after this many times ``steps``."
    )


@dataclass(frozen=True, kw_only=True)
class SelectionSettings:
    """What counts as new."""

    threshold: float = option(2.1, "Grade above which a structure is a candidate for a label.")
    along: float = option(
        1.3, "Grade above which structures are labelled along, once one is above threshold."
    )
    stop: float = option(10.0, "Grade above which a walker stops and goes back.")
    limit: int = option(20, "Most labels asked for at a time.")
    mode: str = option(
        "neighborhood",
        "Grade of atoms or of whole structures.",
        choices=("neighborhood", "configuration"),
    )
    max_labels: int = option(2000, "Most labels of the campaign, those of validation aside.")


@dataclass(frozen=True, kw_only=True)
class ValidationSettings:
    """The test at the end: fresh molecular dynamics with the final potential, labelled anew."""

    labels: int = option(40, "Structures labelled, over all walkers; 0: no validation.")
    interval: int = option(200, "Steps between two of them in one walker.")


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Where and how much at once."""

    seed: int = option(0, "Seed of everything random.")
    workers: int | None = option(None, "Calculations at once; by default one per processor core.")


@dataclass(frozen=True, kw_only=True)
class CampaignSettings:
    """All settings of a campaign: the tables of ``campaign.toml``."""

    structures: StructureSettings = option(StructureSettings(), "Where the campaign starts from.")
    engine: EngineSettings = option(EngineSettings(), "The quantum-mechanics engine.")
    potential: PotentialSettings = option(PotentialSettings(), "The potential to be learned.")
    fit: RefitSettings = option(RefitSettings(), "How the potential is fitted.")
    explore: ExploreSettings = option(ExploreSettings(), "The molecular dynamics.")
    select: SelectionSettings = option(SelectionSettings(), "What counts as new.")
    validate: ValidationSettings = option(ValidationSettings(), "The test at the end.")
    run: RunSettings = option(RunSettings(), "Where and how much at once.")

    def as_dict(self) -> dict:
        """All values as plain JSON types, table by table."""
        return _plain(asdict(self))


# Entries that decide what is computed; the others may be changed between two runs of a campaign.
# (Starting files are read once; their contents are kept in the campaign, as is a template's text.)
FREE = {
    "run": ("workers",),
    "explore": ("template",),
    "structures": ("start", "training"),
    "potential": ("start",),
    "engine": ("time_limit", "retries", "threads"),
}


def fixed_entries(settings: CampaignSettings) -> dict:
    """The entries that must not change during a campaign, because its results depend on them."""
    return {
        table: {name: value for name, value in entries.items() if name not in FREE.get(table, ())}
        for table, entries in settings.as_dict().items()
    }


def read_settings(path: str | os.PathLike[str]) -> CampaignSettings:
    """Read ``campaign.toml``; relative file names are taken relative to its folder.

    Raises
    ------
    InputError
        The file is missing, is not TOML, or has an unknown table or entry or a wrong value; the
        message names the line and, for a misspelt name, the nearest valid one.
    """
    settings = CampaignSettings(**tables.read(CampaignSettings, path))
    return check(settings, path)


def check(settings: CampaignSettings, source: object = "settings") -> CampaignSettings:
    """Return ``settings`` if their values make sense.

    Raises
    ------
    InputError
        Something needed is missing or a value is out of range.
    """
    for each in fields(settings):
        check_choices(getattr(settings, each.name))
    if not settings.structures.start:
        raise InputError(
            f'{source}: no starting structure; add start = "molecule.xyz" under [structures]'
        )
    if not settings.engine.name:
        raise InputError(f'{source}: no engine; add name = "tblite" (or another) under [engine]')
    for table, name, lowest in _AT_LEAST:
        value = getattr(getattr(settings, table), name)
        values = value if isinstance(value, tuple) else (value,)
        for each in values:
            if each is not None and not each >= lowest:
                raise InputError(f"{source}: [{table}] {name} = {each} must be at least {lowest}")
    if not settings.explore.temperatures:
        raise InputError(f"{source}: [explore] temperatures is empty; give at least one")
    if settings.explore.template is not None and settings.explore.driver != "lammps":
        raise InputError(f'{source}: [explore] template needs driver = "lammps"')
    grades = settings.select
    if not grades.stop > grades.threshold >= grades.along > 1:
        raise InputError(
            f"{source}: [select] needs 1 < along <= threshold < stop, not along = {grades.along}, "
            f"threshold = {grades.threshold} and stop = {grades.stop}"
        )
    return settings


_AT_LEAST = (
    ("structures", "initial", 1),
    ("structures", "rattle", 0.0),
    ("structures", "strain", 0.0),
    ("engine", "time_limit", 1e-3),
    ("engine", "retries", 0),
    ("engine", "threads", 1),
    ("engine", "max_force", 0.0),
    ("fit", "iterations", 1),
    ("fit", "final_iterations", 1),
    ("explore", "temperatures", 0.0),
    ("explore", "walkers", 1),
    ("explore", "steps", 1),
    ("explore", "timestep", 1e-3),
    ("explore", "friction", 0.0),
    ("explore", "segment", 1),
    ("explore", "grade_interval", 1),
    ("explore", "quiet", 0.0),
    ("explore", "patience", 1.0),
    ("select", "limit", 1),
    ("select", "max_labels", 1),
    ("validate", "labels", 0),
    ("validate", "interval", 1),
    ("run", "seed", 0),
    ("run", "workers", 1),
)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def settings_from_dict(saved: dict) -> CampaignSettings:
    """The inverse of :meth:`CampaignSettings.as_dict`."""
    given = {
        table: {name: value for name, value in values.items() if value is not None}
        for table, values in saved.items()
    }
    return CampaignSettings(**tables.convert(CampaignSettings, given, Path()))
