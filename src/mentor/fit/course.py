"""The fits of a training: at its level, at higher ones after it, of each member of a committee."""

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
from mentor.fit.loss import Weights
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
            found = robust_fit(
                start, structures, trust=trust, validation=data.validation, **options
            )
        else:
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
        if found.fitted.judged and not data.validation and _leaves(settings, start, "posterior"):
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
        for own in _resuming(_members(replace(settings, log=None))):
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
        for own in _resuming(_members(settings)):
            done = _finished(own)
            start = untrained(own, structures, elements)
            fitted = _fitted(own, start, data, checked, each, None)
            if own.resume and done is not None and done.exists():
                members.append(load(done))  # its checkpoint, which was gone on from, is of this fit
            else:
                members.append(_grown(own, fitted, data).fitted.potential)
                if done is not None:
                    members[-1].save(done)
            task.advance()
    weights = Weights(
        energy=settings.energy_weight,
        force=settings.force_weight,
        stress=settings.stress_weight,
        weighting=settings.weighting,
    )
    reason = f"the mean of {len(members)} fits"
    fitted = unfitted(mean_of(members), structures, weights, reason, data.validation)
    return RobustFit(fitted, Trust.full(len(structures)), structures, data.validation)


def _members(settings: TrainSettings) -> list[TrainSettings]:
    """The settings of each member of a committee."""
    return [
        replace(
            settings,
            committee=1,
            seed=settings.committee * settings.seed + number,
            checkpoint=_beside(settings.checkpoint, number),
            log=_beside(settings.log, number),
            posterior=False,
            memory=False,
        )
        for number in range(settings.committee)
    ]


def _resuming(members: list[TrainSettings]) -> list[TrainSettings]:
    """The same, going on only with those that have begun, unless none has."""
    begun = [any(path.exists() for path in checkpoints(each)) for each in members]
    return [
        replace(each, resume=each.resume and (own or not any(begun)))
        for each, own in zip(members, begun, strict=True)
    ]


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
    if settings.committee > 1:
        for member in _members(settings):
            paths += checkpoints(member)
    elif (done := _finished(settings)) is not None:
        paths.append(done)
    return paths


def logs(settings: TrainSettings) -> list[Path]:
    """Tables of iterations that exist, of whatever fit."""
    if settings.log is None:
        return []
    levels = settings.higher_levels
    members = _members(settings) if settings.committee > 1 and levels else []
    fits = [settings.log, *(each.log for each in members)]
    paths = [path for own in fits for path in (own, *(_beside(own, level) for level in levels))]
    return [path for path in paths if path.exists()]


def _finished(member: TrainSettings) -> Path | None:
    """Where a member of a committee is kept until the others have finished."""
    if member.checkpoint is None or not member.higher_levels:
        return None
    return _beside(member.checkpoint, member.higher_levels[-1]).with_suffix(".member.mtp")


def options_of(settings: TrainSettings) -> dict[str, Any]:
    """What any fit takes from the settings."""
    names = ("energy_weight", "force_weight", "stress_weight", "weighting")
    return {name: getattr(settings, name) for name in (*names, "max_iterations", "tolerance")}
