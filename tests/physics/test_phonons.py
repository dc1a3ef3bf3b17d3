"""Phonons through phonopy: the calculator as other programs use it."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import mentor
import samples
from mentor.units import FS

phonopy = pytest.importorskip("phonopy")


def frequencies(potential, atoms, supercell, q_points):
    """Frequencies in THz, shape (q, 3N)."""
    from phonopy.structure.atoms import PhonopyAtoms

    unit = PhonopyAtoms(
        symbols=list(atoms.symbols),
        scaled_positions=atoms.get_scaled_positions(),
        cell=atoms.cell.array,
    )
    phonon = phonopy.Phonopy(unit, supercell_matrix=np.diag(supercell), primitive_matrix="P")
    phonon.generate_displacements(distance=0.01)
    calculator = potential.calculator()
    forces = []
    for each in phonon.supercells_with_displacements:
        image = Atoms(
            each.symbols, scaled_positions=each.scaled_positions, cell=each.cell, pbc=True
        )
        image.calc = calculator
        forces.append(image.get_forces())
    phonon.forces = forces
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants()
    return phonon.run_qpoints(q_points).frequencies


@pytest.fixture(scope="module")
def crystal():
    """A face-centred cubic metal at its lattice constant."""
    return mentor.relax(samples.copper(), bulk("Cu"), cell="isotropic", fmax=1e-6).structures[0]


def test_phonons_of_a_crystal(crystal):
    gamma, X, L = frequencies(
        samples.copper(), crystal, (4, 4, 4), [(0, 0, 0), (0.5, 0, 0.5), (0.5, 0.5, 0.5)]
    )
    assert np.abs(gamma).max() <= 1e-2  # three acoustic modes
    for transverse, other, longitudinal in (X, L):
        assert abs(transverse - other) <= 1e-3  # by symmetry
        assert 1 < transverse < longitudinal


def test_long_waves_travel_at_the_speed_of_sound(crystal):
    """ν = (q/a) √(C/ρ) along [100], with C₁₁ and C₄₄ from stress against strain."""
    potential = samples.copper()
    a = crystal.cell.lengths()[0] * np.sqrt(2)

    def stress(row, column, component):
        changes = []
        for strain in (1e-3, -1e-3):
            deform = np.eye(3)
            deform[row, column] += strain / 2
            deform[column, row] += strain / 2
            image = crystal.copy()
            image.set_cell(crystal.cell.array @ deform, scale_atoms=True)
            image.calc = potential.calculator()
            changes.append(image.get_stress()[component])
        return (changes[0] - changes[1]) / 2e-3

    C11, C44 = stress(0, 0, 0), stress(1, 2, 3)  # eV/Å³
    density = crystal.get_masses().sum() / crystal.get_volume()  # amu/Å³
    speeds = np.sqrt(np.array([C44, C44, C11]) / density) * FS  # Å/fs
    q = 0.01
    (found,) = frequencies(potential, crystal, (4, 4, 4), [(q, 0, q)])  # is 2q along [010]
    assert np.abs(found / (1000 * speeds * 2 * q / a) - 1).max() <= 0.02
