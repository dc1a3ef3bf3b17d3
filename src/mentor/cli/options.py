"""Settings classes as options of the command line."""

import argparse
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mentor import tables
from mentor.cli.commands import Command
from mentor.cli.usage import UsageError
from mentor.tables import Entry, entries, nearest

METAVARS = {int: "N", float: "X", Path: "FILE", str: "TEXT"}


def options(settings_class: type) -> tuple[Entry, ...]:
    """The entries that can be given on the command line: all but tables, unless of numbers."""
    return tuple(each for each in entries(settings_class) if each.kinds - {dict} or each.numbered)


def flag(entry: Entry) -> str:
    """Name of an option on the command line."""
    return "--" + entry.name.replace("_", "-")


def show(value: Any) -> str:
    """A default as one types it on the command line; empty where there is nothing to type."""
    if value is None or isinstance(value, bool | dict):
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(show(each) for each in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _help(entry: Entry) -> str:
    default = show(entry.default)
    if default:
        return f"{entry.help} [default {default}{' ' * bool(entry.unit)}{entry.unit}]"
    return f"{entry.help} [in {entry.unit}]" if entry.unit else entry.help


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
            each.name, nargs="*" if each.many else "?", help=_help(each), metavar=each.name.upper()
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


def _add_option(group: Any, each: Entry) -> None:
    if each.scalars == {bool}:
        action = "store_true" if each.default is False else argparse.BooleanOptionalAction
        group.add_argument(flag(each), dest=each.name, action=action, help=_help(each))
        return
    nargs = {"nargs": "+"} if Path in each.elements else {}
    group.add_argument(
        flag(each), dest=each.name, metavar=_metavar(each), help=_help(each), **nargs
    )


def _usage(command: Command, declared: Sequence[Entry]) -> str:
    words = [f"mentor {command.verb}"]
    for each in declared:
        needed = each.required or each.name in command.needs
        if each.positional:
            name = each.name.upper() + ("..." if each.many else "")
            words.append(name if needed else f"[{name}]")
        elif needed:
            words.append(f"{flag(each)} {_metavar(each)}")
    return " ".join([*words, "[options]"])


def _metavar(each: Entry) -> str:
    if each.numbered:
        return "NAME=X,..."
    names = [METAVARS[kind] for kind in METAVARS if kind in each.kinds]
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
    values = tables.read(command.settings_class, given["config"]) if "config" in given else {}
    for each in declared:
        if each.name in given and given[each.name] != []:
            values[each.name] = _value(each, given[each.name])
    for each in declared:
        if each.name not in values and (each.required or each.name in command.needs):
            name = each.name.upper() if each.positional else flag(each)
            help = each.help.rstrip(".")
            raise UsageError(f"{name} is missing ({help}); see 'mentor {command.verb} --help'")
    return command.settings_class(**values)


def _value(each: Entry, given: Any) -> Any:
    if isinstance(given, bool):
        return given
    texts = [given] if isinstance(given, str) else given
    if each.numbered or (each.many and Path not in each.elements):
        texts = [part for text in texts for part in text.split(",") if part]
    try:
        parsed = tuple(each.parse(text) for text in texts)
    except ValueError as error:
        raise UsageError(f"{flag(each)} {error}") from None
    for value in parsed:
        if each.choices and value not in each.choices:
            close = nearest(str(value), each.choices)
            raise UsageError(f"{flag(each)} {value} is not one of {', '.join(each.choices)}{close}")
    if each.numbered:
        return dict(parsed)
    return parsed if each.many else parsed[0]
