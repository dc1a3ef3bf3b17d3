"""Interrupts (Ctrl-C) that no code can lose.

Python raises KeyboardInterrupt wherever it is just then. In a destructor, a callback or a library
that catches everything it is lost, and the program runs on. So it is remembered, too, and raised
again at the next occasion.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def remembered() -> Iterator[Callable[[], None]]:
    """Within, interrupts are remembered; gives a function that raises one that has come.

    In other threads than the main one, which Python interrupts alone, and where the program has a
    handler of its own for them, nothing changes.
    """
    come = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        come.set()
        signal.default_int_handler(number, frame)

    def check() -> None:
        if come.is_set():
            raise KeyboardInterrupt

    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield check
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
