"""One structure in LAMMPS, with the potential as its pair style, in this process.

On this side are ``ase.Atoms`` in mentor's units; turned axes, wrapped positions, Å/ps and bar exist
only inside.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from mentor.exceptions import InputError
from mentor.lammps.box import box_of
from mentor.lammps.running import lammps
from mentor.units import FS

BAR_PER_GPA = 1e4
SPEED = 1000 * FS
"""LAMMPS' Å/ps of one unit of speed of ASE."""
FEW = 500
"""Atoms up to which also crystals are searched for neighbours without bins, which would not fit
into thin cells; the large boxes of all else would have too many bins."""

_UNWRAPPED, _VIRIAL = "mentor_unwrapped", "mentor_virial"
_GLOBAL, _PER_ATOM, _SCALAR, _ARRAY = 0, 1, 0, 2  # codes of LAMMPS' library
_ENDLESS = "break 1e300"  # grades are computed, and an infinite one is an error

VIRIAL = (f"compute {_VIRIAL} all pressure NULL virial", f"thermo_style custom step c_{_VIRIAL}")
"""Commands that let the virial be computed at the end of every run."""

_kept: list[Any] = []


class LammpsError(InputError):
    """LAMMPS stopped with an error, which is the message."""


class Simulation:
    """``atoms`` in LAMMPS, ready to run from step ``first``; ends with the next one begun.

    LAMMPS knows the groups ``mobile`` and ``fixed`` and one group per element; its atom types are
    the elements in the order of their atomic numbers, its atom IDs those of ``atoms`` plus 1.

    Parameters
    ----------
    atoms
        With momenta.
    potential
        File with an active set; None for atoms that do not interact.
    timestep
        fs.
    last
        What fixes change in the course of a run, they change from step 0 to this one.
    fixed
        Indices of atoms that do not move; no force acts on them.

    Raises
    ------
    InputError
        LAMMPS is not installed, or the potential cannot be used.
    """

    def __init__(
        self,
        atoms: Atoms,
        potential: str | Path | None,
        *,
        timestep: float = 1.0,
        first: int = 0,
        last: int = 0,
        fixed: Sequence[int] | np.ndarray = (),
    ) -> None:
        self._box = box_of(atoms.cell.array, atoms.pbc, atoms.positions)
        self._kinds = sorted(set(_kinds(atoms)))
        self._numbers, self._masses = map(np.array, zip(*self._kinds, strict=True))
        self._fixed = np.asarray(fixed, int)
        self._fixed_at = atoms.positions[self._fixed]
        self._fresh = True
        self._known: tuple[np.ndarray, np.ndarray] | None = None
        self.last = last
        self._lammps = _instance()
        self.commands(self._before(len(atoms)))
        self._make_atoms(atoms)
        self.commands(self._after(potential, timestep, first))
        self._lattice_before = self._lattice()

    def command(self, text: str) -> None:
        """Carry out one LAMMPS command; raises LammpsError."""
        with _errors():
            self._lammps.command(text)

    def commands(self, texts: Sequence[str]) -> None:
        """Carry out commands one after the other; raises LammpsError."""
        for text in texts:
            self.command(text)

    @property
    def step(self) -> int:
        """The number of the step LAMMPS has reached."""
        return int(self._lammps.extract_global("ntimestep"))

    def run(self, steps: int, *, graded: bool = False) -> None:
        """Make ``steps`` steps; 0 computes forces and what else is wanted where the atoms are.

        ``graded``: compute :attr:`grade` at the last of them.

        Raises
        ------
        LammpsError
            The dynamics broke down, or something that was set is wrong.
        """
        if graded:  # the settings of the style change, the potential stays
            self.command(f"pair_style mtp/extrapolation {_ENDLESS} every {self.step + steps}")
        course = f"start 0 stop {max(self.last, self.step + steps)}"
        setup = "yes" if self._fresh else "no"
        self.command(f"run {steps} {course} pre {setup} post no")
        self._fresh, self._known = False, None

    @property
    def grade(self) -> float:
        """Largest grade of the atoms at the end of the last graded run."""
        with _errors():
            return self._lammps.extract_pair("max_grade")

    def read(self, atoms: Atoms) -> None:
        """Put positions (unwrapped), momenta, cell and elements into ``atoms``.

        Raises
        ------
        LammpsError
            Atoms were lost or added.
        """
        if self._count() != len(atoms):
            raise LammpsError(f"there are {self._count()} atoms now instead of {len(atoms)}")
        (order, kinds), lattice = self._who(), self._lattice()
        momenta = self._per_atom("v") * self._masses[kinds, None] / SPEED
        positions = self._unwrapped() + self._images[order] @ lattice
        atoms.arrays["momenta"][order] = self._box.turned_back(momenta)
        atoms.arrays["positions"][order] = self._box.turned_back(positions)
        atoms.arrays["numbers"][order] = self._numbers[kinds]
        if np.array_equal(lattice, self._lattice_before):
            atoms.positions[self._fixed] = self._fixed_at  # not turned to and fro
        else:
            atoms.cell = self._box.cell(lattice, atoms.cell.array)

    @property
    def mobile(self) -> np.ndarray:
        """1.0 for the coordinates that may move, 0.0 for the others, shape (N, 3)."""
        free = np.ones((self._count(), 3))
        free[self._fixed] = 0.0
        return free

    @property
    def masses(self) -> np.ndarray:
        """amu, shape (N, 1)."""
        order, kinds = self._who()
        masses = np.empty((len(order), 1))
        masses[order, 0] = self._masses[kinds]
        return masses

    @property
    def momenta(self) -> np.ndarray:
        """As ASE has them, shape (N, 3)."""
        velocities = np.empty((self._count(), 3))
        velocities[self._who()[0]] = self._box.turned_back(self._per_atom("v"))
        return self.masses * velocities / SPEED

    @momenta.setter
    def momenta(self, momenta: np.ndarray) -> None:
        velocities = SPEED * momenta / self.masses
        self._per_atom("v")[:] = self._box.turned(velocities[self._who()[0]])

    def virial_pressure(self) -> float:
        """tr W/(3V) where the atoms are, GPa; see :data:`VIRIAL`."""
        with _errors():
            return self._lammps.extract_compute(_VIRIAL, _GLOBAL, _SCALAR) / BAR_PER_GPA

    @property
    def volume(self) -> float:
        """Of a crystal, Å³."""
        return float(np.prod(np.diag(self._lattice())))

    def scale(self, factor: float) -> None:
        """Scale cell and positions of a crystal."""
        (lx, *_), (xy, ly, _), (xz, yz, lz) = factor * self._lattice()
        sides = {"x": f"0 {lx:.17g}", "y": f"0 {ly:.17g}", "z": f"0 {lz:.17g}"}
        tilts = {"xy": f"{xy:.17g}", "xz": f"{xz:.17g}", "yz": f"{yz:.17g}"}
        changes = sides | tilts if xy or xz or yz else sides
        words = " ".join(f"{name} final {value}" for name, value in changes.items())
        self.command(f"change_box all {words} remap units box")
        self._fresh = True

    # -- what LAMMPS is told ----------------------------------------------------------------

    def _before(self, count: int) -> list[str]:
        return [
            "clear",
            "units metal",
            "atom_style atomic",
            "atom_modify map array sort 0 0.0",
            *self._box.commands(len(self._kinds)),
            f"neighbor 1.0 {'bin' if self._box.pbc.all() and count > FEW else 'nsq'}",
            "neigh_modify delay 0 every 1 check yes",
            f"compute {_UNWRAPPED} all property/atom xu yu zu",
        ]

    def _make_atoms(self, atoms: Atoms) -> None:
        places = self._box.turned(atoms.positions)
        momenta = atoms.arrays.get("momenta", np.zeros((len(atoms), 3)))
        velocities = SPEED * momenta / atoms.get_masses()[:, None]
        with _errors():
            made = self._lammps.create_atoms(
                len(atoms),
                list(range(1, len(atoms) + 1)),
                [1 + self._kinds.index(kind) for kind in _kinds(atoms)],
                places.ravel().tolist(),
                self._box.turned(velocities).ravel().tolist(),
            )
        if made != len(atoms):
            raise LammpsError(f"only {made} of {len(atoms)} atoms could be made")
        order, _ = self._who()
        shifts = places[order] - self._unwrapped()  # LAMMPS has wrapped them
        images = np.rint(shifts @ np.linalg.inv(self._box.vectors))
        self._images = np.empty((len(atoms), self._box.pbc.sum()))
        self._images[order] = images[:, : self._box.pbc.sum()]

    def _after(self, potential: str | Path | None, timestep: float, first: int) -> list[str]:
        symbols = [chemical_symbols[number] for number, _ in self._kinds]
        commands = [f"mass {t} {mass:.17g}" for t, (_, mass) in enumerate(self._kinds, 1)]
        if potential is None:
            commands += ["pair_style zero 5.0 nocoeff", "pair_coeff * *"]
        else:
            path = Path(potential).absolute()
            commands += ["pair_style mtp/extrapolation"]
            commands += [f'pair_coeff * * "{path}" {" ".join(symbols)}']
        for symbol in dict.fromkeys(symbols):
            types = [str(t) for t, each in enumerate(symbols, 1) if each == symbol]
            commands.append(f"group {symbol} type {' '.join(types)}")
        ids = " ".join(str(index + 1) for index in self._fixed)
        commands.append(f"group fixed id {ids}" if ids else "group fixed empty")
        return [
            *commands,
            "group mobile subtract all fixed",
            "thermo 0",
            f"timestep {timestep / 1000:.17g}",
            f"reset_timestep {first}",
        ]

    # -- what LAMMPS knows ------------------------------------------------------------------

    def _count(self) -> int:
        return int(self._lammps.extract_setting("nlocal"))

    def _per_atom(self, name: str) -> np.ndarray:
        """A view of LAMMPS' own array, in the order in which LAMMPS has its atoms."""
        with _errors():
            return self._lammps.numpy.extract_atom(name)[: self._count()]

    def _who(self) -> tuple[np.ndarray, np.ndarray]:
        """Which of ``atoms`` each of LAMMPS' atoms is, and its kind; shapes (N,)."""
        if self._known is None:
            self._known = self._per_atom("id") - 1, self._per_atom("type") - 1
        return self._known

    def _unwrapped(self) -> np.ndarray:
        with _errors():
            return self._lammps.numpy.extract_compute(_UNWRAPPED, _PER_ATOM, _ARRAY)

    def _lattice(self) -> np.ndarray:
        """The periodic box vectors, LAMMPS' frame."""
        lower, upper, xy, yz, xz, *_ = self._lammps.extract_box()
        lx, ly, lz = np.subtract(upper, lower)
        return np.array([[lx, 0, 0], [xy, ly, 0], [xz, yz, lz]])[: self._box.pbc.sum()]


def _kinds(atoms: Atoms) -> list[tuple[int, float]]:
    """What LAMMPS' types are made of: atomic number and mass of each atom."""
    return list(zip(atoms.numbers.tolist(), atoms.get_masses().tolist(), strict=True))


def _instance() -> Any:
    """LAMMPS of this process; it is kept, since to start it takes a tenth of a second."""
    if not _kept:
        # Not a rank of whatever parallel job this process may have been started in.
        launched = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith("PMI")}
        try:
            _kept.append(lammps())
        finally:
            os.environ.update(launched)
    return _kept[0]


@contextmanager
def _errors() -> Iterator[None]:
    """Turn LAMMPS' errors into LammpsError; after one, the next simulation has a new LAMMPS."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - LAMMPS raises just this
        while _kept:
            _kept.pop()
        raise LammpsError(_sentence(str(error))) from None


def _sentence(message: str) -> str:
    """The essence of an error message of LAMMPS."""
    first = message.strip().split("\n")[0]
    first = re.sub(r"^ERROR( on proc \d+)?: ", "", first)
    return re.sub(r"\s*\(\S+\.cpp:\d+\)$", "", first)
