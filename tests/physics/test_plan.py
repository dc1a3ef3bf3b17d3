"""The contraction plan computes what the schedule of the file says, with fewer operations."""

from dataclasses import replace

import numpy as np
import pytest

import mentor
import reference
import samples
from mentor.neighbourhoods import neighbourhoods


def neighbours(potential, kind):
    atoms = samples.structure(kind, potential.species_count)
    return neighbourhoods(atoms, potential.max_dist, potential.elements)


def assert_same(one, two, tolerance):
    for name in ("site_energies", "forces", "virials"):
        a, b = getattr(one, name), getattr(two, name)
        assert np.abs(a - b).max() <= tolerance * max(1, np.abs(b).max()), name


@pytest.mark.parametrize("level", [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22])
def test_plan_and_schedule_agree_at_every_level(level):
    potential = samples.potential(2, level=level)
    nb = neighbours(potential, "triclinic crystal")
    planned, plain = samples.built(potential), samples.built(potential, contraction="schedule")
    assert planned.planned
    assert not plain.planned
    assert_same(planned.evaluate(nb), plain.evaluate(nb), 1e-10)
    B, exact = planned.basis(nb), plain.basis(nb)
    assert np.abs(B - exact).max() <= 1e-10 * np.abs(exact).max()


@pytest.mark.parametrize("kind", ["molecule", "slab", "one-atom cell", "isolated atom", "dimer"])
def test_rows_and_jacobians_agree(kind):
    potential = samples.potential(2, level=12)
    nb = neighbours(potential, kind)
    planned, plain = samples.built(potential), samples.built(potential, contraction="schedule")
    rows, exact = planned.rows(nb), plain.rows(nb)
    assert np.abs(rows - exact).max() <= 1e-11 * max(1, np.abs(exact).max())
    for name in ("energies", "forces", "virials"):
        a, b = (getattr(kernel.jacobian(nb), name) for kernel in (planned, plain))
        assert np.abs(a - b).max() <= 1e-11 * max(1, np.abs(b).max())


@pytest.mark.parametrize("level", [8, 12, 16, 20])
def test_a_plan_saves_operations(level):
    potential = samples.potential(1, level=level)
    plan, schedule = (
        samples.built(potential, contraction=c).operations for c in ("plan", "schedule")
    )
    assert plan <= 0.75 * schedule


def test_part_of_a_basis_is_planned_as_well():
    """Files of others may lack scalars, as the independent set does."""
    potential = samples.potential(2, level=12)
    kept = np.array([0, 3, 7, 12, 20, 28])
    part = replace(
        potential,
        alpha_moment_mapping=potential.alpha_moment_mapping[kept],
        moment_coeffs=potential.moment_coeffs[kept],
    )
    nb = neighbours(part, "triclinic crystal")
    assert samples.built(part).planned
    planned, plain = samples.built(part), samples.built(part, contraction="schedule")
    assert_same(planned.evaluate(nb), plain.evaluate(nb), 1e-11)


def test_what_is_no_invariant_is_run_as_it_stands():
    """A schedule someone changed by hand still means what it says, not what was meant."""
    potential = samples.potential(1, level=8)
    times = potential.alpha_index_times.copy()
    of_scalars = np.isin(times[:, 3], potential.alpha_moment_mapping)
    sums = np.flatnonzero(of_scalars & (np.bincount(times[:, 3])[times[:, 3]] > 1))
    times[sums[0], 2] += 1
    odd = replace(potential, alpha_index_times=times)
    nb = neighbours(odd, "triclinic crystal")
    assert not odd.kernel.planned
    atoms = samples.structure("triclinic crystal", 1)
    expected = reference.site_energies(odd, reference.pairs(atoms, odd.max_dist, odd.elements)).real
    assert np.abs(odd.kernel.evaluate(nb).site_energies - expected).max() <= 1e-11


def test_published_potentials_are_planned(published):
    for name in ("AgPd", "Cu", "Li", "Si"):
        assert published(name).kernel.planned


@pytest.mark.parametrize("name", ["AgPd", "Cu", "Li", "Si"])
def test_mixed_precision_of_published_potentials(published, efs, name):
    """Documented: forces within 1e-4 eV/Å of double precision."""
    potential = published(name)
    mixed = samples.built(potential, precision="mixed")
    for atoms, _ in efs[name]:
        nb = neighbourhoods(atoms, potential.max_dist, potential.elements)
        exact, single = potential.kernel.evaluate(nb), mixed.evaluate(nb)
        assert np.abs(exact.forces - single.forces).max() <= 1e-4
        assert abs(exact.energies[0] - single.energies[0]) <= 1e-4 * len(atoms)


@pytest.mark.parametrize("species", [1, 2, 3])
@pytest.mark.parametrize("level", [8, 16])
def test_grades_are_those_of_the_rows(species, level):
    """The kernel's matrix product in single precision decides nothing that double would not."""
    potential = samples.potential(species, level=level)
    structures = [samples.structure(kind, species) for kind in samples.KINDS]
    potential = samples.taught(potential, structures[:6])
    nb = neighbourhoods(structures, potential.max_dist, potential.elements)
    expected = potential.active_set.grades(potential.kernel.rows(nb))
    assert np.abs(potential.grades(nb) / expected - 1).max() <= 1e-6
    random = samples.with_active_set(potential)
    expected = random.active_set.grades(random.kernel.rows(nb))
    assert np.abs(random.grades(nb) / expected - 1).max() <= 1e-11


def test_grades_do_not_depend_on_threads_or_on_the_company():
    potential = samples.with_active_set(samples.potential(2, level=10))
    atoms = samples.structure("triclinic crystal", 2) * (3, 3, 3)
    nb = neighbourhoods(atoms, potential.max_dist, potential.elements)
    alone = neighbourhoods(
        samples.structure("triclinic crystal", 2), potential.max_dist, potential.elements
    )
    inverse = potential.active_set.inverse
    expected = np.tile(potential.grades(alone), 27)
    for threads in (1, 2, 3):
        kernel = samples.built(potential, threads=threads)
        assert np.abs(kernel.grades(nb, kernel.active_set(inverse)) - expected).max() <= 1e-9


def test_grades_come_with_the_forces():
    potential = samples.with_active_set(samples.potential(2, level=8))
    nb = neighbours(potential, "slab")
    active_set = potential.kernel.active_set(potential.active_set.inverse)
    both = potential.kernel.evaluate(nb, active_set=active_set)
    assert np.array_equal(both.forces, potential.kernel.evaluate(nb).forces)
    assert np.array_equal(both.grades, potential.grades(nb))


def test_grades_of_a_narrow_training_set_are_exact():
    """Where A is so ill-conditioned that single precision cannot tell, double precision does."""
    potential = samples.potential(1, level=16)
    crystal = samples.structure("triclinic crystal", 1)
    narrow = [crystal.copy() for _ in range(12)]
    for seed, atoms in enumerate(narrow):
        atoms.rattle(1e-4, seed=seed)
    potential = samples.taught(potential, narrow)
    nb = neighbourhoods(crystal * (3, 3, 3), potential.max_dist, potential.elements)
    expected = potential.active_set.grades(potential.kernel.rows(nb))
    assert np.abs(potential.grades(nb) / expected - 1).max() <= 1e-3


def test_an_active_set_of_another_potential_is_refused():
    potential = samples.potential(1)
    with pytest.raises(mentor.InputError, match="does not have the size of the potential"):
        potential.kernel.active_set(np.eye(3))


def test_a_row_that_overflows_has_no_grade():
    """A structure that flies apart must not look well known."""
    potential = samples.with_active_set(samples.potential(1, level=8, scaling=1e200))
    nb = neighbours(potential, "triclinic crystal")
    assert not np.isfinite(potential.grades(nb)).any()
