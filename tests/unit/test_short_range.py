"""Radii of the core: from data, from bonds, in files, in trainings and campaigns."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

import mentor
import samples
from mentor.exceptions import InputError
from mentor.fit import fit
from mentor.formats import read_potential
from mentor.learning.settings import (
    CampaignSettings,
    PotentialSettings,
    RefitSettings,
    SelectionSettings,
)
from mentor.learning.start import first_potential
from mentor.learning.training import next_generation
from mentor.short_range import HELD, core_radii
from mentor.structures import shortest_distances, with_labels


def labelled(truth: mentor.Potential, count: int = 12, squeeze: float = 1.0) -> list[Atoms]:
    """Crystals with the labels of ``truth``."""
    structures = []
    for seed in range(count):
        atoms = samples.structure("triclinic crystal", 2, seed)
        atoms.set_cell(squeeze * atoms.cell.array, scale_atoms=True)
        atoms.calc = truth.calculator()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        structures.append(with_labels(atoms, energy=energy, forces=forces))
    return structures


@pytest.fixture(scope="module")
def truth() -> mentor.Potential:
    return samples.potential(2, level=6)


@pytest.fixture(scope="module")
def data(truth) -> list[Atoms]:
    return labelled(truth)


OPTIONS = {"level": 6, "cutoff": 4.5, "radial_basis_size": 8, "max_iterations": 3, "starts": 1}


def test_radii_are_below_the_distances_of_each_pair_and_below_bonds_without_data():
    radii = core_radii(("H", "C", "Ag"), 2.0, {("H", "H"): 1.5, ("H", "C"): 1.0, ("N", "N"): 1.1})
    assert radii[0, 0] == pytest.approx(0.95 * 1.5)
    assert radii[0, 1] == radii[1, 0] == pytest.approx(0.95)
    assert radii[1, 1] == pytest.approx(0.7 * 2 * 0.76)
    assert radii[2, 2] == 2.0
    assert np.array_equal(radii, radii.T)


def test_new_potentials_have_a_core_that_no_bond_is_within():
    """Whatever min_dist is: an untrained potential must not hold the bonds of its data."""
    potential = mentor.init(elements=("H", "C", "O"), level=4)
    for name in ("CH3CH2OH", "H2", "CO", "CO2", "C2H2", "O2"):
        for (a, b), distance in shortest_distances([molecule(name)], 2.0).items():
            i, j = potential.elements.index(a), potential.elements.index(b)
            assert potential.core_radii[i, j] <= 0.95 * distance
    small = mentor.init(elements=("H", "C"), level=4, min_dist=0.4)
    assert small.core_radii.max() == 0.4
    plain = mentor.init(elements=("H", "C"), level=4, core=False)
    assert plain.core_radii is None
    assert plain.radial_basis_type == "RBChebyshev"


@pytest.mark.parametrize(
    ("radii", "message"),
    [
        ([[1.0]], r"symmetric array of shape \(2, 2\)"),
        ([[1.0, 1.1], [1.2, 1.0]], "symmetric array"),
        ([[1.0, 9.0], [9.0, 1.0]], "must lie between 0 and cutoff = 5.0"),
        ([[1.0, np.nan], [np.nan, 1.0]], "core_radii must"),
    ],
)
def test_radii_that_make_no_sense(radii, message):
    with pytest.raises(InputError, match=message):
        mentor.init(elements=("H", "C"), level=4, core_radii=radii)


def test_a_core_without_elements_is_refused():
    """Which nuclei repel each other is needed, and nobody guesses."""
    unnamed = replace(samples.potential(2, radial_basis_type="RBChebyshev_zbl"), elements=None)
    with pytest.raises(InputError, match="must name its elements"):
        _ = unnamed.kernel


def test_no_radial_function_is_taken_below_min_dist(data):
    """There the polynomials would leave [−1, 1], explode and win against the core."""
    core = mentor.train(data, **OPTIONS).potential
    repulsion = replace(core, moment_coeffs=np.zeros_like(core.moment_coeffs))
    closest = core.elements[int(np.diag(core.core_radii).argmin())]
    radius = float(np.diag(core.core_radii).min())

    def energy(potential, distance):
        return potential.calculator().get_property(
            "energy", Atoms([closest] * 2, [(0, 0, 0), (0, 0, distance)])
        )

    held = energy(core.without_core(), HELD * radius)
    for distance in (0.3 * radius, 0.8 * radius):
        learned = energy(core, distance) - energy(repulsion, distance)
        assert abs(learned - (held - energy(repulsion.without_core(), 3.0))) <= 1e-9 * abs(held)
    assert abs(core.min_dist - HELD * core.core_radii.min()) <= 1e-3


def test_a_fit_is_the_same_with_and_without_a_core(data):
    core = mentor.train(data, **OPTIONS).potential
    plain = mentor.train(data, core=False, min_dist=core.min_dist, **OPTIONS).potential
    assert plain.core_radii is None
    assert np.array_equal(core.parameters, plain.parameters)
    for (a, b), distance in shortest_distances(data, 4.5).items():
        i, j = core.elements.index(a), core.elements.index(b)
        assert 0.94 * distance <= core.core_radii[i, j] <= 0.96 * distance


def test_training_labels_within_the_core_are_those_of_all_of_it(truth, data):
    """Where a fit does see atoms within the core, residuals are labels minus all of the energy."""
    own = replace(truth, radial_basis_type="RBChebyshev_zbl", core_radii=np.full((2, 2), 2.5))
    close = labelled(own)
    assert min(shortest_distances(close, 4.0).values()) < 2.4
    start = replace(own, species_coeffs=np.zeros(2), moment_coeffs=np.zeros(5))
    assert fit(start, close, max_iterations=0).loss.force_rmse <= 1e-6


def test_the_core_makes_room_for_data_that_are_closer(truth, data):
    """Within its core a potential learns nothing: it must not reach into the training set."""
    first = mentor.train(data, **OPTIONS).potential
    assert first.with_core_below(data) is first
    closer = [*data, *labelled(truth, 3, squeeze=0.85)]
    later = mentor.train(closer, potential=first, max_iterations=1).potential
    assert (later.core_radii < first.core_radii).any()
    for (a, b), distance in shortest_distances(closer, 4.5).items():
        i, j = later.elements.index(a), later.elements.index(b)
        assert later.core_radii[i, j] <= 0.96 * distance
    refit = next_generation(first, closer, RefitSettings(), SelectionSettings(), iterations=1)
    assert np.array_equal(refit.core_radii, later.core_radii)
    kept = next_generation(first, closer, RefitSettings(), SelectionSettings(), iterations=0)
    assert np.array_equal(kept.core_radii, first.core_radii)


def test_campaigns_begin_with_a_core_unless_told_not_to():
    def first(**settings):
        campaign = CampaignSettings(potential=PotentialSettings(level=4, **settings))
        return first_potential(campaign, [molecule("CH4")], 0)

    assert np.array_equal(first().elements, ("H", "C"))
    assert first().core_radii[0, 1] == pytest.approx(0.8 * 1.09, abs=0.01)
    assert first(core=False).core_radii is None


def test_without_core_other_programs_can_read_the_file(tmp_path):
    potential = samples.potential(2, radial_basis_type="RBChebyshev_zbl")
    potential.save(tmp_path / "core.mtp")
    assert "radial_basis_type = RBChebyshev_zbl\n" in (tmp_path / "core.mtp").read_text()
    mentor.convert(tmp_path / "core.mtp", tmp_path / "plain.mtp", core=False)
    potential.without_core().save(tmp_path / "other.mtp")
    text = (tmp_path / "plain.mtp").read_text()
    assert text == (tmp_path / "other.mtp").read_text()
    assert "core" not in text
    assert "radial_basis_type = RBChebyshev\n" in text
    mentor.convert(tmp_path / "plain.mtp", tmp_path / "again.mtp", core=False)
    assert (tmp_path / "again.mtp").read_text() == text
    mentor.convert(tmp_path / "core.mtp", tmp_path / "same.mtp")
    assert (tmp_path / "same.mtp").read_bytes() == (tmp_path / "core.mtp").read_bytes()
    assert read_potential(tmp_path / "plain.mtp")["core_radii"] is None


def test_a_plain_potential_stays_plain(data, tmp_path):
    plain = mentor.train(data, core=False, output=tmp_path / "pot.mtp", **OPTIONS).potential
    loaded = mentor.load(tmp_path / "pot.mtp")
    assert loaded.with_core_below(data) is loaded
    assert loaded.without_core() is loaded
    assert mentor.train(data, potential=plain, max_iterations=1).potential.core_radii is None
