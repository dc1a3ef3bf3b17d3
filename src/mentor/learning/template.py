"""A user's own LAMMPS commands for the dynamics of walkers: fixes, computes, groups, variables.

mentor makes the atoms and the pair style before them and runs LAMMPS after them.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from mentor.exceptions import InputError

PROVIDED = {
    "units": "mentor has set it to metal",
    "atom_style": "mentor has set it to atomic",
    "boundary": "mentor takes it from the structure",
    "read_data": "mentor has made the atoms",
    "read_restart": "mentor has made the atoms",
    "read_dump": "mentor has made the atoms",
    "create_box": "mentor has made the box",
    "create_atoms": "mentor has made the atoms",
    "delete_atoms": "a walker keeps its atoms",
    "displace_atoms": "mentor has placed the atoms",
    "change_box": "mentor has made the box",
    "replicate": "a walker keeps its atoms",
    "velocity": "a walker has its velocities",
    "mass": "mentor has set the masses",
    "pair_style": "it is the potential to be learned",
    "pair_coeff": "it is the potential to be learned",
    "timestep": "set timestep under [explore]",
    "reset_timestep": "a walker counts its steps",
    "run": "mentor runs LAMMPS, in pieces",
    "rerun": "mentor runs LAMMPS, in pieces",
    "minimize": "mentor runs LAMMPS, in pieces",
    "clear": "it would undo what mentor has set",
    "quit": "mentor ends the run",
    "jump": "the commands are carried out one after the other",
}
"""Commands that a template must not have, and why."""


@dataclass(frozen=True)
class Template:
    """The text of a template and where it comes from."""

    name: str
    """Of its file, for messages."""
    text: str
    folder: str = ""
    """Where relative file names in it start."""

    def commands(self) -> list[tuple[int, str]]:
        """Line and text of each command; continued lines are joined."""
        found: list[tuple[int, str]] = []
        start, parts = 0, ""
        for number, line in enumerate(self.text.splitlines(), start=1):
            start = start or number
            parts += line.rstrip()
            if parts.count('"""') % 2:
                parts += "\n"
            elif parts.endswith("&"):
                parts = parts[:-1] + " "
            else:
                if parts.strip() and not parts.lstrip().startswith("#"):
                    found.append((start, parts.strip()))
                start, parts = 0, ""
        if parts.strip():
            raise InputError(f"{self.name}:{start}: the command has no end")
        return found

    def uses(self, variable: str) -> bool:
        """Whether a command mentions a variable that mentor sets."""
        pattern = re.compile(rf"\$\{{{variable}\}}|\bv_{variable}\b")
        return any(pattern.search(command) for _, command in self.commands())

    def check(self, pressures: bool) -> None:
        """Raise InputError where a command stands in mentor's way.

        ``pressures``: whether walkers have a pressure.
        """
        for line, command in self.commands():
            word = command.split()[0]
            if word in PROVIDED:
                raise InputError(
                    f"{self.name}:{line}: leave out the command {word}: {PROVIDED[word]}"
                )
        if pressures and not self.uses("pressure"):
            raise InputError(
                f"{self.name}: does not use ${{pressure}}; use it, or leave out pressures under "
                "[explore]"
            )
        if not pressures and self.uses("pressure"):
            raise InputError(f"{self.name}: uses ${{pressure}}; give pressures under [explore]")


def read_template(path: Path, folder: Path | str, pressures: bool) -> Template:
    """The template in a file.

    Raises
    ------
    InputError
        It cannot be read, or has commands that mentor provides.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give a LAMMPS input as template"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a text file in UTF-8") from None
    template = Template(path.name, text, str(folder))
    template.check(pressures)
    return template
