"""Ctrl-C during a campaign counts even where Python cannot raise it."""

import signal
import sys
import threading

import pytest

from mentor.learning.interrupts import remembered


class Interrupting:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_was_lost_is_raised_at_the_next_occasion(monkeypatch):
    """Else the user presses Ctrl-C and the campaign goes on."""
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    with remembered() as interrupted:
        interrupted()
        thing = Interrupting()
        del thing
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_usual_interrupts_are_raised_where_they_come():
    with remembered(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_handlers_of_the_program_and_other_threads_are_left_alone():
    came = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        with remembered() as interrupted:
            signal.raise_signal(signal.SIGINT)
            interrupted()
        assert came == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)

    def elsewhere():
        with remembered() as interrupted:
            interrupted()
        came.append("thread")

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert came[-1] == "thread"
