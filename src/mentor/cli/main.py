"""The command ``mentor``.

Exit codes: 0 done, 1 an error said in one line, 2 wrong usage, 130 interrupted. ``mentor version``
and ``mentor --help`` import neither numpy nor anything else slow.
"""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

from mentor import __version__
from mentor.cli.commands import COMMANDS, SHARED, Command, manual
from mentor.cli.usage import UsageError
from mentor.exceptions import MentorError, StorageError
from mentor.parallel import rank, share_cores

if TYPE_CHECKING:
    from argparse import ArgumentParser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's own) and return the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    share_cores()
    if rank() == 0 or not arguments or arguments[0] not in SHARED:
        return _main(arguments)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return _main(arguments)


def _main(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    try:
        _run(arguments)
        return 0
    except UsageError as error:
        return _fail(str(error), 2, as_json)
    except MentorError as error:
        return _fail(str(error), 1, as_json)
    except KeyboardInterrupt:
        return _fail("interrupted", 130, as_json)
    except BrokenPipeError:
        return _stdout_lost()
    except MemoryError:
        return _fail("out of memory; use fewer or smaller structures at once", 1, as_json)
    except Exception as error:
        if "--debug" in arguments:
            raise
        what = " ".join(str(error).split())
        return _fail(
            f"unexpected {type(error).__name__}: {what}; this is a fault of mentor, "
            "please report it with what the same command prints with --debug",
            1,
            as_json,
        )


def _run(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        return _show(manual())
    verb, *rest = arguments
    if rest and f"{verb} {rest[0]}" in COMMANDS:
        verb, rest = f"{verb} {rest[0]}", rest[1:]
    if verb in ("version", "--version"):
        as_json = "--json" in rest
        return _show(f'{{"version": "{__version__}"}}' if as_json else f"mentor {__version__}")
    from mentor.tables import nearest

    if verb not in COMMANDS:
        raise UsageError(
            f"no command {verb!r}{nearest(verb, (*COMMANDS, 'version'))} (see 'mentor --help')"
        )
    from mentor.cli.options import parser, settings

    command = COMMANDS[verb]
    parse = parser(command)
    if "-h" in rest or "--help" in rest:
        return _show(parse.format_help())
    known, unknown = parse.parse_known_intermixed_args(rest)
    if unknown:
        raise UsageError(_unknown(verb, unknown[0], parse))
    given = vars(known)
    return _execute(command, settings(command, given), json="json" in given, quiet="quiet" in given)


def _unknown(verb: str, word: str, parse: "ArgumentParser") -> str:
    from mentor.tables import nearest

    if word.startswith("-"):
        flags = [flag for action in parse._actions for flag in action.option_strings]
        what = f"has no option {word}{nearest(word, flags)}"
    else:
        what = f"has no use for {word}; separate several values of an option by commas"
    return f"mentor {verb} {what} (see 'mentor {verb} --help')"


def _execute(command: Command, values: Any, *, json: bool, quiet: bool) -> None:
    from mentor.cli import output
    from mentor.progress import Reporter, reporting

    shown = nullcontext(Reporter()) if quiet else output.TerminalReporter()
    with shown as reporter, reporting(reporter), warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: reporter.message(f"warning: {message}")
        result = command.function(values)
    with _writing():
        if json:
            output.print_json(result.as_dict())
        else:
            output.print_result(result)


def _show(text: str) -> None:
    with _writing():
        print(text)  # noqa: T201


@contextmanager
def _writing() -> Iterator[None]:
    """Turn a failure to write on standard output into a sentence."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StorageError(f"standard output cannot be written ({error.strerror})") from None


def _fail(message: str, code: int, as_json: bool) -> int:
    line = " ".join(message.split())
    try:
        if as_json:
            from mentor.cli.output import print_json

            print_json({"error": line})
            sys.stdout.flush()
    except OSError:
        _stdout_lost()
    print(f"mentor: {line}", file=sys.stderr)  # noqa: T201
    return code


def _stdout_lost() -> int:
    """Nobody reads standard output any more: stop without a complaint at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
