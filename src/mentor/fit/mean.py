"""``mentor mean``: one potential whose energies are the mean of those of several.

Fits that begin with other seeds end in other minima, and err independently of each other where
labels leave them free. Their mean is again a Moment Tensor Potential: it has the radial functions
and the basis functions of all of them, side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mentor.exceptions import InputError
from mentor.fit.growth import padded
from mentor.potential import Potential, load
from mentor.settings import command, option


@dataclass(frozen=True, kw_only=True)
class MeanSettings:
    """Settings of a mean."""

    potentials: tuple[Path, ...] = option(
        help="Files of potentials, two at least.", positional=True
    )
    output: Path | None = option(None, "File for the potential (.mtp).")


@dataclass(frozen=True, eq=False)
class MeanResult:
    """The mean and what it was made of."""

    potential: Potential
    sources: tuple[Path, ...]
    output: Path | None

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain values."""
        return {
            "output": None if self.output is None else str(self.output),
            "sources": [str(each) for each in self.sources],
            "functions": self.potential.scalar_count,
        }

    def __rich__(self) -> str:
        what = f"the mean of {len(self.sources)} potentials"
        where = "" if self.output is None else f"{self.output}: "
        return f"{where}{what}, {self.potential.scalar_count} basis functions"


@command(MeanSettings)
def mean(settings: MeanSettings) -> MeanResult:
    """Make one potential whose energies are the mean of those of several.

    Of potentials trained on the same data with other seeds the mean errs less than each, and costs
    as much as all of them together.

    Raises
    ------
    InputError
        Potentials that cannot be read or have other elements, cutoffs or cores than the first.
    StorageError
        The output cannot be written.
    """
    sources = tuple(Path(each) for each in settings.potentials)
    if settings.output is not None and Path(settings.output).suffix != ".mtp":
        raise InputError(f"output = {settings.output}: the name must end in .mtp")
    potential = mean_of([load(each) for each in sources])
    if settings.output is not None:
        potential.save(settings.output)
    return MeanResult(potential, sources, settings.output)


def mean_of(potentials: Sequence[Potential]) -> Potential:
    """The potential whose energies are the mean of those of ``potentials``.

    Raises
    ------
    InputError
        Fewer than two, or they differ in more than coefficients, radial and basis functions.
    """
    if len(potentials) < 2:
        raise InputError(f"a mean takes two potentials at least, not {len(potentials)}")
    first = potentials[0]
    for number, each in enumerate(potentials[1:], 2):
        for name in ("elements", "species_count", "min_dist", "max_dist", "radial_basis_type"):
            if getattr(each, name) != getattr(first, name):
                raise InputError(
                    f"potential {number} has {name} {getattr(each, name)}, the first "
                    f"{getattr(first, name)}; train all on the same data"
                )
        if not np.array_equal(each.core_radii, first.core_radii):
            raise InputError(
                f"potential {number} has other core_radii than the first; "
                "train all on the same data"
            )
    if any(each.moment_coeffs.ndim == 2 for each in potentials):
        potentials = [each.with_own_moments() for each in potentials]
    size = max(each.radial_basis_size for each in potentials)
    basics = [len(each.alpha_index_basic) for each in potentials]
    moments = [each.alpha_moments_count for each in potentials]
    radial, index_basic, index_times, mapping = [], [], [], []
    functions, basic, product = 0, 0, sum(basics)
    for each, own, total in zip(potentials, basics, moments, strict=True):
        place = np.concatenate([basic + np.arange(own), product + np.arange(total - own)])
        times = each.alpha_index_times
        own_radial = padded(each.radial_coeffs, 3, size - each.radial_basis_size)
        radial.append(own_radial * (each.scaling / first.scaling))
        index_basic.append(each.alpha_index_basic + np.array([functions, 0, 0, 0]))
        i, j, k = place[times[:, [0, 1, 3]]].T
        index_times.append(np.column_stack([i, j, times[:, 2], k]))
        mapping.append(place[each.alpha_moment_mapping])
        functions, basic = functions + each.radial_funcs_count, basic + own
        product += total - own
    count = len(potentials)
    return replace(
        first,
        radial_coeffs=np.concatenate(radial, axis=2),
        alpha_moments_count=sum(moments),
        alpha_index_basic=np.concatenate(index_basic),
        alpha_index_times=np.concatenate(index_times),
        alpha_moment_mapping=np.concatenate(mapping),
        species_coeffs=sum(each.species_coeffs for each in potentials) / count,
        moment_coeffs=np.concatenate([each.moment_coeffs for each in potentials], axis=-1) / count,
        active_set=None,
    )
