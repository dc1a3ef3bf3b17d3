"""motep (PyPI), the other side: the same potential file and crystal."""

import tempfile
from dataclasses import replace
from pathlib import Path

from ase import Atoms

import mentor

try:
    from motep.calculator import MTP
    from motep.io.mlip.mtp import read_mtp
except ImportError:
    MTP = None


class Motep:
    """Energy, forces and stress of ``atoms`` by motep's C extension."""

    def __init__(self, potential: mentor.Potential, atoms: Atoms) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pot.mtp"
            replace(potential, elements=None).save(path)  # motep stumbles over the names
            data = read_mtp(path)
        numbers = dict(zip(atoms.get_chemical_symbols(), atoms.numbers, strict=True))
        data.species = [numbers[symbol] for symbol in potential.elements]
        self.atoms = atoms
        self.calculator = MTP(data)
        self.engine = self.calculator.engine

    def kept_list(self) -> dict:
        """With the neighbour list of the last call: as in molecular dynamics, where it serves until
        an atom has moved by 0.3 Å."""
        return self.engine.calculate(self.atoms)

    def new_list(self) -> dict:
        """Neighbour search included."""
        return self.engine.calculate(self.forget_list())

    def forget_list(self) -> Atoms:
        """The atoms, whose neighbours will be searched again."""
        self.engine.neighbor_list = None
        return self.atoms


def available() -> bool:
    return MTP is not None
