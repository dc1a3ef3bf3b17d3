"""``mentor train``: from labelled structures to a potential."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from time import perf_counter

from mentor import progress
from mentor.active import build_active_set
from mentor.exceptions import InputError, StorageError
from mentor.fit import course
from mentor.fit.automatic import choose, parse_budget
from mentor.fit.beginning import radius, untrained, with_potential
from mentor.fit.checks import Checked, check
from mentor.fit.choice import Choice, Setting
from mentor.fit.committee import Lesson
from mentor.fit.comparison import compare
from mentor.fit.data import TrainingData, elements_of, training_data
from mentor.fit.disagreement import AFTER, disagreements
from mentor.fit.errors import error_table
from mentor.fit.findings import Finding, in_order
from mentor.fit.fitting import FitResult
from mentor.fit.incremental import Memory, memory_path, remembered
from mentor.fit.parity import draw
from mentor.fit.posterior import posterior
from mentor.fit.result import TrainResult
from mentor.fit.robust import RobustFit
from mentor.fit.settings import TrainSettings
from mentor.parallel import led
from mentor.potential import Potential
from mentor.settings import command
from mentor.structures import check_structures
from mentor.uncertainty import Posterior, posterior_path

_WARNED = 10
_LEAST_LEFT = 0.1  # part of the budget that the fit after a search has at least


@command(TrainSettings)
@led
def train(settings: TrainSettings) -> TrainResult:
    """Fit a potential to energies, forces and stresses.

    What is left out of level, cutoff and radial_basis_size is chosen: structures set aside judge
    candidates for as long as the budget lasts, and the cheapest is taken whose error is close to
    the least. The table of costs and errors is shown and written beside the output: another row is
    taken by giving its settings. Those chosen, when given, make the same potential again.

    The linear coefficients are solved for exactly, the radial ones by damped Gauss-Newton steps
    with the exact Jacobian. Forces or stresses may be missing, also from single structures. The
    same seed gives the same coefficients.

    Labels and structures that cannot be right (energies, units, duplicates that contradict each
    other, atoms far too close) are named before the fit, outliers after it; all are fitted to.

    Where labels are few, a ``committee`` is fitted first, each member from other coefficients, and
    their mean teaches one potential on structures like the labelled ones: far more accurate, and
    as fast as any other. Where they are many and ``higher_levels`` follow, the mean is the result.

    Beside the output are written a table of all iterations, parity plots and the posterior.
    Interrupted, the fit goes on from its checkpoint with ``resume``. With the same data and few
    structures more, begun with the potential of the training before, it costs a small part of that.

    Raises
    ------
    InputError
        The data cannot be read or used, or have no energies; settings make no sense; the checkpoint
        belongs to another fit.
    StorageError
        A file cannot be written.
    """
    begin, budget = perf_counter(), parse_budget(settings.budget)
    settings = _with_paths(settings)
    memory = _memory(settings)
    settings = with_potential(settings)
    data = training_data(settings)
    elements = elements_of(settings, data.structures)
    for structures, source in ((data.validation, "validation"), (data.test, "test")):
        if structures:
            check_structures(structures, elements, source)
    checked = None
    if settings.checks or settings.robust:
        checked = check(data.given, elements, radius(settings, data.structures))
        _warn(checked.findings)
    choice, left = None, None
    if _leaves_a_choice(settings):
        choice = _choice(settings, data, elements, checked, begin)
        settings = replace(settings, **choice.chosen.setting._asdict(), starts=choice.starts)
        left = max(begin + budget - perf_counter(), _LEAST_LEFT * budget)
    with _resumable(settings, choice):
        fitted, lesson = course.run(settings, data, elements, checked, left, memory)
    result = replace(_result(settings, fitted.fitted, data, checked, choice), lesson=lesson)
    if settings.output is not None:
        result.potential.save(settings.output)
        if settings.posterior and result.potential.parameter_count > course.LARGEST:
            progress.message(f"no posterior is written beyond {course.LARGEST} parameters")
        elif settings.posterior and fitted.fitted.precision is None:
            progress.message("no posterior is written of a mean")
        elif settings.posterior:
            path = posterior_path(settings.output)
            _posterior(settings, result.potential, fitted, lesson).save(path)
            result = replace(result, files=(*result.files, path))
        if fitted.fitted.memory is not None:
            path = memory_path(settings.output)
            fitted.fitted.memory.save(path)
            result = replace(result, files=(*result.files, path))
    done = len(fitted.fitted.history) <= settings.max_iterations
    if settings.checkpoint is not None and (done or settings.robust or settings.higher_levels):
        for path in course.checkpoints(settings):
            path.unlink(missing_ok=True)
    return replace(result, seconds=perf_counter() - begin)


def _with_paths(settings: TrainSettings) -> TrainSettings:
    """The settings with paths as such, and those beside the output filled in."""
    names = ("output", "log", "checkpoint")
    paths = {
        name: None if (path := getattr(settings, name)) is None else Path(path) for name in names
    }
    output = paths["output"]
    if output is not None and output.suffix not in (".mtp", ".almtp"):
        raise InputError(f"output = {output}: the name must end in .mtp or .almtp")
    if output is not None:
        paths["log"] = paths["log"] or output.with_suffix(".csv")
        paths["checkpoint"] = paths["checkpoint"] or output.with_suffix(".checkpoint")
    if settings.resume and paths["checkpoint"] is None:
        raise InputError("resume needs a checkpoint or an output beside which it is")
    if settings.resume and settings.robust:
        raise InputError("a robust fit cannot be resumed; leave out robust or resume")
    return replace(settings, **paths)


def _leaves_a_choice(settings: TrainSettings) -> bool:
    return settings.potential is None and None in _setting(settings)


def _setting(settings: TrainSettings) -> Setting:
    weights = settings.level_weights or None
    return Setting(settings.level, settings.cutoff, settings.radial_basis_size, weights)


def _choice(
    settings: TrainSettings,
    data: TrainingData,
    elements: tuple[str, ...],
    checked: Checked | None,
    begin: float,
) -> Choice:
    """The choice of what is left out; structures with findings have no say in it."""
    if settings.resume:
        raise InputError(
            "resume needs level, cutoff and radial_basis_size; give those that were chosen"
        )
    if settings.output is not None and not settings.output.parent.is_dir():
        raise StorageError(f"{settings.output}: cannot be written, there is no such folder")
    odd = {each.index for each in checked.findings} if checked is not None else set()
    usable = [data.given[s] for s in data.fitted if s not in odd]

    @cache
    def candidate(setting: Setting) -> Potential:
        return untrained(replace(settings, **setting._asdict()), data.structures, elements)

    choice = choose(
        candidate,
        usable if len(usable) > len(data.fitted) / 2 else data.structures,
        **_setting(settings)._asdict(),
        validation=data.validation,
        seconds=parse_budget(settings.budget) - (perf_counter() - begin),
        starts=settings.starts,
        seed=settings.seed,
        options=course.options_of(settings),
    )
    progress.message(f"chosen: {choice.options}")
    return choice


def _warn(findings: Sequence[Finding]) -> None:
    """Say the first findings before the fit."""
    for each in findings[:_WARNED]:
        progress.message(f"warning: {each}")
    if len(findings) > _WARNED:
        progress.message(f"warning: and {len(findings) - _WARNED} more, listed in the result")


@contextmanager
def _resumable(settings: TrainSettings, choice: Choice | None) -> Iterator[None]:
    """Say how to go on where the user stops the fit."""
    try:
        yield
    except KeyboardInterrupt:
        if any(path.exists() for path in course.checkpoints(settings)) and not settings.robust:
            chosen = "" if choice is None else f"{choice.options} "
            progress.message(f"stopped; run the same command with {chosen}--resume to go on")
        raise


def _memory(settings: TrainSettings) -> Memory | None:
    """What the training of the potential to start from left behind."""
    if not settings.memory or settings.potential is None or settings.resume:
        return None
    if isinstance(settings.potential, Potential):
        return None
    return remembered(memory_path(settings.potential))


def _result(
    settings: TrainSettings,
    fitted: FitResult,
    data: TrainingData,
    checked: Checked | None,
    choice: Choice | None,
) -> TrainResult:
    potential, files = fitted.potential, []
    if choice is not None and settings.output is not None:
        files += choice.save(settings.output, settings.plots)
    if settings.output is not None and settings.output.suffix == ".almtp":
        potential = replace(potential, active_set=build_active_set(potential, data.structures))
    files += course.logs(settings)
    if settings.output is not None and settings.plots:
        files.append(settings.output.with_suffix(".png"))
        draw(files[-1], potential, data)
    outliers = ()
    if settings.checks:
        comparison = compare(potential, data.given)
        outliers = in_order(disagreements(comparison, data.given, AFTER))
    return TrainResult(
        potential=potential,
        errors=error_table(potential, data.structures),
        validation_errors=error_table(potential, data.validation) if data.validation else None,
        test_errors=error_table(potential, data.test, "test") if data.test else None,
        history=fitted.history,
        reason=fitted.reason,
        warnings=checked.findings if checked is not None and settings.checks else (),
        outliers=outliers,
        choice=choice,
        output=settings.output,
        files=tuple(files),
    )


def _posterior(
    settings: TrainSettings, potential: Potential, fitted: RobustFit, lesson: Lesson | None
) -> Posterior:
    return posterior(
        potential,
        fitted.structures,
        energy_weight=settings.energy_weight,
        force_weight=settings.force_weight,
        stress_weight=settings.stress_weight,
        weighting=settings.weighting,
        prior=fitted.fitted.precision,
        validation=fitted.validation,
        members=() if lesson is None else lesson.members,
        witness=fitted.witness,
    )
