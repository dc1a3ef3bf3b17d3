"""Generated bases kept on disk, so that a high level is generated once per user.

A cache never stands in the way: a folder that cannot be written is not used, and a file that
cannot be read is generated again.
"""

import io
import os
import zipfile
from pathlib import Path

import numpy as np

from mentor.exceptions import StorageError
from mentor.files import write_atomically

VERSION = 1
"""To be raised whenever the generator gives something else for the same arguments."""

_BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError)


def folder() -> Path:
    """``$XDG_CACHE_HOME/mentor``, by default ``~/.cache/mentor``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mentor"


def load(key: tuple[int, ...], names: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    """Arrays ``names`` stored under ``key``; None where there are none or they are damaged."""
    try:
        with np.load(io.BytesIO(_path(key).read_bytes()), allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except _BROKEN:
        return None


def store(key: tuple[int, ...], arrays: dict[str, np.ndarray]) -> None:
    """Store ``arrays`` under ``key`` if the folder can be written."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    try:
        path = _path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.getvalue())
    except (OSError, RuntimeError, StorageError):
        return


def _path(key: tuple[int, ...]) -> Path:
    return folder() / f"basis-v{VERSION}-{'-'.join(map(str, key))}.npz"
