"""Active learning: the active set, extrapolation grades, and which structures to label next."""

from mentor.active.building import build_active_set
from mentor.active.commands import (
    Grades,
    GradeSettings,
    Selection,
    SelectSettings,
    grade,
    grade_structures,
    select,
)
from mentor.active.coordinates import redundant_parameters
from mentor.active.selection import select_structures

__all__ = [
    "GradeSettings",
    "Grades",
    "SelectSettings",
    "Selection",
    "build_active_set",
    "grade",
    "grade_structures",
    "redundant_parameters",
    "select",
    "select_structures",
]
