"""Everything a campaign knows, in its folder; what is stored once is never lost.

``labels.db``    every label, readable with ``ase db labels.db``
``campaign.db``  state after the last complete iteration, record of all iterations, failures
``potentials/``  the potential of every generation
``reserve``      some disk space, given up when the disk is full so that labels being computed
                 can still be stored
``campaign.lock``  held while a campaign runs, so that two never share a folder

Each label and each iteration is one SQLite transaction.
"""

import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import ase.db
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import jsonio

from mentor.exceptions import InputError, StorageError
from mentor.learning.engines import Label
from mentor.uncertainty import posterior_path

RESERVE = 2_000_000
"""Bytes kept back for the labels under way when the disk fills up."""

SCHEMA = """
BEGIN;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS iterations (
    number INTEGER PRIMARY KEY,
    time REAL NOT NULL,       -- seconds since 1970
    record TEXT NOT NULL      -- JSON, see mentor.learning.history
);
CREATE TABLE IF NOT EXISTS failures (
    key TEXT PRIMARY KEY,     -- label_key of the structure
    time REAL NOT NULL,
    iteration INTEGER NOT NULL,
    reason TEXT NOT NULL,
    structure TEXT NOT NULL   -- ase.io.jsonio
);
COMMIT;
"""


def structure_to_text(atoms: Atoms) -> str:
    """A structure (with momenta, constraints, …; without calculator) as JSON, numbers exact."""
    return jsonio.encode(atoms.todict())


def structure_from_text(text: str) -> Atoms:
    """The inverse of :func:`structure_to_text`."""
    return Atoms.fromdict(jsonio.decode(text))


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what databases and files raise into StorageError with one sentence."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
            raise DiskFullError(f"{path}: the disk is full") from error
        if isinstance(error, sqlite3.OperationalError):
            raise StorageError(f"{path}: cannot be used ({error})") from error
        raise StorageError(f"{path}: is damaged or is not a database ({error})") from error
    except OSError as error:
        if error.errno in (28, 122):  # ENOSPC, EDQUOT
            raise DiskFullError(f"{path}: the disk is full") from error
        raise StorageError(f"{path}: cannot be written ({error.strerror or error})") from error


class DiskFullError(StorageError):
    """No space left."""


class Store:
    """The folder of a campaign, opened for writing by one process at a time.

    Raises
    ------
    StorageError
        The folder cannot be made or written, its disk is full, or another campaign runs in it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.disk_full = False
        with storage_errors(self.folder):
            (self.folder / "potentials").mkdir(parents=True, exist_ok=True)
            self._lock = self._take_lock()
        try:
            self._keep_reserve()
            self._state = self._open_state()
            self._prepare_labels()
            self._label_rows = self._read_label_keys()
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the databases and let go of the folder."""
        self._state.close()
        os.close(self._lock)

    # -- folder -----------------------------------------------------------------------------

    def _take_lock(self) -> int:
        path = self.folder / "campaign.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 100).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise StorageError(
                f"{self.folder}: a campaign is running here already (process {owner}); wait for "
                "it, or choose another folder"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def _keep_reserve(self) -> None:
        path = self.folder / "reserve"
        if path.exists() and path.stat().st_size >= RESERVE:
            return
        try:
            with storage_errors(path), path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE)
        except DiskFullError:
            path.unlink(missing_ok=True)
            raise StorageError(
                f"{self.folder}: the disk is full; free at least {RESERVE // 10**6} MB"
            ) from None

    def release_reserve(self) -> None:
        """Give the reserve back to the disk, so that what is under way can be stored."""
        self.disk_full = True
        (self.folder / "reserve").unlink(missing_ok=True)

    def nearly_full(self) -> bool:
        """Whether a calculation may have failed for want of space."""
        return self.disk_full or shutil.disk_usage(self.folder).free < RESERVE // 10

    def potential_path(self, generation: int) -> Path:
        """Where the potential of a generation is kept."""
        return self.folder / "potentials" / f"generation-{generation:03d}.almtp"

    @property
    def posterior_path(self) -> Path:
        """Where the posterior of the final potential is, beside this one."""
        return posterior_path(self.folder / "potential.mtp")

    # -- labels -----------------------------------------------------------------------------

    @property
    def labels_path(self) -> Path:
        """``labels.db``."""
        return self.folder / "labels.db"

    def _prepare_labels(self) -> None:
        """Make an empty ``labels.db``; beside its place first, since ASE makes it in steps."""
        if self.labels_path.exists():
            return
        temporary = self.folder / ".labels.new.db"
        with storage_errors(self.labels_path):
            temporary.unlink(missing_ok=True)
            with _database(temporary) as database:
                database.count()
            os.replace(temporary, self.labels_path)

    def _read_label_keys(self) -> dict[str, int]:
        return dict(_key_rows(self.labels_path))

    def has_label(self, key: str) -> bool:
        """Whether the label named ``key`` is stored."""
        return key in self._label_rows

    @property
    def label_count(self) -> int:
        """Number of labels stored."""
        return len(self._label_rows)

    def add_label(self, key: str, atoms: Atoms, label: Label, role: str, iteration: int) -> None:
        """Store one label in one transaction; on a full disk the reserve is used.

        Raises
        ------
        StorageError
            It could not be stored even so.
        """
        if self.has_label(key):
            return
        labelled = with_label(atoms, label)
        values = {"key": key, "role": role, "iteration": iteration, "seconds": label.seconds}
        try:
            self._write_label(labelled, values)
        except DiskFullError:
            if self.disk_full:
                raise
            self.release_reserve()
            self._write_label(labelled, values)

    def _write_label(self, atoms: Atoms, values: dict) -> None:
        with storage_errors(self.labels_path), _database(self.labels_path) as database:
            row = database.write(atoms, values)
        self._label_rows[values["key"]] = row

    def labels(self, keys: Iterable[str]) -> list[Atoms]:
        """The labelled structures named ``keys``, in that order, bit by bit as stored."""
        with storage_errors(self.labels_path), _database(self.labels_path) as database:
            return [database.get(id=self._label_rows[key]).toatoms() for key in keys]

    # -- failures ---------------------------------------------------------------------------

    def add_failure(self, key: str, atoms: Atoms, reason: str, iteration: int) -> None:
        """Put a structure aside that could not be labelled, with the reason."""
        with storage_errors(self.state_path), self._state:
            self._state.execute(
                "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?)",
                (key, time.time(), iteration, reason, structure_to_text(atoms)),
            )

    def failure(self, key: str) -> str | None:
        """Why ``key`` could not be labelled, or None."""
        found = self._state.execute("SELECT reason FROM failures WHERE key = ?", (key,)).fetchone()
        return None if found is None else found[0]

    def forget_failures(self, keys: Iterable[str]) -> None:
        """Let these structures be tried again: not they failed but the engine as such."""
        with storage_errors(self.state_path), self._state:
            self._state.executemany("DELETE FROM failures WHERE key = ?", [(key,) for key in keys])

    # -- state ------------------------------------------------------------------------------

    @property
    def state_path(self) -> Path:
        """``campaign.db``."""
        return self.folder / "campaign.db"

    def _open_state(self) -> sqlite3.Connection:
        with storage_errors(self.state_path):
            connection = sqlite3.connect(self.state_path, timeout=60)
            try:
                connection.execute("PRAGMA synchronous = FULL")
                connection.executescript(SCHEMA)
            except BaseException:
                connection.close()
                raise
            return connection

    def fact(self, name: str) -> Any:
        """A stored fact (settings, state, status, …) or None."""
        return read_fact(self._state, name)

    def commit(
        self, facts: dict[str, Any], number: int | None = None, record: dict | None = None
    ) -> None:
        """Store facts, and the record of an iteration if there is one, in one transaction."""
        with storage_errors(self.state_path), self._state:
            for name, value in facts.items():
                self._state.execute(
                    "INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value))
                )
            if record is not None:
                self._state.execute(
                    "INSERT OR REPLACE INTO iterations VALUES (?, ?, ?)",
                    (number, time.time(), json.dumps(record)),
                )


def with_label(atoms: Atoms, label: Label) -> Atoms:
    """A copy of ``atoms`` that carries ``label`` as its calculator's results."""
    copy = atoms.copy()
    results = {"energy": label.energy, "free_energy": label.energy, "forces": label.forces}
    if label.stress is not None:
        results["stress"] = label.stress
    copy.calc = SinglePointCalculator(copy, **results)
    return copy


def read_fact(connection: sqlite3.Connection, name: str) -> Any:
    """A fact of a ``campaign.db`` or None."""
    found = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return None if found is None else json.loads(found[0])


@contextlib.contextmanager
def read_only(folder: str | os.PathLike[str]) -> Iterator[sqlite3.Connection]:
    """``campaign.db`` of a folder for reading, also while a campaign runs.

    Raises
    ------
    InputError
        There is no campaign in the folder.
    """
    path = Path(folder) / "campaign.db"
    if not path.is_file():
        raise InputError(f"{folder}: there is no campaign in this folder; start one: mentor learn")
    with storage_errors(path):
        # Not mode=ro: after a kill, reading may first have to undo half a transaction.
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=60)
        with contextlib.closing(connection):
            yield connection


def read_labels(folder: str | os.PathLike[str], role: str | None = None) -> list[Atoms]:
    """Labelled structures of a campaign's folder, in the order they were stored.

    ``role`` is ``training`` or ``validation``; None reads both. ``info`` of each structure has its
    ``key``, ``role``, ``iteration`` and ``seconds``.
    """
    path = Path(folder) / "labels.db"
    structures = []
    with storage_errors(path), _database(path) as database:
        for row in database.select(**({} if role is None else {"role": role})):
            atoms = row.toatoms()
            atoms.info |= row.key_value_pairs
            structures.append(atoms)
    return structures


def read_label_seconds(folder: str | os.PathLike[str]) -> list[float]:
    """Wall times of the engine's calculations, s."""
    path = Path(folder) / "labels.db"
    with storage_errors(path), contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
        rows = connection.execute("SELECT value FROM number_key_values WHERE key = 'seconds'")
        return [value for (value,) in rows]


def running(folder: str | os.PathLike[str]) -> bool:
    """Whether a campaign runs in the folder now."""
    try:
        descriptor = os.open(Path(folder) / "campaign.lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextlib.contextmanager
def _database(path: Path) -> Iterator[Any]:
    """``path`` as an ase.db database: one transaction, closed at the end.

    The campaign has the folder to itself, so ASE's lock file, which a killed process would leave
    behind, is not needed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with ase.db.connect(path, use_lock_file=False) as database:
            yield database


def _key_rows(path: Path) -> list[tuple[str, int]]:
    with storage_errors(path), contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
        return connection.execute(
            "SELECT value, id FROM text_key_values WHERE key = 'key'"
        ).fetchall()
