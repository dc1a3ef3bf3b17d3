"""What a training hands back: the potential, its errors, and what is odd about the data."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table

from mentor.fit.checkpoint import Iteration
from mentor.fit.choice import Choice
from mentor.fit.committee import Lesson
from mentor.fit.errors import ErrorTable
from mentor.fit.findings import Finding, findings_table
from mentor.potential import Potential


@dataclass(frozen=True, eq=False)
class TrainResult:
    """A trained potential, its errors, and how the fit went."""

    potential: Potential
    errors: ErrorTable
    """On the training structures."""
    validation_errors: ErrorTable | None
    test_errors: ErrorTable | None
    history: tuple[Iteration, ...]
    reason: str
    """Why the fit ended."""
    warnings: tuple[Finding, ...] = ()
    """What the checks before the fit found, numbered as in the data."""
    outliers: tuple[Finding, ...] = ()
    """Structures of the data that the potential does not meet."""
    choice: Choice | None = None
    """The settings that were tried, where some were left to choose."""
    lesson: Lesson | None = None
    """What a committee taught the potential."""
    seconds: float = 0.0
    output: Path | None = None
    files: tuple[Path, ...] = ()
    """What else was written."""

    def as_dict(self) -> dict[str, Any]:
        """Errors, findings, iterations and where the potential is, as plain values."""
        sets = {
            "train": self.errors,
            "validation": self.validation_errors,
            "test": self.test_errors,
        }
        return {
            "output": None if self.output is None else str(self.output),
            "files": [str(path) for path in self.files],
            "reason": self.reason,
            "seconds": self.seconds,
            "parameters": self.potential.parameter_count,
            "choice": None if self.choice is None else self.choice.as_dict(),
            "committee": None if self.lesson is None else self.lesson.as_dict(),
            **{name: None if each is None else each.as_dict() for name, each in sets.items()},
            "warnings": [each.as_dict() for each in self.warnings],
            "outliers": [each.as_dict() for each in self.outliers],
            "iterations": [_finite(each.as_dict()) for each in self.history],
        }

    def __rich__(self) -> Group:
        """What was chosen, the error tables, what is odd, and a line on the fit."""
        parts: list[Any] = [] if self.choice is None else [self.choice, ""]
        parts.append(_titled(self.errors, "training set"))
        for table, title in (
            (self.validation_errors, "validation set"),
            (self.test_errors, "test set"),
        ):
            if table is not None:
                parts.append(_titled(table, title))
        for findings, title in (
            (self.warnings, "odd labels or structures, found before the fit"),
            (self.outliers, "outliers after the fit"),
        ):
            if findings:
                parts.append(findings_table(findings, title))
        if self.lesson is not None:
            parts.append(str(self.lesson))
        where = f"; written to {_listed((self.output, *self.files))}" if self.output else ""
        parts.append(
            f"{len(self.history) - 1} iterations in {self.seconds:.0f} s: {self.reason}{where}"
        )
        return Group(*parts)


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths)


def _titled(table: ErrorTable, title: str) -> Table:
    shown = table.__rich__()
    shown.title = title
    return shown


def _finite(line: dict[str, Any]) -> dict[str, Any]:
    """NaN, which JSON lacks, as None."""
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in line.items()
    }
