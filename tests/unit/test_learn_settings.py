"""campaign.toml: what it means, and what is said when it is wrong."""

from dataclasses import fields, is_dataclass

import pytest

from mentor.exceptions import InputError
from mentor.learning.settings import (
    CampaignSettings,
    EngineSettings,
    StructureSettings,
    check,
    fixed_entries,
    read_settings,
    settings_from_dict,
)

GOOD = """
[structures]
start = "a.xyz"
[engine]
name = "tblite"
parameters = { method = "GFN2-xTB", kpts = [2, 2, 2] }
[potential]
min_dist = 1
elements = ["H", "O"]
[explore]
temperatures = [300, 600.5]
steps = 1_000
[run]
seed = 7
"""


def write(tmp_path, text):
    path = tmp_path / "campaign.toml"
    path.write_text(text)
    return path


def test_entries_take_their_types(tmp_path):
    settings = read_settings(write(tmp_path, GOOD))
    assert settings.structures.start == (tmp_path / "a.xyz",)
    assert settings.engine.parameters == {"method": "GFN2-xTB", "kpts": [2, 2, 2]}
    assert settings.potential.min_dist == 1.0
    assert isinstance(settings.potential.min_dist, float)
    assert settings.potential.elements == ("H", "O")
    assert settings.explore.temperatures == (300.0, 600.5)
    assert settings.explore.steps == 1000
    assert settings.run.seed == 7
    assert settings.select.threshold == 2.1


def test_settings_survive_json(tmp_path):
    settings = read_settings(write(tmp_path, GOOD))
    assert settings_from_dict(settings.as_dict()) == settings


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "steps = 1_000",
            "stepps = 1_000",
            r"campaign\.toml:12: unknown entry 'stepps' in "
            r"\[explore\]; did you mean steps\?",
        ),
        (
            "[explore]",
            "[explor]",
            r"campaign\.toml:10: unknown table 'explor'; did you mean explore",
        ),
        ("steps = 1_000", "steps = 'many'", r":12: \[explore\] steps = 'many' should be a whole"),
        (
            "steps = 1_000",
            "steps = 10.5",
            r":12: \[explore\] steps = 10.5 should be a whole number",
        ),
        (
            "steps = 1_000",
            "steps = true",
            r":12: \[explore\] steps = True should be a whole number",
        ),
        ("seed = 7", "seed = -1", r"\[run\] seed = -1 must be at least 0"),
        ("seed = 7", "seed = ", r"not valid TOML: .*line 14"),
        ("[300, 600.5]", "[300, -5]", r"\[explore\] temperatures = -5.0 must be at least 0"),
        ("[300, 600.5]", "[300, nan]", r"\[explore\] temperatures = nan must be at least 0"),
        ("[300, 600.5]", "[]", "temperatures is empty"),
        ('start = "a.xyz"', "", r"no starting structure; add start"),
        ('start = "a.xyz"', "start = 5", r":3: \[structures\] start = 5 should be a file name"),
        ('name = "tblite"', "", r"no engine; add name"),
        ("[run]", "[select]\nthreshold = 11\n[run]", r"along <= threshold < stop"),
        ("[run]", "[select]\nmode = 'atoms'\n[run]", r"mode = 'atoms' is not one of neighborhood"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(old, new, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        read_settings(write(tmp_path, GOOD.replace(old, new)))
    assert "\n" not in str(caught.value)


def test_table_given_as_a_value(tmp_path):
    with pytest.raises(InputError, match=r"campaign\.toml.*explore is a table; write \[explore\]"):
        read_settings(write(tmp_path, "explore = 5\n"))


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_settings(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"binary\.toml"):
        read_settings(tmp_path / "binary.toml")


def test_only_entries_without_influence_on_the_result_may_change(tmp_path):
    settings = read_settings(write(tmp_path, GOOD))
    text = GOOD.replace("seed = 7", "seed = 7\nworkers = 3")
    text = text.replace('name = "tblite"', 'name = "tblite"\ntime_limit = 5\nretries = 9')
    assert fixed_entries(read_settings(write(tmp_path, text))) == fixed_entries(settings)
    for old, new in (("seed = 7", "seed = 8"), ("GFN2", "GFN1"), ("1_000", "1_001")):
        other = read_settings(write(tmp_path, GOOD.replace(old, new)))
        assert fixed_entries(other) != fixed_entries(settings)


def test_settings_made_in_python_are_checked():
    with pytest.raises(InputError, match="no starting structure"):
        check(CampaignSettings())
    settings = CampaignSettings(
        structures=StructureSettings(start=("a.xyz",)), engine=EngineSettings(name="emt")
    )
    assert check(settings) is settings


def test_every_entry_has_help():
    for table in fields(CampaignSettings):
        assert is_dataclass(table.type)
        for entry in fields(table.type):
            assert entry.metadata["help"].endswith("."), f"{table.name}.{entry.name}"
