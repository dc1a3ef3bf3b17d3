"""Reading and writing the files, each by the ending of its name."""

import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import ase.io
from ase import Atoms
from ase.data import atomic_numbers
from ase.io.formats import UnknownFileTypeError, filetype, ioformats

from mentor.exceptions import FormatError, InputError, StorageError
from mentor.files import write_atomically
from mentor.formats import almtp, cfg, mtp
from mentor.formats.mtp import elements_of_tag, tag_with_elements

POTENTIAL_ENDINGS = (".mtp", ".almtp")

PathLike = str | os.PathLike[str]


def read_potential(path: PathLike, elements: Sequence[str] | None = None) -> dict:
    """Fields of a potential in a ``.mtp`` or ``.almtp`` file, under their names in the file.

    Parameters
    ----------
    path
        File written by mentor, MLIP-2, MLIP-3 or motep.
    elements
        Chemical symbols of the types 0, 1, …, where the file does not name them.

    Returns
    -------
    dict
        The arguments of :class:`mentor.Potential` except ``elements``, which ``potential_tag``
        names; ``active_set`` is None where the file has none. The coefficients of an untrained
        file are NaN.

    Raises
    ------
    InputError
        The file does not exist or cannot be read.
    FormatError
        The file is not a complete potential; the message gives the line.
    """
    content = _content(path)
    mark = content.find(b"\n#MVS")
    text = _decoded(path, content if mark < 0 else content[: mark + 1])
    fields = mtp.parse_mtp(path, text)
    elements = _agreed_elements(path, fields, tuple(elements or ()))
    fields["potential_tag"] = tag_with_elements(fields["potential_tag"], elements)
    fields["active_set"] = None
    if mark >= 0:
        size = sum(fields[key].size for key in ("radial_coeffs", "species_coeffs", "moment_coeffs"))
        fields["active_set"] = almtp.parse_active_set(path, content, mark + 1, size, elements)
    return fields


def _agreed_elements(
    path: PathLike, fields: dict, given: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Elements of the types: those the file names, else those ``given``, else None."""
    named = elements_of_tag(fields["potential_tag"])
    if not given:
        return named
    unknown = [symbol for symbol in given if symbol not in atomic_numbers]
    if unknown or len(set(given)) != len(given):
        raise InputError(
            f"elements: {', '.join(unknown or given)} must be chemical symbols, each given once"
        )
    if len(given) > fields["species_count"]:
        raise InputError(
            f"{path}: has {fields['species_count']} species but {len(given)} elements "
            f"({', '.join(given)}) were given; give one symbol per species"
        )
    if named and named != given:
        raise InputError(
            f"{path}: names its elements {', '.join(named)}, not {', '.join(given)}; "
            "leave elements out"
        )
    return given


def write_potential(path: PathLike, fields: dict) -> None:
    """Write ``.mtp``, or ``.almtp`` with the active set, completely or not at all.

    Raises
    ------
    InputError
        The name ends otherwise, or there is no active set for an ``.almtp`` file.
    StorageError
        The file cannot be written.
    """
    ending = Path(path).suffix
    if ending not in POTENTIAL_ENDINGS:
        raise InputError(f"{path}: the name of a potential must end in .mtp or .almtp")
    content = mtp.format_mtp(fields).encode()
    if ending == ".almtp":
        active_set = fields.get("active_set")
        if active_set is None:
            raise InputError(
                f"{path}: the potential has no active set; write it as .mtp, "
                "or make one from its training set (mentor.build_active_set)"
            )
        elements = elements_of_tag(fields["potential_tag"])
        content += almtp.format_active_set(active_set, elements)
    write_atomically(path, content)


def read_structures(
    path: PathLike, elements: Sequence[str] | None = None, index: str | int = ":"
) -> list[Atoms]:
    """Structures of a file, with their labels.

    Parameters
    ----------
    path
        ``.cfg``, or any file :mod:`ase.io` reads (``.xyz``, ``.db``, ``.traj``, ``OUTCAR``, …).
    elements
        Chemical symbols of the types of a ``.cfg`` file, which does not name them.
    index
        Which structures, as in :func:`ase.io.read`; one integer gives a list of one.

    Raises
    ------
    InputError
        The file does not exist, or nobody can read it; the message gives path and reason.
    FormatError
        A ``.cfg`` file is damaged; the message gives the line.
    """
    if Path(path).suffix.lower() == ".cfg":
        content = _content(path)
        if elements is None:
            raise InputError(
                f"{path}: .cfg files hold types, not elements; give the elements in the order of "
                "the types, for example elements=['Ag', 'Pd']"
            )
        structures = cfg.parse_cfg(path, _decoded(path, content), elements)
        if not structures:
            raise FormatError(path, 1, "contains no BEGIN_CFG")
        return _chosen(path, structures, index)
    return _read_by_ase(path, index)


def _chosen(path: PathLike, structures: list[Atoms], index: str | int) -> list[Atoms]:
    chosen = ase.io.formats.string2index(index) if isinstance(index, str) else index
    if isinstance(chosen, slice):
        return structures[chosen]
    if not -len(structures) <= chosen < len(structures):
        raise InputError(
            f"{path}: has {len(structures)} structures, there is none of index {chosen}"
        )
    return [structures[chosen]]


def _read_by_ase(path: PathLike, index: str | int) -> list[Atoms]:
    plain = str(path).split("@")[0]
    if not os.path.exists(plain) and not os.path.exists(path):
        raise InputError(f"{path}: no such file")
    if os.path.isfile(plain) and os.path.getsize(plain) == 0:
        raise InputError(f"{path}: is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = ase.io.read(path, index=index)
    except UnknownFileTypeError:
        raise InputError(
            f"{path}: the format is not recognised; use .xyz, .cfg or another format of ase.io"
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the readers of ase.io raise whatever they meet
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: cannot be read ({reason}); is the file complete?") from None
    found = [found] if isinstance(found, Atoms) else list(found)
    if not all(isinstance(atoms, Atoms) for atoms in found):
        raise InputError(f"{path}: contains something other than structures")
    return found


def write_structures(
    path: PathLike, structures: Atoms | Sequence[Atoms], elements: Sequence[str] | None = None
) -> None:
    """Write structures with their labels, in the format of the name's ending.

    Files are written completely or not at all, databases (``.db``) too.

    Parameters
    ----------
    elements
        Order of the types in a ``.cfg`` file.

    Raises
    ------
    InputError
        Unknown ending, or structures that the format cannot hold.
    StorageError
        The file cannot be written.
    """
    structures = [structures] if isinstance(structures, Atoms) else list(structures)
    if Path(path).suffix.lower() == ".cfg":
        write_atomically(path, cfg.format_cfg(structures, elements))
        return
    try:
        kind = ioformats[filetype(str(path), read=False, guess=False)]
    except (UnknownFileTypeError, KeyError):
        raise InputError(
            f"{path}: no format goes by this name; use .xyz, .cfg or another ending of ase.io"
        ) from None
    if not kind.can_write:
        raise InputError(f"{path}: ase.io reads but does not write this format; use .xyz")
    if kind.single and len(structures) != 1:
        raise InputError(
            f"{path}: this format holds one structure, not {len(structures)}; use .xyz"
        )
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / Path(path).name
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ase.io.write(draft, structures[0] if kind.single else structures, format=kind.name)
            content = draft.read_bytes()
        except OSError as error:
            raise StorageError(f"{path}: cannot be written ({error.strerror or error})") from error
        except Exception as error:  # noqa: BLE001 - the writers of ase.io raise whatever they meet
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(f"{path}: this format cannot hold the structures ({reason})") from None
    write_atomically(path, content)


def _content(path: PathLike) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _decoded(path: PathLike, content: bytes) -> str:
    try:
        return content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FormatError(path, line, "is not text; the file is damaged") from None
