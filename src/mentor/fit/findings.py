"""What is odd about labelled structures: which of them, and why."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

_SHOWN = 12


@dataclass(frozen=True)
class Finding:
    """Something odd about one structure or the whole set."""

    index: int | None
    """Number of the structure, from 0; None where it is about all of them."""
    group: str
    kind: str
    """``distance``, ``duplicate``, ``energy``, ``forces``, ``stress`` or ``units``."""
    reason: str
    """What is odd, in words and figures."""

    def __str__(self) -> str:
        if self.index is None:
            return self.reason
        group = "" if self.group == "all" else f" ({self.group})"
        return f"structure {self.index}{group}: {self.reason}"

    def as_dict(self) -> dict[str, Any]:
        """Its fields."""
        return dict(vars(self))


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those about the whole set first, then by number."""
    return tuple(sorted(findings, key=lambda each: (each.index is not None, each.index or 0)))


def findings_table(findings: Sequence[Finding], title: str) -> Table:
    """A line for each of the first findings."""
    more = len(findings) - _SHOWN
    table = Table(title=title, caption=f"and {more} more; --json lists all" if more > 0 else None)
    table.add_column("structure", justify="right")
    table.add_column("group")
    table.add_column("what is odd", overflow="fold")
    for each in findings[:_SHOWN]:
        number = "all" if each.index is None else str(each.index)
        table.add_row(number, "" if each.group == "all" else each.group, each.reason)
    return table
