"""A fit that ends far higher than it descends: the prior there is what structures set aside say."""

import numpy as np
import pytest

import mentor
import samples
from mentor.exceptions import InputError
from mentor.fit import checkpoint, least_squares
from mentor.fit.growth import grown
from mentor.fit.least_squares import Problem, advance, begin
from mentor.fit.loss import Weights, labelled_set
from mentor.neighbourhoods import neighbourhoods

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
    """150 structures, 19 labels each."""
    return samples.methanol(150)


@pytest.fixture(scope="module")
def unseen():
    return samples.methanol(60, 1)


@pytest.fixture(scope="module")
def low(many):
    return mentor.train(many, **QUICK).potential


def higher(low, many, unseen, level):
    """The potential at a higher level, solved for once, and its force RMSE in eV/Å."""
    options = {name: QUICK[name] for name in ("level_weights", "checks")}
    result = mentor.train(
        many, potential=low, level=level, max_iterations=0, test=unseen, **options
    )
    return result.potential, result.test_errors.groups["all"]["force_component"].rmse


def test_one_solve_halves_the_errors(low, many, unseen):
    """Without a single iteration, with a parameter for every three labels."""
    before = mentor.errors(low, unseen).groups["all"]["force_component"].rmse
    large, after = higher(low, many, unseen, 22)
    assert large.parameter_count > len(many) * 19 / 3
    assert after <= 0.6 * before


def test_structures_set_aside_choose_better_than_the_evidence(low, many, unseen, monkeypatch):
    """It takes misfit for noise where there is none."""
    judged = higher(low, many, unseen, 22)[1]
    monkeypatch.setattr(least_squares, "_LEAST_JUDGES", len(many) + 1)
    assert judged <= 0.85 * higher(low, many, unseen, 22)[1]


def test_the_evidence_has_no_say_in_the_steps_that_follow(low, many):
    """It would call the prior back by a factor of ten every third step."""
    large = grown(low, level=18, level_weights=(3, 2, 2))
    nb = neighbourhoods(many, large.max_dist, large.elements)
    problem = Problem(large, labelled_set(many, nb, Weights()))
    state = begin(problem, large.parameters)
    assert state.prior.judged
    before = state.prior.moments
    while state.successes < 4 and not state.exhausted:
        state = advance(problem, state)
    assert 0.1 * before <= state.prior.moments <= 10.0 * before


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


def test_in_one_training(low, many, unseen, tmp_path):
    """As one after the other, with nothing but results left behind."""
    path = tmp_path / "high.mtp"
    options = {"higher_levels": (18, 22), "higher_iterations": 1, "test": unseen}
    result = mentor.train(many, output=path, **QUICK, **options)
    by_hand = low
    for level in (18, 22):
        own = {name: QUICK[name] for name in ("level_weights", "checks")}
        by_hand = mentor.train(
            many, potential=by_hand, level=level, max_iterations=1, **own
        ).potential
    assert np.array_equal(result.potential.parameters, by_hand.parameters)
    assert len(result.history) == 2
    names = {each.name for each in tmp_path.iterdir()}
    assert names == {
        *("high.mtp", "high.csv", "high-18.csv", "high-22.csv"),
        *("high.posterior", "high.memory"),
    }


@pytest.mark.parametrize("after", [2, 4, 7])
def test_an_interrupted_training_goes_on_where_it_was(many, tmp_path, monkeypatch, after):
    """In the first fit, at the first and at the last of the higher levels."""
    options = QUICK | {"max_iterations": 3, "tolerance": 0.0, "posterior": False}
    options |= {"higher_levels": (16, 18), "higher_iterations": 2, "output": tmp_path / "pot.mtp"}
    expected = mentor.train(many, **options).potential
    write, written = checkpoint.save, []

    def stopping(path, stand, mark):
        write(path, stand, mark)
        written.append(path)
        if len(written) == after:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", stopping)
    with pytest.raises(KeyboardInterrupt):
        mentor.train(many, **options)
    monkeypatch.setattr(checkpoint, "save", write)
    resumed = mentor.train(many, resume=True, **options).potential
    assert np.array_equal(resumed.parameters, expected.parameters)
    assert not list(tmp_path.glob("*.checkpoint"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"higher_levels": (14, 18)}, "higher_levels = 14,18 must rise, from above the level, 14"),
        ({"higher_levels": (18, 16)}, "higher_levels = 18,16 must rise"),
        ({"higher_levels": (18,), "level": None}, "higher_levels need the level"),
        ({"higher_levels": (18,), "robust": True}, "neither a robust fit nor a committee"),
        ({"higher_levels": (18,), "committee": 2}, "neither a robust fit nor a committee"),
        ({"higher_levels": (18,), "higher_iterations": -1}, "must not be negative"),
    ],
)
def test_what_cannot_be_is_said_before_the_fit(many, change, message):
    with pytest.raises(InputError, match=message):
        mentor.train(many, **QUICK | change)
