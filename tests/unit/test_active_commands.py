"""The commands grade and select."""

import numpy as np
import pytest
from ase.build import bulk
from test_active import crystals

import mentor
import samples
from mentor.exceptions import InputError
from mentor.formats import read_structures, write_structures


@pytest.fixture
def folder(tmp_path):
    samples.potential().save(tmp_path / "pot.mtp")
    write_structures(tmp_path / "train.xyz", crystals(0, 20))
    write_structures(tmp_path / "new.xyz", [*crystals(1, 5), bulk("Pd", a=4.0), bulk("Ag", a=3.0)])
    return tmp_path


@pytest.mark.parametrize("mode", ["neighborhood", "configuration"])
def test_grade_with_a_training_set_and_then_with_its_active_set(folder, mode):
    first = mentor.grade(
        folder / "pot.mtp",
        folder / "new.xyz",
        training=folder / "train.xyz",
        mode=mode,
        active_set=folder / "pot.almtp",
        output=folder / "graded.xyz",
    )
    again = mentor.grade(folder / "pot.almtp", folder / "new.xyz")
    assert first.mode == again.mode == mode
    assert np.array_equal(first.grades, again.grades)
    assert first.grades.argmax() in (5, 6)
    as_dict = first.as_dict()
    assert as_dict["largest"] == first.grades.max()
    assert as_dict["new"] == np.count_nonzero(first.grades > 2.1)
    assert [len(each["atoms"]) for each in as_dict["structures"]] == [4] * 5 + [1, 1]
    written = read_structures(folder / "graded.xyz")
    assert np.abs(written[0].arrays["grades"] - first.structures[0].arrays["grades"]).max() <= 1e-7
    assert first.__rich__().row_count == 7


def test_grade_needs_an_active_set(folder):
    with pytest.raises(InputError, match=r"has no active set; give an \.almtp file"):
        mentor.grade(folder / "pot.mtp", folder / "new.xyz")


@pytest.mark.parametrize("with_potential", [True, False])
def test_select(folder, with_potential):
    options = {"potential": folder / "pot.mtp"} if with_potential else {"level": 6}
    selection = mentor.select(
        folder / "train.xyz", folder / "new.xyz", output=folder / "selected.xyz", **options
    )
    assert {5, 6} <= set(selection.indices)
    written = read_structures(folder / "selected.xyz")
    assert [len(atoms) for atoms in written] == [len(atoms) for atoms in selection.structures]
    as_dict = selection.as_dict()
    assert as_dict["candidates"] == 7
    assert [each["index"] for each in as_dict["selected"]] == list(selection.indices)
    assert all(each["grade"] > 2.1 for each in as_dict["selected"])
    limited = mentor.select(folder / "train.xyz", folder / "new.xyz", limit=1, **options)
    assert limited.indices == selection.indices[:1]


def test_nothing_to_select(folder):
    selection = mentor.select(
        folder / "train.xyz", folder / "train.xyz", level=6, output=folder / "none.xyz"
    )
    assert selection.indices == ()
    assert selection.output is None
    assert not (folder / "none.xyz").exists()


def test_mode_is_checked(folder):
    with pytest.raises(InputError, match="mode = 'atoms' is not one of"):
        mentor.select(folder / "train.xyz", folder / "new.xyz", mode="atoms")
