"""LAMMPS: the pair styles ``mtp`` and ``mtp/extrapolation`` as a plugin, and LAMMPS in Python.

    from mentor.lammps import lammps

    lmp = lammps()                                    # lammps.lammps with the pair styles
    lmp.commands_string("units metal ...")

With the packages ``lammps`` and ``mpich`` of PyPI nothing needs to be done: LAMMPS finds the plugin
by itself. Importing this module costs next to nothing, because every ``import lammps`` does it.
"""

import importlib

_HOME = {
    "plugin_dir": "mentor.lammps.plugin",
    "plugin_file": "mentor.lammps.plugin",
    "build": "mentor.lammps.commands",
    "BuildSettings": "mentor.lammps.commands",
    "lammps": "mentor.lammps.running",
    "Simulation": "mentor.lammps.simulation",
    "LammpsError": "mentor.lammps.simulation",
    "programs": "mentor.lammps.running",
    "Programs": "mentor.lammps.running",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'mentor.lammps' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
