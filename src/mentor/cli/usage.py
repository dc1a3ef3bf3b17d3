"""Wrong usage."""


class UsageError(Exception):
    """The command line itself is wrong; exit code 2."""
