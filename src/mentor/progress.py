"""How long work reports progress without printing.

Library code opens a task on the current reporter; the reporter is silent unless the command line
(or the user) installs another one with :func:`reporting`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Task:
    """A piece of work with an optional total; this silent one ignores everything."""

    def __enter__(self) -> "Task":
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def advance(self, steps: float = 1, note: str | None = None) -> None:
        """Report ``steps`` more done, with a short ``note`` on the state (a loss, a grade)."""

    def extend(self, total: float) -> None:
        """Report that the work is now ``total`` long."""


class Reporter:
    """Where progress goes; the base class is silent."""

    def task(self, description: str, total: float | None = None) -> Task:
        """Open a task of ``total`` steps (None: unknown)."""
        return Task()

    def message(self, text: str) -> None:
        """Report one line worth reading (a label made, a refit done)."""


_current: ContextVar[Reporter] = ContextVar("reporter", default=Reporter())  # noqa: B039


def current() -> Reporter:
    """The current reporter."""
    return _current.get()


def task(description: str, total: float | None = None) -> Task:
    """Open a task on the current reporter; use it in a ``with`` statement."""
    return _current.get().task(description, total)


def message(text: str) -> None:
    """Report one line on the current reporter."""
    _current.get().message(text)


@contextmanager
def reporting(reporter: Reporter) -> Iterator[Reporter]:
    """Install ``reporter`` for the enclosed block."""
    token = _current.set(reporter)
    try:
        yield reporter
    finally:
        _current.reset(token)
