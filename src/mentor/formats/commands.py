"""The commands ``convert`` (one file into another format) and ``mindist`` (shortest distances)."""

from dataclasses import dataclass
from pathlib import Path

from ase.data import atomic_numbers
from rich.console import Group
from rich.table import Table

from mentor.exceptions import InputError
from mentor.formats.files import (
    POTENTIAL_ENDINGS,
    read_potential,
    read_structures,
    write_potential,
    write_structures,
)
from mentor.formats.mtp import elements_of_tag
from mentor.formats.sharing import with_shared_moments
from mentor.settings import command, option
from mentor.structures import shortest_distances


@dataclass(frozen=True, kw_only=True)
class ConvertSettings:
    """Settings of a conversion."""

    source: Path = option(help="File to read: structures, or a potential.", positional=True)
    target: Path = option(help="File to write; its ending names the format.", positional=True)
    elements: tuple[str, ...] = option(
        (), "Chemical symbols of the types 0, 1, … of a .cfg file or potential."
    )
    index: str = option(":", "Which structures, as in ase.io.read: -1, 0:10, ::5.")
    core: bool = option(
        True,
        "Keep the short-range core of a potential; other programs can only read those without it.",
    )
    shared_moments: bool = option(
        False,
        "Write a potential with one set of moment_coeffs that all species share, as other programs "
        "need it: the same energies, as many times slower as there are species.",
    )


@dataclass(frozen=True)
class Conversion:
    """What was converted."""

    source: Path
    target: Path
    kind: str
    """``structures`` or ``potential``."""
    count: int
    """Number of structures; 1 for a potential."""
    elements: tuple[str, ...]
    """Elements of the types 0, 1, … of ``target``; () where it has no types or they are unknown."""

    def as_dict(self) -> dict:
        """The fields as plain values."""
        return {
            "source": str(self.source),
            "target": str(self.target),
            "kind": self.kind,
            "count": self.count,
            "elements": list(self.elements),
        }

    def __rich__(self) -> str:
        what = f"{self.count} structures" if self.kind == "structures" else "potential"
        types = ", ".join(f"{i} = {symbol}" for i, symbol in enumerate(self.elements))
        return f"{self.source} → {self.target}: {what}" + (f", types {types}" if types else "")


@command(ConvertSettings)
def convert(settings: ConvertSettings) -> Conversion:
    """Convert structures between .cfg and ASE's formats, or potentials between .mtp and .almtp.

    Energies, forces and stresses go along. Without ``elements`` the types of a new ``.cfg`` file
    follow the atomic numbers.

    Raises
    ------
    InputError
        A file that cannot be read, elements missing, or a format that cannot hold the content.
    StorageError
        The target cannot be written.
    """
    source, target = Path(settings.source), Path(settings.target)
    elements = tuple(settings.elements)
    if (source.suffix in POTENTIAL_ENDINGS) != (target.suffix in POTENTIAL_ENDINGS):
        raise InputError(
            f"{source} → {target}: a potential (.mtp, .almtp) and structures cannot be converted "
            "into each other"
        )
    if source.suffix in POTENTIAL_ENDINGS:
        return _convert_potential(source, target, elements, settings)
    structures = read_structures(source, elements or None, settings.index)
    if not structures:
        raise InputError(f"{source}: has no structures at index {settings.index!r}")
    typed = target.suffix.lower() == ".cfg"
    if typed and not elements:
        found = {symbol for atoms in structures for symbol in atoms.get_chemical_symbols()}
        elements = tuple(sorted(found, key=atomic_numbers.__getitem__))
    write_structures(target, structures, elements)
    return Conversion(source, target, "structures", len(structures), elements if typed else ())


def _convert_potential(
    source: Path, target: Path, elements: tuple[str, ...], settings: ConvertSettings
) -> Conversion:
    fields = read_potential(source, elements)
    if not settings.core and fields["core_radii"] is not None:
        fields |= {"radial_basis_type": "RBChebyshev", "core_radii": None}
    if settings.shared_moments:
        fields = with_shared_moments(fields)
    write_potential(target, fields)
    return Conversion(
        source, target, "potential", 1, elements_of_tag(fields["potential_tag"]) or ()
    )


@dataclass(frozen=True, kw_only=True)
class MinDistSettings:
    """Settings of a search for the shortest distances."""

    files: tuple[Path, ...] = option(help="Files with structures.", positional=True)
    elements: tuple[str, ...] = option((), "Chemical symbols of the types of a .cfg file.")
    cutoff: float = option(5.0, "Longest distance looked for.", unit="Å")


@dataclass(frozen=True)
class MinDist:
    """Shortest distance of each pair of elements in each file."""

    distances: dict[Path, dict[tuple[str, str], float]]
    """Å; pairs that never come within the cutoff are left out."""

    @property
    def shortest(self) -> float | None:
        """Shortest distance of all in Å; None where no two atoms are within the cutoff."""
        return min((d for pairs in self.distances.values() for d in pairs.values()), default=None)

    def as_dict(self) -> dict:
        """Distances under ``files`` → path → ``A-B``, and the shortest of all."""
        files = {
            str(path): {"-".join(pair): distance for pair, distance in pairs.items()}
            for path, pairs in self.distances.items()
        }
        return {"files": files, "shortest": self.shortest}

    def __rich__(self) -> Group:
        table = Table("file", "pair", "shortest distance (Å)")
        for path, pairs in self.distances.items():
            for pair, distance in pairs.items():
                table.add_row(str(path), "-".join(pair), f"{distance:.4f}")
        if self.shortest is None:
            return Group(table, "no two atoms are within the cutoff")
        return Group(table, f"shortest of all: {self.shortest:.4f} Å")


@command(MinDistSettings)
def mindist(settings: MinDistSettings) -> MinDist:
    """Find the shortest distance of each pair of elements, file by file.

    Raises
    ------
    InputError
        A file that cannot be read or has an unusable structure, or a cutoff that is not positive.
    """
    if not settings.cutoff > 0.0:
        raise InputError(f"cutoff = {settings.cutoff} Å must be positive")
    given = settings.files
    files = [given] if isinstance(given, str | Path) else list(given)
    if not files:
        raise InputError("files: give at least one file with structures")
    distances = {}
    for path in map(Path, files):
        structures = read_structures(path, settings.elements or None)
        try:
            distances[path] = shortest_distances(structures, settings.cutoff)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    return MinDist(distances)
