"""The few kinds of error mentor raises; each message says what, where and what to do."""


class MentorError(Exception):
    """Base of all errors a user can do something about; the command line prints it as one line."""


class InputError(MentorError):
    """A file, option or structure given by the user cannot be used."""


class FormatError(InputError):
    """A file does not follow its format; the message starts with ``path:line``."""

    def __init__(self, path: object, line: int | None, what: str) -> None:
        where = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {what}")


class EngineError(MentorError):
    """A quantum-mechanics calculation failed, timed out or returned nonsense."""


class StorageError(MentorError):
    """A file or database could not be written (full disk, read-only folder, locked campaign)."""
