"""What a fit shows while it runs: every iteration on the reporter and in a table (.csv)."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from mentor import progress
from mentor.files import write_atomically
from mentor.fit.checkpoint import Iteration, Progress
from mentor.fit.fitting import STALL


class Watch:
    """Called with the state of a fit after each iteration, also in the rounds of a robust fit.

    Parameters
    ----------
    task
        Where progress is reported; its total is the number of iterations to be expected.
    tolerance, most
        When a fit ends by itself, and after how many iterations at most.
    path
        File of the table, written anew after every iteration.
    """

    def __init__(
        self, task: progress.Task, tolerance: float, most: int, path: Path | None = None
    ) -> None:
        self.task, self.tolerance, self.most, self.path = task, tolerance, most, path
        self.begin = perf_counter()
        self.finished: list[dict[str, Any]] = []
        self.current: list[dict[str, Any]] = []

    def __call__(self, stand: Progress) -> None:
        """Report the iterations that are new."""
        history = stand.history
        if len(history) <= len(self.current):  # another round begins
            self.finished, self.current = [*self.finished, *self.current], []
        new = history[len(self.current) :]
        seconds = round(perf_counter() - self.begin, 3)
        first = len(self.finished)
        for each in new:
            line = each.as_dict() | {"iteration": first + each.number}
            self.current.append(line | {"seconds": seconds if each is new[-1] else None})
        left = iterations_left(history, self.tolerance, self.most)
        self.task.extend(first + len(self.current) + left)
        self.task.advance(len(new), note(history[-1]))
        if self.path is not None:
            write_atomically(self.path, self._table())

    def _table(self) -> str:
        text = io.StringIO()
        lines = [*self.finished, *self.current]
        writer = csv.DictWriter(text, lines[-1].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        return text.getvalue()


@contextmanager
def own_progress() -> Iterator[None]:
    """Silence the tasks of fits inside, of which a :class:`Watch` tells more."""
    with progress.reporting(_Without(progress.current(), "fit")):
        yield


class _Without(progress.Reporter):
    """A reporter that leaves one task out."""

    def __init__(self, inner: progress.Reporter, left_out: str) -> None:
        self.inner, self.left_out = inner, left_out

    def task(self, description: str, total: float | None = None) -> progress.Task:
        """A task of the inner reporter, or a silent one."""
        if description == self.left_out:
            return progress.Task()
        return self.inner.task(description, total)

    def message(self, text: str) -> None:
        """Passed on."""
        self.inner.message(text)


def iterations_left(history: tuple[Iteration, ...], tolerance: float, most: int) -> int:
    """How many more iterations a fit is likely to take.

    It ends when the part of the loss gained over the last iterations falls below ``tolerance``
    (gains fall about exponentially), or when the validation loss has not fallen for as many.
    """
    left = most - history[-1].number
    if history[-1].validation is not None:
        stalled = len(history) - 1 - int(np.argmin([each.validation.value for each in history]))
        if stalled >= STALL // 2:
            left = min(left, max(STALL - stalled, 0))
    values = np.array([each.loss.value for each in history])
    if len(values) <= STALL + STALL // 2 or tolerance <= 0:
        return left
    gains = 1.0 - values[STALL:] / np.maximum(values[:-STALL], 1e-300)
    now, before = gains[-1], gains[-1 - STALL // 2]
    if now <= tolerance:
        return 0
    if now >= before:
        return left
    needed = STALL // 2 * np.log(now / tolerance) / np.log(before / now)
    return int(min(left, np.ceil(needed)))


def note(latest: Iteration) -> str:
    """Loss and errors in one line."""
    text = f"loss {latest.loss.value:.4g}"
    for name, each in (("train", latest.loss), ("validation", latest.validation)):
        if each is not None:
            text += f", {name} {1000 * each.energy_rmse:.3g} meV/atom"
            if np.isfinite(each.force_rmse):
                text += f" {each.force_rmse:.3g} eV/Å"
    return text
