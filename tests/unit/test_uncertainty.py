"""Uncertainties: right where the truth is known, the same in any gauge, clear about wrong files."""

import json
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read

import mentor
import samples
from mentor.exceptions import InputError
from mentor.fit.calibration import calibrate, widened
from mentor.fit.posterior import posterior, without
from mentor.structures import labels, with_labels
from mentor.uncertainty import Posterior, fingerprint, posterior_path, standard_deviations

KINDS = ["triclinic crystal", "molecule", "slab"]
NOISE = 0.02
"""Of energies √N-fold, of forces tenfold: alike for a fit with the default weights."""


@pytest.fixture(scope="module")
def truth():
    return samples.potential(2, level=6, seed=3)


def noisy(truth, count, first=0, seed=0):
    """Structures with the labels of ``truth`` and Gaussian noise."""
    rng = np.random.default_rng(seed)
    structures = []
    for number in range(first, first + count):
        atoms = samples.structure(KINDS[number % len(KINDS)], 2, number)
        atoms.calc = truth.calculator()
        energy = atoms.get_potential_energy() + NOISE * np.sqrt(len(atoms)) * rng.normal()
        forces = atoms.get_forces() + 10 * NOISE * rng.normal(size=(len(atoms), 3))
        structures.append(with_labels(atoms, energy=energy, forces=forces))
    return structures


@pytest.fixture(scope="module")
def data(truth):
    return noisy(truth, 240)


@pytest.fixture(scope="module")
def fitted(truth, data):
    return mentor.fit.fit(truth, data, max_iterations=15, tolerance=0.0).potential


@pytest.fixture(scope="module")
def known(fitted, data):
    return posterior(fitted, data)


def force_errors(potential, structures):
    """Label minus prediction of all force components."""
    evaluated = mentor.evaluation.evaluate_structures(potential, structures)
    return np.concatenate(
        [
            (labels(atoms).forces - found.get_forces()).ravel()
            for atoms, found in zip(structures, evaluated, strict=True)
        ]
    )


def spreads(posterior, potential, structures):
    """The posterior's own standard deviations of all force components."""
    nb = mentor.neighbourhoods.neighbourhoods(structures, potential.max_dist, potential.elements)
    return np.linalg.norm(potential.kernel.jacobian(nb).forces @ posterior.factor, axis=2).ravel()


def test_the_posterior_knows_how_far_the_fit_is_from_the_truth(truth):
    """Without noise in the test labels, errors are the parameters' alone: χ² per value is one."""
    test = noisy(truth, 30, first=1000)
    exact = force_errors(truth, test)
    ratios = []
    for seed in range(6):
        data = noisy(truth, 60, seed=seed)
        fitted = mentor.fit.fit(truth, data, max_iterations=10, tolerance=0.0).potential
        errors = force_errors(fitted, test) - exact
        ratios.append(np.mean((errors / spreads(posterior(fitted, data), fitted, test)) ** 2))
    assert 0.7 <= np.mean(ratios) <= 1.4


def test_intervals_hold_the_errors_of_new_labels(truth, fitted, known):
    test = noisy(truth, 60, first=1000, seed=1)
    errors = np.abs(force_errors(fitted, test))
    found = standard_deviations(fitted, known, test)
    std, half95 = (
        np.concatenate([getattr(each.forces, name).ravel() for each in found])
        for name in ("std", "half95")
    )
    assert 0.62 <= np.mean(errors <= std) <= 0.74
    assert 0.93 <= np.mean(errors <= half95) <= 0.98
    energies = np.abs([a.get_potential_energy() for a in test] - predicted_energies(fitted, test))
    assert 0.5 <= np.mean(energies <= [each.energy.std for each in found]) <= 0.85
    assert np.mean(energies <= [each.energy.half95 for each in found]) >= 0.9


def predicted_energies(potential, structures):
    return mentor.evaluate(potential, structures).energies


def test_four_times_the_data_halve_the_spread(fitted, data):
    some = [samples.structure(kind, 2, 77) for kind in KINDS]
    few, many = (posterior(fitted, part) for part in (data[:60], data))
    ratio = np.mean(spreads(many, fitted, some)) / np.mean(spreads(few, fitted, some))
    assert 0.4 <= ratio <= 0.6


@pytest.mark.parametrize("rows", [7, 30])
def test_leaving_out_in_closed_form_is_a_fit_without_the_structure(rows):
    """Least squares with a prior, solved anew without some of its rows."""
    rng = np.random.default_rng(0)
    J, y, w = rng.normal(size=(80, 12)), rng.normal(size=80), rng.uniform(0.5, 2.0, 80)
    prior = np.diag(rng.uniform(0.1, 1.0, 12))

    def solve(some):
        hessian = (J[some] * w[some, None] ** 2).T @ J[some] + prior
        return np.linalg.solve(hessian, J[some].T @ (w[some] ** 2 * y[some])), hessian

    theta, hessian = solve(slice(None))
    F = np.linalg.inv(np.linalg.cholesky(hessian)).T
    own = slice(0, rows)
    errors, spread = without(J[own] @ F, (y - J @ theta)[own], w[own])
    other, rest = solve(slice(rows, None))
    assert np.abs(errors - (y - J @ other)[own]).max() <= 1e-6
    variances = np.einsum("ij,jk,ik->i", J[own], np.linalg.inv(rest), J[own])
    assert np.abs(spread**2 / variances - 1).max() <= 1e-6


def test_the_gauge_does_not_matter(fitted, data, known):
    """f₁ → 2 f₁ + f₀/2 with coefficients that leave all energies as they are."""
    radial = fitted.radial_coeffs.copy()
    radial[:, :, 1] = 2.0 * radial[:, :, 1] + 0.5 * radial[:, :, 0]
    turned = replace(fitted, radial_coeffs=radial)
    nb = mentor.neighbourhoods.neighbourhoods(data, fitted.max_dist, fitted.elements)
    B, wanted = turned.kernel.basis(nb), fitted.kernel.basis(nb) @ fitted.moment_coeffs
    turned = replace(turned, moment_coeffs=np.linalg.lstsq(B, wanted, rcond=1e-13)[0])
    some = [samples.structure(kind, 2, 77) for kind in KINDS]
    before, after = predicted_energies(fitted, some), predicted_energies(turned, some)
    assert np.abs(after - before).max() <= 1e-8
    expected = spreads(known, fitted, some)
    found = spreads(posterior(turned, data), turned, some)
    assert np.abs(found / expected - 1).max() <= 1e-3


def test_forces_that_symmetry_forbids_are_certain(fitted, known):
    (found,) = standard_deviations(fitted, known, [bulk("Ag", cubic=True)])
    assert not found.forces.free.any()
    assert found.forces.half95.max() <= 1e-6
    assert found.stress.free[:3].all()
    assert found.stress.std[:3].min() > 0
    assert abs(found.pressure.std / found.stress.std[0] - 1) <= 1e-6


def test_what_was_never_met_is_uncertain(truth, data, known):
    """Trained on silver alone, a potential knows nothing of palladium."""
    silver = [samples.structure(kind, 1, seed) for kind in KINDS for seed in range(20)]
    for number, atoms in enumerate(silver):
        atoms.calc = truth.calculator()
        silver[number] = with_labels(
            atoms, energy=atoms.get_potential_energy(), forces=atoms.get_forces()
        )
    fitted = mentor.fit.fit(truth, silver, max_iterations=2).potential
    narrow = posterior(fitted, silver)
    mixed = standard_deviations(fitted, narrow, [samples.structure("molecule", 2, 5)])[0]
    pure = standard_deviations(fitted, narrow, [samples.structure("molecule", 1, 5)])[0]
    assert mixed.forces.std.max() >= 100 * pure.forces.std.max()
    assert mixed.energy.std >= 100 * pure.energy.std


def test_a_prior_narrows_the_posterior(fitted, data, known):
    some = [samples.structure(kind, 2, 77) for kind in KINDS]
    strong = posterior(fitted, data, prior=np.full(fitted.parameter_count, 1e12))
    assert spreads(strong, fitted, some).max() <= 1e-2 * spreads(known, fitted, some).max()


def test_energies_alone_give_intervals_of_forces_too(truth, data):
    energies = [with_labels(atoms, energy=atoms.get_potential_energy()) for atoms in data]
    (found,) = standard_deviations(truth, posterior(truth, energies), [data[0]])
    assert np.isfinite(found.forces.std).all()
    assert found.forces.std.min() > 0


def test_calibration_follows_errors_that_are_no_multiple_of_the_spread():
    """Errors that grow like the square root of the spread, with tails of their own."""
    rng = np.random.default_rng(0)
    spread = np.exp(rng.uniform(-8, 2, 6000))
    structures = np.arange(6000) // 10
    errors = np.sqrt(spread) * rng.standard_t(4, 6000)
    made = calibrate(errors, spread, structures, 1e-6)
    fresh = np.sqrt(spread) * rng.standard_t(4, 6000)
    for low, high in ((-8, -4), (-4, 0), (0, 2)):
        some = (np.log(spread) >= low) & (np.log(spread) <= high)
        inside = np.abs(fresh[some]) <= made(spread[some])
        assert 0.66 <= inside[0].mean() <= 0.75
        assert 0.94 <= inside[1].mean() <= 0.98
    assert (np.diff(made(np.geomspace(1e-6, 1e3, 200)), axis=1) >= 0).all()


def test_validation_widens_intervals_and_never_narrows_them():
    rng = np.random.default_rng(0)
    spread, structures = np.ones(1000), np.arange(1000) // 10
    made = calibrate(rng.normal(size=1000), spread, structures, 1e-6)
    tripled = widened(made, 3.0 * rng.normal(size=1000), spread)
    assert np.abs(tripled.widths / made.widths - 3.0).max() <= 0.3
    same = widened(made, 0.1 * rng.normal(size=1000), spread)
    assert np.array_equal(same.widths, made.widths)


def test_a_posterior_reads_back(fitted, known, tmp_path):
    path = tmp_path / "pot.posterior"
    known.save(path)
    again = Posterior.load(path, fitted)
    some = [samples.structure(kind, 2, 5) for kind in KINDS]
    for one, other in zip(
        *(standard_deviations(fitted, each, some) for each in (known, again)), strict=True
    ):
        assert np.array_equal(one.forces.half95, other.forces.half95)
        assert np.array_equal(one.energy.std, other.energy.std)
    assert np.abs(again.covariance - known.factor @ known.factor.T).max() == 0


def test_wrong_files_are_told(truth, fitted, known, data, tmp_path):
    fitted.save(tmp_path / "pot.mtp")
    with pytest.raises(InputError, match=r"pot.posterior: the posterior cannot be read"):
        mentor.evaluate(tmp_path / "pot.mtp", data[:1], uncertainty=True)
    with pytest.raises(InputError, match="uncertainty needs the posterior"):
        mentor.evaluate(fitted, data[:1], uncertainty=True)
    path = posterior_path(tmp_path / "pot.mtp")
    replace(known, fingerprint=fingerprint(truth)).save(path)
    with pytest.raises(InputError, match="belongs to another potential"):
        mentor.evaluate(tmp_path / "pot.mtp", data[:1], uncertainty=True)
    with pytest.raises(InputError, match="belongs to another potential"):
        standard_deviations(truth, known, data[:1])
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match="is damaged"):
        mentor.evaluate(tmp_path / "pot.mtp", data[:1], posterior=path)


def test_evaluate_writes_and_shows_them(fitted, known, data, tmp_path):
    fitted.save(tmp_path / "pot.mtp")
    known.save(tmp_path / "pot.posterior")
    crystals = [atoms for atoms in data[:6] if atoms.pbc.all()]
    result = mentor.evaluate(
        tmp_path / "pot.mtp", crystals, uncertainty=True, output=tmp_path / "out.xyz"
    )
    for atoms, own in zip(read(tmp_path / "out.xyz", ":"), result.uncertainties, strict=True):
        assert abs(atoms.info["energy_std"] - own.energy.std) <= 1e-6
        assert np.abs(atoms.arrays["forces_std"] - own.forces.std).max() <= 1e-6
        assert np.abs(atoms.arrays["forces_95"] - own.forces.half95).max() <= 1e-6
        assert np.abs(atoms.info["stress_std"] - own.stress.std).max() <= 1e-6
    document = json.loads(json.dumps(result.as_dict()))
    first = document["structures"][0]
    assert first["energy_std_eV"] == result.uncertainties[0].energy.std
    assert np.shape(first["forces_95_eV_per_Å"]) == (len(crystals[0]), 3)
    columns = [column.header for column in result.__rich__().columns]
    assert columns.count("±") == 4


def test_errors_says_how_many_were_foretold(truth, fitted, known, tmp_path):
    fitted.save(tmp_path / "pot.mtp")
    known.save(tmp_path / "pot.posterior")
    test = noisy(truth, 40, first=1000, seed=1)
    plain = mentor.errors(tmp_path / "pot.mtp", test)
    table = mentor.errors(tmp_path / "pot.mtp", test, uncertainty=True)
    found = table.groups["all"]["force_component"]
    assert replace(found, within=None) == plain.groups["all"]["force_component"]
    assert 0.6 <= found.within[0] <= 0.76
    assert 0.9 <= found.within[1] <= 0.98
    assert table.as_dict()["groups"]["all"]["force_component"]["within_68_95"] == [*found.within]
    assert len(table.__rich__().columns) == len(plain.__rich__().columns) + 1
