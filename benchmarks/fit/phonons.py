"""Phonon frequencies of ordered Ag-Pd structures against those of DFT force constants.

    python benchmarks/fit/phonons.py FOLDER POTENTIAL [POTENTIAL ...]

FOLDER holds one folder per structure with phonopy's disp.yaml, band.yaml and FORCE_CONSTANTS.
Compared are the frequencies at the q-points commensurate with the supercell of the DFT calculation,
at the DFT geometry; printed are the root mean square difference and the lowest frequencies, THz.
"""

import sys
from pathlib import Path

import numpy as np
import yaml
from ase import Atoms
from phonopy import Phonopy
from phonopy.file_IO import parse_FORCE_CONSTANTS
from phonopy.harmonic.dynmat_to_fc import get_commensurate_points
from phonopy.structure.atoms import PhonopyAtoms

import mentor

SWAPPED = 8
"""Structures with lower numbers have Ag and Pd the wrong way round in their yaml files."""

UNSTABLE = -0.05
"""THz below which a frequency counts as imaginary; those of translations are noise about zero."""

STEP = 0.01  # Å


def main(folder, files):
    potentials = [mentor.load(file) for file in files]
    print("RMS difference, lowest frequency (DFT), THz, one pair of columns per potential")
    differences, unstable = [], np.zeros(len(files), int)
    for place in sorted(folder.iterdir()):
        phonon, constants = dft(place)
        expected = frequencies(phonon, constants)
        row = []
        for number, potential in enumerate(potentials):
            found = frequencies(phonon, force_constants(potential, phonon))
            row.append(np.sqrt(np.mean((found - expected) ** 2)))
            unstable[number] += bool(np.any((found < UNSTABLE) & (expected > UNSTABLE)))
        print(place.name, " ".join(f"{each:7.3f}" for each in row), f"{expected.min():8.3f}")
        differences.append(row)
    print("mean", " ".join(f"{each:7.3f}" for each in np.mean(differences, axis=0)))
    print("worst", " ".join(f"{each:6.3f}" for each in np.max(differences, axis=0)))
    print("unstable where DFT is stable:", *unstable)


def dft(place):
    """The structure in phonopy, and its force constants (N, N, 3, 3), eV/Å²."""
    cell = yaml.safe_load((place / "disp.yaml").read_text())
    band = yaml.safe_load((place / "band.yaml").read_text().split("phonon:")[0])
    symbols = [point["symbol"] for point in cell["points"]]
    if int(place.name) < SWAPPED:
        symbols = [{"Ag": "Pd", "Pd": "Ag"}[symbol] for symbol in symbols]
    supercell = PhonopyAtoms(
        symbols=symbols,
        cell=cell["lattice"],
        scaled_positions=[point["coordinates"] for point in cell["points"]],
    )
    primitive = np.linalg.solve(np.array(cell["lattice"]).T, np.array(band["lattice"]).T)
    phonon = Phonopy(supercell, np.eye(3), primitive_matrix=primitive, symprec=1e-3)
    return phonon, parse_FORCE_CONSTANTS(str(place / "FORCE_CONSTANTS"))


def force_constants(potential, phonon):
    """Those of the potential by central differences, (N, N, 3, 3)."""
    cell = phonon.supercell
    atoms = Atoms(cell.symbols, cell=cell.cell, scaled_positions=cell.scaled_positions, pbc=True)
    moved = []
    for atom in range(len(atoms)):
        for axis in range(3):
            for sign in (1, -1):
                other = atoms.copy()
                other.positions[atom, axis] += sign * STEP
                moved.append(other)
    forces = np.array(
        [each.calc.results["forces"] for each in mentor.evaluate(potential, moved).structures]
    ).reshape(len(atoms), 3, 2, len(atoms), 3)
    constants = -(forces[:, :, 0] - forces[:, :, 1]) / (2 * STEP)
    return constants.transpose(0, 2, 1, 3)


def frequencies(phonon, constants):
    """At the commensurate q-points, THz, (q, 3n)."""
    phonon.force_constants = constants
    phonon.symmetrize_force_constants()
    matrix = np.linalg.inv(phonon.primitive_matrix).round().astype(int)
    return phonon.run_qpoints(get_commensurate_points(matrix)).frequencies


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
