"""Wrong usage: what it is and how it is said."""

from collections.abc import Iterable


class UsageError(Exception):
    """The command line itself is wrong; exit code 2."""


def nearest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean ...?"`` where a known word is close, else nothing."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
