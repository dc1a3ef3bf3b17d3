"""Settings classes as command-line options and TOML tables.

A field's annotation says which texts it takes: its int, float, bool, str and Path members, or
sequences of these. Members only Python can give (``Atoms``, ``Potential``) are left out, and so are
fields marked ``python_only``.
"""

import argparse
import inspect
import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from mentor.cli.commands import Command
from mentor.cli.usage import UsageError, nearest
from mentor.exceptions import InputError

SIMPLE = (bool, int, float, Path, str)
NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Path: "a file name",
    str: "a text",
}
METAVARS = {int: "N", float: "X", Path: "FILE", str: "TEXT"}


@dataclass(frozen=True)
class Option:
    """One field of a settings class, seen from outside Python."""

    field: Field
    scalars: frozenset[type]
    """Simple types a single value may have."""
    elements: frozenset[type]
    """Simple types the elements of a sequence may have; empty where no sequence is allowed."""

    @property
    def name(self) -> str:
        """Name in Python and TOML."""
        return self.field.name

    @property
    def flag(self) -> str:
        """Name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def positional(self) -> bool:
        """Whether it may be given without its name."""
        return bool(self.field.metadata.get("positional"))

    @property
    def many(self) -> bool:
        """Whether it takes several values."""
        return bool(self.elements)

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.field.default is MISSING and self.field.default_factory is MISSING

    @property
    def choices(self) -> tuple[str, ...]:
        """The only values allowed, where there are such."""
        return self.field.metadata.get("choices", ())

    @property
    def default(self) -> Any:
        """The default value; None where there is none."""
        if self.field.default_factory is not MISSING:
            return self.field.default_factory()
        return None if self.required else self.field.default

    @property
    def help(self) -> str:
        """The help text with the unit and the default."""
        text = self.field.metadata.get("help", "")
        unit = self.field.metadata.get("unit", "")
        default = show(self.default)
        note = f"default {default} {unit}".rstrip() if default else f"in {unit}" if unit else ""
        return f"{text} [{note}]" if note else text

    @property
    def kinds(self) -> frozenset[type]:
        """Simple types of one value, wherever it stands."""
        return self.elements or self.scalars

    def parse(self, text: str) -> Any:
        """The value of one ``text``: the narrowest of the allowed types that it fits.

        Raises
        ------
        ValueError
            The text fits none of them.
        """
        for kind in (int, float, Path, str):
            if kind in self.kinds:
                try:
                    return kind(text)
                except ValueError:
                    continue
        raise ValueError(f"{self.flag} {text} is not {self.expected}")

    def check(self, value: Any, source: Path) -> Any:
        """The value of a TOML entry, converted to the field's type.

        Raises
        ------
        InputError
            It has another type.
        """
        if isinstance(value, list) and self.elements:
            converted = tuple(_convert(each, self.elements) for each in value)
            if None not in converted:
                return converted
        elif (converted := _convert(value, self.scalars or self.elements)) is not None:
            return (converted,) if self.elements and not self.scalars else converted
        raise InputError(f"{source}: {self.name} = {value!r} is not {self.expected}")

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        one = " or ".join(NAMES[kind] for kind in SIMPLE if kind in self.kinds)
        return f"{one}, or a list of these" if self.many else one


def show(value: Any) -> str:
    """A default as one types it on the command line; empty where there is nothing to type."""
    if value is None or isinstance(value, bool | dict):
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(show(each) for each in value)
    return str(value)


def options(settings_class: type) -> tuple[Option, ...]:
    """The options of a settings class, in the order of its fields."""
    hints = get_type_hints(settings_class)
    result = []
    for each in fields(settings_class):
        if each.metadata.get("python_only"):
            continue
        scalars: set[type] = set()
        elements: set[type] = set()
        _collect(hints[each.name], scalars, elements)
        if scalars or elements:
            result.append(Option(each, frozenset(scalars), frozenset(elements)))
    return tuple(result)


def _collect(hint: Any, scalars: set[type], elements: set[type]) -> None:
    """Sort the simple types of an annotation into single values and elements of sequences."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        for member in get_args(hint):
            _collect(member, scalars, elements)
    elif origin is Literal:
        scalars.update(type(value) for value in get_args(hint))
    elif origin in (tuple, list, Sequence):
        for member in get_args(hint):
            _collect(member, elements, set())
    elif hint in SIMPLE:
        scalars.add(hint)


def _convert(value: Any, kinds: frozenset[type]) -> Any:
    """``value`` as one of ``kinds``, or None where it is none of them."""
    if type(value) in kinds:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and float in kinds:
        return float(value)
    if isinstance(value, str) and Path in kinds:
        return Path(value)
    return None


class Parser(argparse.ArgumentParser):
    """Reports wrong usage as :class:`UsageError`."""

    def error(self, message: str) -> NoReturn:
        """Turn argparse's message into ours."""
        raise UsageError(f"{message} (see '{self.prog} --help')")


def parser(command: Command) -> Parser:
    """The parser of one command: its settings' fields and the options common to all commands."""
    declared = options(command.settings_class)
    positional = [each for each in declared if each.positional]
    result = Parser(
        prog=f"mentor {command.verb}",
        usage=_usage(command, declared),
        description=_description(command),
        epilog=f"example:\n  {command.example}",
        formatter_class=_Formatter,
        allow_abbrev=False,
        add_help=False,
        argument_default=argparse.SUPPRESS,
    )
    group = result.add_argument_group("arguments")
    for each in positional:
        group.add_argument(
            each.name, nargs="*" if each.many else "?", help=each.help, metavar=each.name.upper()
        )
    group = result.add_argument_group("options")
    for each in declared:
        if not each.positional:
            _add_option(group, each)
    group = result.add_argument_group("common options")
    group.add_argument("--config", type=Path, metavar="FILE", help="Read options from a TOML file.")
    group.add_argument("--json", action="store_true", help="Print one JSON document on stdout.")
    group.add_argument("--quiet", action="store_true", help="Show no progress and no notes.")
    group.add_argument("--debug", action="store_true", help="Show the traceback of an error.")
    group.add_argument("--help", action="help", help="Show this help.")
    return result


def _add_option(group: Any, each: Option) -> None:
    if each.scalars == {bool}:
        off = each.default is True
        action = argparse.BooleanOptionalAction if off else "store_true"
        group.add_argument(each.flag, dest=each.name, action=action, help=each.help)
        return
    nargs = {"nargs": "+"} if Path in each.elements else {}
    group.add_argument(each.flag, dest=each.name, metavar=_metavar(each), help=each.help, **nargs)


def _usage(command: Command, declared: Sequence[Option]) -> str:
    words = [f"mentor {command.verb}"]
    for each in declared:
        needed = each.required or each.name in command.needs
        if each.positional:
            name = each.name.upper() + ("..." if each.many else "")
            words.append(name if needed else f"[{name}]")
        elif needed:
            words.append(f"{each.flag} {_metavar(each)}")
    return " ".join([*words, "[options]"])


def _metavar(each: Option) -> str:
    names = [METAVARS[kind] for kind in SIMPLE if kind in each.kinds and kind in METAVARS]
    listed = ",..." if each.many and Path not in each.elements else ""
    return "|".join(each.choices or names) + listed


def _description(command: Command) -> str:
    text = f"{command.summary[0].upper()}{command.summary[1:]}."
    body = (
        (inspect.getdoc(command.function) or "")
        .split("\n\nRaises\n")[0]
        .split("\n\nParameters\n")[0]
    )
    paragraphs = [" ".join(part.split()).replace("``", "") for part in body.split("\n\n")[1:]]
    return "\n\n".join([text, *paragraphs])


class _Formatter(argparse.HelpFormatter):
    """Keeps paragraphs of the description and lines of the example."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        if action.nargs in ("+", "*"):
            return f"{action.metavar} ..."
        return super()._format_args(action, default_metavar)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = text.split("\n\n")
        if text.startswith("example:"):
            return text
        return "\n\n".join(
            super(_Formatter, self)._fill_text(part, width, indent) for part in parts
        )


def settings(command: Command, given: Mapping[str, Any]) -> Any:
    """The settings ``given`` on a parsed command line and, below it, its ``--config`` file.

    Raises
    ------
    UsageError
        A value cannot be understood, or a required one is missing.
    InputError
        The configuration file cannot be used.
    """
    declared = options(command.settings_class)
    values = read_table(given["config"], declared) if "config" in given else {}
    for each in declared:
        if each.name in given and given[each.name] != []:
            values[each.name] = _value(each, given[each.name])
    for each in declared:
        if each.name not in values and (each.required or each.name in command.needs):
            name = each.name.upper() if each.positional else each.flag
            help = each.field.metadata.get("help", "").rstrip(".")
            raise UsageError(f"{name} is missing ({help}); see 'mentor {command.verb} --help'")
    return command.settings_class(**values)


def _value(each: Option, given: Any) -> Any:
    if isinstance(given, bool):
        return given
    texts = [given] if isinstance(given, str) else given
    if each.many and Path not in each.elements:
        texts = [part for text in texts for part in text.split(",") if part]
    try:
        parsed = tuple(each.parse(text) for text in texts)
    except ValueError as error:
        raise UsageError(str(error)) from None
    for value in parsed:
        if each.choices and value not in each.choices:
            close = nearest(str(value), each.choices)
            raise UsageError(f"{each.flag} {value} is not one of {', '.join(each.choices)}{close}")
    return parsed if each.many else parsed[0]


def read_table(path: Path, declared: Sequence[Option]) -> dict[str, Any]:
    """The values of a TOML file whose keys are names of settings.

    Raises
    ------
    InputError
        The file cannot be read, is no TOML, has an unknown key or a value of the wrong type.
    """
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not a TOML file ({error})") from None
    by_name = {each.name: each for each in declared}
    values = {}
    for key, value in table.items():
        if key not in by_name:
            raise InputError(f"{path}: unknown setting {key!r}{nearest(key, tuple(by_name))}")
        values[key] = by_name[key].check(value, path)
    return values
