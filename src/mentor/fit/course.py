"""The fits of a training: at its level, at higher ones after it, of each member of a committee."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mentor import progress
from mentor.basis import LEVEL_WEIGHTS
from mentor.fit.beginning import beginning, few_labels, untrained
from mentor.fit.checks import Checked
from mentor.fit.committee import Committee, Lesson
from mentor.fit.data import TrainingData
from mentor.fit.fitting import fit, unfitted
from mentor.fit.growth import grown
from mentor.fit.incremental import Memory
from mentor.fit.mean import mean_of
from mentor.fit.robust import RobustFit, Trust, robust_fit
from mentor.fit.settings import TrainSettings
from mentor.fit.watching import Watch, own_progress
from mentor.fit.witness import with_witness
from mentor.potential import Potential, load

LARGEST = 5000
"""Parameters of a potential with a posterior and a memory: 200 MB each."""


def run(
    settings: TrainSettings,
    data: TrainingData,
    elements: tuple[str, ...],
    checked: Checked | None,
    seconds: float | None,
    memory: Memory | None,
) -> tuple[RobustFit, Lesson | None]:
    """The fit that the settings ask for, in so many seconds where the time is limited."""
    if settings.committee > 1 and settings.higher_levels:
        return _mean(settings, data, elements, checked, seconds), None
    if settings.committee > 1:
        return _taught(settings, data, elements, checked, seconds)
    start = beginning(settings, data.structures, elements)
    if settings.potential is None and few_labels(start, data.structures):
        progress.message("labels are few for this level: committee = 8 makes more of them")
    fitted = _fitted(settings, start, data, checked, seconds, memory)
    return _grown(settings, fitted, data), None


def _fitted(
    settings: TrainSettings,
    start: Potential,
    data: TrainingData,
    checked: Checked | None,
    seconds: float | None,
    memory: Memory | None,
) -> RobustFit:
    """The fit, in several rounds if it is to be robust; else it takes so many seconds at most."""
    options = {
        **options_of(settings),
        "starts": settings.starts if settings.potential is None else 1,
        "seed": settings.seed,
        "near": start if settings.transfer else None,
    }
    structures = data.structures
    with progress.task("fit", settings.max_iterations) as task, own_progress():
        options["watch"] = Watch(task, settings.tolerance, settings.max_iterations, settings.log)
        if settings.robust:
            trust = checked.trust.part(data.fitted)
            return robust_fit(start, structures, trust=trust, validation=data.validation, **options)
        fitted = fit(
            start,
            structures,
            validation=data.validation,
            checkpoint=settings.checkpoint,
            resume=settings.resume and _begun(settings),
            memory=memory,
            remember=_leaves(settings, start, "memory"),
            time_limit=seconds,
            **options,
        )
        found = RobustFit(fitted, Trust.full(len(structures)), structures, data.validation)
        if fitted.judged and not data.validation and _leaves(settings, start, "posterior"):
            del options["watch"]
            found = with_witness(found, start, time_limit=seconds, **options)
    return found


def _begun(settings: TrainSettings) -> bool:
    """Whether this fit has a checkpoint, or ought to have one since nothing later has."""
    return settings.checkpoint.exists() or not any(map(Path.exists, checkpoints(settings)))


def _leaves(settings: TrainSettings, potential: Potential, what: str) -> bool:
    """Whether a fit leaves its posterior or memory."""
    last = settings.output is not None and not settings.higher_levels
    return getattr(settings, what) and last and potential.parameter_count <= LARGEST


def _taught(
    settings: TrainSettings,
    data: TrainingData,
    elements: tuple[str, ...],
    checked: Checked | None,
    seconds: float | None,
) -> tuple[RobustFit, Lesson]:
    """The fit to what a committee says (:mod:`.committee`); its members take half the time."""
    half = None if seconds is None else seconds / 2
    each = None if half is None else half / settings.committee
    structures, members = data.structures, []
    with progress.task("committee", settings.committee + 1) as task:
        for own in _members(replace(settings, log=None)):
            start = untrained(own, structures, elements)
            members.append(_fitted(own, start, data, checked, each, None).fitted.potential)
            task.advance()
        committee = Committee(tuple(members))
        known, lesson = committee.lesson(structures, settings.seed)
        pupil = untrained(settings, known, elements)
        own = replace(settings, robust=False, memory=False)
        own = replace(own, resume=settings.resume and settings.checkpoint.exists())
        others = replace(data, given=known, fitted=list(range(len(known))), set_aside=[])
        fitted = _fitted(own, pupil, others, None, half, None)
        task.advance()
    return fitted, lesson


def _mean(
    settings: TrainSettings,
    data: TrainingData,
    elements: tuple[str, ...],
    checked: Checked | None,
    seconds: float | None,
) -> RobustFit:
    """The mean of the members of a committee, each of which has grown to the higher levels."""
    each = None if seconds is None else seconds / settings.committee
    structures, members = data.structures, []
    with progress.task("committee", settings.committee) as task:
        for own in _members(settings):
            done = None if own.checkpoint is None else _finished(own.checkpoint)
            if settings.resume and done is not None and done.exists():
                members.append(load(done))
            else:
                start = untrained(own, structures, elements)
                fitted = _fitted(own, start, data, checked, each, None)
                members.append(_grown(own, fitted, data).fitted.potential)
                if done is not None:
                    members[-1].save(done)
            task.advance()
    names = ("energy_weight", "force_weight", "stress_weight", "weighting")
    fitted = unfitted(
        mean_of(members),
        structures,
        f"the mean of {len(members)} fits",
        validation=data.validation,
        **{name: getattr(settings, name) for name in names},
    )
    return RobustFit(fitted, Trust.full(len(structures)), structures, data.validation)


def _members(settings: TrainSettings) -> Iterator[TrainSettings]:
    """The settings of each member of a committee."""
    begun = any(path.exists() for path in checkpoints(settings))
    for number in range(settings.committee):
        own = replace(
            settings,
            committee=1,
            seed=settings.committee * settings.seed + number,
            checkpoint=_beside(settings.checkpoint, number),
            log=_beside(settings.log, number),
            posterior=False,
            memory=False,
        )
        own_begun = any(path.exists() for path in checkpoints(own))
        yield replace(own, resume=settings.resume and (own_begun or not begun))


def _grown(settings: TrainSettings, fitted: RobustFit, data: TrainingData) -> RobustFit:
    """The fit, grown to the higher levels one after the other."""
    weights = settings.level_weights or LEVEL_WEIGHTS
    for number, level in enumerate(settings.higher_levels):
        potential = fitted.fitted.potential
        larger = grown(potential, level=level, level_weights=weights, seed=settings.seed)
        path = _beside(settings.checkpoint, level)
        own = replace(
            settings,
            potential=larger,
            transfer=False,
            higher_levels=settings.higher_levels[number + 1 :],
            higher_iterations=settings.higher_iterations[number + 1 :],
            max_iterations=settings.higher_iterations[number],
            checkpoint=path,
            log=_beside(settings.log, level),
            resume=settings.resume and path.exists(),
        )
        fitted = _fitted(own, larger, data, None, None, None)
    return fitted


def _beside(path: Path | None, what: int) -> Path | None:
    """``path`` for something that belongs to it."""
    return None if path is None else path.with_name(f"{path.stem}-{what}{path.suffix}")


def checkpoints(settings: TrainSettings) -> list[Path]:
    """Of the fit, of those at higher levels after it, and of those of a committee before it."""
    own = settings.checkpoint
    if own is None:
        return []
    paths = [own, *(_beside(own, level) for level in settings.higher_levels)]
    for number in range(settings.committee if settings.committee > 1 else 0):
        member = _beside(own, number)
        paths += [member, *(_beside(member, level) for level in settings.higher_levels)]
        paths += [_finished(member)]
    return paths


def logs(settings: TrainSettings) -> list[Path]:
    """Tables of iterations that exist, of whatever fit."""
    own = settings.log
    if own is None:
        return []
    each = [own, *(_beside(own, number) for number in range(settings.committee))]
    paths = [p for one in each for p in (one, *(_beside(one, n) for n in settings.higher_levels))]
    return [path for path in paths if path.exists()]


def _finished(checkpoint: Path) -> Path:
    """Where a member of a committee is kept until the others have finished."""
    return checkpoint.with_suffix(".member.mtp")


def options_of(settings: TrainSettings) -> dict[str, Any]:
    """What any fit takes from the settings."""
    names = ("energy_weight", "force_weight", "stress_weight", "weighting")
    return {name: getattr(settings, name) for name in (*names, "max_iterations", "tolerance")}
