"""The potential that a training begins with: the given one, or one that suits the structures."""

from dataclasses import replace
from itertools import pairwise

from ase import Atoms

from mentor import potential as potentials
from mentor.basis import LEVEL_WEIGHTS
from mentor.exceptions import InputError
from mentor.fit.growth import grown, level_of
from mentor.fit.settings import TrainSettings
from mentor.fit.survey import label_count, suitable_cutoffs
from mentor.potential import Potential, opened
from mentor.short_range import CLOSER, HELD, core_radii
from mentor.structures import shortest_distances

RADIAL_BASIS_SIZE = 10
"""Where level and cutoff are given and it is not."""

LABELS_OF_OWN_MOMENTS = 2
"""Labels per parameter from which on each species has moment_coeffs of its own by default."""


def with_potential(settings: TrainSettings) -> TrainSettings:
    """The settings with their potential opened, and grown to what is given beside it; without one,
    with the weights of levels and the size of the radial basis that there is no need to choose."""
    potential = settings.potential
    if settings.committee < 1:
        raise InputError(f"committee = {settings.committee} must be at least 1")
    if settings.committee > 1 and potential is not None:
        raise InputError("a committee begins anew; leave out potential or committee")
    if potential is None and settings.transfer:
        raise InputError("transfer needs a potential: one trained on labels of a cheaper method")
    if potential is None:
        size, weights = settings.radial_basis_size, settings.level_weights
        if settings.level is not None:
            weights = weights or LEVEL_WEIGHTS
        if None not in (settings.level, settings.cutoff):
            size = size or RADIAL_BASIS_SIZE
        settings = replace(settings, radial_basis_size=size, level_weights=weights)
        return _with_higher_levels(settings, settings.level)
    if settings.level_weights and settings.level is None and not settings.higher_levels:
        raise InputError("level_weights beside a potential need the level to grow it to")
    if not isinstance(potential, Potential):
        potential = potentials.load(potential)
    if not potential.elements:
        potential = opened(settings.potential, settings.elements)
    larger = grown(
        potential,
        level=settings.level,
        level_weights=settings.level_weights or LEVEL_WEIGHTS,
        radial_basis_size=settings.radial_basis_size,
        elements=settings.elements or None,
        seed=settings.seed,
    )
    settings = replace(settings, potential=larger)
    if not settings.higher_levels:
        return settings
    weights = settings.level_weights or LEVEL_WEIGHTS
    return _with_higher_levels(settings, settings.level or level_of(larger, weights))


def _with_higher_levels(settings: TrainSettings, level: int | None) -> TrainSettings:
    """The settings, if what follows the fit at ``level`` makes sense."""
    higher, iterations = settings.higher_levels, settings.higher_iterations
    if isinstance(iterations, int):
        iterations = (iterations,)
    if higher and level is None:
        raise InputError("higher_levels need the level at which to begin")
    if higher and settings.robust:
        raise InputError("higher_levels do not follow a robust fit; leave one out")
    if any(after <= before for before, after in pairwise((level, *higher))):
        raise InputError(
            f"higher_levels = {','.join(map(str, higher))} must rise, from above the level, {level}"
        )
    if higher and len(iterations) not in (1, len(higher)):
        raise InputError(
            f"higher_iterations = {','.join(map(str, iterations))}: give one number for all "
            f"higher_levels, or one for each of the {len(higher)}"
        )
    if min(iterations, default=0) < 0:
        raise InputError(f"higher_iterations = {min(iterations)} must not be negative")
    if len(iterations) == 1:
        iterations *= len(higher)
    return replace(settings, higher_iterations=iterations)


def radius(settings: TrainSettings, structures: list[Atoms]) -> float:
    """A cutoff that suits the structures, where none is given yet."""
    if settings.potential is not None:
        return settings.potential.max_dist
    if settings.cutoff is not None:
        return settings.cutoff
    cutoffs = suitable_cutoffs(structures)
    return cutoffs[len(cutoffs) // 2]


def beginning(
    settings: TrainSettings, structures: list[Atoms], elements: tuple[str, ...]
) -> Potential:
    """The potential to begin with: the given one, or an untrained one for the structures."""
    if settings.potential is None:
        return untrained(settings, structures, elements)
    return settings.potential.with_core_below(structures)


def untrained(
    settings: TrainSettings, structures: list[Atoms], elements: tuple[str, ...]
) -> Potential:
    """A potential with random coefficients that suits the structures and their labels."""
    distances = shortest_distances(structures, settings.cutoff)
    min_dist = settings.min_dist
    if min_dist is None:
        shortest = min(distances.values(), default=None)
        closer = CLOSER * HELD if settings.core else CLOSER
        min_dist = round(closer * shortest, 3) if shortest else 0.5 * settings.cutoff
    potential = potentials.init(
        level=settings.level,
        level_weights=settings.level_weights,
        elements=elements,
        cutoff=settings.cutoff,
        min_dist=min_dist,
        radial_basis_size=settings.radial_basis_size,
        core=settings.core,
        shared_moments=bool(settings.shared_moments),
        core_radii=core_radii(elements, settings.cutoff, distances),
        seed=settings.seed,
    )
    few = settings.shared_moments is None and few_labels(potential, structures)
    return potential.with_mean_moments() if few else potential


def few_labels(potential: Potential, structures: list[Atoms]) -> bool:
    """Whether there are too few for moment_coeffs of each species."""
    most = potential.with_own_moments().parameter_count
    return sum(map(label_count, structures)) < LABELS_OF_OWN_MOMENTS * most
