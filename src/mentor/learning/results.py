"""What ``mentor learn`` and ``mentor status`` say."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from mentor.exceptions import InputError
from mentor.learning.history import CampaignHistory, Errors, history
from mentor.learning.settings import read_settings
from mentor.settings import command, option


@dataclass(frozen=True, kw_only=True)
class CampaignResult:
    """What came out of a campaign."""

    folder: Path
    potential: Path | None
    """The final potential, with its active set."""
    converged: bool
    """Whether nothing new turned up in the last part of the exploration."""
    training_labels: int
    validation_labels: int
    failures: int
    """Structures the engine failed on."""
    md_steps: int
    """Steps of all walkers."""
    validation: Errors | None
    """Errors on fresh labels."""
    qm_seconds: float
    """Time that many steps of pure QM molecular dynamics would take, s."""
    seconds: float
    """Time the campaign took, s."""

    @classmethod
    def of(cls, known: CampaignHistory) -> "CampaignResult":
        """The result of a campaign with this history."""
        qm_seconds, seconds = known.time_saved()
        return cls(
            folder=known.folder,
            potential=known.potential,
            converged=bool(known.converged),
            training_labels=known.training_size,
            validation_labels=len(known.validation.structures) if known.validation else 0,
            failures=len(known.failures),
            md_steps=known.md_steps,
            validation=known.validation.errors if known.validation else None,
            qm_seconds=qm_seconds,
            seconds=seconds,
        )

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain JSON types."""
        return _plain(asdict(self))

    def __rich__(self) -> Group:
        """A few lines and the validation errors."""
        lines = [
            f"potential        {self.potential}",
            f"training         {self.training_labels} labels"
            + (f", {self.failures} failed calculations put aside" if self.failures else ""),
            f"exploration      {self.md_steps} steps of molecular dynamics"
            + ("" if self.converged else "; new structures were still turning up at its end"),
            f"time             {duration(self.seconds)}; as many steps with the engine alone: "
            f"{duration(self.qm_seconds)}",
        ]
        parts: list[Any] = [Text("\n".join(lines))]
        if self.validation is not None:
            parts.append(error_table("Errors on fresh labels", [("all", self.validation)]))
        return Group(*parts)


@dataclass(frozen=True, kw_only=True)
class StatusSettings:
    """Settings of ``mentor status``."""

    campaign: Path = option(help="Folder or settings file of the campaign.", positional=True)


@dataclass(frozen=True, kw_only=True)
class CampaignStatus:
    """How far a campaign is."""

    folder: Path
    status: str
    """``running``, ``interrupted``, ``finished`` or ``failed``."""
    message: str
    iterations: int
    training_labels: int
    failures: int
    md_steps: int
    walkers: tuple[dict[str, Any], ...]
    """``index``, ``temperature`` (K), ``pressure`` (GPa), ``steps`` done and ``goal`` of each."""
    learning_curve: tuple[tuple[int, Errors], ...]
    """(labels trained on, errors on the labels that came next)."""
    validation: Errors | None

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain JSON types."""
        return _plain(asdict(self))

    def __rich__(self) -> Group:
        """The state in a few lines, the walkers and the latest errors."""
        lines = [
            f"{self.folder}: {self.status}; {self.message}",
            f"iterations {self.iterations}, training labels {self.training_labels}, "
            f"failed calculations {self.failures}, steps {self.md_steps}",
        ]
        walkers = Table("walker", "temperature [K]", "steps", "goal", title="Walkers")
        for each in self.walkers:
            row = (each["index"], f"{each['temperature']:g}", each["steps"], each["goal"])
            walkers.add_row(*map(str, row))
        parts: list[Any] = [Text("\n".join(lines)), walkers]
        if self.learning_curve:
            rows = [(f"after {size} labels", errors) for size, errors in self.learning_curve[-5:]]
            parts.append(error_table("Errors on the labels that came next", rows))
        if self.validation is not None:
            parts.append(error_table("Errors on fresh labels", [("validation", self.validation)]))
        return Group(*parts)


@command(StatusSettings)
def status(settings: StatusSettings) -> CampaignStatus:
    """Say how far a campaign is; it may be running meanwhile.

    Raises
    ------
    InputError
        There is no campaign.
    StorageError
        Its database cannot be read.
    """
    path = Path(settings.campaign)
    if not path.exists():
        raise InputError(f"{path}: there is no such folder or settings file")
    if path.is_file():
        read_settings(path)
        path = path.parent
    known = history(path)
    return CampaignStatus(
        folder=path,
        status=known.status,
        message=known.message,
        iterations=len(known.iterations),
        training_labels=known.training_size,
        failures=len(known.failures),
        md_steps=known.md_steps,
        walkers=known.walkers,
        learning_curve=tuple(known.learning_curve()),
        validation=known.validation.errors if known.validation else None,
    )


def error_table(title: str, rows: list[tuple[str, Errors]]) -> Table:
    """Errors as a table, in meV/atom, meV/Å and GPa."""
    table = Table(title=title)
    for name in ("", "structures"):
        table.add_column(name)
    for name in ("energy MAE [meV/atom]", "force MAE [meV/Å]", "force RMSE [meV/Å]"):
        table.add_column(name, justify="right")
    table.add_column("stress RMSE [GPa]", justify="right")
    for name, errors in rows:
        table.add_row(
            name,
            str(errors.structures),
            *(
                "–" if value is None else f"{scale * value:.{digits}f}"
                for value, scale, digits in (
                    (errors.energy_mae, 1000, 2),
                    (errors.force_mae, 1000, 1),
                    (errors.force_rmse, 1000, 1),
                    (errors.stress_rmse, 1, 3),
                )
            ),
        )
    return table


def duration(seconds: float) -> str:
    """A time in words: ``42 s``, ``3.5 min``, ``7.2 h``, ``2.1 days``."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value
