"""Energies, forces and stresses of published potentials equal those of MLIP-3.

The tolerances are the rounding of its output: 1e-10 eV, 1e-6 eV/Å and 1e-5 eV.
"""

import numpy as np
import pytest

import reference
from mentor.neighbourhoods import neighbourhoods


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize("name", ["AgPd", "Cu", "Li", "Si"])
def test_energy_forces_and_stress(published, efs, name, index):
    atoms, record = efs[name][index]
    atoms = atoms.copy()
    atoms.calc = published(name).calculator()
    assert abs(atoms.get_potential_energy() - record["energy"]) <= 1e-8
    assert np.abs(atoms.get_forces() - record["forces"]).max() <= 2e-6
    nb = neighbourhoods(atoms, published(name).max_dist, published(name).elements)
    W = published(name).kernel.evaluate(nb, forces=False).virials[0]
    assert np.abs(W - record["plus_stress_xx_yy_zz_yz_xz_xy"]).max() <= 2e-5
    if atoms.cell.rank == 3 and atoms.pbc.any():
        W = -atoms.get_stress() * atoms.get_volume()
        assert np.abs(W - record["plus_stress_xx_yy_zz_yz_xz_xy"]).max() <= 2e-5


def test_the_references_are_what_the_tests_assume(efs):
    assert set(efs) == {"AgPd", "Cu", "Li", "Si"}
    assert all(len(group) == 5 for group in efs.values())


@pytest.mark.parametrize("name", ["AgPd", "Cu", "Li"])
def test_oracle_agrees(published, efs, name):
    """The NumPy oracle of the other tests is itself right."""
    for atoms, record in efs[name]:
        env = reference.pairs(atoms, published(name).max_dist, published(name).elements)
        energy = reference.site_energies(published(name), env).sum()
        assert abs(energy - record["energy"]) <= 1e-8
