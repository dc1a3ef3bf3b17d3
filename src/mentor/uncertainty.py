"""How far predictions may be off: the posterior of a potential's parameters, calibrated.

With the covariance Σ = F Fᵀ of the parameters θ, a quantity whose derivative by θ is the row j has
the spread √(j Σ jᵀ) = ‖j F‖. By itself this is the uncertainty of a model that is right but for its
coefficients; what real errors add, above all that no coefficients are right, is learned from known
errors: a :class:`Calibration` turns spreads into half widths of intervals that hold 68 % and 95 %
of them (decision 0012).
"""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms

from mentor import progress
from mentor.exceptions import InputError
from mentor.files import BROKEN_ARRAYS, write_arrays
from mentor.kernel import Kernel
from mentor.neighbourhoods import Neighbourhoods, neighbourhoods
from mentor.potential import Potential
from mentor.units import volume_of

ENDING = ".posterior"
"""Ending of the file beside a potential's."""

LEVELS = (0.68, 0.95)
"""Parts of the errors that the intervals hold: the first of one, the second of two σ."""

RESOLUTIONS = {"energy": 1e-6, "forces": 1e-6, "stress": 1e-8}
"""The quantities (per atom, in eV, eV/Å, eV/Å³), and below what their labels are not known."""

NEGLIGIBLE = 1e-6
"""A spread below this part of the usual one is none: symmetry decides, not the parameters."""

_VERSION = 1
_CHUNK = 32_000_000  # bytes of Jacobian held at a time


@dataclass(frozen=True, eq=False)
class Calibration:
    """Half widths of intervals as a function of the spread, for one quantity."""

    spreads: np.ndarray
    """Where the widths are known, rising, shape (k,)."""
    widths: np.ndarray
    """Half widths there, one row per level, shape (2, k)."""
    fixed: np.ndarray
    """Smallest half width: what remains where the parameters decide nothing, shape (2,)."""
    usual: float
    """Root mean square of the spreads it was made from."""

    def __call__(self, spreads: np.ndarray) -> np.ndarray:
        """Half widths of quantities with ``spreads`` (...), shape (2, ...).

        Between the known ones log(width/spread) is linear in log(spread), beyond them constant.
        """
        spreads = np.asarray(spreads, float)
        place = np.log(np.maximum(spreads, np.finfo(float).tiny))
        ratios = np.log(self.widths / self.spreads)
        widths = [spreads * np.exp(np.interp(place, np.log(self.spreads), row)) for row in ratios]
        fixed = self.fixed.reshape(2, *(1,) * spreads.ndim)
        return np.maximum(np.array(widths), fixed)

    def free(self, spreads: np.ndarray) -> np.ndarray:
        """Whether the parameters, and not symmetry alone, decide on the quantities."""
        return np.asarray(spreads) > NEGLIGIBLE * self.usual


class Interval(NamedTuple):
    """How far a prediction may be off."""

    std: np.ndarray
    """Half width of the interval that holds 68 % of the errors."""
    half95: np.ndarray
    """Half width of the interval that holds 95 % of the errors; these have heavier tails than a
    normal distribution, so it is not twice the other one."""
    free: np.ndarray
    """False where symmetry fixes the quantity."""


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """How far the predictions for one structure may be off."""

    energy: Interval
    """eV, of the whole structure."""
    forces: Interval
    """eV/Å, shape (N, 3)."""
    stress: Interval | None
    """eV/Å³, shape (6,); None where the structure has no volume."""
    pressure: Interval | None
    """eV/Å³; None where the structure has no volume."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """Covariance of the m parameters of a potential, and what it means for real errors."""

    factor: np.ndarray
    """F with Σ = F Fᵀ, shape (m, k)."""
    calibrations: dict[str, Calibration]
    """One for each of :data:`RESOLUTIONS`."""
    fingerprint: str
    """Of the potential it belongs to."""
    source: str
    """What it was calibrated on."""
    tested: np.ndarray = field(default_factory=lambda: np.full(2, np.nan))
    """Parts of the force errors of validation structures within the intervals, before a look at
    them widened these; NaN where there were none; shape (2,)."""

    @property
    def covariance(self) -> np.ndarray:
        """Σ, shape (m, m)."""
        return self.factor @ self.factor.T

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it, completely or not at all.

        Raises
        ------
        StorageError
            The file cannot be written.
        """
        arrays = {
            f"{quantity}_{name}": value
            for quantity, calibration in self.calibrations.items()
            for name, value in vars(calibration).items()
        }
        write_arrays(
            path,
            version=_VERSION,
            factor=self.factor,
            fingerprint=self.fingerprint,
            source=self.source,
            tested=self.tested,
            **arrays,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str], potential: Potential) -> "Posterior":
        """Read the posterior of ``potential``.

        Raises
        ------
        InputError
            There is no such file, it is damaged, or it belongs to another potential.
        """
        try:
            with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as stored:
                arrays = dict(stored)
            if int(arrays["version"]) != _VERSION:
                raise ValueError("version")
            names = Calibration.__dataclass_fields__
            posterior = cls(
                factor=arrays["factor"],
                calibrations={
                    quantity: Calibration(**{name: arrays[f"{quantity}_{name}"] for name in names})
                    for quantity in RESOLUTIONS
                },
                fingerprint=str(arrays["fingerprint"]),
                source=str(arrays["source"]),
                tested=arrays["tested"],
            )
        except OSError as error:
            raise InputError(
                f"{path}: the posterior cannot be read ({error.strerror}); mentor train writes it "
                "beside the potential"
            ) from None
        except BROKEN_ARRAYS:
            raise InputError(
                f"{path}: is not a posterior of this version of mentor or is damaged; train the "
                "potential again"
            ) from None
        posterior.check(potential, path)
        return posterior

    def check(self, potential: Potential, source: object = "the posterior") -> None:
        """Raise :class:`InputError` where it belongs to another potential than ``potential``."""
        if self.fingerprint != fingerprint(potential):
            raise InputError(
                f"{source}: belongs to another potential (its coefficients differ); give the "
                "posterior that was written with this one, or train again"
            )


def posterior_path(potential: str | os.PathLike[str]) -> Path:
    """Where the posterior of a potential's file is."""
    return Path(potential).with_suffix(ENDING)


def given_posterior(
    file: Path | Posterior | None, source: Path | Potential, potential: Potential
) -> Posterior:
    """The posterior of ``potential``: ``file``, or the one beside its file ``source``.

    Raises
    ------
    InputError
        It cannot be read or belongs to another potential; or no file is known.
    """
    if isinstance(file, Posterior):
        file.check(potential)
        return file
    if file is None:
        if isinstance(source, Potential):
            raise InputError(
                "uncertainty needs the posterior of the potential: give it as posterior, "
                "mentor train writes it beside the potential"
            )
        file = posterior_path(source)
    return Posterior.load(file, potential)


def fingerprint(potential: Potential) -> str:
    """A text that is the same only for potentials with the same basis and coefficients."""
    digest = hashlib.sha256()
    shapes = (potential.radial_coeffs.shape, potential.moment_coeffs.shape)
    kind = (potential.radial_basis_type, *shapes)
    digest.update(repr(kind).encode())
    numbers = (potential.scaling, potential.min_dist, potential.max_dist)
    digest.update(np.array(numbers, "<f8").tobytes())
    digest.update(potential.parameters.astype("<f8").tobytes())
    for array in (
        potential.alpha_index_basic,
        potential.alpha_index_times,
        potential.alpha_moment_mapping,
    ):
        digest.update(np.asarray(array).astype("<i8").tobytes())
    return digest.hexdigest()


def standard_deviations(
    potential: Potential, posterior: Posterior, structures: Sequence[Atoms]
) -> list[Uncertainty]:
    """How far energy, forces and stress of each of ``structures`` may be off.

    The memory is that of the Jacobian of the largest structure, 24 m bytes per atom.

    Raises
    ------
    InputError
        The posterior belongs to another potential, or a structure holds an unknown element.
    """
    posterior.check(potential)
    nb = neighbourhoods(list(structures), potential.max_dist, potential.elements)
    found: list[Uncertainty] = []
    with progress.task("uncertainty", len(structures)) as task:
        for start, stop in chunks(nb, potential.parameter_count):
            part, some = nb.part(start, stop), structures[start:stop]
            rows = Projected.of(potential.kernel, part, posterior.factor)
            found += _uncertainties(rows, posterior.calibrations, part, some)
            task.advance(stop - start)
    return found


@dataclass(frozen=True, eq=False)
class Projected:
    """Rows j F of S structures with N atoms."""

    energies: np.ndarray
    """Shape (S, k)."""
    forces: np.ndarray
    """Shape (N, 3, k)."""
    virials: np.ndarray
    """Shape (S, 6, k)."""

    @classmethod
    def of(cls, kernel: Kernel, nb: Neighbourhoods, factor: np.ndarray) -> "Projected":
        """Of the structures of ``nb``; the memory is that of their Jacobian."""
        J = kernel.jacobian(nb)
        return cls(J.energies @ factor, J.forces @ factor, J.virials @ factor)


def chunks(nb: Neighbourhoods, columns: int) -> Iterator[tuple[int, int]]:
    """Ranges of structures whose Jacobian with ``columns`` columns takes bounded memory."""
    chunk = np.cumsum(3 * nb.atom_counts + 7) // (_CHUNK // (8 * columns) + 1)
    yield from pairwise(np.flatnonzero(np.diff(chunk, prepend=-1, append=chunk[-1] + 1)).tolist())


def volumes(structures: Sequence[Atoms]) -> np.ndarray:
    """Volumes in Å³, NaN where a structure has no stress, shape (S,)."""
    return np.array(
        [
            volume_of(atoms.cell.array) if atoms.pbc.any() and atoms.cell.rank == 3 else np.nan
            for atoms in structures
        ]
    )


def _uncertainties(
    rows: Projected,
    calibrations: dict[str, Calibration],
    nb: Neighbourhoods,
    structures: Sequence[Atoms],
) -> list[Uncertainty]:
    counts, volume = nb.atom_counts, volumes(structures)

    def interval(quantity: str, spreads: np.ndarray, unit: float | np.ndarray = 1.0) -> Interval:
        calibration = calibrations[quantity]
        return Interval(*(unit * calibration(spreads)), calibration.free(spreads))

    energies = np.linalg.norm(rows.energies, axis=1) / counts
    forces = np.linalg.norm(rows.forces, axis=2)
    stresses = np.linalg.norm(rows.virials, axis=2) / volume[:, None]
    pressures = np.linalg.norm(rows.virials[:, :3].mean(axis=1), axis=1) / volume
    return [
        Uncertainty(
            energy=interval("energy", energies[s], counts[s]),
            forces=interval("forces", forces[first:last]),
            stress=interval("stress", stresses[s]) if np.isfinite(volume[s]) else None,
            pressure=interval("stress", pressures[s]) if np.isfinite(volume[s]) else None,
        )
        for s, (first, last) in enumerate(pairwise(nb.structure_offsets))
    ]
