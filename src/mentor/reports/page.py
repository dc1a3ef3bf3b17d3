"""The command ``report``: the history of a campaign as one self-contained page."""

import base64
import importlib.resources
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from mentor.exceptions import InputError
from mentor.files import write_atomically
from mentor.learning.history import CampaignHistory, Errors, Failure, history, training_set
from mentor.neighbourhoods import neighbourhoods
from mentor.plots import svg
from mentor.potential import Potential, load
from mentor.progress import task
from mentor.reports import pictures
from mentor.reports.uncertainty import Expectation, expectation
from mentor.settings import command, option

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Settings of a campaign's report."""

    campaign: Path = option(help="Folder or settings file of the campaign.", positional=True)
    output: Path | None = option(None, "Page to write; by default report.html in the folder.")


@dataclass(frozen=True, kw_only=True)
class Report:
    """The report that was written."""

    path: Path
    verdict: str
    """One sentence on how good the potential is, or how far the campaign has come."""

    def as_dict(self) -> dict:
        """Path and verdict."""
        return {"report": str(self.path.absolute()), "verdict": self.verdict}

    def __rich__(self) -> str:
        return f"{self.verdict}\nThe report is in {self.path}"


@dataclass(frozen=True)
class Picture:
    """A figure of the page, as the template needs it."""

    title: str
    caption: str
    data: str
    """Data URI of the SVG."""


@command(ReportSettings)
def report(settings: ReportSettings) -> Report:
    """Write what a campaign did, and how good its potential is, as one self-contained page.

    The page needs no network and no other file. It can be written at any time, also while the
    campaign runs.

    Raises
    ------
    InputError
        There is no campaign.
    StorageError
        The page cannot be written.
    """
    folder = Path(settings.campaign)
    if not folder.exists():
        raise InputError(f"{folder}: there is no such folder or settings file")
    if folder.is_file():
        folder = folder.parent
    past = history(folder)
    if not past.iterations:
        raise InputError(f"{folder}: this campaign has no results yet; wait for its first labels")
    output = Path(settings.output) if settings.output is not None else folder / "report.html"
    said = verdict(past)
    write_atomically(output, page(past, said))
    return Report(path=output, verdict=said)


def page(past: CampaignHistory, said: str) -> str:
    """The page in HTML."""
    import jinja2

    expected = expectation(past)
    text = importlib.resources.files("mentor.reports").joinpath("page.html").read_text()
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(text).render(
        title=_name(past),
        verdict=said,
        status=past.status,
        message=past.message,
        facts=key_figures(past),
        pictures=list(_pictures(past, expected)),
        validation=list(validation_rows(past)),
        uncertainty="" if expected is None else expected.sentence(),
        iterations=past.iterations,
        failures=[_failure(each) for each in past.failures],
        settings=_settings(past),
    )


def verdict(past: CampaignHistory) -> str:
    """One sentence on the state of the campaign and the quality of its potential."""
    engine = past.settings.engine
    method = engine.parameters.get("method") or engine.parameters.get("xc") or engine.name
    learned = f"{past.training_size} {method} calculations"
    if past.validation is None:
        return (
            f"The campaign is {past.status}: {learned} so far, {past.md_steps} steps of dynamics."
        )
    errors = past.validation.errors
    parts = []
    if errors.energy_mae is not None:
        parts.append(f"energies to {1000 * errors.energy_mae:.2g} meV/atom")
    if errors.force_mae is not None:
        parts.append(f"forces to {1000 * errors.force_mae:.2g} meV/Å")
    end = "" if past.converged else " New structures were still turning up when it ended."
    return (
        f"Trained on {learned}, the potential predicts {' and '.join(parts)} (mean absolute "
        f"errors) on {errors.structures} fresh structures it had never seen.{end}"
    )


def key_figures(past: CampaignHistory) -> list[tuple[str, str]]:
    """(Figure, what it counts) for the head of the page."""
    pure, spent = past.time_saved()
    rows = [
        (f"{past.training_size}", "QM calculations trained on"),
        (f"{past.md_steps:,}".replace(",", "\u202f"), "steps of molecular dynamics"),
    ]
    if pure > spent > 0:
        rows.append((f"{pure / spent:.0f}×", "faster than the same dynamics by QM (estimate)"))
    if past.label_seconds and past.md_seconds_per_step:
        ratio = past.label_seconds / past.md_seconds_per_step
        rows.append((f"{ratio:.0f}×", "faster per step than the QM code"))
    return rows


def validation_rows(past: CampaignHistory) -> Iterable[tuple[str, ...]]:
    """Rows of the table of errors: set, structures, MAE and RMSE of energies, forces, stresses."""
    if past.validation is not None:
        by_temperature = past.validation.errors_by_temperature
        for temperature, errors in sorted(by_temperature.items()):
            yield _row(f"validation, {temperature:g} K", errors)
        if len(by_temperature) != 1:
            yield _row("validation, all", past.validation.errors)
    trained = [each.errors_after for each in past.iterations if each.errors_after is not None]
    if trained:
        yield _row("training", trained[-1])


def _row(name: str, errors: Errors) -> tuple[str, ...]:
    def show(value: float | None, scale: float = 1000.0) -> str:
        return "–" if value is None else f"{scale * value:.3g}"

    return (
        name,
        str(errors.structures),
        show(errors.energy_mae),
        show(errors.energy_rmse),
        show(errors.force_mae),
        show(errors.force_rmse),
        show(errors.stress_rmse, 1.0),
    )


def _pictures(past: CampaignHistory, expected: Expectation | None) -> Iterable[Picture]:
    with task("drawing", 7) as drawing:
        for title, caption, draw in _CAMPAIGN_PICTURES:
            yield _picture(title, caption, draw(past))
            drawing.advance()
        sets = _predictions(past)
        if sets:
            for name, figure in pictures.parities(sets).items():
                yield _picture(
                    f"Predicted against QM: {name}", "Points on the line are exact.", figure
                )
                drawing.advance()
        if expected is not None:
            yield _picture(
                "Expected force errors",
                "Each point is a force component of a validation structure. The posterior of the "
                "potential says beforehand how large 68 % of the errors are at most: the dotted "
                "line should run along the straight one.",
                pictures.expected_errors(expected),
            )
            drawing.advance()


_CAMPAIGN_PICTURES = (
    (
        "QM calculations",
        "Calls of the QM code become rare as the potential learns; when the curve is flat, the "
        "dynamics meets nothing new.",
        pictures.qm_calls,
    ),
    (
        "Extrapolation grade",
        "Below 1 the potential interpolates. Above the lower line a structure is worth a QM "
        "calculation; above the upper one the walker stops (×) and goes back.",
        pictures.grades,
    ),
    (
        "Learning curve",
        "Errors on new structures, before they were trained on: hard cases, chosen because they "
        "are unlike what was known. Star: fresh structures of ordinary dynamics.",
        pictures.learning_curve,
    ),
    (
        "Time",
        "The estimate is the mean time of one QM calculation times the steps of dynamics.",
        pictures.time_spent,
    ),
)


def _picture(title: str, caption: str, figure: "Figure") -> Picture:
    data = base64.b64encode(svg(figure).encode()).decode()
    return Picture(title, caption, f"data:image/svg+xml;base64,{data}")


def _predictions(past: CampaignHistory) -> dict[str, pictures.Predictions]:
    """Training and validation sets with what the newest potential says of them."""
    sets: dict[str, pictures.Predictions] = {}
    if past.potential is not None and past.potential.is_file():
        trained = training_set(past.folder)
        if trained:
            sets["training"] = (trained, *_predict(load(past.potential), trained))
    if past.validation is not None:
        fresh = past.validation
        sets["validation"] = (fresh.structures, fresh.energies, fresh.forces)
    return sets


def _predict(
    potential: Potential, structures: Sequence[Atoms]
) -> tuple[np.ndarray, list[np.ndarray]]:
    surroundings = neighbourhoods(structures, potential.max_dist, potential.elements)
    result = potential.kernel.evaluate(surroundings, virial=False)
    return result.energies, np.split(result.forces, surroundings.structure_offsets[1:-1])


def _name(past: CampaignHistory) -> str:
    start = past.settings.structures.start
    return f"Campaign {start[0].stem}" if start else f"Campaign {past.folder.name}"


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "formula": failure.structure.get_chemical_formula(),
        "iteration": failure.iteration,
        "reason": failure.reason,
    }


def _settings(past: CampaignHistory) -> dict[str, list[tuple[str, Any, str]]]:
    """Table -> (entry, value, unit), without empty entries."""
    shown = {}
    for table in fields(past.settings):
        values = getattr(past.settings, table.name)
        shown[table.name] = [
            (each.name, _text(getattr(values, each.name)), each.metadata.get("unit", ""))
            for each in fields(values)
            if getattr(values, each.name) not in (None, (), {})
        ]
    return shown


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_text(each)}" for key, each in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(_text(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
