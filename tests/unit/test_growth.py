"""Larger potentials that begin where smaller ones are: nothing that was learned may be lost."""

from dataclasses import replace

import numpy as np
import pytest

import mentor
import samples
from mentor.exceptions import InputError
from mentor.fit import fit
from mentor.fit.growth import grown, level_of
from mentor.neighbourhoods import neighbourhoods
from mentor.structures import with_labels

KINDS = ["triclinic crystal", "molecule", "slab"]


def energies(potential, species=2):
    structures = [samples.structure(kind, species, 0) for kind in KINDS]
    nb = neighbourhoods(structures, potential.max_dist, potential.elements)
    return potential.kernel.evaluate(nb).energies


@pytest.mark.parametrize("basis", samples.RADIAL_BASES)
@pytest.mark.parametrize(
    "larger",
    [
        {"level": 10},
        {"level": 16},
        {"radial_basis_size": 9},
        {"elements": ("Ag", "Pd", "Cu")},
        {"elements": ("Cu", "Pd", "Ag")},
        {"level": 12, "radial_basis_size": 8, "elements": ("Au", "Pd", "Cu", "Ag")},
    ],
)
def test_energies_are_as_before(basis, larger):
    """Else a fit would begin with an error that nobody asked for."""
    small = samples.potential(2, level=8, radial_basis_type=basis)
    if basis != "RBChebyshev_zbl":
        small = replace(small, core_radii=None)
    large = grown(small, **larger)
    assert large.parameter_count > small.parameter_count
    before = energies(small)
    assert np.abs(energies(large) - before).max() <= 1e-10 * max(1.0, np.abs(before).max())


def test_what_is_new_can_be_learned():
    """The Jacobian in its coefficients must not vanish, or the fit would never use them."""
    large = grown(samples.potential(2, level=8), level=12, radial_basis_size=8)
    assert np.abs(large.radial_coeffs[:, :, -1]).min() > 0
    nb = neighbourhoods([samples.structure("molecule", 2, 0)], 4.5, large.elements)
    assert np.abs(large.kernel.basis(nb)).max(axis=0).min() > 0


def test_a_basis_without_dependent_functions_grows_as_well():
    blank = mentor.init(level=16, elements=("Ag",), min_dist=1.8, independent=True, core=False)
    small = replace(blank, moment_coeffs=np.random.default_rng(0).normal(size=91))
    large = grown(small, level=18)
    assert len(large.moment_coeffs) == 163
    before = energies(small, 1)
    assert np.abs(energies(large, 1) - before).max() <= 1e-10 * np.abs(before).max()


@pytest.mark.parametrize("name", ["AgPd", "Cu", "Li"])
def test_potentials_of_other_programs_grow(published, name):
    """Their schedules have the same functions in another order."""
    small = published(name)
    level = level_of(small)
    large = grown(small, level=level + 2)
    symbol = small.elements[0]
    atoms = samples.structure("triclinic crystal", 1, 0)
    atoms.symbols = [symbol] * len(atoms)
    nb = neighbourhoods([atoms], small.max_dist, small.elements)
    before = small.kernel.evaluate(nb).energies
    assert np.abs(large.kernel.evaluate(nb).energies - before).max() <= 1e-10 * abs(before).max()


@pytest.mark.parametrize("level", [6, 8, 12, 16])
def test_the_level_is_read_off_the_schedule(level):
    assert level_of(samples.potential(1, level=level)) == level


def test_potentials_with_other_weights_grow():
    options = {"level_weights": (3, 2, 2), "elements": ("Ag", "Pd"), "cutoff": 4.5, "min_dist": 1.8}
    small = mentor.init(level=14, **options)
    moments = np.random.default_rng(0).normal(size=small.scalar_count)
    small = replace(small, moment_coeffs=moments)
    large = grown(small, level=18, level_weights=(3, 2, 2))
    assert large.scalar_count == mentor.init(level=18, **options).scalar_count > small.scalar_count
    assert level_of(large, (3, 2, 2)) == 18
    before = energies(small, 2)
    assert np.abs(energies(large, 2) - before).max() <= 1e-10 * np.abs(before).max()
    with pytest.raises(InputError, match=r"level = 14 is below .*, 22 with level_weights = 2,4,1"):
        mentor.train(labelled(2, 3), potential=small, level=14)


def test_a_new_species_begins_like_the_most_similar_one():
    small = samples.potential(2, level=6)  # Ag 1.45, Pd 1.39, Cu 1.32 Å
    large = grown(small, elements=("Ag", "Pd", "Cu"))
    assert np.array_equal(large.radial_coeffs[2, 0], small.radial_coeffs[1, 0])
    assert large.species_coeffs[2] == small.species_coeffs[1]


def test_growth_is_the_same_for_the_same_seed():
    small = samples.potential(2, level=6)
    first, again, other = (grown(small, level=12, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.parameters, again.parameters)
    assert not np.array_equal(first.parameters, other.parameters)


@pytest.mark.parametrize(
    ("smaller", "message"),
    [
        ({"level": 6}, "level = 6 is below that of the potential, 8"),
        (
            {"level": 8, "level_weights": (3, 2)},
            "level_weights = .3, 2. must be three whole numbers",
        ),
        ({"radial_basis_size": 4}, "radial_basis_size = 4 is below that of the potential, 5"),
        ({"elements": ("Ag", "Cu")}, r"among them those of the potential \(Ag, Pd\)"),
        ({"elements": ("Ag", "Pd", "Pd")}, "each chemical symbol once"),
        ({"elements": ("Ag", "Pd", "Qq")}, "each chemical symbol once"),
    ],
)
def test_a_potential_does_not_shrink(smaller, message):
    with pytest.raises(InputError, match=message):
        grown(samples.potential(2, level=8), **smaller)
    with pytest.raises(InputError, match=message):
        mentor.train(labelled(2, 3), potential=samples.potential(2, level=8), **smaller)


def test_weights_without_a_level_are_told():
    small, data = samples.potential(2, level=8), labelled(2, 3)
    with pytest.raises(InputError, match="need the level to grow it to"):
        mentor.train(data, potential=small, level_weights=(3, 2, 2))


def test_functions_that_no_level_has_are_told():
    odd = samples.potential(1, level=8)
    times = odd.alpha_index_times.copy()
    times[-1, 2] += 1
    with pytest.raises(InputError, match="not among those of level 10"):
        grown(replace(odd, alpha_index_times=times), level=10)


def labelled(species, count):
    truth, structures = samples.potential(species, level=8, seed=3), []
    for seed in range(count):
        atoms = samples.structure(KINDS[seed % len(KINDS)], species, seed)
        atoms.calc = truth.calculator()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        structures.append(with_labels(atoms, energy=energy, forces=forces))
    return structures


def test_training_goes_on_with_a_higher_level_and_more_elements(tmp_path):
    """Also from a file, with structures of elements that it does not know."""
    options = {"checks": False, "tolerance": 0.0, "energy_weight": 1.0}  # as for fit
    blank = mentor.init(level=6, elements=("Ag", "Pd"), cutoff=4.5, min_dist=1.8)
    small = fit(blank, labelled(2, 12), max_iterations=5)
    small.potential.save(tmp_path / "small.mtp")
    higher = mentor.train(
        labelled(2, 12), potential=tmp_path / "small.mtp", level=8, max_iterations=4, **options
    )
    assert level_of(higher.potential) == 8
    assert higher.history[0].loss.value <= small.loss.value * 1.001
    assert higher.history[-1].loss.value < 0.9 * small.loss.value
    more = mentor.train(
        labelled(3, 12),
        potential=tmp_path / "small.mtp",
        elements=("Ag", "Pd", "Cu"),
        max_iterations=1,
        **options,
    )
    assert more.potential.elements == ("Ag", "Pd", "Cu")
    with pytest.raises(InputError, match="Cu"):
        mentor.train(labelled(3, 12), potential=tmp_path / "small.mtp", **options)
