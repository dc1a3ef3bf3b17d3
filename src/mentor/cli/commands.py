"""The table of commands: what ``mentor --help`` says and how each is used."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """One verb of the command line; its options are the fields of its settings class."""

    verb: str
    summary: str
    example: str
    needs: tuple[str, ...] = ()
    """Settings optional in Python, where results are returned, that a command line must give."""

    @property
    def function(self) -> Callable[..., Any]:
        """The public function ``mentor.<verb>``, for ``lammps build`` ``mentor.lammps.build``."""
        *folders, name = self.verb.split()
        return getattr(importlib.import_module(".".join(["mentor", *folders])), name)

    @property
    def settings_class(self) -> type:
        """The settings class of the function."""
        return self.function.settings_class  # type: ignore[attr-defined]


GROUPS: dict[str, tuple[Command, ...]] = {
    "Learn from a QM code": (
        Command(
            "learn",
            "turn a structure and a QM code into a validated potential",
            "mentor learn campaign.toml",
        ),
        Command("status", "say how far a campaign is", "mentor status campaign.toml"),
        Command("report", "write a campaign's report.html", "mentor report campaign.toml"),
    ),
    "Make and train": (
        Command(
            "init",
            "make an untrained potential",
            "mentor init --elements Ag,Pd --level 16 --output start.mtp",
            needs=("output",),
        ),
        Command(
            "train",
            "fit a potential to labelled structures",
            "mentor train train.xyz --output pot.mtp",
            needs=("output",),
        ),
        Command(
            "mean",
            "make one potential whose energies are the mean of several",
            "mentor mean seed0.mtp seed1.mtp --output mean.mtp",
            needs=("output",),
        ),
        Command(
            "errors",
            "compare a potential with labelled structures",
            "mentor errors pot.mtp test.xyz",
        ),
        Command(
            "grade",
            "say how far structures are from what a potential was trained on",
            "mentor grade pot.almtp new.xyz",
        ),
        Command(
            "select",
            "choose the structures most worth a QM calculation",
            "mentor select train.xyz candidates.xyz --output selected.xyz",
        ),
    ),
    "Use": (
        Command(
            "evaluate",
            "energies, forces, stresses and grades of structures",
            "mentor evaluate pot.mtp structures.xyz --output evaluated.xyz",
        ),
        Command("relax", "relax positions and cells", "mentor relax pot.mtp structure.xyz"),
        Command(
            "md",
            "run molecular dynamics, stopping where the potential no longer knows",
            "mentor md pot.almtp structure.xyz --temperature 300 --steps 10000",
        ),
        Command(
            "lammps build",
            "compile the LAMMPS pair styles mtp and mtp/extrapolation",
            "mentor lammps build --headers lammps/src",
        ),
    ),
    "Files": (
        Command(
            "convert",
            "convert structures and potentials between formats",
            "mentor convert train.cfg train.xyz --elements Ag,Pd",
        ),
        Command(
            "mindist", "shortest distance between each pair of elements", "mentor mindist train.xyz"
        ),
    ),
}

SHARED = ("train",)
"""Commands of which ``mpirun`` shares the work among processes; the first of them speaks."""

COMMANDS = {command.verb: command for group in GROUPS.values() for command in group}


def manual() -> str:
    """What ``mentor --help`` prints."""
    lines = [
        "mentor: Moment Tensor Potentials that learn from quantum mechanics by themselves",
        "",
        "usage: mentor COMMAND [options]",
    ]
    for title, group in GROUPS.items():
        lines += ["", title]
        lines += [f"  {command.verb:<12} {command.summary}" for command in group]
    return "\n".join(
        [
            *lines,
            "",
            "Help",
            "  COMMAND --help  arguments, options, units and defaults of a command",
            "  version         version of mentor",
            "",
            "Every command takes --json (one JSON document on stdout), --config FILE.toml (options",
            "from a file) and --quiet. Units: Å, eV, eV/Å, GPa, fs, K.",
        ]
    )
