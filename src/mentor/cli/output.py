"""What a command shows: its result on stdout, progress and messages on stderr."""

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.protocol import rich_cast

from mentor.progress import Reporter, Task


def print_json(document: Any, file: IO[str] | None = None) -> None:
    """Print one JSON document; numbers that JSON does not know (NaN, infinity) become null."""
    file = sys.stdout if file is None else file
    json.dump(plain(document), file, ensure_ascii=False, allow_nan=False)
    file.write("\n")


def plain(value: Any) -> Any:
    """``value`` in the types JSON knows."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_result(result: Any) -> None:
    """Print a result as a table or sentences on stdout; sentences are not broken into lines."""
    shown = rich_cast(result)
    width = None if sys.stdout.isatty() else 100
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False, width=width)
    console.print(shown, soft_wrap=isinstance(shown, str) and width is not None)


class TerminalReporter(Reporter):
    """Progress as bars on a terminal's stderr, as a line now and then where it is a file."""

    def __init__(self) -> None:
        self.console = Console(file=sys.stderr, highlight=False, markup=False, soft_wrap=True)
        self.progress: Progress | None = None
        if self.console.is_terminal:
            self.progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=self.console,
                transient=True,
            )

    def __enter__(self) -> "TerminalReporter":
        if self.progress is not None:
            self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.progress is not None:
            self.progress.stop()

    def task(self, description: str, total: float | None = None) -> Task:
        """Open a bar, or what stands for one in a file."""
        if self.progress is None:
            return _Lines(self.message, description, total)
        return _Bar(self.progress, description, total)

    def message(self, text: str) -> None:
        """Print one line above the bars."""
        self.console.print(text, emoji=False)


class _Bar(Task):
    """One bar, taken away when its work is over."""

    def __init__(self, progress: Progress, description: str, total: float | None) -> None:
        self.progress = progress
        self.identity = progress.add_task(description, total=total, note="")

    def __exit__(self, *exception: object) -> None:
        self.progress.remove_task(self.identity)

    def advance(self, steps: float = 1, note: str | None = None) -> None:
        fields = {} if note is None else {"note": note}
        self.progress.update(self.identity, advance=steps, **fields)

    def extend(self, total: float) -> None:
        self.progress.update(self.identity, total=total)


class _Lines(Task):
    """One line at most every ``INTERVAL`` seconds."""

    INTERVAL = 30.0

    def __init__(self, say: Callable[[str], None], description: str, total: float | None) -> None:
        self.say = say
        self.description = description
        self.total = total
        self.done = 0.0
        self.last = time.monotonic()

    def advance(self, steps: float = 1, note: str | None = None) -> None:
        self.done += steps
        now = time.monotonic()
        if now - self.last >= self.INTERVAL:
            self.last = now
            of = f"/{self.total:.10g}" if self.total is not None else ""
            self.say(f"{self.description}: {self.done:.10g}{of}{f', {note}' if note else ''}")

    def extend(self, total: float) -> None:
        self.total = total
