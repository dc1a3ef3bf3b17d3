"""Fitting: exact on data the model can represent, repeatable, resumable, clear about bad data."""

import csv
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

import mentor
import samples
from mentor.exceptions import InputError, StorageError
from mentor.fit import fit
from mentor.fit.least_squares import Problem, State, advance, point
from mentor.fit.linearised import linearised
from mentor.fit.loss import Weights, labelled_set, loss
from mentor.neighbourhoods import neighbourhoods
from mentor.structures import with_labels
from mentor.uncertainty import Posterior

KINDS = ["triclinic crystal", "molecule", "slab"]
SMALL = {"level": 6, "cutoff": 4.5, "radial_basis_size": 8}


def labelled(potential, count=24, **wanted):
    """Structures with the labels of ``potential``."""
    structures = []
    for seed in range(count):
        atoms = samples.structure(KINDS[seed % len(KINDS)], 2, seed)
        atoms.calc = potential.calculator()
        stress = atoms.get_stress() if seed % len(KINDS) == 0 else None
        labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        structures.append(with_labels(atoms, **{**labels, "stress": stress, **wanted}))
    return structures


@pytest.fixture(scope="module")
def truth():
    return samples.potential(2, level=6, seed=3)


@pytest.fixture(scope="module")
def data(truth):
    return labelled(truth)


def untrained(seed=0):
    return mentor.init(
        level=6, elements=("Ag", "Pd"), cutoff=4.5, min_dist=1.8, radial_basis_size=5, seed=seed
    )


def test_linear_coefficients_are_exact(truth, data):
    """With the right radial functions one solve finds the rest."""
    start = replace(truth, species_coeffs=np.zeros(2), moment_coeffs=np.zeros(5))
    result = fit(start, data, max_iterations=0)
    assert result.loss.value <= 1e-10
    assert result.loss.force_rmse <= 1e-6


def test_a_potential_is_found_again(truth, data):
    """From radial functions that are off by some 20 % back to the truth, the loss falling."""
    noise = np.random.default_rng(1).normal(size=truth.radial_coeffs.shape)
    start = replace(truth, radial_coeffs=truth.radial_coeffs + 0.04 * noise)
    result = fit(start, data, max_iterations=60, tolerance=0.0)
    assert result.history[0].loss.force_rmse >= 0.1
    assert result.loss.energy_rmse <= 1e-6
    assert result.loss.force_rmse <= 1e-5
    falling = [each.loss.value for each in result.history if each.accepted]
    assert all(after <= before for before, after in itertools.pairwise(falling[:10]))


def test_a_jacobian_of_outdated_linear_coefficients_is_corrected(truth, data):
    """J_c of wrong x is a wrong gradient: without correction no damping would lower the loss."""
    nb = neighbourhoods(data, truth.max_dist, truth.elements)
    problem = Problem(truth, labelled_set(data, nb, Weights()))
    noise = 0.04 * np.random.default_rng(1).normal(size=truth.radial_coeffs.size)
    theta = point(problem, truth.parameters + np.pad(noise, (0, 7))).solved
    theta[-5:] *= -1.0
    state = State(point(problem, theta), damping=1e4, optimal=False)
    before = state.point.objective
    assert advance(problem, state).point.objective >= before * (1 - 1e-9)
    for _ in range(12):
        state = advance(problem, state)
    assert state.point.objective <= 0.5 * before


@pytest.mark.parametrize("weighting", ["vibrations", "molecules", "structures"])
def test_the_loss_is_what_the_documentation_says(data, weighting):
    potential = samples.potential(2, level=6, seed=5)
    nb = neighbourhoods(data, potential.max_dist, potential.elements)
    found = loss(
        potential.kernel,
        labelled_set(data, nb, Weights(energy=2.0, force=0.3, stress=0.05, weighting=weighting)),
    )
    power = {"vibrations": 1, "molecules": 0, "structures": 2}[weighting]
    expected = 0.0
    for atoms in data:
        mine = atoms.copy()
        mine.calc = potential.calculator()
        n = len(atoms)
        expected += (
            2.0 * (mine.get_potential_energy() - atoms.get_potential_energy()) ** 2 / n**power
        )
        expected += 0.3 * ((mine.get_forces() - atoms.get_forces()) ** 2).sum()
        if "stress" in atoms.calc.results:
            difference = mine.get_stress(voigt=False) - atoms.get_stress(voigt=False)
            expected += 0.05 * ((difference * atoms.get_volume()) ** 2).sum() / n
    assert abs(found.value - expected) <= 1e-9 * expected


def test_linearisation_is_the_derivative_of_the_loss(data):
    potential = samples.potential(2, level=6, seed=5)
    nb = neighbourhoods(data, potential.max_dist, potential.elements)
    some = labelled_set(data, nb, Weights())
    m = potential.parameter_count
    gradient = -2 * linearised(potential.kernel, some).vector
    theta, rng = potential.parameters, np.random.default_rng(0)
    for _ in range(3):
        direction = rng.normal(size=m)
        h = 1e-6
        change = [
            loss(potential.with_parameters(theta + s * h * direction).kernel, some).value
            for s in (1, -1)
        ]
        slope = (change[0] - change[1]) / (2 * h)
        assert abs(slope - gradient @ direction) <= 1e-5 * np.abs(gradient * direction).sum()


def test_energies_alone_and_forces_of_some(truth):
    energies = labelled(truth, forces=None, stress=None)
    result = fit(untrained(), energies, max_iterations=20)
    assert result.loss.energy_rmse <= 5e-3
    assert np.isnan(result.loss.force_rmse)
    mixed = energies[:12] + labelled(truth)[12:]
    assert fit(untrained(), mixed, max_iterations=5).loss.force_rmse > 0


def test_the_same_seed_gives_the_same_coefficients(data):
    first, second = (
        mentor.train(data, **SMALL, max_iterations=6, starts=2, seed=4) for _ in range(2)
    )
    assert np.abs(first.potential.parameters - second.potential.parameters).max() <= 1e-6
    other = mentor.train(data, **SMALL, max_iterations=6, starts=2, seed=5)
    assert np.abs(first.potential.parameters - other.potential.parameters).max() > 1e-6


def test_an_interrupted_fit_resumes_exactly(data, tmp_path):
    whole = fit(untrained(), data, max_iterations=9, tolerance=0.0)
    part = tmp_path / "fit.checkpoint"
    fit(untrained(), data, max_iterations=4, tolerance=0.0, checkpoint=part)
    resumed = fit(untrained(), data, max_iterations=9, tolerance=0.0, checkpoint=part, resume=True)
    assert np.array_equal(whole.potential.parameters, resumed.potential.parameters)
    assert len(resumed.history) == len(whole.history) == 10


def test_a_checkpoint_of_another_fit_or_damaged_is_refused(data, tmp_path):
    part = tmp_path / "fit.checkpoint"
    fit(untrained(), data, max_iterations=1, checkpoint=part)
    with pytest.raises(InputError, match="belongs to another fit"):
        fit(untrained(), data[:-1], checkpoint=part, resume=True)
    part.write_bytes(part.read_bytes()[:500])
    with pytest.raises(InputError, match="is damaged"):
        fit(untrained(), data, checkpoint=part, resume=True)
    with pytest.raises(InputError, match=r"cannot be read"):
        fit(untrained(), data, checkpoint=tmp_path / "none", resume=True)


def test_validation_decides_when_to_stop(truth, data):
    noisy = []
    rng = np.random.default_rng(0)
    for atoms in data[:6]:
        forces = atoms.get_forces() + rng.normal(size=(len(atoms), 3))
        noisy.append(with_labels(atoms, energy=atoms.get_potential_energy(), forces=forces))
    held = labelled(truth, 30)[24:]
    result = fit(untrained(), noisy, validation=held, max_iterations=80, tolerance=0.0)
    judged = [each.validation.value for each in result.history]
    assert result.validation.value <= min(judged) * (1 + 1e-6)
    assert judged[-1] > min(judged)


def test_weights_of_structures(data):
    heavy = [atoms.copy() for atoms in data]
    for old, new in zip(data, heavy, strict=True):
        new.calc = SinglePointCalculator(new, **old.calc.results)
    heavy[0].info["weight"] = 1e6
    normal = fit(untrained(), data, max_iterations=0).potential
    pulled = fit(untrained(), heavy, max_iterations=0).potential

    def off(potential):
        atoms = data[0].copy()
        atoms.calc = potential.calculator()
        return np.abs(atoms.get_forces() - data[0].get_forces()).max()

    assert off(pulled) < off(normal)
    heavy[3].info["weight"] = -1.0
    with pytest.raises(InputError, match=r"structure 3: its weight -1.0 must be"):
        fit(untrained(), heavy)


def test_one_composition_leaves_no_absurd_coefficients():
    """The energies of single atoms cannot be told apart; they must stay moderate all the same."""
    truth = samples.potential(2, level=6, seed=3)
    data = []
    for seed in range(20):
        atoms = samples.structure("molecule", 2, 0)
        atoms.positions += 0.05 * np.random.default_rng(seed).normal(size=(len(atoms), 3))
        atoms.calc = truth.calculator()
        energy = atoms.get_potential_energy() - 5000.0
        data.append(with_labels(atoms, energy=energy, forces=atoms.get_forces()))
    potential = fit(untrained(), data, max_iterations=10).potential
    assert np.abs(potential.species_coeffs).max() <= 2e3
    assert np.abs(potential.moment_coeffs).max() <= 2e3


def test_train_writes_potential_log_and_no_leftovers(data, tmp_path):
    result = mentor.train(
        data,
        **SMALL,
        validation_fraction=0.25,
        starts=1,
        output=tmp_path / "pot.almtp",
        log=tmp_path / "log.csv",
    )
    read = mentor.load(tmp_path / "pot.almtp")
    assert np.array_equal(read.parameters, result.potential.parameters)
    assert read.elements == ("Pd", "Ag")
    assert read.active_set.filled > 0
    assert result.validation_errors.counts["all"] == 6
    lines = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert len(lines) == len(result.history)
    assert float(lines[-1]["loss"]) == result.history[-1].loss.value
    Posterior.load(tmp_path / "pot.posterior", read)
    written = {"pot.almtp", "pot.posterior", "pot.memory", "pot.png", "log.csv"}
    assert {path.name for path in tmp_path.iterdir()} == written
    assert {path.name for path in result.files} == written - {"pot.almtp"}


def test_train_goes_on_from_a_potential_or_checkpoint(data, tmp_path):
    output = tmp_path / "pot.mtp"
    options = {**SMALL, "starts": 1, "tolerance": 0.0, "output": output}
    mentor.train(data, max_iterations=3, **options)
    assert output.with_suffix(".checkpoint").exists()
    resumed = mentor.train(data, max_iterations=6, resume=True, **options)
    assert len(resumed.history) == 7
    better = mentor.train(data, potential=output, max_iterations=6)
    assert better.history[-1].loss.value <= resumed.history[-1].loss.value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"elements": ("Ag",)}, "structure 0.*Pd"),
        ({"validation_fraction": 1.5}, "validation_fraction = 1.5 must lie between 0 and 1"),
        ({"validation_fraction": 0.001}, "sets 0 aside"),
        ({"output": Path("pot.txt")}, r"must end in .mtp or .almtp"),
        ({"resume": True}, "resume needs a checkpoint"),
        ({"weighting": "none"}, "weighting = 'none' is not one of"),
        ({"level": 7}, "level"),
        ({"min_dist": 9.0}, "min_dist = 9.0 Å must lie between"),
    ],
)
def test_settings_that_make_no_sense(data, change, message):
    with pytest.raises(InputError, match=message):
        mentor.train(data, **{**SMALL, **change})


def test_data_without_energies_or_structures(data):
    bare = [atoms.copy() for atoms in data]
    with pytest.raises(InputError, match="none of its 24 structures has an energy"):
        mentor.train(bare, **SMALL)
    with pytest.raises(InputError, match="contains no structures"):
        mentor.train([], **SMALL)
    with pytest.raises(InputError, match="none of the 24 structures has an energy, forces"):
        mentor.errors(samples.potential(2), bare)


def test_a_missing_folder_is_told(data, tmp_path):
    with pytest.raises(StorageError, match="cannot be written"):
        mentor.train(data, **SMALL, max_iterations=1, output=tmp_path / "absent" / "pot.mtp")


def test_errors_by_group(truth, data):
    wrong = []
    for index, atoms in enumerate(data[:4]):
        energy = atoms.get_potential_energy() + (0.01 * len(atoms) if index < 2 else 0.0)
        forces = atoms.get_forces()
        forces[0] += [0.3, 0.0, 0.4] if index == 3 else 0.0
        wrong.append(with_labels(atoms, energy=energy, forces=forces))
        wrong[-1].info["config_type"] = "shifted" if index < 2 else "pushed"
    table = mentor.errors(truth, wrong)
    assert list(table.groups) == ["shifted", "pushed", "all"]
    assert abs(table.groups["shifted"]["energy_per_atom"].rmse - 0.01) <= 1e-12
    assert table.groups["pushed"]["energy_per_atom"].max <= 1e-12
    assert abs(table.groups["pushed"]["force_vector"].max - 0.5) <= 1e-12
    assert abs(table.groups["pushed"]["force_component"].max - 0.4) <= 1e-12
    assert table.counts == {"shifted": 2, "pushed": 2, "all": 4}
    assert "stress" not in table.groups["all"]
    assert table.as_dict()["groups"]["all"]["energy_per_atom"]["count"] == 4


def test_energies_from_other_settings_are_told_apart(truth):
    """Who puts two sets of labels together learns that they do not belong together."""
    noise, structures = np.random.default_rng(5), []
    for index, atoms in enumerate(labelled(truth, 48)):
        silver = np.count_nonzero(atoms.symbols == "Ag")
        energy = atoms.get_potential_energy() + 0.001 * len(atoms) * noise.normal()
        if index % 2:
            energy -= 0.004 * silver + 0.008 * (len(atoms) - silver)
        structures.append(with_labels(atoms, energy=energy))
        structures[-1].info["group"] = "theirs" if index % 2 else "ours"
    table = mentor.errors(truth, structures)
    shift = table.shifts["theirs"]
    assert 0.004 <= shift.mean <= 0.008
    assert 0.0005 <= shift.rmse <= 0.0015
    evident = {name for name, each in table.shifts.items() if each.evident}
    assert evident == {"theirs"}
    assert table.as_dict()["groups"]["theirs"]["energy_shift"] == shift.as_dict()
    assert samples.shown(table).count("theirs: energies are off by +") == 1
    assert "One shift" not in samples.shown(
        mentor.errors(truth, structures[:24])
    )  # too few to tell
    same = mentor.errors(truth, 10 * structures[1:2]).shifts["all"]  # one composition
    assert same.evident
    assert same.rmse <= 1e-9


def test_stress_errors_are_in_GPa(truth, data):
    atoms = data[0]
    stress = atoms.get_stress() + 1.0 * 0.006241509074460763
    changed = with_labels(atoms, energy=atoms.get_potential_energy(), stress=stress)
    assert abs(mentor.errors(truth, [changed]).groups["all"]["stress"].mae - 1.0) <= 1e-6


@pytest.fixture(scope="module")
def two_methods():
    """A potential trained on a cheap method, and few labels of another that is not far from it;
    it can represent neither exactly."""
    method, rng = samples.potential(2, level=12, seed=3), np.random.default_rng(4)
    theta = method.parameters
    dear = method.with_parameters(theta * rng.normal(1.0, 0.03, theta.shape))
    blank = mentor.init(level=8, elements=("Ag", "Pd"), cutoff=4.5, min_dist=1.8, core=False)
    cheap = fit(blank, labelled(method, 60), starts=3).potential
    labels = labelled(dear, 46)
    return cheap, labels[:6], labels[6:]


def test_transfer_makes_the_most_of_few_labels(two_methods, tmp_path):
    """The reason for it; without, few labels of the better method do not suffice."""
    cheap, few, unseen = two_methods
    cheap.save(tmp_path / "cheap.mtp")
    options = {"potential": tmp_path / "cheap.mtp", "plots": False, "checks": False}
    errors = {
        transfer: mentor.train(few, test=unseen, transfer=transfer, **options).test_errors
        for transfer in (True, False)
    }
    forces = {key: each.groups["all"]["force_component"].rmse for key, each in errors.items()}
    before = mentor.errors(cheap, unseen).groups["all"]["force_component"].rmse
    assert forces[True] <= 0.8 * forces[False]
    assert forces[True] <= 0.5 * before
    robust = mentor.train(few, test=unseen, transfer=True, robust=True, **options).test_errors
    assert robust.groups["all"]["force_component"].rmse <= 0.8 * forces[False]


def test_labels_overrule_the_potential_that_a_fit_is_near_to(data):
    """Where there are enough of them, a wrong one does no harm."""
    wrong = samples.potential(2, level=6, seed=11)
    options = {"max_iterations": 60, "tolerance": 0.0}
    free, near = fit(wrong, data, **options), fit(wrong, data, near=wrong, **options)
    assert near.loss.value <= 1.5 * free.loss.value


def test_an_interrupted_transfer_resumes_exactly(two_methods, tmp_path):
    cheap, few, _ = two_methods
    part, options = tmp_path / "part", {"near": cheap, "tolerance": 0.0}
    whole = fit(cheap, few, max_iterations=6, **options)
    fit(cheap, few, max_iterations=3, checkpoint=part, **options)
    resumed = fit(cheap, few, max_iterations=6, checkpoint=part, resume=True, **options)
    assert np.array_equal(whole.potential.parameters, resumed.potential.parameters)
    with pytest.raises(InputError, match="another fit"):
        fit(cheap, few, checkpoint=part, resume=True)


def test_transfer_needs_a_potential_of_the_same_kind(two_methods):
    cheap, few, _ = two_methods
    with pytest.raises(InputError, match="transfer needs a potential"):
        mentor.train(few, transfer=True)
    with pytest.raises(InputError, match="must have the elements"):
        fit(untrained(), few, near=cheap)
