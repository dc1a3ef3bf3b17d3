"""Few labels: the mean of several fits errs less than each, and one potential learns it."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.constraints import FixBondLength
from ase.io import write

import mentor
import samples
from mentor import progress
from mentor.cli.main import main
from mentor.exceptions import InputError
from mentor.fit import TrainResult, checkpoint
from mentor.fit.committee import COLDEST, Committee
from mentor.structures import labels, with_labels

QUICK = {"level": 12, "cutoff": 4.0, "starts": 1, "tolerance": 0.03, "plots": False}
SMALL = QUICK | {"level": 4, "checks": False}


@pytest.fixture(scope="module")
def few():
    return samples.methanol(20)


def forces_rmse(result: TrainResult) -> float:
    return result.test_errors.groups["all"]["force_component"].rmse


@pytest.fixture(scope="module")
def taught(few, tmp_path_factory):
    """A potential that a committee has taught, beside its files; and one of the same labels."""
    path, unseen = tmp_path_factory.mktemp("committee") / "taught.mtp", samples.methanol(40, 1)
    write(path.with_name("unseen.xyz"), unseen)
    options = QUICK | {"checks": False, "test": unseen}
    return (
        path,
        mentor.train(few, committee=3, output=path, **options),
        mentor.train(few, **options),
    )


def test_a_committee_makes_the_most_of_few_labels(taught):
    """The reason for it; and one that runs as fast as any other of its level."""
    path, result, alone = taught
    assert forces_rmse(result) <= 0.8 * forces_rmse(alone)
    assert result.potential.scalar_count == alone.potential.scalar_count
    assert mentor.load(path).parameter_count == result.potential.parameter_count


def test_the_lesson_is_told(taught):
    _, result, _ = taught
    lesson = result.lesson
    assert abs(lesson.temperature - 600.0) <= 120.0
    assert lesson.as_dict().keys() >= {"members", "structures", "temperature_K"}
    told = f"taught by a committee of 3 on {lesson.structures} structures"
    assert told in samples.shown(result, width=400)
    assert json.dumps(result.as_dict()["committee"])


def test_its_intervals_are_honest(taught):
    """A fit to what a committee says knows that too well; the truth it does not."""
    path, _, _ = taught
    table = mentor.errors(path, path.with_name("unseen.xyz"), uncertainty=True)
    inside, wide = table.groups["all"]["force_component"].within
    assert 0.55 <= inside <= 0.85
    assert 0.85 <= wide <= 0.995


def test_nothing_but_results_is_left_behind(taught):
    path, _, _ = taught
    assert not list(path.parent.glob("*checkpoint*"))
    assert not path.with_suffix(".memory").exists()


@pytest.mark.parametrize("fit", ["pot-1", "pot"])
def test_an_interrupted_training_goes_on_where_it_was(few, tmp_path, monkeypatch, fit):
    """During the second member, or when the members are done."""
    options = SMALL | {"committee": 2, "output": tmp_path / "pot.mtp"}
    few = few[:8]
    whole = mentor.train(few, **options | {"output": tmp_path / "whole.mtp"})
    save, calls = checkpoint.save, Counter()

    def interrupted(path: Path, *arguments: object) -> None:
        save(path, *arguments)
        calls[path.stem] += 1
        if calls[fit] == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mentor.train(few, **options)
    done = calls["pot-0"]
    resumed = mentor.train(few, resume=True, **options)
    assert np.array_equal(resumed.potential.parameters, whole.potential.parameters)
    assert calls["pot-0"] == done
    assert not list(tmp_path.glob("*checkpoint*"))
    with pytest.raises(InputError, match="leave resume out"):
        mentor.train(few, resume=True, **options)


def test_members_that_are_at_odds_teach_nothing_there():
    """Dynamics on the mean of potentials that do not know the structure ends at once."""
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=0)
    atoms.set_constraint(FixBondLength(0, 1))
    known = [with_labels(atoms, -3.0, 0.1 * np.ones((4, 3)))]
    strangers = Committee(tuple(samples.potential(3, seed=seed) for seed in range(3)))
    friends = Committee((samples.potential(3, seed=0),) * 3)
    assert strangers.explored(known, 300.0, [3], seed=0) == []
    met = friends.explored(known, 300.0, [3], seed=0)
    assert len(met) == 3
    assert not np.allclose(met[0].positions, met[1].positions)


def test_stresses_are_taught_where_there_are_some():
    crystal = bulk("Cu", cubic=True)
    crystal.rattle(0.05, seed=0)
    committee = Committee(tuple(samples.potential(3, seed=seed) for seed in range(2)))
    for stress in (np.ones(6), None):
        known = [with_labels(crystal, -3.0, np.zeros((4, 3)), stress)]
        (taught,), _ = committee.labelled(known, stress is not None)
        found = labels(taught)
        assert (found.virial is None) == (stress is None)


def test_cold_labels_are_explored_at_room_temperature():
    """Relaxed structures alone would teach nothing about forces."""
    crystal = bulk("Cu", cubic=True)
    committee = Committee((samples.potential(3),) * 2)
    known = [with_labels(crystal, -3.0, np.zeros((4, 3)))]
    assert committee.temperature(known, np.random.default_rng(0)) == COLDEST


def test_where_labels_are_few_a_committee_is_suggested(few):
    """Who does not know of it needs it most; who has enough labels is left in peace."""
    said = []

    class Hearing(progress.Reporter):
        def message(self, text: str) -> None:
            said.append(text)

    with progress.reporting(Hearing()):
        mentor.train(few[:4], **SMALL, max_iterations=1)
        assert any("committee = 8" in text for text in said)
        said.clear()
        mentor.train(few * 4, **SMALL, max_iterations=1)
    assert not said


def test_what_a_committee_cannot_do_is_said(few, capsys, tmp_path):
    with pytest.raises(InputError, match="committee = 0 must be at least 1"):
        mentor.train(few, committee=0)
    with pytest.raises(InputError, match="leave out potential or committee"):
        mentor.train(few, committee=2, potential=samples.potential())
    write(tmp_path / "few.xyz", few)
    options = ["--committee", "-1", "--output", str(tmp_path / "pot.mtp")]
    assert main(["train", str(tmp_path / "few.xyz"), *options]) == 1
    assert "committee = -1" in capsys.readouterr().err
