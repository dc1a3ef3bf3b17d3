"""Settings classes: the same names in Python, TOML, on the command line and in the docs."""

import importlib.util
import inspect
import re
from dataclasses import FrozenInstanceError, dataclass, fields
from pathlib import Path

import pytest

import mentor
from mentor.cli.commands import COMMANDS
from mentor.cli.options import options, parser
from mentor.exceptions import InputError
from mentor.settings import command, option

DOCS = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True, kw_only=True)
class SumSettings:
    first: int = option(help="First.", positional=True)
    second: int = option(2, "Second.")
    names: dict = option({}, "Names.")
    sign: str = option("plus", "Sign.", choices=("plus", "minus"))


@command(SumSettings)
def total(settings: SumSettings) -> int:
    """Add."""
    return settings.first + settings.second


def test_arguments_and_a_settings_object_are_the_same():
    assert total(1) == total(first=1) == total(SumSettings(first=1)) == 3
    assert total(1, second=5) == 6


def test_misspelt_argument_raises():
    with pytest.raises(TypeError, match=r"total\(\) got an unexpected keyword argument 'secnod'"):
        total(1, secnod=3)


def test_too_many_positional_arguments_raise():
    with pytest.raises(TypeError, match="takes 1 positional arguments"):
        total(1, 2)


def test_choices_are_checked():
    with pytest.raises(InputError, match="sign = 'times' is not one of plus, minus"):
        total(1, sign="times")


def test_defaults_are_not_shared():
    assert SumSettings(first=1).names is not SumSettings(first=1).names


@pytest.fixture(scope="module")
def documented() -> dict[str, set[str]]:
    """Command -> names of its options on the docs page."""
    spec = importlib.util.spec_from_file_location("command_pages", DOCS / "command_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages = re.split(r"^### mentor ([\w ]+)$", module.reference(), flags=re.MULTILINE)
    return {
        verb: {
            name.removeprefix("--").removesuffix("…").lower().replace("-", "_")
            for name in re.findall(r"^\| `([^`]+)` \|", text.split("\n## ")[0], flags=re.MULTILINE)
        }
        for verb, text in zip(pages[1::2], pages[2::2], strict=True)
    }


COMMON = {"config", "json", "quiet", "debug", "help"}


@pytest.mark.parametrize("verb", COMMANDS)
def test_fields_arguments_options_and_docs_agree(verb, documented):
    function = COMMANDS[verb].function
    declared = fields(function.settings_class)
    names = {each.name for each in declared}
    outside = {each.name for each in declared if not each.metadata.get("python_only")}

    assert function.__name__ == verb.split()[-1]
    assert set(inspect.signature(function).parameters) == names
    assert {each.name for each in options(function.settings_class)} == outside
    on_command_line = {action.dest for action in parser(COMMANDS[verb])._actions}
    assert on_command_line == outside | COMMON
    assert documented[verb] == outside


@pytest.mark.parametrize("verb", COMMANDS)
def test_settings_are_frozen_and_explained(verb):
    settings_class = COMMANDS[verb].settings_class
    assert settings_class.__dataclass_params__.frozen
    assert settings_class.__doc__
    for each in fields(settings_class):
        help = each.metadata["help"]
        assert help.endswith("."), f"{each.name}: {help!r}"
        assert each.name not in COMMON


def test_settings_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        SumSettings(first=1).second = 3


def test_every_name_of_the_package_can_be_imported():
    for name in mentor.__all__:
        assert getattr(mentor, name) is not None
    assert set(mentor.__all__) <= set(dir(mentor))


def test_misspelt_name_of_the_package_raises():
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        mentor.trian  # noqa: B018


def test_no_module_hides_a_command():
    folder = Path(mentor.__file__).parent
    modules = {path.stem for path in folder.iterdir()}
    assert not modules & set(COMMANDS)
