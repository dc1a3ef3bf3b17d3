"""The page on commands, written from the settings classes."""

from mentor.cli.commands import GROUPS, Command
from mentor.cli.options import flag, options, show
from mentor.tables import Entry

INTRODUCTION = """# Commands

Every command is a function of the same name in Python: `mentor train train.xyz --level 16` is
`mentor.train("train.xyz", level=16)`, and `mentor train --config train.toml` reads the same names
from a file (`level = 16`; options on the command line come first). Several values of one option are
separated by commas: `--elements Ag,Pd`.

All commands also take `--json` (print one JSON document on stdout), `--quiet` (no progress, no
notes), `--debug` (show the traceback of an error) and `--help`. They exit with 0 when done, 1 after
an error, 2 after wrong usage and 130 when interrupted."""


def reference() -> str:
    """The page in Markdown."""
    parts = [INTRODUCTION]
    for title, commands in GROUPS.items():
        parts += ["", f"## {title}"]
        for command in commands:
            parts += _section(command)
    return "\n".join(parts) + "\n"


def _section(command: Command) -> list[str]:
    lines = ["", f"### mentor {command.verb}", ""]
    lines += [f"{command.summary[0].upper()}{command.summary[1:]}.", ""]
    lines += ["```console", f"$ {command.example}", "```", ""]
    declared = options(command.settings_class)
    lines += ["| option | meaning | unit | default |", "|---|---|---|---|"]
    return lines + [_row(each, command) for each in declared]


def _row(each: Entry, command: Command) -> str:
    name = each.name.upper() + ("…" if each.many else "") if each.positional else flag(each)
    meaning = each.help
    if each.choices:
        meaning += f" One of {', '.join(each.choices)}."
    default = "required" if each.required or each.name in command.needs else show(each.default)
    cells = (f"`{name}`", meaning, each.unit, default)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
