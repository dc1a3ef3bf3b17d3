"""The compiled kernel: the only module that imports the extension.

Arrays go in and come out as C-contiguous float64, int32 and int64; see ARCHITECTURE.md for the
order of parameters and the layout of neighbourhoods.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers

from mentor import _core
from mentor.exceptions import InputError

if TYPE_CHECKING:
    from mentor.neighbourhoods import Neighbourhoods

PRECISIONS = ("double", "mixed")
CONTRACTIONS = ("plan", "schedule")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Energies, forces and virials of S structures with N atoms in total."""

    site_energies: np.ndarray
    """V_i, eV, shape (N,)."""
    forces: np.ndarray | None
    """−∂E/∂x, eV/Å, shape (N, 3)."""
    virials: np.ndarray | None
    """W = −∂E/∂ε, eV, Voigt xx yy zz yz xz xy, shape (S, 6)."""
    structure_offsets: np.ndarray
    grades: np.ndarray | None = None
    """Extrapolation grade of every atom, shape (N,)."""

    @property
    def energies(self) -> np.ndarray:
        """Energy of each structure, eV, shape (S,)."""
        ends = np.concatenate([[0.0], np.cumsum(self.site_energies)])
        if len(self.structure_offsets) == 2:
            return self.site_energies.sum(keepdims=True)
        if np.all(np.diff(self.structure_offsets) > 0):
            return np.add.reduceat(self.site_energies, self.structure_offsets[:-1])
        return ends[self.structure_offsets[1:]] - ends[self.structure_offsets[:-1]]


@dataclass(frozen=True, slots=True)
class Jacobian:
    """Derivatives with respect to the m parameters θ."""

    energies: np.ndarray
    """dE/dθ, shape (S, m)."""
    forces: np.ndarray | None
    """dF/dθ, shape (N, 3, m)."""
    virials: np.ndarray | None
    """dW/dθ, shape (S, 6, m)."""


def variants() -> list[str]:
    """Names of the instruction sets this processor can run, fastest first."""
    return _core.variants()


def neighbour_list(
    positions: np.ndarray,
    cells: np.ndarray,
    pbc: np.ndarray,
    structure_offsets: np.ndarray,
    cutoff: float,
    threads: int = 0,
    variant: str = "",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs nearer than ``cutoff`` of S structures with N atoms: cost and memory linear in N.

    Parameters
    ----------
    positions, cells, pbc, structure_offsets
        Shapes (N, 3) Å, (S, 3, 3) Å, (S, 3) and (S+1,). Of the cell vectors only those that repeat
        play a role.
    threads
        Number of threads; 0 takes ``OMP_NUM_THREADS`` or all cores. Few atoms use fewer; the
        list is the same for any number.
    variant
        Instruction set, one of :func:`variants`; by default the fastest.

    Returns
    -------
    ``offsets`` (N+1,), ``neighbours`` (P,) and ``displacements`` (P, 3) of ``Neighbourhoods``.

    Raises
    ------
    ValueError
        A position is not finite, or the cell vectors that repeat span no cell.
    """
    return _core.neighbour_list(positions, cells, pbc, structure_offsets, cutoff, threads, variant)


def read_potential_file(path: str) -> dict:
    """What programs without Python (LAMMPS) read from a ``.mtp`` or ``.almtp`` file; for tests.

    The fields of :class:`mentor.Potential` under their names, ``elements`` as a list, empty where
    the file names none, ``per_structure``, and A⁻¹ as ``inverse`` (None without active set).

    Raises
    ------
    InputError
        The file is no complete trained potential.
    """
    try:
        return _core.read_potential_file(path)
    except RuntimeError as error:
        raise InputError(str(error)) from None


class Kernel:
    """A potential compiled for evaluation; see :class:`mentor.potential.Potential` for its fields.

    Parameters
    ----------
    threads
        Number of threads; 0 takes ``OMP_NUM_THREADS`` or all cores. Few atoms use fewer.
    variant
        Instruction set, one of :func:`variants`; by default the fastest.
    precision
        ``"double"``, or ``"mixed"``: lanes in single precision, energies summed in double; basis
        functions, rows and Jacobians are in double precision all the same.
    contraction
        ``"plan"``, or ``"schedule"`` to run ``alpha_index_times`` product by product, as a check.

    Raises
    ------
    InputError
        The fields contradict each other (an index out of range, coefficients of the wrong number).
    """

    def __init__(
        self,
        *,
        radial_basis_type: str,
        scaling: float,
        min_dist: float,
        max_dist: float,
        radial_coeffs: np.ndarray,
        species_coeffs: np.ndarray,
        moment_coeffs: np.ndarray,
        alpha_moments_count: int,
        alpha_index_basic: np.ndarray,
        alpha_index_times: np.ndarray,
        alpha_moment_mapping: np.ndarray,
        core_radii: np.ndarray | None = None,
        elements: Sequence[str] | None = None,
        threads: int = 0,
        variant: str = "",
        precision: str = "double",
        contraction: str = "plan",
    ) -> None:
        self._made_of = {name: value for name, value in locals().items() if name != "self"}
        radial_coeffs = np.ascontiguousarray(radial_coeffs, float)
        if radial_coeffs.ndim != 4 or radial_coeffs.shape[0] != radial_coeffs.shape[1]:
            raise InputError(
                f"radial_coeffs have shape {radial_coeffs.shape}, not (species, species, K, R)"
            )
        for name, values in (
            ("radial_coeffs", radial_coeffs),
            ("species_coeffs", species_coeffs),
            ("moment_coeffs", moment_coeffs),
        ):
            if not np.all(np.isfinite(values)):
                raise InputError(f"{name} of the potential contain NaN or infinity; train it again")
        if precision not in PRECISIONS:
            raise InputError(f"precision = {precision!r} is not one of {', '.join(PRECISIONS)}")
        if contraction not in CONTRACTIONS:
            raise InputError(
                f"contraction = {contraction!r} is not one of {', '.join(CONTRACTIONS)}"
            )
        if core_radii is not None and not elements:
            raise InputError(
                "a potential with a short-range core must name its elements, which decide on how "
                "strongly two atoms repel each other"
            )
        species, _, funcs, size = radial_coeffs.shape
        self.threads = threads
        self.scalar_count = len(alpha_moment_mapping)
        moments = np.ascontiguousarray(moment_coeffs, float)
        self.radial_count = radial_coeffs.size
        self.parameter_count = radial_coeffs.size + species + moments.size
        try:
            self._kernel = _core.Kernel(
                radial_basis_type,
                scaling,
                min_dist,
                max_dist,
                species,
                funcs,
                size,
                radial_coeffs.ravel(),
                np.ascontiguousarray(species_coeffs, float),
                moments.ravel(),
                alpha_moments_count,
                np.ascontiguousarray(alpha_index_basic, np.int32).reshape(-1, 4),
                np.ascontiguousarray(alpha_index_times, np.int32).reshape(-1, 4),
                np.ascontiguousarray(alpha_moment_mapping, np.int32),
                np.array([atomic_numbers[symbol] for symbol in elements or ()], np.int32),
                np.ravel([] if core_radii is None else core_radii).astype(float),
                variant,
                precision == "mixed",
                contraction == "plan",
            )
        except ValueError as error:
            raise InputError(f"not a valid potential: {error}") from None

    def __reduce__(self) -> tuple:
        return partial(Kernel, **self._made_of), ()

    @property
    def variant(self) -> str:
        """The instruction set in use."""
        return self._kernel.variant

    @property
    def planned(self) -> bool:
        """Whether it runs a contraction plan, and not the schedule as it is."""
        return self._kernel.planned

    @property
    def operations(self) -> int:
        """Multiplications of one atom from the moments to energy and derivatives by moments."""
        return self._kernel.operations

    def evaluate(
        self,
        neighbourhoods: "Neighbourhoods",
        *,
        forces: bool = True,
        virial: bool = True,
        active_set: _core.ActiveSetInverse | None = None,
    ) -> Evaluation:
        """Energies, and forces, virials and grades where asked for, of all structures.

        Parameters
        ----------
        active_set
            Of :meth:`active_set`, for the grade max_j |b A⁻¹|_j of every atom by its row
            b = dV_i/dθ; in the same sweep as the forces it costs least, in double precision.
        """
        atoms, structures = _counts(neighbourhoods)
        result = Evaluation(
            site_energies=np.empty(atoms),
            forces=np.zeros((atoms, 3)) if forces else None,
            virials=np.zeros((structures, 6)) if virial else None,
            structure_offsets=neighbourhoods.structure_offsets,
            grades=None if active_set is None else np.empty(atoms),
        )
        self._kernel.evaluate(
            _arrays(neighbourhoods),
            site_energies=result.site_energies,
            forces=result.forces,
            virials=result.virials,
            grades=result.grades,
            active_set=active_set,
            threads=self.threads,
        )
        return result

    def evaluate_with_rows(
        self, neighbourhoods: "Neighbourhoods", *, forces: bool = True, virial: bool = True
    ) -> tuple[Evaluation, np.ndarray]:
        """:meth:`evaluate` and :meth:`rows` in one sweep."""
        atoms, structures = _counts(neighbourhoods)
        result = Evaluation(
            site_energies=np.empty(atoms),
            forces=np.zeros((atoms, 3)) if forces else None,
            virials=np.zeros((structures, 6)) if virial else None,
            structure_offsets=neighbourhoods.structure_offsets,
        )
        rows = np.empty((atoms, self.parameter_count))
        self._kernel.evaluate(
            _arrays(neighbourhoods),
            site_energies=result.site_energies,
            forces=result.forces,
            virials=result.virials,
            rows=rows,
            threads=self.threads,
        )
        return result, rows

    def active_set(self, inverse: np.ndarray) -> _core.ActiveSetInverse:
        """A⁻¹ (m, m) of an active set, prepared for :meth:`grades`."""
        try:
            return self._kernel.active_set(np.ascontiguousarray(inverse, float))
        except ValueError as error:
            raise InputError(str(error)) from None

    def grades(
        self, neighbourhoods: "Neighbourhoods", active_set: _core.ActiveSetInverse
    ) -> np.ndarray:
        """Extrapolation grade max_j |b A⁻¹|_j of every atom by its row b = dV_i/dθ, shape (N,)."""
        values = np.empty(_counts(neighbourhoods)[0])
        self._kernel.evaluate(
            _arrays(neighbourhoods), grades=values, active_set=active_set, threads=self.threads
        )
        return values

    def basis(self, neighbourhoods: "Neighbourhoods") -> np.ndarray:
        """B_α of every atom, shape (N, n)."""
        values = np.empty((_counts(neighbourhoods)[0], self.scalar_count))
        self._kernel.evaluate(_arrays(neighbourhoods), basis=values, threads=self.threads)
        return values

    def rows(self, neighbourhoods: "Neighbourhoods") -> np.ndarray:
        """dV_i/dθ of every atom, shape (N, m)."""
        values = np.empty((_counts(neighbourhoods)[0], self.parameter_count))
        self._kernel.evaluate(_arrays(neighbourhoods), rows=values, threads=self.threads)
        return values

    def jacobian(
        self, neighbourhoods: "Neighbourhoods", *, forces: bool = True, virial: bool = True
    ) -> Jacobian:
        """Derivatives of energies, forces and virials with respect to all parameters.

        The memory is that of the result: call it with a few structures at a time.
        """
        atoms, structures = _counts(neighbourhoods)
        m = self.parameter_count
        result = Jacobian(
            energies=np.zeros((structures, m)),
            forces=np.zeros((atoms, 3, m)) if forces else None,
            virials=np.zeros((structures, 6, m)) if virial else None,
        )
        self._kernel.jacobian(
            _arrays(neighbourhoods),
            energies=result.energies,
            forces=result.forces,
            virials=result.virials,
            threads=self.threads,
        )
        return result

    def weighted_rows(
        self,
        neighbourhoods: "Neighbourhoods",
        *,
        energy_weights: np.ndarray,
        force_weights: np.ndarray,
        virial_weights: np.ndarray,
        columns: np.ndarray,
        room: int = 0,
    ) -> np.ndarray:
        """Rows of the Jacobian times the weights of their labels, without those of weight 0.

        Parameters
        ----------
        energy_weights, force_weights, virial_weights
            Shapes (S,), (N,) and (S, 6). Structures without forces or virial cost far less.
        columns
            The parameters that the columns are derivatives by, shape (n,).
        room
            Number of further columns, left unset.

        Returns
        -------
        Rows of energies, then of forces, then of virials; shape (labels, n + ``room``).
        """
        weights = (energy_weights, force_weights, virial_weights)
        count = sum(np.count_nonzero(w) * n for w, n in zip(weights, (1, 3, 1), strict=True))
        rows = np.empty((count, len(columns) + room))
        self._kernel.weighted_rows(
            _arrays(neighbourhoods),
            rows,
            np.ascontiguousarray(columns, np.int32),
            *(np.ascontiguousarray(w, float) for w in weights),
            threads=self.threads,
        )
        return rows


def _counts(neighbourhoods: "Neighbourhoods") -> tuple[int, int]:
    return len(neighbourhoods.types), len(neighbourhoods.structure_offsets) - 1


def _arrays(neighbourhoods: "Neighbourhoods") -> _core.NeighbourArrays:
    return _core.NeighbourArrays(
        neighbourhoods.types,
        neighbourhoods.structure_offsets,
        neighbourhoods.offsets,
        neighbourhoods.neighbours,
        neighbourhoods.displacements,
    )
