"""A fit that ends far higher than it descends: the prior there is what structures set aside say."""

from contextlib import contextmanager

import numpy as np
import pytest

import mentor
import samples
from mentor.exceptions import InputError
from mentor.fit import checkpoint, least_squares
from mentor.fit.mean import mean_of

QUICK = {
    "level": 14,
    "level_weights": (3, 2, 2),
    "cutoff": 4.0,
    "starts": 1,
    "tolerance": 0.03,
    "checks": False,
    "plots": False,
}


@pytest.fixture(scope="module")
def many():
    """300 structures, 19 labels each."""
    return samples.methanol(300)


@pytest.fixture(scope="module")
def unseen():
    return samples.methanol(60, 1)


@pytest.fixture(scope="module")
def low(many):
    return mentor.train(many, **QUICK).potential


def higher(low, many, unseen, iterations=0):
    """The potential at a higher level, and its force MAE in eV/Å."""
    options = {name: QUICK[name] for name in ("level_weights", "checks")}
    options |= {"max_iterations": iterations, "test": unseen}
    result = mentor.train(many, potential=low, level=26, **options)
    return result.potential, result.test_errors.groups["all"]["force_component"].mae


@contextmanager
def counted(most=None):
    """The checkpoints that are written, of which the last interrupts the fit if there is a most."""
    write, written = checkpoint.save, []

    def save(path, stand, mark):
        write(path, stand, mark)
        written.append(path)
        if len(written) == most:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", save)
        yield written


@contextmanager
def interrupted(after):
    """A fit that is, after so many iterations."""
    with pytest.raises(KeyboardInterrupt), counted(after):
        yield


def test_one_solve_makes_a_third_of_the_errors(low, many, unseen):
    """Without a single iteration, with a parameter for every three or four labels."""
    before = mentor.errors(low, unseen).groups["all"]["force_component"].mae
    large, after = higher(low, many, unseen)
    assert large.parameter_count > len(many) * 19 / 4
    assert after <= before / 3


def test_structures_set_aside_choose_better_than_the_evidence(low, many, unseen, monkeypatch):
    """It takes misfit for noise where there is none. Nor may it have a say in the steps that
    follow."""
    judged = [higher(low, many, unseen, iterations)[1] for iterations in (0, 3)]
    monkeypatch.setattr(least_squares, "_LEAST_JUDGES", len(many) + 1)
    evidence = [higher(low, many, unseen, iterations)[1] for iterations in (0, 3)]
    assert judged[0] <= 0.8 * evidence[0]
    assert judged[1] <= 0.8 * evidence[1]


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (lambda x: np.exp(0.01 * (x + 17.0) ** 2), -17.0),
        (lambda x: np.exp(0.01 * (x + 7.0) ** 2), -7.0),
        (lambda x: np.exp(0.1 * x), -26.0),
        (lambda x: np.exp(-0.1 * x), -2.0),
        (lambda x: 1.0, -14.0),
        (lambda x: np.inf if x < -20.0 else 1.0 + (x + 18.0) ** 2, -18.0),
    ],
)
def test_the_least_error_is_found(error, where):
    """Wherever it is, also at the ends and where there is none."""
    assert least_squares._least(error) == pytest.approx(where, abs=1e-6)


@pytest.mark.parametrize("robust", [False, True])
def test_intervals_are_honest(low, many, unseen, tmp_path, robust):
    """Errors left out in closed form are far too small with so many parameters."""
    path = tmp_path / "high.mtp"
    options = {"level_weights": QUICK["level_weights"], "checks": robust, "plots": False}
    options |= {"max_iterations": 1, "output": path, "memory": False, "robust": robust}
    mentor.train(many, potential=low, level=26, **options)
    table = mentor.errors(path, unseen, uncertainty=True)
    covered = table.groups["all"]["force_component"].within
    assert 0.60 <= covered[0] <= 0.76
    assert 0.90 <= covered[1] <= 0.98


def test_in_one_training(many, tmp_path):
    """As one after the other, with nothing but results left behind."""
    own = {name: QUICK[name] for name in ("level_weights", "checks", "plots")}
    by_hand = mentor.train(many[:100], **QUICK, max_iterations=2).potential
    for level, iterations in ((16, 1), (20, 0)):
        options = {"potential": by_hand, "level": level, "max_iterations": iterations}
        by_hand = mentor.train(many[:100], **options, **own).potential
    options = {"higher_levels": (16, 20), "higher_iterations": (1, 0), "max_iterations": 2}
    result = mentor.train(many[:100], output=tmp_path / "high.mtp", **QUICK, **options)
    assert np.array_equal(result.potential.parameters, by_hand.parameters)
    assert len(result.history) == 1
    names = {each.name for each in tmp_path.iterdir()}
    tables = {"high.csv", "high-16.csv"}
    assert names == {"high.mtp", "high.posterior", "high.memory"} | tables


COMMITTEE = QUICK | {
    "level": 8,
    "max_iterations": 3,
    "committee": 2,
    "higher_levels": (10, 12),
    "higher_iterations": (2, 0),
}


def test_a_committee_that_grows_is_its_mean(many, unseen, tmp_path):
    """Of the fits with the seeds of its members, which do not all err alike."""
    some = many[:60]
    result = mentor.train(some, test=unseen, seed=1, output=tmp_path / "pot.mtp", **COMMITTEE)
    alone = [
        mentor.train(some, test=unseen, **COMMITTEE | {"committee": 1, "seed": seed})
        for seed in (2, 3)
    ]
    expected = mean_of([each.potential for each in alone])
    assert np.array_equal(result.potential.parameters, expected.parameters)
    mae, *others = [
        each.test_errors.groups["all"]["force_component"].mae for each in (result, *alone)
    ]
    assert mae < 0.95 * np.mean(others)
    tables = {f"pot-{name}.csv" for name in ("0", "0-10", "1", "1-10")}
    assert {path.name for path in tmp_path.iterdir()} == {"pot.mtp"} | tables


@pytest.mark.parametrize("after", [1, 4, 6, 9])
def test_an_interrupted_committee_goes_on_where_it_was(many, tmp_path, after):
    """At either level of either member; one that has finished is not fitted again."""
    options = COMMITTEE | {"output": tmp_path / "pot.mtp"}
    some = many[:60]
    expected = mentor.train(some, **options).potential
    with interrupted(after):
        mentor.train(some, **options)
    with counted() as written:
        resumed = mentor.train(some, resume=True, **options).potential
    assert np.array_equal(resumed.parameters, expected.parameters)
    assert len(written) == 10 - after
    assert {path.suffix for path in tmp_path.iterdir()} == {".mtp", ".csv"}
    assert not list(tmp_path.glob("*.member.mtp"))


@pytest.mark.parametrize(("iterations", "after"), [(3, 2), (3, 5), (3, 10), (0, 2)])
def test_an_interrupted_training_goes_on_where_it_was(
    many, tmp_path, monkeypatch, iterations, after
):
    """In the first fit, at the first and at the last of the higher levels; and where the first fit
    has no checkpoint, since it only solves. The prior stays what structures set aside chose: the
    third step that succeeds would ask the evidence otherwise."""
    monkeypatch.setattr(least_squares, "_LEAST_JUDGES", 100)
    options = QUICK | {"max_iterations": iterations, "tolerance": 0.0, "posterior": False}
    options |= {"higher_levels": (16, 18), "higher_iterations": 4, "output": tmp_path / "pot.mtp"}
    some = many[:100]
    expected = mentor.train(some, **options).potential
    with interrupted(after):
        mentor.train(some, **options)
    resumed = mentor.train(some, resume=True, **options).potential
    assert np.array_equal(resumed.parameters, expected.parameters)
    assert not list(tmp_path.glob("*.checkpoint"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"higher_levels": (14, 18)}, "higher_levels = 14,18 must rise, from above the level, 14"),
        ({"higher_levels": (18, 16)}, "higher_levels = 18,16 must rise"),
        ({"higher_levels": (18,), "level": None}, "higher_levels need the level"),
        ({"higher_levels": (18,), "robust": True}, "do not follow a robust fit"),
        ({"higher_levels": (18,), "higher_iterations": (-1,)}, "must not be negative"),
        ({"higher_levels": (18, 20, 22), "higher_iterations": (1, 0)}, "for each of the 3"),
    ],
)
def test_what_cannot_be_is_said_before_the_fit(many, change, message):
    with pytest.raises(InputError, match=message):
        mentor.train(many, **QUICK | change)
