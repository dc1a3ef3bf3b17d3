"""The triangular factor that fits are read off: nothing of the Jacobian may be lost in it."""

import numpy as np
import pytest
from scipy.linalg.lapack import dtpqrt

import samples
from mentor.fit.least_squares import Point
from mentor.fit.linearised import Linearised, joined, linearised, linearised_apart
from mentor.fit.loss import LabelledSet, Weights, labelled_set, loss, weighted_rows
from mentor.fit.prior import Prior
from mentor.neighbourhoods import neighbourhoods
from mentor.structures import with_labels


@pytest.fixture(scope="module", params=[4, 16], ids=["level 4", "level 16"])
def problem(request):
    """A potential and labels; at level 16 there are fewer of these than parameters."""
    potential = samples.potential(2, level=request.param, seed=3)
    rng = np.random.default_rng(1)
    structures = []
    for seed in range(8):
        atoms = samples.structure("triclinic crystal", 2, seed)
        forces = rng.normal(size=(len(atoms), 3))
        structures.append(with_labels(atoms, rng.normal(), forces, rng.normal(size=6)))
    nb = neighbourhoods(structures, potential.max_dist, potential.elements)
    return potential, labelled_set(structures, nb, Weights())


def rows_of(potential, labelled) -> np.ndarray:
    """[J, r], columns in the order of the parameters."""
    return weighted_rows(potential.kernel, labelled, np.arange(potential.parameter_count))


def test_sums_are_those_of_the_rows(problem):
    potential, labelled = problem
    found, rows = linearised(potential.kernel, labelled), rows_of(potential, labelled)
    J, r = rows[:, :-1], rows[:, -1]
    for value, expected in ((found.matrix, J.T @ J), (found.vector, J.T @ r), (found.loss, r @ r)):
        assert np.abs(value - expected).max() <= 1e-12 * np.abs(expected).max()
    assert found.loss == pytest.approx(loss(potential.kernel, labelled).value, rel=1e-12)


def test_parts_make_the_same_triangle(problem, monkeypatch):
    """Parts with fewer rows than columns, rows added later, and those of other processes."""
    potential, labelled = problem
    whole = linearised(potential.kernel, labelled)
    one, other = (linearised(potential.kernel, labelled.part(*each)) for each in ((0, 3), (3, 8)))
    monkeypatch.setattr(LabelledSet.chunks, "__defaults__", (1,))
    streamed = linearised(potential.kernel, labelled)
    for triangle in (
        one.together(other).triangle,
        joined(other.triangle, one.triangle),
        streamed.triangle,
    ):
        assert not np.tril(triangle, -1).any()
        same = Linearised(triangle, whole.radial_count)
        assert np.abs(same.matrix - whole.matrix).max() <= 1e-12 * np.abs(whole.matrix).max()
        assert np.abs(same.vector - whole.vector).max() <= 1e-12 * np.abs(whole.vector).max()
        assert same.loss == pytest.approx(whole.loss, rel=1e-12)


def test_wide_blocks_of_large_triangles(problem, monkeypatch):
    """As from ten thousand columns on."""
    potential, labelled = problem
    usual, blocks = linearised(potential.kernel, labelled), []

    def watched(triangular, block, *matrices, **overwriting):
        blocks.append(block)
        return dtpqrt(triangular, block, *matrices, **overwriting)

    monkeypatch.setattr("mentor.fit.linearised._LARGE", 1)
    monkeypatch.setattr("mentor.fit.linearised.dtpqrt", watched)
    wide = linearised(potential.kernel, labelled)
    assert set(blocks) == {min(128, potential.parameter_count + 1)}
    assert np.abs(wide.matrix - usual.matrix).max() <= 1e-12 * np.abs(usual.matrix).max()
    assert np.abs(wide.vector - usual.vector).max() <= 1e-12 * np.abs(usual.vector).max()
    assert wide.loss == pytest.approx(usual.loss, rel=1e-12)


def test_structures_set_aside_are_a_tenth_and_nothing_is_lost():
    potential = samples.potential(2, level=4, seed=3)
    structures = []
    for seed in range(60):
        atoms = samples.structure("triclinic crystal", 2, seed)
        structures.append(with_labels(atoms, float(seed), 0.1 * atoms.positions))
    nb = neighbourhoods(structures, potential.max_dist, potential.elements)
    labelled = labelled_set(structures, nb, Weights())
    whole = linearised(potential.kernel, labelled)
    kept, aside = linearised_apart(potential.kernel, labelled)
    both = kept.together(aside)
    assert np.abs(both.matrix - whole.matrix).max() <= 1e-12 * np.abs(whole.matrix).max()
    assert both.loss == pytest.approx(whole.loss, rel=1e-12)
    part = aside.triangle[0, 0] ** 2 / both.triangle[0, 0] ** 2  # of all atoms squared
    assert 0.05 <= part <= 0.2
    step = 1e-3 * np.random.default_rng(0).normal(size=potential.parameter_count)
    there = potential.with_parameters(potential.parameters + step)
    expected = loss(there.kernel, labelled).value
    found = kept.loss_after(step) + aside.loss_after(step)
    assert found == pytest.approx(expected, rel=1e-4)


def test_residuals_move_with_a_step(problem):
    potential, labelled = problem
    here, rows = linearised(potential.kernel, labelled), rows_of(potential, labelled)
    step = 1e-3 * np.random.default_rng(0).normal(size=potential.parameter_count)
    left = rows[:, -1] - rows[:, :-1] @ step
    there = here.at(step, float(left @ left))
    assert there.loss == pytest.approx(float(left @ left), rel=1e-12)
    expected = rows[:, :-1].T @ left
    assert np.abs(there.vector - expected).max() <= 1e-11 * np.abs(expected).max()


@pytest.fixture(scope="module")
def explained():
    """A potential whose linear coefficients are gone, and labels that some explain exactly."""
    truth = samples.potential(2, level=16, seed=3)
    structures = []
    for seed in range(40):
        atoms = samples.structure("triclinic crystal", 2, seed)
        atoms.calc = truth.calculator()
        structures.append(with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces()))
    nb = neighbourhoods(structures, truth.max_dist, truth.elements)
    theta = truth.parameters
    theta[truth.radial_coeffs.size :] = 0.0
    return truth.with_parameters(theta), labelled_set(structures, nb, Weights())


def test_dependent_functions_keep_their_digits(explained):
    """One solve finds the x that explains all labels to the last digit and knows how good it is:
    with JᵀJ half the digits were lost, and fits at level 24 went where rounding pointed."""
    blank, labelled = explained
    rows = linearised(blank.kernel, labelled)
    P = 1e-30 * np.diag(rows.matrix)
    here = Point(blank.parameters, rows, np.maximum(P, 1e-6 * P.max()))
    solved = blank.with_parameters(here.solved)
    assert here.objective <= 1e-22 * rows.loss
    assert loss(solved.kernel, labelled).value <= 1e-22 * rows.loss


def test_prior_may_be_weaker_than_any_sum_could_tell(problem):
    """Its cost stays what it was where d changes: the objective of silicon rose again and again at
    level 24, since no strength was below 1e-20."""
    potential, labelled = problem
    here = linearised(potential.kernel, labelled)
    there = Linearised(1e4 * here.triangle, here.radial_count)
    theta, prior = potential.parameters, Prior(1e-18, 1e-18)
    now = prior.precision(potential, here)
    then = prior.carried(potential, theta, now, there)
    assert (then.radial, then.moments) == pytest.approx((1e-26, 1e-26), rel=1e-6, abs=0)
    after = then.precision(potential, there)
    p, C = potential.radial_coeffs.size, potential.species_count
    for block in (slice(p), slice(p + C, None)):
        cost = now[block] @ theta[block] ** 2
        assert after[block] @ theta[block] ** 2 == pytest.approx(cost, rel=1e-12, abs=0)
