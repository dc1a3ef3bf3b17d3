"""Runs of the real LAMMPS on a structure, with results in the structure's own orientation."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.lammps import Prism
from ase.data import atomic_masses, atomic_numbers
from ase.io.lammpsdata import write_lammps_data

from mentor.lammps import programs
from mentor.neighbourhoods import search_cell

BAR = 1.6021765e6  # LAMMPS' bar per eV/Å³
VOIGT = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])  # xx yy zz yz xz xy
FROM_LAMMPS = [0, 1, 2, 5, 4, 3]  # LAMMPS has xx yy zz xy xz yz
COLUMNS = "id type x y z fx fy fz c_e c_v[1] c_v[2] c_v[3] c_v[4] c_v[5] c_v[6]"
CENTROID = " ".join(f"c_c[{i}]" for i in range(1, 10))


@dataclass
class Job:
    """One LAMMPS input; ``style`` and ``coeff`` are what follows pair_style and pair_coeff."""

    atoms: Atoms
    elements: tuple[str, ...]
    """Of the atom types 1, 2, …"""
    style: str
    coeff: tuple[str, ...]
    before: str = ""
    setup: str = ""
    columns: str = ""
    run: str = ""
    after: str = ""


@dataclass
class Outcome:
    """What LAMMPS says of the last step, in the axes of ``Job.atoms``."""

    energy: float
    forces: np.ndarray
    virial: np.ndarray
    site_energies: np.ndarray
    site_virials: np.ndarray
    """(N, 6), Voigt xx yy zz yz xz xy."""
    centroid_virials: np.ndarray
    """(N, 3, 3)."""
    positions: np.ndarray
    extra: np.ndarray
    text: str = field(repr=False)


def lammps(folder: Path, text: str, ranks: int = 1, timeout: float = 60.0, *options: str):
    """Run an input, alone or with MPI; the finished process."""
    (folder / "in.lammps").write_text(text)
    found = programs()
    command = [str(found.lmp), "-in", "in.lammps", *options]
    if ranks > 1:
        command = [str(found.mpiexec), "-np", str(ranks), *command]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
    )


def failure(folder: Path, text: str, ranks: int = 1) -> str:
    """The error with which LAMMPS ends."""
    done = lammps(folder, text, ranks)
    assert done.returncode != 0, done.stdout
    errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
    assert len(errors) == 1, done.stdout + done.stderr
    return errors[0]


def structure_input(job: Job, folder: Path) -> str:
    """The part of an input that makes the atoms."""
    atoms = boxed(job.atoms)
    write_lammps_data(
        folder / "atoms.data",
        atoms,
        specorder=list(job.elements),
        masses=False,
        prismobj=Prism(atoms.cell, pbc=atoms.pbc),
    )
    boundary = " ".join("p" if periodic else "m" for periodic in atoms.pbc)
    masses = [
        f"mass {t} {atomic_masses[atomic_numbers[symbol]]}"
        for t, symbol in enumerate(job.elements, 1)
    ]
    return "\n".join(
        ["units metal", job.before, f"boundary {boundary}", "read_data atoms.data", *masses]
    )


def boxed(atoms: Atoms) -> Atoms:
    """The same in a box around the atoms where the structure does not repeat."""
    atoms = atoms.copy()
    cell = search_cell(atoms)
    for axis in np.flatnonzero(~atoms.pbc):
        along = atoms.positions @ cell[axis]
        atoms.positions += (4.0 - along.min()) * cell[axis]
        cell[axis] *= np.ptp(along) + 8.0
    atoms.cell = cell
    return atoms


def whole_input(job: Job, folder: Path) -> str:
    """A complete input that leaves its results in ``dump`` and ``totals``."""
    return "\n".join(
        [
            structure_input(job, folder),
            f"pair_style {job.style}",
            *(f"pair_coeff {each}" for each in job.coeff),
            "compute e all pe/atom",
            "compute v all stress/atom NULL virial",
            "compute c all centroid/stress/atom NULL virial",
            "compute p all pressure NULL virial",
            job.setup,
            "thermo_style custom step temp pe etotal c_p[*]",
            job.run,
            f"dump d all custom 1 dump {COLUMNS} {CENTROID} {job.columns}",
            "dump_modify d format float %.17g sort id",
            "run 0",
            'print "$(pe:%.17g) $(vol:%.17g) '
            + " ".join(f"$(c_p[{i}]:%.17g)" for i in range(1, 7))
            + '" file totals',
            job.after,
        ]
    )


def outcome(job: Job, folder: Path, ranks: int = 1, *options: str) -> Outcome:
    """Run the job and read its results."""
    done = lammps(folder, whole_input(job, folder), ranks, 60.0, *options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    frames = (folder / "dump").read_text().split("ITEM: ATOMS")
    table = np.array([row.split() for row in frames[-1].splitlines()[1:]], float)
    energy, volume, *pressures = map(float, (folder / "totals").read_text().split())
    turn = Prism(boxed(job.atoms).cell).vector_to_lammps(np.eye(3))  # x_lammps = x @ turn
    site = -np.array([full(row) for row in table[:, 9:15]]) / BAR
    xx, yy, zz, xy, xz, yz, yx, zx, zy = -table[:, 15:24].T / BAR
    centroid = np.moveaxis(np.array([[xx, xy, xz], [yx, yy, yz], [zx, zy, zz]]), 2, 0)
    total = full(pressures) * volume / BAR
    return Outcome(
        energy=energy,
        forces=table[:, 5:8] @ turn.T,
        virial=voigt(turn @ total @ turn.T),
        site_energies=table[:, 8],
        site_virials=np.array([voigt(turn @ W @ turn.T) for W in site]),
        centroid_virials=np.array([turn @ W @ turn.T for W in centroid]),
        positions=table[:, 2:5] @ turn.T,
        extra=table[:, 24:],
        text=done.stdout,
    )


def full(six) -> np.ndarray:
    """The symmetric tensor of LAMMPS' six components."""
    xx, yy, zz, xy, xz, yz = six
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def voigt(W: np.ndarray) -> np.ndarray:
    """xx yy zz yz xz xy."""
    return W[VOIGT]
