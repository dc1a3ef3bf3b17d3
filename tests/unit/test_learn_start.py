"""Where a campaign begins: rattled copies, elements, the shortest distance."""

import numpy as np
import pytest
from ase.build import bulk, fcc111, molecule
from ase.constraints import FixAtoms

from mentor.exceptions import InputError
from mentor.learning.settings import CampaignSettings, PotentialSettings, StructureSettings
from mentor.learning.start import bare, first_potential, rattled_copies


def copies(starts, seed=0, **settings):
    return rattled_copies(starts, StructureSettings(**settings), np.random.default_rng(seed))


def test_copies_of_a_molecule_grow_from_none_to_the_full_amplitude():
    water = molecule("H2O")
    found = copies([water], initial=200, rattle=0.05)
    assert len(found) == 200
    assert (found[0].positions == water.positions).all()
    shifts = np.array([np.std(atoms.positions - water.positions) for atoms in found])
    assert 0.8 * 0.05 < shifts[150:].mean() < 0.05
    assert shifts[:50].mean() < 0.4 * shifts[150:].mean()
    assert not found[5].cell.rank


def test_crystals_are_strained_and_slabs_only_in_their_plane():
    crystal, slab = bulk("Cu", cubic=True), fcc111("Cu", (2, 2, 2), vacuum=5.0)
    slab.pbc = (True, True, False)
    found = copies([crystal, slab], initial=40, strain=0.03)
    volumes = [atoms.get_volume() for atoms in found[::2]]
    assert np.std(volumes) / np.mean(volumes) > 0.01
    assert np.abs(volumes[-1] / volumes[0] - 1) < 0.3
    for atoms in found[1::2]:
        assert np.allclose(atoms.cell[2], slab.cell[2])
    assert np.ptp([atoms.cell[0, 0] for atoms in found[1::2]]) > 0.01


def test_fixed_atoms_stay(tmp_path):
    slab = fcc111("Cu", (2, 2, 2), vacuum=5.0)
    slab.set_constraint(FixAtoms([0, 1]))
    last = copies([slab], initial=5, strain=0.0)[-1]
    assert np.allclose(last.positions[:2], slab.positions[:2])
    assert np.abs(last.positions[2:] - slab.positions[2:]).min() > 0


def test_every_start_is_among_the_copies_even_if_there_are_more_starts_than_copies():
    starts = [bulk("Cu", a=a) for a in (3.5, 3.6, 3.7)]
    found = copies(starts, initial=2)
    assert [atoms.cell.volume for atoms in found] == [atoms.cell.volume for atoms in starts]


def test_bare_keeps_what_a_calculation_needs_and_nothing_else():
    atoms = molecule("H2O")
    atoms.info["energy"] = 1.0
    atoms.set_momenta(np.ones((3, 3)))
    atoms.set_initial_magnetic_moments([1.0, 0, 0])
    atoms.set_constraint(FixAtoms([0]))
    found = bare(atoms)
    assert set(found.arrays) == {"numbers", "positions", "initial_magmoms"}
    assert not found.info
    assert len(found.constraints) == 1


def potential(structures, **settings):
    return first_potential(
        CampaignSettings(potential=PotentialSettings(level=6, **settings)), structures, 0
    )


def test_potential_takes_elements_and_distances_from_the_structures():
    found = potential([molecule("CH3CH2OH")])
    assert found.elements == ("H", "C", "O")
    assert found.min_dist == pytest.approx(0.8 * 0.971, abs=0.01)
    assert found.max_dist == 5.0
    assert potential([molecule("H2O")], min_dist=0.5, elements=("O", "H", "N")).elements == (
        "O",
        "H",
        "N",
    )


def test_single_atoms_have_a_potential_too():
    assert 0 < potential([molecule("H")]).min_dist < 5.0


def test_elements_without_those_of_the_structures():
    with pytest.raises(InputError, match="elements H lack O of the structures"):
        potential([molecule("H2O")], elements=("H",))
