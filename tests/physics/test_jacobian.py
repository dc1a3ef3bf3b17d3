"""What a fit asks of the Jacobian: rows of its labels, the same on any number of threads."""

import numpy as np
import pytest

import samples
from mentor.kernel import variants
from mentor.neighbourhoods import neighbourhoods
from mentor.potential import Potential


def many_structures(potential: Potential):
    structures = [samples.structure(kind, potential.species_count) for kind in samples.KINDS]
    return neighbourhoods(structures, potential.max_dist, potential.elements)


def some_weights(nb, rng):
    """Of energies, forces and virials; every second one is missing."""
    shapes = (len(nb.atom_counts),), (len(nb.types),), (len(nb.atom_counts), 6)
    return tuple(rng.uniform(0.5, 2.0, n) * rng.integers(0, 2, n) for n in shapes)


@pytest.mark.parametrize("missing", [None, "energies", "forces", "virials"])
def test_rows_of_a_fit_are_those_of_the_jacobian(missing):
    """A fit would follow wrong gradients if a row or a column stood at the wrong place."""
    potential = samples.potential(2, level=10)
    nb = many_structures(potential)
    rng = np.random.default_rng(0)
    energy, force, virial = some_weights(nb, rng)
    for name, weights in (("energies", energy), ("forces", force), ("virials", virial)):
        weights *= name != missing
    columns = rng.permutation(potential.parameter_count)[:-7]
    J = potential.kernel.jacobian(nb)
    expected = np.concatenate(
        [
            (energy[:, None] * J.energies)[energy > 0],
            (force[:, None, None] * J.forces)[force > 0].reshape(-1, potential.parameter_count),
            (virial[..., None] * J.virials)[virial > 0],
        ]
    )[:, columns]
    weights = {"energy_weights": energy, "force_weights": force, "virial_weights": virial}
    rows = potential.kernel.weighted_rows(nb, **weights, columns=columns, room=2)
    assert rows.shape == (len(expected), len(columns) + 2)
    assert np.abs(rows[:, :-2] - expected).max() <= 1e-12 * np.abs(expected).max()


def test_threads_do_not_change_a_bit():
    """The same fit on another machine gives the same potential."""
    potential = samples.potential(2, level=12)
    nb = many_structures(potential)
    energy, force, virial = some_weights(nb, np.random.default_rng(1))
    weights = {"energy_weights": energy, "force_weights": force, "virial_weights": virial}
    columns = np.arange(potential.parameter_count)
    one = samples.built(potential, threads=1)
    J, rows = one.jacobian(nb), one.weighted_rows(nb, **weights, columns=columns)
    for threads in (2, 3, 7):
        several = samples.built(potential, threads=threads)
        again = several.jacobian(nb)
        for name in ("energies", "forces", "virials"):
            assert np.array_equal(getattr(J, name), getattr(again, name))
        assert np.array_equal(rows, several.weighted_rows(nb, **weights, columns=columns))


@pytest.mark.parametrize("variant", variants())
@pytest.mark.parametrize("species", [1, 3])
def test_every_instruction_set_gives_the_same(variant, species):
    """Blocks of other widths split the columns of an atom at other places."""
    potential = samples.potential(species, level=12)
    nb = many_structures(potential)
    expected, J = (
        potential.kernel.jacobian(nb),
        samples.built(potential, variant=variant).jacobian(nb),
    )
    for name in ("energies", "forces", "virials"):
        a, b = getattr(J, name), getattr(expected, name)
        assert np.abs(a - b).max() <= 1e-12 * np.abs(b).max()


def test_parts_do_not_depend_on_which_are_asked_for():
    potential = samples.potential(2, level=8)
    nb = many_structures(potential)
    both = potential.kernel.jacobian(nb)
    forces = potential.kernel.jacobian(nb, virial=False).forces
    virials = potential.kernel.jacobian(nb, forces=False).virials
    assert np.abs(forces - both.forces).max() <= 1e-12 * np.abs(forces).max()
    assert np.abs(virials - both.virials).max() <= 1e-12 * np.abs(virials).max()


def test_translations_cost_nothing():
    """Forces on all atoms add up to zero whatever the parameters, in the smallest cells too."""
    potential = samples.potential(2, level=10)
    nb = many_structures(potential)
    forces = potential.kernel.jacobian(nb).forces
    total = np.add.reduceat(forces, nb.structure_offsets[:-1])
    assert np.abs(total).max() <= 1e-11 * np.abs(forces).max()


def test_columns_out_of_range_are_refused():
    potential = samples.potential(1, level=6)
    nb = many_structures(potential)
    energy, force, virial = some_weights(nb, np.random.default_rng(2))
    weights = {"energy_weights": energy, "force_weights": force, "virial_weights": virial}
    with pytest.raises(ValueError, match="numbers of parameters"):
        potential.kernel.weighted_rows(nb, **weights, columns=np.array([potential.parameter_count]))
