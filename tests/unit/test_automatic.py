"""Settings that a beginner never touches: chosen by validation, within a budget, repeatably."""

import json

import numpy as np
import pytest
from ase.build import bulk, molecule

import mentor
import samples
from mentor.basis import LEVEL_WEIGHTS, generate
from mentor.exceptions import InputError, StorageError
from mentor.fit import automatic, search
from mentor.fit.automatic import parse_budget
from mentor.fit.beginning import RADIAL_BASIS_SIZE
from mentor.fit.choice import CLOSE, Candidate, Setting, judged
from mentor.fit.survey import by_kind, held_out, suitable_cutoffs
from mentor.structures import with_labels

QUICK = {"starts": 2, "max_iterations": 6, "checks": False}


def labelled(potential, count):
    structures = []
    for seed in range(count):
        atoms = samples.structure("triclinic crystal" if seed % 3 else "molecule", 2, seed)
        atoms.info["group"] = "crystal" if seed % 3 else "molecule"
        atoms.calc = potential.calculator()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        structures.append(with_labels(atoms, energy=energy, forces=forces))
    return structures


@pytest.fixture(scope="module")
def data():
    return labelled(samples.potential(2, level=8, seed=3), 30)


@pytest.fixture(scope="module")
def result(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("chosen") / "pot.mtp"
    return mentor.train(data, budget="1h", output=output, **QUICK)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), (" 2 min ", 120), (".5m", 30)]
)
def test_budgets(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "0s", "-5m", "ten minutes", "1d", 600])
def test_budgets_that_are_no_times(data, text):
    with pytest.raises(InputError, match=r"is not a time; write for example 90s, 10m or 1h"):
        mentor.train(data, budget=text, **QUICK)


def test_the_chosen_setting_is_that_of_the_potential(result):
    level, cutoff, size, weights = result.choice.chosen.setting
    assert result.potential.max_dist == cutoff
    assert result.potential.radial_basis_size == size
    assert result.potential.parameter_count == result.choice.chosen.parameters
    blank = mentor.init(level=level, level_weights=weights, elements=("Ag",), min_dist=1.0)
    assert result.potential.scalar_count == blank.scalar_count


def test_the_chosen_row_is_on_the_front_and_close_to_the_best(result):
    rows, chosen = result.choice.rows, result.choice.chosen
    assert len({row.setting for row in rows}) == len(rows) >= 5
    assert [row.cost for row in rows] == sorted(row.cost for row in rows)
    assert chosen.on_front
    assert chosen.error <= CLOSE * min(row.error for row in rows)
    assert {row.setting.level for row in rows} >= {6, 8, 10}


def test_the_table_is_shown_printed_as_json_and_written(result):
    document = json.loads(json.dumps(result.as_dict()["choice"], allow_nan=False))
    assert len(document["rows"]) == len(result.choice.rows)
    assert sum(row["chosen"] for row in document["rows"]) == 1
    assert document["level"] == result.choice.chosen.setting.level
    record = result.output.with_name("pot-choice.json")
    assert json.loads(record.read_text()) == document
    assert {record, record.with_suffix(".png")} <= set(result.files)
    assert all(path.exists() for path in result.files)
    shown = " ".join(samples.shown(result).split())
    assert "accuracy against cost" in shown
    assert f"the same again: {result.choice.options}" in shown


def test_the_settings_chosen_make_the_same_potential_without_a_search(result, data):
    """Else nobody could repeat a training on a machine of another speed."""
    settings = result.choice.chosen.setting._asdict()
    again = mentor.train(data, **settings, **{**QUICK, "starts": result.choice.starts})
    assert again.choice is None
    assert np.array_equal(again.potential.parameters, result.potential.parameters)


def test_with_an_ample_budget_the_choice_depends_on_nothing_but_the_seed(result, data):
    again = mentor.train(data, budget="1h", **QUICK)
    errors = {row.setting: row.error for row in result.choice.rows}
    assert {row.setting: row.error for row in again.choice.rows} == errors


@pytest.mark.parametrize(
    "given",
    [
        {"level": 6},
        {"cutoff": 4.5},
        {"level": 6, "radial_basis_size": 4},
        {"radial_basis_size": 4},
        {"level_weights": (3, 2, 2), "cutoff": 4.5},
    ],
)
def test_what_is_given_is_kept(data, given):
    rows = mentor.train(data, **given, **QUICK).choice.rows
    for name, value in given.items():
        assert {getattr(row.setting, name) for row in rows} == {value}
    assert len(rows) > 1


def test_other_weights_of_levels_are_tried_and_named(result):
    """Else molecules would get a slower potential than need be."""
    settings = [row.setting for row in result.choice.rows]
    assert {each.level_weights for each in settings} == {LEVEL_WEIGHTS, automatic.OTHER_WEIGHTS}
    for usual, level in zip(automatic.LEVELS, automatic._levels((3, 2, 2)), strict=True):
        assert len(generate(level, level_weights=(3, 2, 2)).scalars) >= len(generate(usual).scalars)
    other = Setting(18, 4.5, 8, (3, 2, 2))
    assert other.options == "--level 18 --level-weights 3,2,2 --cutoff 4.5 --radial-basis-size 8"
    assert other.named_level == "18 (3,2,2)"
    assert "weights" not in Setting(18, 4.5, 8).options


def test_a_validation_set_that_is_given_judges(data):
    result = mentor.train(data[:24], validation=data[24:], level=6, **QUICK)
    fitted = result.choice.rows[0].structures
    assert fitted == 24  # none is set aside beside it


def test_few_structures_get_a_low_level_without_validation(data):
    result = mentor.train(data[:5], **QUICK)
    (row,) = result.choice.rows
    assert row.chosen
    assert row.setting.level <= 8
    assert row.as_dict()["validation_error"] is None
    assert "none can be spared for validation" in result.choice.reason


def test_with_level_and_cutoff_the_radial_basis_is_not_searched_for(data):
    result = mentor.train(data, level=6, cutoff=4.5, max_iterations=2, starts=1)
    assert result.choice is None
    assert result.potential.radial_basis_size == RADIAL_BASIS_SIZE


@pytest.mark.parametrize("count", [10, 13])
def test_small_sets_are_judged_by_three_structures_at_least(data, count):
    """One or two would leave the choice to chance."""
    result = mentor.train(data[:count], level=6, **QUICK)
    assert {row.structures for row in result.choice.rows} == {count - 3}


def test_all_groups_are_among_those_set_aside(data):
    order = by_kind(data, 0)
    assert sorted(order) == list(range(len(data)))
    held = held_out(data, order)
    assert len(held) == 6
    assert {data[s].info["group"] for s in held} == {"crystal", "molecule"}
    assert by_kind(data, 0) == order != by_kind(data, 1)


def test_only_structures_with_energies_validate(data):
    bare = [with_labels(atoms, forces=atoms.get_forces()) for atoms in data]
    mixed = [atoms if s % 2 else bare[s] for s, atoms in enumerate(data)]
    held = held_out(mixed, by_kind(mixed, 0))
    assert all(s % 2 for s in held)


def test_a_budget_that_is_over_at_once_still_gives_a_potential(data):
    result = mentor.train(data, budget="0.01s", **QUICK)
    assert np.isfinite(result.errors.groups["all"]["energy_per_atom"].rmse)


def test_a_choice_that_the_budget_forced_says_so(data, monkeypatch):
    """The table would contradict a reason that names the least error."""
    monkeypatch.setattr(search.Search, "_final", lambda self, size, starts=1: 10.0 * size)
    monkeypatch.setattr(search.Search, "obstacle", lambda self, setting: "")
    monkeypatch.setattr(search.Search, "_reserve", lambda self, *sizes: 0.0)
    result = mentor.train(data, budget="60s", **QUICK)
    assert result.choice.chosen.parameters == min(row.parameters for row in result.choice.rows)
    assert "whose fit to all structures the budget allows" in result.choice.reason


def test_an_interrupted_search_leaves_no_files(data, tmp_path, monkeypatch):
    calls = []

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return mentor.fit.fit(*arguments, **options)

    monkeypatch.setattr(search, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mentor.train(data, output=tmp_path / "pot.mtp", **QUICK)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_done_is_said_before_the_search(data, tmp_path, monkeypatch):
    monkeypatch.setattr(search, "fit", None)
    with pytest.raises(InputError, match="give those that were chosen"):
        mentor.train(data, output=tmp_path / "pot.mtp", resume=True, **QUICK)
    with pytest.raises(StorageError, match="there is no such folder"):
        mentor.train(data, output=tmp_path / "absent" / "pot.mtp", **QUICK)
    with pytest.raises(InputError, match="level = 7 is odd"):
        mentor.train(data, level=7, **QUICK)
    with pytest.raises(InputError, match="radial_basis_size = 0 must be at least 1"):
        mentor.train(data, radial_basis_size=0, **QUICK)


def test_cutoffs_follow_the_density_or_the_size_of_molecules():
    silver = suitable_cutoffs([bulk("Ag")])
    lithium = suitable_cutoffs([bulk("Li")])
    assert len(silver) == 3
    assert 4.0 <= silver[0] < silver[-1] <= 6.8
    assert lithium[0] > silver[0]
    assert suitable_cutoffs([molecule("C60")]) == (4.0, 5.0, 6.0)
    assert max(suitable_cutoffs([molecule("CH3OH")])) < 4.0
    assert suitable_cutoffs([molecule("H2")])[-1] >= 3.0


def candidate(cost, error, level):
    return Candidate(Setting(level, 5.0, 8), 50, error, error, error, 20, 1.0, cost=cost)


def test_the_cheapest_close_to_the_best_is_chosen():
    tried = [
        candidate(1, 3.0, 6),
        candidate(2, 1.04, 8),
        candidate(4, 1.0, 12),
        candidate(3, 1.5, 10),
    ]
    rows = judged(tried, [True] * 4)
    assert [row.setting.level for row in rows] == [6, 8, 10, 12]
    assert [row.on_front for row in rows] == [True, True, False, True]
    assert next(row for row in rows if row.chosen).setting.level == 8
    rows = judged(tried, [True, False, True, True])  # the fit of level 8 would take too long
    assert next(row for row in rows if row.chosen).setting.level == 12
