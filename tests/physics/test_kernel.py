"""The kernel equals the NumPy oracle and finite differences, for every kind of structure."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

import reference
import samples
from mentor import kernel
from mentor.exceptions import InputError
from mentor.neighbourhoods import neighbourhoods
from mentor.testing import check_derivatives, finite_difference

KINDS = sorted(samples.KINDS)


def neighbours(potential, structures):
    return neighbourhoods(structures, potential.max_dist, potential.elements)


def largest(values) -> float:
    return float(np.abs(values).max(initial=0.0))


@pytest.mark.parametrize("radial_basis", samples.RADIAL_BASES)
@pytest.mark.parametrize("kind", KINDS)
def test_energies_forces_virials_equal_the_oracle(kind, radial_basis):
    species = 1 + KINDS.index(kind) % 4
    potential = samples.potential(species, radial_basis_type=radial_basis)
    atoms = samples.structure(kind, species)
    nb = neighbours(potential, atoms)
    result = potential.kernel.evaluate(nb)
    env = reference.pairs(atoms, potential.max_dist, potential.elements)
    expected = reference.site_energies(potential, env)
    forces = reference.forces(potential, atoms)
    virial = reference.virial(potential, atoms)
    assert len(nb.neighbours) == len(env.i)
    assert largest(result.site_energies - expected) <= 1e-11 * max(1, largest(expected))
    assert largest(result.forces - forces) <= 1e-11 * max(1, largest(forces))
    assert largest(result.virials - virial) <= 1e-11 * max(1, largest(virial))


def test_other_weights_of_levels_equal_the_oracle():
    """Six radial functions in products of low ranks, where usual levels of that size have four."""
    potential = samples.potential(2, 18, level_weights=(3, 2, 2))
    assert potential.radial_funcs_count == 6
    atoms = samples.structure("slab", 2)
    result = potential.kernel.evaluate(neighbours(potential, atoms))
    env = reference.pairs(atoms, potential.max_dist, potential.elements)
    expected, forces = reference.site_energies(potential, env), reference.forces(potential, atoms)
    assert largest(result.site_energies - expected) <= 1e-11 * max(1, largest(expected))
    assert largest(result.forces - forces) <= 1e-11 * max(1, largest(forces))


@pytest.mark.parametrize("radial_basis", ["RBChebyshev", "RBChebyshev_zbl"])
@pytest.mark.parametrize("kind", KINDS)
def test_basis_and_rows_equal_the_oracle(kind, radial_basis):
    species = 1 + KINDS.index(kind) % 3
    potential = samples.potential(species, level=10, radial_basis_type=radial_basis)
    atoms = samples.structure(kind, species)
    nb = neighbours(potential, atoms)
    env = reference.pairs(atoms, potential.max_dist, potential.elements)
    B, rows = reference.basis(potential, env), reference.rows(potential, atoms)
    assert largest(potential.kernel.basis(nb) - B) <= 1e-11 * max(1, largest(B))
    assert largest(potential.kernel.rows(nb) - rows) <= 1e-11 * max(1, largest(rows))


@pytest.mark.parametrize("species", [1, 2, 3, 4])
def test_rows_are_the_derivatives_of_the_site_energies(species):
    potential = samples.potential(species)
    nb = neighbours(potential, samples.structure("slab", species))

    def site_energies(theta):
        return potential.with_parameters(theta).kernel.evaluate(nb, forces=False).site_energies

    # the energy is a polynomial of degree 4 in each parameter: these differences are exact
    check_derivatives(
        site_energies, potential.kernel.rows(nb), potential.parameters, step=0.1, tolerance=1e-11
    )


@pytest.mark.parametrize("radial_basis", samples.RADIAL_BASES)
@pytest.mark.parametrize("kind", ["triclinic crystal", "wire", "colliding dimer", "isolated atom"])
def test_jacobian_is_the_derivative_of_energies_forces_and_virials(kind, radial_basis):
    potential = samples.potential(2, radial_basis_type=radial_basis)
    nb = neighbours(potential, [samples.structure(kind, 2, seed) for seed in (1, 2)])
    jacobian = potential.kernel.jacobian(nb)

    def everything(theta):
        result = potential.with_parameters(theta).kernel.evaluate(nb)
        return np.concatenate([result.energies, result.forces.ravel(), result.virials.ravel()])

    analytic = np.concatenate(
        [
            jacobian.energies,
            jacobian.forces.reshape(-1, jacobian.energies.shape[1]),
            jacobian.virials.reshape(-1, jacobian.energies.shape[1]),
        ]
    )
    check_derivatives(everything, analytic, potential.parameters, step=0.1, tolerance=1e-11)


@pytest.mark.parametrize("level", [2, 4, 12, 16, 20])
def test_forces_are_derivatives_at_every_level(level):
    atoms = samples.structure("triclinic crystal", 2)
    r = np.linalg.norm(neighbourhoods(atoms, 6.0, samples.ELEMENTS).displacements, axis=1)
    # where the second derivative jumps, at the cutoff, differences are less precise
    cutoff = max(np.arange(4.5, 5.0, 0.01), key=lambda cutoff: np.abs(r - cutoff).min())
    potential = samples.potential(2, level=level, cutoff=cutoff)

    def energy(positions):
        image = Atoms(atoms.numbers, positions=positions, cell=atoms.cell, pbc=atoms.pbc)
        return potential.kernel.evaluate(neighbours(potential, image), forces=False).energies[0]

    forces = potential.kernel.evaluate(neighbours(potential, atoms)).forces
    check_derivatives(energy, -forces, atoms.positions, step=2e-3, tolerance=1e-8)


def test_outputs_do_not_depend_on_which_are_asked_for():
    potential = samples.potential(2)
    nb = neighbours(potential, samples.structure("slab", 2))
    everything, rows = potential.kernel.evaluate_with_rows(nb)
    energies = potential.kernel.evaluate(nb, forces=False, virial=False)
    assert energies.forces is None
    assert energies.virials is None
    assert largest(energies.site_energies - everything.site_energies) <= 1e-13
    forces = potential.kernel.evaluate(nb, virial=False).forces
    assert largest(forces - everything.forces) <= 1e-13
    assert largest(rows - potential.kernel.rows(nb)) <= 1e-13


def test_a_batch_equals_its_structures_one_by_one():
    potential = samples.potential(3)
    structures = [samples.structure(kind, 3) for kind in KINDS]
    batch = potential.kernel.evaluate(neighbours(potential, structures))
    jacobian = potential.kernel.jacobian(neighbours(potential, structures))
    start = 0
    for s, atoms in enumerate(structures):
        nb = neighbours(potential, atoms)
        alone = potential.kernel.evaluate(nb)
        own = slice(start, start + len(atoms))
        start += len(atoms)
        scale = max(1, largest(alone.forces))
        assert largest(batch.site_energies[own] - alone.site_energies) <= 1e-12 * scale
        assert largest(batch.forces[own] - alone.forces) <= 1e-12 * scale
        assert largest(batch.virials[s] - alone.virials[0]) <= 1e-12 * scale
        assert abs(batch.energies[s] - alone.energies[0]) <= 1e-12 * scale
        alone = potential.kernel.jacobian(nb)
        scale = max(1, largest(alone.forces))
        assert largest(jacobian.energies[s] - alone.energies[0]) <= 1e-12 * scale
        assert largest(jacobian.forces[own] - alone.forces) <= 1e-12 * scale
        assert largest(jacobian.virials[s] - alone.virials[0]) <= 1e-12 * scale


def test_the_number_of_threads_changes_nothing():
    potential = samples.potential(2, level=12)
    nb = neighbours(potential, samples.structure("triclinic crystal", 2) * (4, 3, 3))
    one, rows = samples.built(potential, threads=1).evaluate_with_rows(nb)
    for threads in (2, 3, 7):
        many, many_rows = samples.built(potential, threads=threads).evaluate_with_rows(nb)
        assert np.array_equal(one.site_energies, many.site_energies)
        assert np.array_equal(rows, many_rows)
        assert largest(one.forces - many.forces) <= 1e-12
        assert largest(one.virials - many.virials) <= 1e-10
        again = samples.built(potential, threads=threads).evaluate(nb)
        assert np.array_equal(many.forces, again.forces)
        assert np.array_equal(many.virials, again.virials)


@pytest.mark.parametrize("variant", kernel.variants())
def test_every_instruction_set_gives_the_same(variant):
    potential = samples.potential(2, level=12, radial_basis_type="RBChebyshev_zbl")
    nb = neighbours(potential, [samples.structure(kind, 2) for kind in KINDS])
    expected = potential.kernel.evaluate(nb)
    result, rows = samples.built(potential, variant=variant).evaluate_with_rows(nb)
    expected_rows = potential.kernel.rows(nb)
    scale = max(1, largest(expected.forces))
    assert largest(result.site_energies - expected.site_energies) <= 1e-12 * scale
    assert largest(result.forces - expected.forces) <= 1e-12 * scale
    assert largest(rows - expected_rows) <= 1e-12 * max(1, largest(expected_rows))


def test_nothing_in_nothing_out():
    potential = samples.potential(2)
    result = potential.kernel.evaluate(neighbours(potential, []))
    assert result.site_energies.shape == (0,)
    assert result.forces.shape == (0, 3)
    assert result.energies.shape == (0,)
    result = potential.kernel.evaluate(neighbours(potential, Atoms()))
    assert result.energies.tolist() == [0.0]


def test_an_isolated_atom_has_its_own_energy_and_no_force():
    potential = samples.potential(2)
    result = potential.kernel.evaluate(neighbours(potential, Atoms("Pd", cell=[20] * 3, pbc=True)))
    assert result.energies[0] == potential.species_coeffs[1]
    assert not result.forces.any()
    assert not result.virials.any()


def test_energy_and_force_vanish_smoothly_at_the_cutoff():
    potential = samples.potential(1)

    def dimer(r):
        nb = neighbours(potential, Atoms("Ag2", positions=[[0, 0, 0], [r, 0, 0]]))
        result = potential.kernel.evaluate(nb)
        return result.energies[0] - 2 * potential.species_coeffs[0], result.forces[1, 0]

    rc = potential.max_dist
    E, F = np.array([dimer(rc - gap) for gap in (1e-3, 1e-4, 1e-5)]).T
    # f_μ ∝ (r − r_c)²: tenfold nearer, the energy is a hundredth and the force a tenth
    assert np.allclose(E[:-1] / E[1:], 100, rtol=0.1)
    assert np.allclose(F[:-1] / F[1:], 10, rtol=0.1)
    assert dimer(rc) == (0, 0)
    assert dimer(rc + 1e-9) == (0, 0)


def test_scaling_multiplies_the_radial_functions():
    potential = samples.potential(2)
    nb = neighbours(potential, samples.structure("slab", 2))
    doubled = replace(potential, scaling=2 * potential.scaling)
    same = replace(potential, radial_coeffs=2 * potential.radial_coeffs)
    assert largest(doubled.kernel.basis(nb) - same.kernel.basis(nb)) <= 1e-12


def test_finite_differences_of_a_known_function():
    x = np.array([0.3, -0.7])
    slope = finite_difference(lambda x: np.array([np.sin(x[0]) * x[1], x[1] ** 3]), x)
    expected = [[np.cos(0.3) * -0.7, np.sin(0.3)], [0, 3 * 0.49]]
    assert largest(slope - expected) <= 1e-12
    with pytest.raises(AssertionError, match="off by"):
        check_derivatives(lambda x: x[0] ** 2, np.array([0.61, 0.0]), x)
    with pytest.raises(AssertionError):
        check_derivatives(lambda x: x[0] ** 2, np.array([np.nan, 0.0]), x)


@pytest.mark.parametrize("variant", kernel.variants())
def test_mixed_precision_is_single_precision_close(variant):
    potential = samples.potential(2, level=16)
    nb = neighbours(potential, samples.structure("triclinic crystal", 2) * (2, 2, 2))
    double = samples.built(potential, variant=variant).evaluate(nb)
    mixed = samples.built(potential, variant=variant, precision="mixed").evaluate(nb)
    scale = np.abs(double.forces).max()
    assert 0 < largest(double.forces - mixed.forces) <= 2e-5 * scale
    assert largest(double.site_energies - mixed.site_energies) <= 2e-5 * scale
    assert largest(double.virials - mixed.virials) <= 2e-4 * scale
    rows = [samples.built(potential, precision=p).rows(nb) for p in ("double", "mixed")]
    assert np.array_equal(*rows)


def test_an_unknown_precision_is_refused():
    with pytest.raises(InputError, match="precision = 'half' is not one of double, mixed"):
        samples.built(samples.potential(1, level=6), precision="half")
