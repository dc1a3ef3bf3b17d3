"""Quantum-mechanics engines: any ASE calculator, made by name and parameters.

Everything here runs inside a worker process (:mod:`mentor.learning.worker`), where a crash, a
hang or noise on the terminal cannot hurt the campaign.
"""

import difflib
import hashlib
import importlib
import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators import calculator as ase_calculator
from ase.calculators.calculator import PropertyNotImplementedError

from mentor.exceptions import EngineError
from mentor.learning.settings import EngineSettings


class EngineSetupError(EngineError):
    """The engine cannot run at all here (package, program or parameter missing)."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """What an engine says about one structure."""

    energy: float
    """Force-consistent energy, eV."""
    forces: np.ndarray
    """eV/Å, shape (N, 3)."""
    stress: np.ndarray | None
    """ASE's sign, eV/Å³, Voigt, shape (6,); None where the structure has none."""
    seconds: float = 0.0
    """Wall time of the calculation."""


PACKAGES = {
    "tblite": ("tblite.ase:TBLite", "pip install tblite"),
    "gpaw": ("gpaw:GPAW", "pip install gpaw gpaw-data"),
    "xtb": ("xtb.ase.calculator:XTB", "pip install xtb"),
    "dftd3": ("dftd3.ase:DFTD3", "pip install dftd3"),
    "pyscf": ("pyscf.pbc.tools.pyscf_ase:PySCF", "pip install pyscf"),
}
"""Engines that live outside ASE: where their calculator is and how to get it."""


def make_calculator(engine: EngineSettings, base: str = "") -> Any:
    """A fresh ASE calculator of ``engine``.

    Texts among its parameters that begin with ``./`` or ``../`` are paths relative to ``base``.

    ``engine.name`` is a name of ASE, one of :data:`PACKAGES`, or ``module:Class`` (or
    ``module:function``, called with the parameters).

    Raises
    ------
    EngineSetupError
        There is no such engine, its package is missing, or it refuses the parameters.
    """
    make = _factory(engine.name)
    arguments = _with_absolute_paths(dict(engine.parameters), base)
    if engine.profile:
        arguments["profile"] = _profile(make, engine, base)
    try:
        return make(**arguments)
    except ImportError as error:
        raise EngineSetupError(_missing_package(engine.name, error)) from error
    except (TypeError, ValueError, KeyError, ase_calculator.InputError) as error:
        raise EngineSetupError(
            f"engine {engine.name} does not accept its parameters: {error}; "
            "correct [engine.parameters]"
        ) from error
    except (ase_calculator.BadConfiguration, ase_calculator.EnvironmentError) as error:
        raise EngineSetupError(
            f"engine {engine.name} is not set up: {_one_line(error)}; give its command under "
            "[engine.profile]"
        ) from error


def _with_absolute_paths(value: Any, base: str) -> Any:
    if isinstance(value, dict):
        return {key: _with_absolute_paths(each, base) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_absolute_paths(each, base) for each in value]
    if isinstance(value, str) and value.startswith(("./", "../")):
        return os.path.normpath(os.path.join(base, value))
    return value


def _factory(name: str) -> Callable[..., Any]:
    target = PACKAGES.get(name, (name, ""))[0]
    try:
        if ":" in target:
            module, _, attribute = target.partition(":")
            return getattr(importlib.import_module(module), attribute)
        return ase_calculator.get_calculator_class(name)
    except ImportError as error:
        if error.name == f"ase.calculators.{name}":
            near = difflib.get_close_matches(name, [*ase_calculator.names, *PACKAGES], 1, 0.5)
            advice = f"did you mean {near[0]}?" if near else "give a name of ASE or module:Class"
            raise EngineSetupError(f"there is no engine named {name!r}; {advice}") from None
        raise EngineSetupError(_missing_package(name, error)) from error
    except AttributeError as error:
        raise EngineSetupError(f"engine {name!r} does not exist: {error}") from error


def _missing_package(name: str, error: ImportError) -> str:
    if error.name and ":" in name and error.name.split(".")[0] == name.split(":")[0].split(".")[0]:
        return (
            f"engine {name!r}: there is no Python module {error.name}; "
            "put it beside the settings file or install it"
        )
    advice = PACKAGES.get(name, ("", f"pip install {(error.name or name).split('.')[0]}"))[1]
    return f"engine {name} needs a package that is not installed ({error}); run: {advice}"


def _profile(make: Callable[..., Any], engine: EngineSettings, base: str) -> Any:
    """ASE keeps the profile class of a file-based calculator beside the calculator."""
    module = sys.modules[make.__module__]
    profiles = [
        each
        for name, each in inspect.getmembers(module, inspect.isclass)
        if name.endswith("Profile") and each.__module__ == module.__name__
    ]
    if not profiles:
        raise EngineSetupError(f"engine {engine.name} has no profile; remove [engine.profile]")
    try:
        return profiles[0](**_with_absolute_paths(engine.profile, base))
    except TypeError as error:
        raise EngineSetupError(
            f"engine {engine.name} does not accept its profile: {error}; correct [engine.profile]"
        ) from error


def compute(engine: EngineSettings, atoms: Atoms, scratch: str, base: str = "") -> Label:
    """Label one structure with a fresh calculator, in a folder of its own below ``scratch``.

    A fresh calculator each time makes the label a function of structure and settings alone: no
    starting guess is left over from the structure before.

    Parameters
    ----------
    base
        The folder of the settings: relative paths start there, and ``module:Class`` is found there.

    Raises
    ------
    EngineSetupError
        The engine cannot run at all.
    EngineError
        This calculation failed or gave nonsense.
    """
    if base and base not in sys.path:
        sys.path.insert(0, base)
    here = Path.cwd()
    Path(scratch).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as folder:
        os.chdir(folder)
        try:
            label = _run(engine, atoms.copy(), base)
            _check_output(engine, Path(folder))
        finally:
            os.chdir(here)
    _check_label(engine, atoms, label)
    return label


def _run(engine: EngineSettings, atoms: Atoms, base: str) -> Label:
    calculator = make_calculator(engine, base)
    atoms.calc = calculator
    try:
        energy = atoms.get_potential_energy()
        forces = atoms.get_forces(apply_constraint=False)
        stress = None
        if atoms.pbc.all():
            try:
                stress = np.asarray(atoms.get_stress(apply_constraint=False), float)
            except PropertyNotImplementedError:
                stress = None
    except (ase_calculator.CalculatorSetupError, ase_calculator.BadConfiguration) as error:
        raise EngineSetupError(f"engine {engine.name} is not set up: {_one_line(error)}") from error
    except subprocess.CalledProcessError as error:
        if error.returncode == 127:
            raise EngineSetupError(_missing_program(engine, str(error.cmd))) from error
        raise EngineError(f"{engine.name} failed: {_one_line(error)}") from error
    except FileNotFoundError as error:
        if error.filename is not None and not os.path.dirname(os.fspath(error.filename)):
            raise EngineSetupError(_missing_program(engine, error.filename)) from error
        raise EngineError(f"{engine.name} failed: {_one_line(error)}") from error
    except ImportError as error:
        raise EngineSetupError(_missing_package(engine.name, error)) from error
    except MemoryError as error:
        raise EngineError(f"{engine.name} ran out of memory") from error
    except Exception as error:
        raise EngineError(f"{engine.name} failed: {_one_line(error)}") from error
    results = getattr(calculator, "results", {})
    consistent = results.get("free_energy")
    return Label(
        energy=float(energy if consistent is None else consistent),
        forces=np.array(forces, float),
        stress=stress,
    )


def _missing_program(engine: EngineSettings, program: str) -> str:
    return (
        f"engine {engine.name} needs the program {program!r}, which was not found; install it or "
        "give its command under [engine.profile]"
    )


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text[:300]}"


NOT_CONVERGED = {"cp2k": ("*.out", "SCF run NOT converged")}
"""Engines that return unconverged results as if they were good: output files and the words."""


def _check_output(engine: EngineSettings, folder: Path) -> None:
    if engine.name not in NOT_CONVERGED:
        return
    pattern, words = NOT_CONVERGED[engine.name]
    for path in folder.glob(pattern):
        if words in path.read_text(errors="replace"):
            raise EngineError(f"{engine.name}: {words}")


def _check_label(engine: EngineSettings, atoms: Atoms, label: Label) -> None:
    if label.forces.shape != (len(atoms), 3):
        raise EngineError(
            f"{engine.name} gave forces of shape {label.forces.shape} for {len(atoms)} atoms"
        )
    if label.stress is not None and label.stress.shape != (6,):
        raise EngineError(f"{engine.name} gave a stress of shape {label.stress.shape}, not (6,)")
    arrays = [np.array(label.energy), label.forces]
    arrays += [] if label.stress is None else [label.stress]
    if not all(np.isfinite(each).all() for each in arrays):
        raise EngineError(f"{engine.name} gave values that are not finite numbers")
    largest = np.abs(label.forces).max(initial=0.0)
    if largest > engine.max_force:
        raise EngineError(
            f"{engine.name} gave a force of {largest:.3g} eV/Å, beyond max_force = "
            f"{engine.max_force:g} eV/Å"
        )


def label_key(engine: EngineSettings, atoms: Atoms) -> str:
    """The name of a label: a hash of the structure and of what the engine was asked.

    Time limits and retries do not change a label, so they do not count. Positions and cell count
    to 1e-8 Å.
    """
    method = json.dumps([engine.name, engine.parameters, engine.profile], sort_keys=True)
    digest = hashlib.sha256(method.encode())
    digest.update(np.asarray(atoms.numbers, "<i8").tobytes())
    digest.update(np.asarray(atoms.pbc, "<i8").tobytes())
    for array in (
        atoms.positions,
        atoms.cell.array,
        atoms.get_initial_charges(),
        atoms.get_initial_magnetic_moments(),
    ):
        digest.update((np.round(np.asarray(array, "<f8"), 8) + 0.0).tobytes())
    return "k" + digest.hexdigest()[:32]
