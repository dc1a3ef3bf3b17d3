"""Training data: wrong labels are named, weights and robust fits do what they say."""

import csv
import json
from dataclasses import replace

import ase.io
import numpy as np
import pytest

import mentor
import samples
from mentor import progress
from mentor.cli.commands import COMMANDS
from mentor.cli.options import parser, settings
from mentor.cli.usage import UsageError
from mentor.exceptions import InputError
from mentor.fit.checkpoint import Iteration
from mentor.fit.checks import check
from mentor.fit.loss import Loss, Weights, labelled_set
from mentor.fit.watching import iterations_left
from mentor.fit.weighing import weighted
from mentor.neighbourhoods import neighbourhoods
from mentor.structures import labels, with_labels

BOHR, HARTREE = 0.529177, 27.2114
QUICK = {"level": 6, "cutoff": 4.5, "radial_basis_size": 8, "starts": 1, "max_iterations": 5}


@pytest.fixture(scope="module")
def truth():
    """Forces are of the order of 0.5 eV/Å."""
    potential = samples.potential(2, level=6, seed=3)
    return replace(potential, moment_coeffs=0.02 * potential.moment_coeffs)


@pytest.fixture(scope="module")
def clean(truth):
    """Crystals of two groups with the labels of a potential."""
    structures = []
    for seed in range(60):
        atoms = samples.structure("triclinic crystal", 2, seed)
        atoms.calc = truth.calculator()
        known = (atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress())
        structures.append(with_labels(atoms, *known))
        structures[-1].info["config_type"] = "hot" if seed % 3 else "cold"
    return structures


def changed(structures, index, energy=0.0, forces=1.0, virial=1.0, push=0.0):
    """Copies in which the labels of one structure are shifted, scaled, or one force is pushed."""
    result = list(structures)
    old = labels(structures[index])
    new = forces * old.forces
    new[2] += push
    result[index] = with_labels(
        structures[index], energy=old.energy + energy, forces=new, virial=virial * old.virial
    )
    return result


def names(findings):
    return {(each.index, each.kind) for each in findings}


def test_right_labels_raise_no_alarm(clean):
    assert check(clean, ("Ag", "Pd"), 4.5).findings == ()


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"energy": 1.0}, "energy", " eV above what is expected"),
        ({"energy": -1.0}, "energy", "eV below what is expected"),
        ({"forces": BOHR}, "forces", "in eV/bohr"),
        ({"forces": BOHR / HARTREE}, "forces", "in Ha/bohr"),
        ({"forces": 2 * BOHR / HARTREE}, "forces", "in Ry/bohr"),
        ({"forces": 23.06}, "forces", "in kcal/mol/Å"),
        ({"forces": -1.0}, "forces", "is the sign reversed"),
        ({"push": 10.0}, "forces", "force on its atom 2"),
        ({"virial": -1.0}, "stress", "is the sign reversed"),
        ({"virial": 160.2}, "stress", "in GPa"),
        ({"virial": 1602.0}, "stress", "in kbar"),
    ],
)
def test_a_wrong_label_is_named_before_the_fit(clean, change, kind, words):
    found = check(changed(clean, 17, **change), ("Ag", "Pd"), 4.5).findings
    assert (17, kind) in names(found)
    assert {each.index for each in found} == {17}
    assert words in next(each.reason for each in found if each.kind == kind)


@pytest.mark.parametrize(
    ("energy", "force", "words"),
    [
        (1 / HARTREE, 1.0, "are energies in Ha"),
        (23.06, 1.0, "are energies in kcal/mol"),
        (1.0, BOHR, "are forces per bohr"),
        (1.0, -1.0, "is the sign of the forces reversed"),
    ],
)
def test_units_of_the_whole_set(clean, energy, force, words):
    wrong = [
        with_labels(atoms, energy=energy * known.energy, forces=force * known.forces)
        for atoms in clean
        for known in [labels(atoms)]
    ]
    first = check(wrong, ("Ag", "Pd"), 4.5).findings[0]
    assert first.index is None
    assert words in first.reason


def test_stresses_of_the_other_sign(clean):
    wrong = [
        with_labels(atoms, known.energy, known.forces, virial=-known.virial)
        for atoms in clean
        for known in [labels(atoms)]
    ]
    found = check(wrong, ("Ag", "Pd"), 4.5).findings
    assert [each.index for each in found if each.kind == "units"] == [None]
    assert "sign reversed" in found[0].reason


def test_duplicates_that_contradict_each_other_and_atoms_too_close(clean):
    again = changed(clean, 5, energy=0.5)[5]
    near = clean[9].copy()
    near.positions[1] = near.positions[0] + [0.0, 0.9, 0.0]
    odd = [*clean, again, with_labels(near, energy=0.0)]
    found = {each.kind: each for each in check(odd, ("Ag", "Pd"), 4.5).findings}
    assert found["duplicate"].index == 60
    assert "same as structure 5, but their energies differ by 0.5 eV" in found["duplicate"].reason
    assert found["distance"].index == 61
    assert "are only 0.9 Å apart" in found["distance"].reason


def test_too_few_labels_say_nothing(clean):
    assert check(changed(clean[:6], 2, energy=1.0), ("Ag", "Pd"), 4.5).findings == ()


def test_findings_are_told_before_the_fit_and_outliers_after_it(clean):
    """By their number in the data, whether they validate or not; nothing is left out."""
    odd = changed(changed(clean, 17, energy=1.0), 40, forces=BOHR / HARTREE)
    heard = []

    class Listener(progress.Reporter):
        def message(self, text):
            heard.append(text)

    with progress.reporting(Listener()):
        result = mentor.train(odd, **{**QUICK, "max_iterations": 20}, validation_fraction=0.2)
    assert names(result.warnings) == {(17, "energy"), (40, "forces")}
    assert {(17, "energy"), (40, "forces")} <= names(result.outliers)
    assert len(heard) == 2
    assert heard[0].startswith("warning: structure 17")
    assert result.errors.counts["all"] == 48
    document = json.loads(json.dumps(result.as_dict()))
    assert [each["index"] for each in document["warnings"]] == [17, 40]
    assert document["warnings"][0]["group"] == "hot"
    silent = mentor.train(odd, **QUICK, checks=False)
    assert silent.warnings == silent.outliers == ()


def test_bad_labels_barely_change_a_robust_fit(truth, clean):
    """5 % of the labels are wrong; errors on labels that are right stay as they were."""
    bad, test = clean[:40], clean[40:]
    for index, change in ((7, {"energy": 3.0}), (23, {"forces": 23.06})):
        bad = changed(bad, index, **change)
    noise = 0.02 * np.random.default_rng(0).normal(size=truth.radial_coeffs.shape)
    near = replace(truth, radial_coeffs=truth.radial_coeffs + noise)
    options = {"potential": near, "max_iterations": 15, "test": test}

    def rmse(result):
        found = result.test_errors.groups["all"]
        return found["energy_per_atom"].rmse, found["force_component"].rmse

    right, robust = mentor.train(clean[:40], **options), mentor.train(bad, **options, robust=True)
    pulled = mentor.train(bad, **options)
    assert rmse(robust)[0] <= 1.5 * rmse(right)[0] + 2e-4
    assert rmse(robust)[1] <= 1.5 * rmse(right)[1] + 1e-3
    assert rmse(pulled)[1] >= 5 * rmse(robust)[1]
    assert [each.number for each in robust.history] == list(range(len(robust.history)))
    with pytest.raises(InputError, match="robust fit cannot be resumed"):
        mentor.train(bad, **QUICK, robust=True, resume=True, output="pot.mtp")


def test_weights_of_groups_and_species_multiply_the_loss(clean):
    nb = neighbourhoods(clean, 4.5, ("Ag", "Pd"))
    before = labelled_set(clean, nb, Weights())
    chosen = weighted(clean, {"cold": 0.25}, {"Pd": 4.0})
    after = labelled_set(chosen, nb, Weights())
    cold = np.array([atoms.info["config_type"] == "cold" for atoms in clean])
    factor = np.where(cold, 0.5, 1.0)
    of_atoms = np.repeat(factor, nb.atom_counts) * np.where(nb.types == 1, 2.0, 1.0)
    for name, factors in (
        ("energy_weights", factor),
        ("force_weights", of_atoms),
        ("virial_weights", factor[:, None]),
    ):
        assert np.abs(getattr(after, name) - factors * getattr(before, name)).max() <= 1e-12
    assert "weight" not in clean[0].info


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"group_weights": {"hott": 2.0}}, "no structure of group 'hott'.*did you mean hot"),
        ({"group_weights": {"hot": -1.0}}, "hot = -1 must be a number ≥ 0"),
        ({"group_weights": {"hot": "2"}}, "hot = '2' must be a number ≥ 0"),
        ({"group_weights": {"hot": 0, "cold": 0}}, "are 0 for all structures"),
        ({"species_weights": {"Cu": 2.0}}, "no structure of species 'Cu'"),
    ],
)
def test_weights_that_make_no_sense(clean, weights, message):
    with pytest.raises(InputError, match=message):
        mentor.train(clean, **QUICK, **weights)


def test_own_weights_of_a_structure_that_make_no_sense(clean):
    wrong = weighted(clean, {"hot": 1.0, "cold": 2.0})
    wrong[4].arrays["force_weight"] = np.full(len(wrong[4]), -1.0)
    with pytest.raises(InputError, match="structure 4: the force weights of its atoms"):
        mentor.train(wrong, **QUICK)


def test_log_and_plots_lie_beside_the_output(clean, tmp_path):
    result = mentor.train(clean, **QUICK, output=tmp_path / "pot.mtp", test=clean[:3])
    lines = list(csv.DictReader((tmp_path / "pot.csv").read_text().splitlines()))
    assert [int(line["iteration"]) for line in lines] == [each.number for each in result.history]
    assert float(lines[-1]["seconds"]) >= float(lines[1]["seconds"]) > 0
    assert (tmp_path / "pot.png").read_bytes().startswith(b"\x89PNG")
    assert result.test_errors.counts == {"cold": 1, "hot": 2, "all": 3}
    (tmp_path / "pot.png").unlink()
    mentor.train(clean, **QUICK, output=tmp_path / "pot.mtp", plots=False)
    assert not (tmp_path / "pot.png").exists()


def test_progress_is_told_each_iteration(clean):
    """With errors of both sets, and a total that becomes what is really done."""
    notes, totals = [], []

    class Task(progress.Task):
        def advance(self, steps=1, note=None):
            notes.append(note)

        def extend(self, total):
            totals.append(total)

    class Listener(progress.Reporter):
        def task(self, description, total=None):
            return Task() if description == "fit" else progress.Task()

    with progress.reporting(Listener()):
        result = mentor.train(clean, **{**QUICK, "max_iterations": 60}, validation_fraction=0.2)
    assert len(notes) == len(result.history) - 1
    assert "train" in notes[0]
    assert "validation" in notes[0]
    assert totals[-1] == len(result.history)


def test_time_left_is_foreseen_from_how_the_loss_falls():
    """A loss that falls ever more slowly: where the fit will end is told well before."""

    def history(count):
        values = [1.0 + 5.0 * 0.9**k for k in range(count)]
        return tuple(
            Iteration(k, Loss(value, 0.0, 0.0, 0.0), None, 1.0, True)
            for k, value in enumerate(values)
        )

    end = next(
        k for k in range(11, 200) if history(k)[-1].loss.value >= 0.99 * history(k)[-11].loss.value
    )
    assert end >= 50
    foreseen = [count + iterations_left(history(count), 0.01, 1000) for count in range(40, end)]
    assert max(abs(each - end) for each in foreseen) <= 15
    assert iterations_left(history(5), 0.01, 100) == 96
    assert iterations_left(history(30), 0.0, 100) == 71
    assert iterations_left(history(40), 0.01, 45) == 6


def test_weights_on_the_command_line_and_in_a_file(clean, tmp_path):
    ase.io.write(tmp_path / "data.xyz", clean)

    def read(*words):
        command = COMMANDS["train"]
        words = ("data.xyz", "--output", "p.mtp", *words)
        return settings(command, vars(parser(command).parse_args(list(words))))

    given = read("--group-weights", "hot=0.1,cold=2", "--species-weights", "Ag=3")
    assert given.group_weights == {"hot": 0.1, "cold": 2.0}
    assert given.species_weights == {"Ag": 3.0}
    (tmp_path / "t.toml").write_text("level = 4\n[group_weights]\nhot = 0.5\n")
    assert read("--config", str(tmp_path / "t.toml")).group_weights == {"hot": 0.5}
    for wrong in ("hot", "hot=much", "=2"):
        with pytest.raises(UsageError, match=f"--group-weights {wrong} is not NAME=NUMBER"):
            read("--group-weights", wrong)
