"""The page on commands, written from the settings classes."""

from collections.abc import Sequence
from dataclasses import fields

from mentor.cli.commands import GROUPS, Command
from mentor.cli.options import flag, options, show
from mentor.learning.settings import CampaignSettings
from mentor.tables import Entry, entries

INTRODUCTION = """# Commands

Every command is a function of the same name in Python: `mentor train train.xyz --level 16` is
`mentor.train("train.xyz", level=16)`, and `mentor train --config train.toml` reads the same names
from a file (`level = 16`; options on the command line come first). Several values of one option are
separated by commas: `--elements Ag,Pd`.

All commands also take `--json` (print one JSON document on stdout), `--quiet` (no progress, no
notes), `--debug` (show the traceback of an error) and `--help`. They exit with 0 when done, 1 after
an error, 2 after wrong usage and 130 when interrupted."""

CAMPAIGN = """The settings file of `mentor learn`, table by table. Only `start` under
`[structures]` and `name` under `[engine]` are needed. File names are relative to the folder of the
file."""


def reference() -> str:
    """The page in Markdown."""
    parts = [INTRODUCTION]
    for title, commands in GROUPS.items():
        parts += ["", f"## {title}"]
        for command in commands:
            parts += _section(command)
    parts += ["", "## campaign.toml", "", CAMPAIGN]
    for each in fields(CampaignSettings):
        parts += ["", f"### [{each.name}]", "", each.metadata["help"], ""]
        parts += _table(tuple(entries(each.type)), named=True)
    return "\n".join(parts) + "\n"


def _section(command: Command) -> list[str]:
    lines = ["", f"### mentor {command.verb}", ""]
    lines += [f"{command.summary[0].upper()}{command.summary[1:]}.", ""]
    lines += ["```console", f"$ {command.example}", "```", ""]
    return lines + _table(options(command.settings_class), needs=command.needs)


def _table(declared: Sequence[Entry], needs: Sequence[str] = (), named: bool = False) -> list[str]:
    """Rows for entries, with their names in the file (``named``) or on the command line."""
    lines = ["| option | meaning | unit | default |", "|---|---|---|---|"]
    for each in declared:
        if named:
            name = each.name
        elif each.positional:
            name = each.name.upper() + ("…" if each.many else "")
        else:
            name = flag(each)
        meaning = each.help + (f" One of {', '.join(each.choices)}." if each.choices else "")
        default = "required" if each.required or each.name in needs else show(each.default)
        cells = (f"`{name}`", meaning, each.unit, default)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines
