"""Writing files so that nothing is ever written half."""

import io
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from mentor.exceptions import StorageError

BROKEN_ARRAYS = (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, NotImplementedError)
"""What reading a damaged ``.npz`` and its fields may raise."""


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write ``content`` to ``path`` completely or not at all.

    The content goes to a temporary file beside ``path``, reaches the disk, and is renamed over
    ``path``. Special files such as ``/dev/stdout`` are written directly.

    Raises
    ------
    StorageError
        The folder does not exist or is read-only, or the disk is full.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}); "
            "free some space or choose another place, nothing was changed"
        ) from error


def write_arrays(path: str | os.PathLike[str], **arrays: Any) -> None:
    """Write ``arrays`` to ``path`` as a NumPy ``.npz``, completely or not at all.

    Raises
    ------
    StorageError
        As :func:`write_atomically`.
    """
    import numpy as np

    content = io.BytesIO()
    np.savez(content, **arrays)
    write_atomically(path, content.getvalue())
