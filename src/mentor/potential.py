"""The potential: the fields of an ``.mtp`` file, its elements, and its compiled kernel."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from ase import Atoms

from mentor import basis as basis_generator
from mentor import formats
from mentor.active_set import ActiveSet
from mentor.calculator import Calculator
from mentor.exceptions import InputError
from mentor.kernel import Kernel
from mentor.neighbourhoods import Neighbourhoods
from mentor.settings import command, option
from mentor.short_range import CLOSER, core_radii, smaller_core
from mentor.structures import shortest_distances


@dataclass(frozen=True, kw_only=True, eq=False)
class Potential:
    """A Moment Tensor Potential of C species, K radial functions and n basis functions.

    V_i = ξ⁰[z_i] + Σ_α ξ_α B_α(n_i) (Shapeev, Multiscale Model. Simul. 14, 1153 (2016)), with the
    moments' radial functions f_μ(r; z_i, z_j) = scaling·Σ_k c[z_i, z_j, μ, k] Q_k(r). All species
    share the ξ_α, or each has its own, ξ_α[z_i]. Distances in Å, energies in eV.
    """

    species_count: int
    min_dist: float
    max_dist: float
    radial_basis_type: str
    radial_coeffs: np.ndarray
    """c, shape (C, C, K, R); the first index is the central atom."""
    alpha_moments_count: int
    alpha_index_basic: np.ndarray
    """Rows {μ, a, b, c}: M = Σ_j f_μ x^a y^b z^c / r^(a+b+c); shape (nb, 4)."""
    alpha_index_times: np.ndarray
    """Rows {i, j, m, k}, run in order: M[k] += m·M[i]·M[j]; shape (nt, 4)."""
    alpha_moment_mapping: np.ndarray
    """Which M are the B_α; shape (n,)."""
    species_coeffs: np.ndarray
    """ξ⁰ in eV, shape (C,)."""
    moment_coeffs: np.ndarray
    """ξ in eV, shape (n,); or (C, n), C > 1, where each central species has its own."""
    scaling: float = 1.0
    potential_name: str = "mentor"
    potential_tag: str = ""
    elements: tuple[str, ...] | None = None
    """Chemical symbols of types 0, 1, …; None where the file does not name them."""
    active_set: ActiveSet | None = None
    core_radii: np.ndarray | None = None
    """Radius in Å of the short-range core of each pair, shape (C, C), symmetric; None where there
    is no core, with every ``radial_basis_type`` but ``RBChebyshev_zbl``."""

    @property
    def radial_funcs_count(self) -> int:
        """K."""
        return self.radial_coeffs.shape[2]

    @property
    def radial_basis_size(self) -> int:
        """R."""
        return self.radial_coeffs.shape[3]

    @property
    def scalar_count(self) -> int:
        """n."""
        return len(self.alpha_moment_mapping)

    @property
    def parameter_count(self) -> int:
        """m = C²KR + C + n, or C²KR + C + Cn."""
        return self.radial_coeffs.size + len(self.species_coeffs) + self.moment_coeffs.size

    @property
    def parameters(self) -> np.ndarray:
        """θ = (radial_coeffs, species_coeffs, moment_coeffs), shape (m,)."""
        moments = self.moment_coeffs.ravel()
        return np.concatenate([self.radial_coeffs.ravel(), self.species_coeffs, moments])

    def with_parameters(self, theta: np.ndarray) -> "Potential":
        """The same potential with parameters ``theta``, and without its active set."""
        radial, species, moments = np.split(
            np.asarray(theta, float),
            [self.radial_coeffs.size, self.radial_coeffs.size + self.species_count],
        )
        return replace(
            self,
            radial_coeffs=radial.reshape(self.radial_coeffs.shape),
            species_coeffs=species,
            moment_coeffs=moments.reshape(self.moment_coeffs.shape),
            active_set=None,
        )

    def without_core(self) -> "Potential":
        """The same potential as a plain ``RBChebyshev``, which MLIP, motep and others can read.

        It differs only where atoms come closer than ``core_radii``, and fails there.
        """
        if self.core_radii is None:
            return self
        return replace(self, radial_basis_type="RBChebyshev", core_radii=None)

    def with_own_moments(self) -> "Potential":
        """The same potential, in which each species has ``moment_coeffs`` of its own to be fitted.

        It costs as much to evaluate. Other programs cannot read it: see
        :meth:`with_shared_moments`.
        """
        if self.species_count == 1 or self.moment_coeffs.ndim == 2:
            return self
        moments = np.tile(self.moment_coeffs, (self.species_count, 1))
        return replace(self, moment_coeffs=moments, active_set=None)

    def with_mean_moments(self) -> "Potential":
        """A potential in which all species share the mean of their ``moment_coeffs``."""
        if self.moment_coeffs.ndim == 1:
            return self
        return replace(self, moment_coeffs=self.moment_coeffs.mean(axis=0), active_set=None)

    def with_shared_moments(self) -> "Potential":
        """The same potential, in which all species share their ``moment_coeffs``.

        Where they do not, it takes C times as many basis functions, and as much longer.
        """
        if self.moment_coeffs.ndim == 1:
            return self
        return replace(self, **formats.with_shared_moments(self._fields()))

    def with_core_below(self, structures: Sequence[Atoms]) -> "Potential":
        """The same potential with a core smaller than all distances in ``structures``.

        A potential learns nothing within its core, so that the core makes room for data that are
        closer than any before. Without core, or where it is small enough, the potential itself.
        """
        if self.core_radii is None or not self.elements:
            return self
        reach = self.core_radii.max() / CLOSER
        shortest = shortest_distances(structures, reach) if reach > 0 else {}
        radii = smaller_core(self.core_radii, self.elements, shortest)
        return self if np.array_equal(radii, self.core_radii) else replace(self, core_radii=radii)

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled kernel of this potential, in double precision."""
        return self.compiled()

    @cached_property
    def mixed_kernel(self) -> Kernel:
        """The compiled kernel in mixed precision."""
        return self.compiled(precision="mixed")

    def compiled(self, precision: str = "double", threads: int = 0) -> Kernel:
        """A kernel of another precision or number of threads (see :class:`mentor.kernel.Kernel`).

        Raises
        ------
        InputError
            The fields contradict each other, or the precision is unknown.
        """
        return Kernel(
            radial_basis_type=self.radial_basis_type,
            scaling=self.scaling,
            min_dist=self.min_dist,
            max_dist=self.max_dist,
            radial_coeffs=self.radial_coeffs,
            species_coeffs=self.species_coeffs,
            moment_coeffs=self.moment_coeffs,
            alpha_moments_count=self.alpha_moments_count,
            alpha_index_basic=self.alpha_index_basic,
            alpha_index_times=self.alpha_index_times,
            alpha_moment_mapping=self.alpha_moment_mapping,
            core_radii=self.core_radii,
            elements=self.elements,
            precision=precision,
            threads=threads,
        )

    def grades(self, neighbourhoods: Neighbourhoods) -> np.ndarray:
        """Extrapolation grade of every atom, shape (N,); needs an active set.

        In `configuration` mode each atom carries the grade of its structure.
        """
        if self.active_set.mode == "configuration":
            rows = self.kernel.rows(neighbourhoods)
            per_structure = np.split(rows, neighbourhoods.structure_offsets[1:-1])
            return np.concatenate([self.active_set.atom_grades(own) for own in per_structure])
        return self.kernel.grades(neighbourhoods, self._prepared_active_set)

    @cached_property
    def _prepared_active_set(self) -> object:
        return self.kernel.active_set(self.active_set.inverse)

    def __getstate__(self) -> dict:
        """Pickled and copied without the kernel, which is compiled again where it is needed."""
        compiled = ("kernel", "mixed_kernel", "_prepared_active_set")
        return {name: value for name, value in self.__dict__.items() if name not in compiled}

    def calculator(self, precision: str = "double") -> Calculator:
        """An ASE calculator: ``atoms.calc = potential.calculator()``.

        Parameters
        ----------
        precision
            ``"double"``, or ``"mixed"``: nearly twice as fast, forces within 1e-4 eV/Å.

        Raises
        ------
        InputError
            The potential does not name its elements, or the precision is unknown.
        """
        return Calculator(self, precision)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``.mtp``, or ``.almtp`` with the active set, by the name's ending.

        The numbers read back exactly.

        Raises
        ------
        InputError
            Unknown ending, or ``.almtp`` for a potential without active set.
        StorageError
            The file cannot be written; nothing is left half written.
        """
        formats.write_potential(path, self._fields())

    def as_dict(self) -> dict:
        """Its make-up, without the coefficients."""
        return {
            "elements": None if self.elements is None else list(self.elements),
            "species": self.species_count,
            "min_dist": self.min_dist,
            "max_dist": self.max_dist,
            "radial_basis_type": self.radial_basis_type,
            "radial_funcs_count": self.radial_funcs_count,
            "radial_basis_size": self.radial_basis_size,
            "core_radii": None if self.core_radii is None else self.core_radii.tolist(),
            "basis_functions": self.scalar_count,
            "shared_moments": self.moment_coeffs.ndim == 1,
            "parameters": self.parameter_count,
            "active_set": None if self.active_set is None else self.active_set.mode,
        }

    def __rich__(self) -> str:
        names = "-".join(self.elements) if self.elements else f"{self.species_count} species"
        return (
            f"potential for {names}: {self.scalar_count} basis functions, "
            f"{self.parameter_count} parameters, cutoff {self.max_dist:g} Å"
        )

    def _fields(self) -> dict:
        names = self.__dataclass_fields__
        fields = {name: getattr(self, name) for name in names if name != "elements"}
        fields["potential_tag"] = formats.tag_with_elements(self.potential_tag, self.elements)
        return fields


def load(path: str | os.PathLike[str], elements: Sequence[str] | None = None) -> Potential:
    """Read a potential from ``.mtp`` or ``.almtp``.

    An untrained file, which has no coefficients, gets the random ones of :func:`init` with seed 0.

    Parameters
    ----------
    path
        File written by mentor, MLIP-2, MLIP-3 or motep.
    elements
        Chemical symbols of the types 0, 1, …; needed only where the file does not name them.

    Raises
    ------
    FormatError
        The file is not a complete potential; the message gives the line.
    InputError
        The file does not exist, or ``elements`` contradict it.
    """
    fields = formats.read_potential(path, elements)
    if np.isnan(fields["radial_coeffs"]).all():
        shape, scalars = fields["radial_coeffs"].shape, len(fields["moment_coeffs"])
        fields |= random_coefficients(np.random.default_rng(0), shape, scalars)
    return Potential(**fields, elements=formats.elements_of_tag(fields["potential_tag"]))


def opened(
    potential: "Potential | str | os.PathLike[str]", elements: "tuple[str, ...]" = ()
) -> Potential:
    """A potential given as such or as a file; ``elements`` as in :func:`load`, () for none.

    Raises
    ------
    FormatError, InputError
        As :func:`load`; or nobody names the elements.
    """
    if not isinstance(potential, Potential):
        potential = load(potential, elements=elements or None)
    if not potential.elements:
        raise InputError(
            "the potential does not name its elements; give them in the order of its types, "
            "for example --elements Ag,Pd"
        )
    return potential


@dataclass(frozen=True, kw_only=True)
class InitSettings:
    """Settings of an untrained potential."""

    level: int = option(16, "Highest level of the basis functions; usually even, 2 to 28.")
    level_weights: tuple[int, ...] = option(
        basis_generator.LEVEL_WEIGHTS,
        "w0,w1,w2: levels sum w0 + w1 μ + w2 ν over the moments of a function. 3,2,2 with levels "
        "of 18 to 30 suits molecules.",
    )
    elements: tuple[str, ...] = option((), "Chemical symbols, in the order of the types.")
    cutoff: float = option(5.0, "Radius of the neighbourhood (max_dist).", unit="Å")
    min_dist: float = option(2.0, "Shortest distance the radial functions resolve.", unit="Å")
    radial_basis_size: int = option(8, "Number of Chebyshev polynomials per radial function.")
    independent: bool = option(False, "Leave out linearly dependent basis functions.")
    core: bool = option(
        True,
        "Repel atoms that come very close; other programs can only read potentials without it.",
    )
    shared_moments: bool = option(
        True,
        "Whether all species share their moment_coeffs; other programs can only read potentials "
        "that do. With own ones a potential is more accurate at the same speed.",
    )
    core_radii: np.ndarray | None = option(
        None,
        "Where the core of each pair of elements begins, in Å, shape (C, C).",
        python_only=True,
    )
    seed: int = option(0, "Seed of the random coefficients.")
    output: Path | None = option(None, "File to write the potential to (.mtp).")


@command(InitSettings)
def init(settings: InitSettings) -> Potential:
    """Make an untrained potential with random coefficients, ready to be trained.

    Raises
    ------
    InputError
        No or repeated elements, or distances and sizes that make no sense.
    """
    elements = tuple(settings.elements)
    if not elements or len(set(elements)) != len(elements):
        raise InputError(f"elements = {list(elements)}: give each chemical symbol once")
    if not 0 <= settings.min_dist < settings.cutoff:
        raise InputError(
            f"min_dist = {settings.min_dist} Å must lie between 0 and cutoff = {settings.cutoff} Å"
        )
    if settings.radial_basis_size < 1:
        raise InputError(f"radial_basis_size = {settings.radial_basis_size} must be at least 1")
    basis = basis_generator.generate(
        settings.level, level_weights=settings.level_weights, independent=settings.independent
    )
    rng = np.random.default_rng(settings.seed)
    shape = (len(elements), len(elements), basis.radial_funcs_count, settings.radial_basis_size)
    if settings.radial_basis_size < 1 or shape[2] < 1:
        raise InputError("the basis has no radial functions")
    radii = _core_radii(settings) if settings.core else None
    potential = Potential(
        species_count=len(elements),
        elements=elements,
        min_dist=float(settings.min_dist),
        max_dist=float(settings.cutoff),
        radial_basis_type="RBChebyshev" if radii is None else "RBChebyshev_zbl",
        core_radii=radii,
        alpha_moments_count=basis.alpha_moments_count,
        alpha_index_basic=basis.alpha_index_basic,
        alpha_index_times=basis.alpha_index_times,
        alpha_moment_mapping=basis.alpha_moment_mapping,
        **random_coefficients(rng, shape, len(basis.alpha_moment_mapping)),
    )
    if not settings.shared_moments:
        potential = potential.with_own_moments()
    if settings.output is not None:
        potential.save(settings.output)
    return potential


def _core_radii(settings: InitSettings) -> np.ndarray:
    """The radii given, or those of elements without data, none above min_dist."""
    if settings.core_radii is None:
        return core_radii(settings.elements, limit=settings.min_dist)
    radii, count = np.array(settings.core_radii, float), len(settings.elements)
    if radii.shape != (count, count) or not np.array_equal(radii, radii.T):
        raise InputError(f"core_radii must be a symmetric array of shape ({count}, {count})")
    if not (radii.min() >= 0 and radii.max() <= settings.cutoff):
        raise InputError(f"core_radii must lie between 0 and cutoff = {settings.cutoff} Å")
    return radii


def random_coefficients(
    rng: np.random.Generator, shape: tuple[int, ...], scalars: int
) -> dict[str, np.ndarray]:
    """Coefficients to start a training from, with radial ones of ``shape`` (C, C, K, R).

    f_μ starts as the Chebyshev polynomial T_μ, with noise that differs by pair of species.
    """
    radial = 0.1 * rng.standard_normal(shape)
    for mu in range(min(shape[2], shape[3])):
        radial[:, :, mu, mu] += 1.0
    return {
        "radial_coeffs": radial,
        "species_coeffs": np.zeros(shape[0]),
        "moment_coeffs": 1e-3 * rng.standard_normal(scalars),
    }
