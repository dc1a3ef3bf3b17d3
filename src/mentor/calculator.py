"""The ASE calculator of a potential."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from ase.outputs import Properties

from mentor.exceptions import InputError
from mentor.kernel import PRECISIONS
from mentor.neighbourhoods import Neighbourhoods, neighbourhoods
from mentor.units import stress_from_virial, volume_of

if TYPE_CHECKING:
    from mentor.active_set import ActiveSet
    from mentor.kernel import Kernel


class Model(Protocol):
    """What the calculator needs of a :class:`mentor.Potential`."""

    @property
    def elements(self) -> tuple[str, ...] | None:
        """Chemical symbols of the types 0, 1, …"""

    @property
    def max_dist(self) -> float:
        """Cutoff, Å."""

    @property
    def active_set(self) -> "ActiveSet | None":
        """Needed for grades."""

    @property
    def kernel(self) -> "Kernel":
        """The compiled kernel."""

    @property
    def mixed_kernel(self) -> "Kernel":
        """The same in mixed precision."""

    def grades(self, neighbourhoods: Neighbourhoods) -> np.ndarray:
        """Extrapolation grade of every atom, shape (N,)."""


class Calculator(AseCalculator):
    """Energies, forces, stress and extrapolation grades of structures, for ASE.

    ``atoms.calc = potential.calculator()``; then everything in ASE and in programs that take an
    ASE calculator (MD, optimisers, phonopy, …) works. Results: ``energy`` = ``free_energy`` (eV),
    ``energies`` (N,) eV, ``forces`` (N, 3) eV/Å, ``stress`` (6,) eV/Å³ in ASE's sign and Voigt
    order, ``grades`` (N,). Only what is asked for is computed. With ``precision="mixed"`` energies,
    forces and stress are of single precision, summed in double, and nearly twice as fast.

    The stress needs three cell vectors and a periodic direction; ``grades`` need an active set (in
    `configuration` mode every atom carries the grade of the structure). Without them ASE's
    ``PropertyNotImplementedError`` is raised.

    Raises
    ------
    InputError
        The potential does not name its elements; later, when a structure holds another element,
        or a position or cell vector that is not finite.
    """

    implemented_properties: ClassVar[list[str]] = [
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
        "grades",
    ]
    default_parameters: ClassVar[dict[str, Any]] = {}

    def __init__(self, potential: Model, precision: str = "double") -> None:
        if not potential.elements:
            raise InputError(
                "the potential does not name its elements; load it with elements=[...], "
                "one chemical symbol per species"
            )
        super().__init__()
        self.potential = potential
        if precision not in PRECISIONS:
            raise InputError(f"precision = {precision!r} is not one of {', '.join(PRECISIONS)}")
        self.precision = precision
        self.use_cache = False  # ASE need not copy each structure: calculate does
        self._neighbourhoods: Neighbourhoods | None = None
        self._last: Atoms | None = None

    @property
    def max_grade(self) -> float:
        """Largest grade of the structure last computed; 0 for no atoms."""
        return float(self.get_property("grades").max(initial=0.0))

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """What of positions, numbers, cell and pbc differs from the structure last computed."""
        last = self.atoms
        if last is None or len(last) != len(atoms):
            return list(all_changes)
        pairs = {
            "positions": (last.arrays["positions"], atoms.arrays["positions"]),
            "numbers": (last.arrays["numbers"], atoms.arrays["numbers"]),
            "cell": (last.cell.array, atoms.cell.array),
            "pbc": (last.pbc, atoms.pbc),
        }
        return [name for name, (old, new) in pairs.items() if old.tobytes() != new.tobytes()]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | tuple[str, ...] = ("energy",),
        system_changes: list[str] | tuple[str, ...] = tuple(all_changes),
    ) -> None:
        """Add ``properties`` to ``results`` (called by ASE)."""
        if atoms is not None and (system_changes or self.atoms is None):
            self.atoms, self.results = None, {}
            self._neighbourhoods = neighbourhoods(
                atoms, self.potential.max_dist, self.potential.elements
            )
            self._keep(atoms, system_changes)
        wanted = set(properties) - self.results.keys()
        if wanted & {"forces", "stress"}:
            self._evaluate(derivatives=True)
        elif wanted & {"energy", "free_energy", "energies"}:
            self._evaluate(derivatives=False)
        if "grades" in wanted and self.potential.active_set is not None:
            self._grade()

    def _keep(self, atoms: Atoms, system_changes: Sequence[str]) -> None:
        """Make ``self.atoms`` a copy of ``atoms``: of its positions only, where no more changed."""
        last = self._last
        if last is None or len(last) != len(atoms) or list(system_changes) != ["positions"]:
            self._last = atoms.copy()
        else:
            last.arrays["positions"][:] = atoms.arrays["positions"]
        self.atoms = self._last

    def export_properties(self) -> Properties:
        """The results ASE has a name for (called by ASE)."""
        return Properties({name: value for name, value in self.results.items() if name != "grades"})

    def _evaluate(self, derivatives: bool) -> None:
        """Forces and virial come together: the second costs next to nothing beside the first."""
        potential = self.potential
        kernel = potential.kernel if self.precision == "double" else potential.mixed_kernel
        evaluation = kernel.evaluate(self._neighbourhoods, forces=derivatives, virial=derivatives)
        energy = float(evaluation.site_energies.sum())
        self.results.update(energy=energy, free_energy=energy, energies=evaluation.site_energies)
        if derivatives:
            self.results["forces"] = evaluation.forces
            volume = volume_of(self.atoms.cell.array)
            if volume > 0 and any(self.atoms.pbc):
                self.results["stress"] = stress_from_virial(evaluation.virials[0], volume)

    def _grade(self) -> None:
        self.results["grades"] = self.potential.grades(self._neighbourhoods)
