"""Small ASE calculators that misbehave in the ways real ones do; used by name in the tests."""

import os
import subprocess
import time
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT


class Springs(Calculator):
    """Springs between all atoms: cheap, smooth, exact; also logs what it is asked.

    ``log``: a file that gets one line per calculation begun, the positions as hexadecimal text.
    """

    implemented_properties = ("energy", "forces")
    stiffness = 8.0
    """eV/Å²."""
    length = 1.2
    """Å."""

    def __init__(self, log=None, seconds=0.0, **parameters):
        super().__init__(**parameters)
        self.log, self.seconds = log, seconds

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(np.round(atoms.positions, 8).tobytes().hex() + "\n")
        time.sleep(self.seconds)
        vectors = atoms.positions[:, None] - atoms.positions[None]
        distances = np.linalg.norm(vectors, axis=2) + np.eye(len(atoms))
        stretch = distances - self.length
        np.fill_diagonal(stretch, 0.0)
        self.results = {
            "energy": 0.25 * self.stiffness * float((stretch**2).sum()),
            "forces": -self.stiffness * ((stretch / distances)[:, :, None] * vectors).sum(axis=1),
        }


class Noisy(Springs):
    """Writes on standard output, also past Python."""

    def calculate(self, *arguments, **options):
        super().calculate(*arguments, **options)
        print("SCF converged, hurrah")
        os.write(1, b"\x00\x00\x00 binary rubbish\n")
        subprocess.run(["echo", "a program speaks"], check=True)


class Crashing(Springs):
    """Dies of a signal."""

    def calculate(self, *arguments, **options):
        os.write(2, b"internal error in the grid module\n")
        os.abort()


class Hanging(Springs):
    """Starts a program and never returns."""

    def calculate(self, *arguments, **options):
        program = subprocess.Popen(["sleep", "300"])
        Path(self.log).write_text(f"{os.getpid()} {program.pid}")
        program.wait()


class NotFinite(Springs):
    """Returns NaN among the forces."""

    def calculate(self, *arguments, **options):
        super().calculate(*arguments, **options)
        self.results["forces"] = self.results["forces"].copy()
        self.results["forces"][0, 0] = np.nan


class WrongShape(Springs):
    """Returns forces of too few atoms."""

    def calculate(self, *arguments, **options):
        super().calculate(*arguments, **options)
        self.results["forces"] = self.results["forces"][1:]


class Steep(Springs):
    """Returns forces far beyond sense."""

    def calculate(self, *arguments, **options):
        super().calculate(*arguments, **options)
        self.results["forces"] = 1e4 * np.ones_like(self.results["forces"])


class Unconverged(Springs):
    """Raises an exception of its own that cannot be pickled."""

    def calculate(self, *arguments, **options):
        class SCFError(Exception):
            pass

        raise SCFError("no convergence\nafter 250 cycles")


class Moody(Springs):
    """Fails on its first structure, by a file as memory, and works from then on."""

    def calculate(self, *arguments, **options):
        if not Path(self.log).exists():
            Path(self.log).write_text("")
            raise RuntimeError("license server busy")
        super().calculate(*arguments, **options)


class Program(Springs):
    """Calls a program that is not installed."""

    def calculate(self, *arguments, **options):
        subprocess.run(["no-such-qm-program", "input"], check=True)


class Shell(Springs):
    """Calls a program that is not installed, through a shell."""

    def calculate(self, *arguments, **options):
        subprocess.run("no-such-qm-program input", shell=True, check=True)


def metal(**parameters):
    """A function that makes a calculator."""
    return EMT(**parameters)


class FileReader(Springs):
    """Reads a file named in its parameters."""

    def __init__(self, table, **parameters):
        super().__init__(**parameters)
        self.table = table

    def calculate(self, *arguments, **options):
        assert Path(self.table).read_text() == "table"
        Path("scratch-file").write_text("x")
        super().calculate(*arguments, **options)


def logged_tblite(log, **parameters):
    """GFN2-xTB that writes down what it is asked."""
    from tblite.ase import TBLite

    class Logged(TBLite):
        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            with Path(log).open("a") as file:
                file.write(np.round(atoms.positions, 8).tobytes().hex() + "\n")
            super().calculate(atoms, list(properties), list(system_changes))

    return Logged(method="GFN2-xTB", verbosity=0, **parameters)


class FarOut(Springs):
    """Fails where the first two atoms are far from each other."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        if atoms.get_distance(0, 1) > 1.27:
            raise RuntimeError("far out")
        super().calculate(atoms, properties, system_changes)
