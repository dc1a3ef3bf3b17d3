"""Potentials whose species have moment_coeffs of their own: the same everywhere as shared ones."""

from dataclasses import replace

import numpy as np
import pytest

import mentor
import samples
from mentor.active import build_active_set, grade_structures
from mentor.active.coordinates import redundant_parameters, rows_of
from mentor.exceptions import FormatError, InputError
from mentor.fit import fit
from mentor.fit.growth import grown
from mentor.formats import read_potential
from mentor.kernel import read_potential_file
from mentor.neighbourhoods import neighbourhoods
from mentor.structures import with_labels


def own(species=2, level=8, **changes):
    return samples.potential(species, level, shared_moments=False, **changes)


def near(potential, kinds=samples.KINDS):
    structures = [samples.structure(kind, potential.species_count) for kind in kinds]
    return neighbourhoods(structures, potential.max_dist, potential.elements)


def close(a, b, tolerance=1e-12):
    return bool(np.abs(a - b).max() <= tolerance * np.abs(b).max())


@pytest.mark.parametrize("basis", ["RBChebyshev", "RBChebyshev_repuls", "RBChebyshev_zbl"])
@pytest.mark.parametrize(("species", "level"), [(2, 8), (2, 12), (3, 10)])
def test_other_programs_can_have_the_same_potential(basis, species, level):
    """Shared moments of more radial functions: an independent way to the same energies."""
    potential = own(species, level, radial_basis_type=basis)
    if basis != "RBChebyshev_zbl":
        potential = potential.without_core()
    shared = potential.with_shared_moments()
    assert shared.moment_coeffs.shape == (species * potential.scalar_count,)
    assert shared.radial_funcs_count == species * potential.radial_funcs_count
    nb = near(potential)
    expected = shared.kernel.evaluate(nb)
    for way in ({}, {"contraction": "schedule"}, {"threads": 2}):
        found = samples.built(potential, **way).evaluate(nb)
        assert close(found.site_energies, expected.site_energies)
        assert close(found.forces, expected.forces)
        assert close(found.virials, expected.virials)


def test_equal_moments_of_all_species_change_nothing():
    """A fit may begin with a shared potential."""
    potential = samples.potential(3)
    alike = potential.with_own_moments()
    assert alike.moment_coeffs.shape == (3, potential.scalar_count)
    nb = near(potential)
    a, b = alike.kernel.evaluate(nb), potential.kernel.evaluate(nb)
    assert np.array_equal(a.site_energies, b.site_energies)
    assert np.array_equal(a.forces, b.forces)
    mean = alike.with_mean_moments().parameters
    assert np.allclose(mean, potential.parameters, rtol=1e-15)


def test_one_species_has_nothing_to_share():
    potential = samples.potential(1)
    assert potential.with_own_moments() is potential
    assert own(1).moment_coeffs.shape == (potential.scalar_count,)


def test_jacobian_and_rows_are_the_derivatives():
    potential = own(3)
    theta, nb = potential.parameters, near(potential)
    J, rows = potential.kernel.jacobian(nb), potential.kernel.rows(nb)
    assert potential.parameter_count == len(theta) == rows.shape[1]
    step, rng = 1e-4, np.random.default_rng(0)
    first = len(theta) - potential.moment_coeffs.size
    for k in [*range(first, len(theta), 2), *rng.choice(first, 30, replace=False)]:
        ends = [
            potential.with_parameters(np.where(np.arange(len(theta)) == k, theta + h, theta))
            for h in (step, -step)
        ]
        up, down = (end.kernel.evaluate(nb) for end in ends)
        for a, b, slope in (
            (up.energies, down.energies, J.energies[:, k]),
            (up.forces, down.forces, J.forces[:, :, k]),
            (up.virials, down.virials, J.virials[:, :, k]),
            (up.site_energies, down.site_energies, rows[:, k]),
        ):
            scale = max(1.0, np.abs(slope).max(), np.abs(a).max())
            assert np.abs((a - b) / (2 * step) - slope).max() <= 1e-5 * scale


def test_weighted_rows_are_those_of_the_jacobian():
    potential = own(2, level=10)
    nb = near(potential)
    J, m = potential.kernel.jacobian(nb), potential.parameter_count
    ones = np.ones(len(nb.atom_counts)), np.ones(len(nb.types)), np.ones((len(nb.atom_counts), 6))
    names = ("energy_weights", "force_weights", "virial_weights")
    rows = potential.kernel.weighted_rows(
        nb, **dict(zip(names, ones, strict=True)), columns=np.arange(m)
    )
    parts = (J.energies, J.forces.reshape(-1, m), J.virials.reshape(-1, m))
    assert close(rows, np.concatenate(parts))


@pytest.mark.parametrize(("species", "level"), [(2, 8), (3, 8), (2, 16)])
def test_redundant_parameters_leave_exactly_the_row_space(species, level):
    """Each species has a gauge of its own; else no active set would be regular."""
    potential = own(species, level)
    dropped = redundant_parameters(potential)
    K = potential.radial_funcs_count
    dependent = 1 if level == 16 else 0
    assert len(dropped) == species * (K * (K + 1) // 2 + dependent)
    rng, structures = np.random.default_rng(1), []
    for seed in range(10 + potential.parameter_count // 5):
        atoms = samples.structure("triclinic crystal", species, seed)
        atoms.positions += rng.normal(scale=0.3, size=atoms.positions.shape)
        structures.append(atoms)
    rows = rows_of(potential, structures, per_structure=False)
    rows = rows / np.abs(rows).max(axis=0)
    singular = np.linalg.svd(rows, compute_uv=False)
    rank = potential.parameter_count - len(dropped)
    assert singular[rank] <= 1e-13 * singular[0]
    kept = np.linalg.svd(np.delete(rows, dropped, axis=1), compute_uv=False)
    assert kept[-1] >= 1e-10 * kept[0]


def test_files_bring_back_every_number(tmp_path):
    potential = samples.with_active_set(own(2))
    potential.save(tmp_path / "own.almtp")
    loaded, cpp = (
        mentor.load(tmp_path / "own.almtp"),
        read_potential_file(str(tmp_path / "own.almtp")),
    )
    for moments in (loaded.moment_coeffs, cpp["moment_coeffs"]):
        assert np.array_equal(moments, potential.moment_coeffs)
    assert np.array_equal(loaded.parameters, potential.parameters)
    assert close(cpp["inverse"], potential.active_set.inverse)
    nb = near(potential)
    expected = np.abs(potential.kernel.rows(nb) @ potential.active_set.inverse).max(axis=1)
    assert close(loaded.grades(nb), expected, 1e-9)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("species_moment_coeffs = {", "species_moment_coeffs = {1, ", "has 11 entries, but"),
        ("species_moment_coeffs = {", "moment_coeffs = {", "has 10 entries, but"),
        ("species_moment_coeffs", "moment_coeffs = {0, 0, 0, 0, 0}\nspecies_moment_coeffs", "both"),
        ("species_moment_coeffs = {", "species_moment_coeffs = {nan, ", "not finite"),
    ],
)
def test_damage_is_named(old, new, message, tmp_path):
    path = tmp_path / "own.mtp"
    own(2, level=6).save(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(FormatError, match=message):
        read_potential(path)
    with pytest.raises(InputError, match=message):
        read_potential_file(str(path))


def test_convert_makes_files_for_other_programs(tmp_path):
    potential = own(2, radial_basis_type="RBChebyshev_zbl")
    potential.save(tmp_path / "own.mtp")
    assert "\nmoment_coeffs" not in (tmp_path / "own.mtp").read_text()
    mentor.convert(tmp_path / "own.mtp", tmp_path / "plain.mtp", core=False, shared_moments=True)
    potential.without_core().with_shared_moments().save(tmp_path / "other.mtp")
    text = (tmp_path / "plain.mtp").read_text()
    assert text == (tmp_path / "other.mtp").read_text()
    assert "\nmoment_coeffs" in text
    assert "species_moment_coeffs" not in text
    plain, nb = mentor.load(tmp_path / "plain.mtp"), near(potential, ["triclinic crystal"])
    assert close(
        plain.kernel.evaluate(nb).energies, potential.without_core().kernel.evaluate(nb).energies
    )


@pytest.mark.parametrize("larger", [{"level": 12}, {"elements": ("Cu", "Pd", "Ag")}])
def test_growing_keeps_the_energies(larger):
    small = own(2)
    large = grown(small, **larger)
    structures = [samples.structure(kind) for kind in ("molecule", "slab", "triclinic crystal")]

    def energies(potential):
        nb = neighbourhoods(structures, potential.max_dist, potential.elements)
        return potential.kernel.evaluate(nb).energies

    assert large.moment_coeffs.ndim == 2
    assert close(energies(large), energies(small), 1e-10)


@pytest.fixture(scope="module")
def data():
    """Crystals with the labels of a potential whose species differ."""
    truth = own(2, level=6, seed=3)
    truth = replace(truth, moment_coeffs=0.02 * truth.moment_coeffs)
    structures = []
    for seed in range(40):
        atoms = samples.structure("triclinic crystal", 2, seed)
        atoms.calc = truth.calculator()
        labels = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        structures.append(with_labels(atoms, *labels))
    return structures


OPTIONS = {"level": 6, "cutoff": 4.5, "radial_basis_size": 5, "seed": 1, "checks": False}


def test_training_gives_each_species_its_own(data):
    """Where the species differ, shared moments cannot be as accurate."""
    result = mentor.train(data, starts=3, **OPTIONS)
    shared = mentor.train(data, starts=3, shared_moments=True, **OPTIONS)
    assert result.potential.moment_coeffs.shape == (2, 5)
    assert shared.potential.moment_coeffs.shape == (5,)
    assert result.history[-1].loss.value <= 0.9 * shared.history[-1].loss.value


def test_a_training_goes_on_as_it_began(data, tmp_path):
    """Own moments stay own, shared ones shared, in a resumed fit as well."""
    options = OPTIONS | {"starts": 2, "tolerance": 0.0, "output": tmp_path / "pot.mtp"}
    whole = mentor.train(data, max_iterations=6, **options).potential
    mentor.train(data, max_iterations=3, **options)
    resumed = mentor.train(data, max_iterations=6, resume=True, **options).potential
    assert np.array_equal(whole.parameters, resumed.parameters)
    again = mentor.train(data, potential=whole, max_iterations=1)
    assert again.potential.moment_coeffs.shape == (2, 5)
    shared = fit(whole.with_mean_moments(), data, max_iterations=1).potential
    assert shared.moment_coeffs.shape == (5,)
    with pytest.raises(InputError, match="belongs to another fit"):
        mentor.train(data, max_iterations=9, resume=True, shared_moments=True, **options)


def test_grades_of_what_was_selected_are_at_most_one(data, tmp_path):
    """An active set of own moments does what any active set does, from its file as well."""
    potential = mentor.train(data, starts=1, **OPTIONS).potential
    taught = replace(potential, active_set=build_active_set(potential, data))
    taught.save(tmp_path / "pot.almtp")
    grades = grade_structures(mentor.load(tmp_path / "pot.almtp"), data)
    assert grades.largest <= 1.01
