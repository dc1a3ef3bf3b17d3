"""Writing a trajectory frame by frame, so that a run that is cut short leaves what it has done."""

from pathlib import Path

import ase.io
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.trajectory import TrajectoryWriter

from mentor.exceptions import InputError, StorageError

ENDINGS = (".traj", ".xyz", ".extxyz")


def frame(atoms: Atoms) -> Atoms:
    """A copy that keeps the results its calculator has at hand.

    Extrapolation grades are in ``arrays["grades"]`` and, since ``.traj`` files hold no arrays of
    ours, the largest in ``info["max_grade"]``.
    """
    copy = atoms.copy()
    results = atoms.calc.results if atoms.calc is not None else {}
    labels = {name: results[name] for name in ("energy", "forces", "stress") if name in results}
    copy.calc = SinglePointCalculator(copy, **labels)
    if "grades" in results:
        copy.arrays["grades"] = results["grades"].copy()
        copy.info["max_grade"] = float(results["grades"].max(initial=0.0))
    return copy


class Trajectory:
    """A trajectory file; without a path nothing is written.

    Raises
    ------
    InputError
        The path does not end in one of ``ENDINGS``.
    StorageError
        The file cannot be written, on entering and in :meth:`write`.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = None if path is None else Path(path)
        self._writer: TrajectoryWriter | None = None
        if self.path is not None and self.path.suffix not in ENDINGS:
            raise InputError(f"{path}: a trajectory file must end in {', '.join(ENDINGS)}")

    def __enter__(self) -> "Trajectory":
        if self.path is not None:
            try:
                if self.path.suffix == ".traj":
                    self._writer = TrajectoryWriter(self.path, "w")
                else:
                    self.path.write_text("")
            except OSError as error:
                raise self._failed(error) from error
        return self

    def __exit__(self, *exception: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, atoms: Atoms) -> None:
        """Append a frame."""
        try:
            if self._writer is not None:
                self._writer.write(atoms)
            elif self.path is not None:
                ase.io.write(self.path, atoms, format="extxyz", append=True)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> StorageError:
        return StorageError(
            f"{self.path}: cannot be written ({error.strerror or error}); "
            "free some space or choose another place"
        )
