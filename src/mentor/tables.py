"""Settings as they are written outside Python: entries of TOML tables, words of a command line.

A field's annotation says which values it takes: its bool, int, float, str, Path and dict members,
or sequences of these. Members only Python can give (``Atoms``, ``Potential``) are left out, and so
are fields marked ``python_only``. A field whose type is itself a settings class is a table.
"""

import difflib
import os
import re
import tomllib
import types
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mentor.exceptions import InputError

KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Path: "a file name",
    str: "a text",
    dict: "a table",
}
"""Types of values, with their names."""


@dataclass(frozen=True)
class Entry:
    """One field of a settings class."""

    field: Field
    scalars: frozenset[type]
    """Types a single value may have."""
    elements: frozenset[type]
    """Types the elements of a sequence may have; empty where no sequence is allowed."""
    table: type | None = None
    """The settings class of the field, where it is a table."""
    numbered: bool = False
    """Whether it gives names a number each."""

    @property
    def name(self) -> str:
        """Name in Python and TOML."""
        return self.field.name

    @property
    def kinds(self) -> frozenset[type]:
        """Types of one value, alone or in a sequence."""
        return self.elements or self.scalars

    @property
    def many(self) -> bool:
        """Whether it takes several values."""
        return bool(self.elements)

    @property
    def positional(self) -> bool:
        """Whether it may be given without its name."""
        return bool(self.field.metadata.get("positional"))

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.field.default is MISSING and self.field.default_factory is MISSING

    @property
    def default(self) -> Any:
        """The default value; None where there is none."""
        if self.field.default_factory is not MISSING:
            return self.field.default_factory()
        return None if self.required else self.field.default

    @property
    def choices(self) -> tuple[str, ...]:
        """The only values allowed, where there are such."""
        return self.field.metadata.get("choices", ())

    @property
    def help(self) -> str:
        """What it means, one sentence."""
        return self.field.metadata.get("help", "")

    @property
    def unit(self) -> str:
        """Its unit; empty where it has none."""
        return self.field.metadata.get("unit", "")

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        return " or ".join(name for kind, name in KINDS.items() if kind in self.kinds)

    def parse(self, text: str) -> Any:
        """The value of one word of a command line: the narrowest type that it fits.

        Raises
        ------
        ValueError
            The text fits none of the types.
        """
        if self.numbered:
            return self._parse_pair(text)
        for kind in (int, float, Path, str):
            if kind in self.kinds:
                try:
                    return kind(text)
                except ValueError:
                    continue
        raise ValueError(f"{text} is not {self.expected}")

    def _parse_pair(self, text: str) -> tuple[str, float]:
        name, equals, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            equals = ""
        if not (equals and name.strip()):
            raise ValueError(f"{text} is not NAME=NUMBER")
        return name.strip(), value

    def convert(self, value: Any, base: Path) -> Any:
        """A value of a TOML table as the field's type; one value stands for a list of one.

        Raises
        ------
        ValueError
            It has another type.
        """
        if self.elements and isinstance(value, list):
            return tuple(self._convert_one(each, self.elements, base) for each in value)
        one = self._convert_one(value, self.kinds, base)
        return one if type(one) in self.scalars or not self.elements else (one,)

    def _convert_one(self, value: Any, kinds: frozenset[type], base: Path) -> Any:
        if isinstance(value, str) and Path in kinds:
            return base / value
        if type(value) in kinds:
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            if float in kinds:
                return float(value)
            if int in kinds and float(value).is_integer():
                return int(value)
        raise ValueError(f"{value!r} should be {self.expected}")


def entries(settings_class: type) -> tuple[Entry, ...]:
    """The entries of a settings class, in the order of its fields."""
    hints = get_type_hints(settings_class)
    result = []
    for each in fields(settings_class):
        hint = hints[each.name]
        if each.metadata.get("python_only"):
            continue
        if is_dataclass(hint):
            result.append(Entry(each, frozenset(), frozenset(), hint))
            continue
        scalars: set[type] = set()
        elements: set[type] = set()
        _collect(hint, scalars, elements)
        if scalars or elements:
            numbered = get_args(hint) == (str, float) and scalars == {dict}
            result.append(Entry(each, frozenset(scalars), frozenset(elements), None, numbered))
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
    elif (origin or hint) in KINDS:
        scalars.add(origin or hint)


class EntryError(Exception):
    """An entry of a table is wrong; ``table`` is empty at the top level."""

    def __init__(self, table: str, name: str, what: str) -> None:
        super().__init__(what)
        self.table, self.name = table, name


def convert(
    settings_class: type, values: dict[str, Any], base: Path, table: str = ""
) -> dict[str, Any]:
    """The arguments of a settings class from a table, file names relative to the folder ``base``.

    Raises
    ------
    EntryError
        An entry is unknown or has a value of the wrong type.
    """
    known = {each.name: each for each in entries(settings_class)}
    arguments = {}
    for name, value in values.items():
        place = f"[{table}] " if table else ""
        if name not in known:
            kind = "table" if all(each.table for each in known.values()) else "entry"
            inside = f" in [{table}]" if table else ""
            advice = nearest(name, known) or f"; known are {', '.join(known)}"
            raise EntryError(table, name, f"unknown {kind} {name!r}{inside}{advice}")
        inner = known[name].table
        if inner is None:
            try:
                arguments[name] = known[name].convert(value, base)
            except ValueError as error:
                raise EntryError(table, name, f"{place}{name} = {error}") from None
        elif isinstance(value, dict):
            arguments[name] = inner(**convert(inner, value, base, name))
        else:
            raise EntryError("", name, f"{name} is a table; write [{name}] above its entries")
    return arguments


def read(settings_class: type, path: str | os.PathLike[str]) -> dict[str, Any]:
    """The arguments of a settings class from a TOML file.

    Relative file names are taken relative to the folder of the file.

    Raises
    ------
    InputError
        The file is missing, is not TOML, or has an unknown table or entry or a value of the wrong
        type; the message names the line and, for a misspelt name, the nearest valid one.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        return convert(settings_class, tomllib.loads(text), path.parent.absolute())
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: is not valid TOML: {error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a text file in UTF-8; give a .toml file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a .toml file") from None
    except EntryError as error:
        raise InputError(f"{path}{_line_of(text, error.table, error.name)}: {error}") from None


def nearest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean ...?"`` where a known word is close, else nothing."""
    close = difflib.get_close_matches(word, list(known), 1, 0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _line_of(text: str, table: str, name: str) -> str:
    """``:line`` of an entry of a TOML text, or nothing if it is written in another way."""
    current = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[+\s*([\w.\"-]+)\s*\]", line):
            current = header[1]
            if not table and current.split(".")[0] == name:
                return f":{number}"
        elif current.split(".")[0] == table and re.match(rf"\s*\"?{re.escape(name)}\"?\s*=", line):
            return f":{number}"
    return ""
