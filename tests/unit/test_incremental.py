"""Few labels more than last time: the fit is as good as from anew, and never a wrong one."""

from dataclasses import replace

import numpy as np
import pytest

import mentor
import samples
from mentor.fit import fit
from mentor.fit.incremental import Memory, memory_path, remembered
from mentor.structures import with_labels

OPTIONS = {"tolerance": 1e-4, "max_iterations": 60}


def labelled(count, first=0):
    """Structures with the labels of a potential and some noise, so that no fit is perfect."""
    truth = samples.potential(2, level=6, seed=3)
    truth = replace(truth, moment_coeffs=0.02 * truth.moment_coeffs)
    structures = []
    for seed in range(first, first + count):
        atoms = samples.structure("triclinic crystal", 2, seed)
        atoms.calc = truth.calculator()
        noise = np.random.default_rng(seed)
        forces = atoms.get_forces() + 0.02 * noise.normal(size=(len(atoms), 3))
        energy = atoms.get_potential_energy() + 0.005 * noise.normal()
        structures.append(with_labels(atoms, energy, forces))
    return structures


@pytest.fixture(scope="module")
def known():
    return labelled(60)


@pytest.fixture(scope="module")
def more():
    return labelled(8, first=60)


@pytest.fixture(scope="module")
def done(known):
    start = mentor.init(
        level=6, elements=("Ag", "Pd"), cutoff=4.5, min_dist=1.8, radial_basis_size=5
    )
    return fit(start, known, remember=True, starts=4, **OPTIONS)


def test_as_good_as_a_fit_from_where_it_was(done, known, more):
    """Also when it is done several times, from sums that are no longer those of the parameters."""
    fitted, reasons = done, []
    for stop in (3, 5, 8):
        fitted = fit(
            fitted.potential, known + more[:stop], memory=fitted.memory, remember=True, **OPTIONS
        )
        reasons.append(fitted.reason)
    assert all("added to the fit before" in reason for reason in reasons)
    anew = fit(done.potential, known + more, **OPTIONS)
    before = fit(done.potential, known + more, max_iterations=0)
    assert fitted.loss.value <= 1.02 * anew.loss.value
    assert fitted.loss.value < before.loss.value


CASES = ["none", "gone", "many", "other labels", "other potential", "other core"]


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_added_is_fitted_anew(done, known, more, case):
    potential, structures = done.potential, known + more
    if case == "none":
        structures = known
    elif case == "gone":
        structures = known[1:] + more
    elif case == "many":
        structures = known + more + labelled(8, first=70)
    elif case == "other labels":
        structures = [with_labels(each, 1.0) for each in known[:1]] + known[1:] + more
    elif case == "other potential":
        potential = replace(potential, moment_coeffs=1.001 * potential.moment_coeffs)
    else:
        potential = replace(potential, core_radii=0.9 * potential.core_radii)
    fitted = fit(potential, structures, memory=done.memory, max_iterations=1)
    assert "added" not in fitted.reason


def test_a_memory_that_lies_is_found_out(done, known, more):
    """Residuals that belong to nothing lead uphill: the fit begins anew rather than there."""
    triangle = done.memory.linearised.triangle.copy()
    triangle[:-1, -1] = 1e3 * triangle[:-1, -1] + 1.0
    lying = replace(done.memory, linearised=replace(done.memory.linearised, triangle=triangle))
    fitted = fit(done.potential, known + more, memory=lying, **OPTIONS)
    before = fit(done.potential, known + more, max_iterations=0)
    assert fitted.loss.value <= before.loss.value


def test_the_file_keeps_everything_and_damage_is_no_drama(done, tmp_path):
    path = tmp_path / "pot.memory"
    done.memory.save(path)
    again = remembered(path)
    assert isinstance(again, Memory)
    assert again.digests == done.memory.digests
    assert again.potential == done.memory.potential
    assert np.array_equal(again.linearised.triangle, done.memory.linearised.triangle)
    for content in (b"", b"nonsense", path.read_bytes()[:1000]):
        path.write_bytes(content)
        assert remembered(path) is None
    assert remembered(tmp_path / "none") is None


def test_training_finds_it_beside_the_potential(known, more, tmp_path):
    options = {"checks": False, "plots": False, "posterior": False}
    first, second = tmp_path / "first.mtp", tmp_path / "second.mtp"
    mentor.train(known, output=first, level=6, cutoff=4.5, starts=2, **options)
    assert memory_path(first).exists()
    result = mentor.train(known + more, potential=first, output=second, **options)
    assert result.reason.startswith("8 structures were added")
    assert memory_path(second) in result.files
    result = mentor.train(known + more, potential=first, memory=False, **options)
    assert "added" not in result.reason
