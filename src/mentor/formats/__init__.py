"""Files of potentials and structures to and from plain fields and :class:`ase.Atoms`.

Potentials: ``.mtp`` (text) and ``.almtp`` (with the active set). Structures: ``.cfg``, and every
format of :mod:`ase.io` by the name of the file.
"""

from mentor.formats.commands import (
    Conversion,
    ConvertSettings,
    MinDist,
    MinDistSettings,
    convert,
    mindist,
)
from mentor.formats.files import (
    read_potential,
    read_structures,
    write_potential,
    write_structures,
)
from mentor.formats.mtp import ELEMENTS_TAG, elements_of_tag, tag_with_elements
from mentor.formats.sharing import with_shared_moments

__all__ = [
    "ELEMENTS_TAG",
    "Conversion",
    "ConvertSettings",
    "MinDist",
    "MinDistSettings",
    "convert",
    "elements_of_tag",
    "mindist",
    "read_potential",
    "read_structures",
    "tag_with_elements",
    "with_shared_moments",
    "write_potential",
    "write_structures",
]
