"""A process that runs tasks for a campaign: ``python -m mentor.learning.worker``.

Two processes. The *guardian* leads a process group and waits on a pipe whose other end only the
campaign holds: when the campaign ends in any way, even killed, the pipe closes and the guardian
kills the whole group with every program an engine has started. The *server*, its child, reads
tasks (module:function and arguments, pickled, length first) from its standard input and writes
answers to its standard output; both are moved out of the way first, so that an engine's own output
goes to the log (standard error) and never into an answer.
"""

import contextlib
import importlib
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import traceback
from typing import BinaryIO

HEADER = struct.Struct(">Q")


def write_message(stream: BinaryIO, message: object) -> None:
    """Write one pickled message with its length in front."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(HEADER.pack(len(data)) + data)
    stream.flush()


def read_message(stream: BinaryIO) -> object:
    """Read one message; raises ``EOFError`` where the stream ends."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        raise EOFError
    (length,) = HEADER.unpack(header)
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)


def guard(lifeline: int) -> int:
    """Run the server; kill the whole process group when the lifeline closes."""
    server = subprocess.Popen([sys.executable, "-m", "mentor.learning.worker", "serve"])
    os.close(0)
    os.close(1)

    def watch() -> None:
        os.read(lifeline, 1)  # returns only when the campaign is gone
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    status = server.wait()
    return status if status >= 0 else 128 - status


def serve() -> None:
    """Answer tasks until the input ends."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    while True:
        try:
            name, arguments = read_message(requests)
        except EOFError:
            return
        answer = _answer(name, arguments)
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        write_message(answers, answer)


def _answer(name: str, arguments: tuple) -> tuple:
    """Run ``module:function``, or only import ``module``.

    Returns ``("ok", value)`` or ``("error", exception, traceback)``.
    """
    try:
        module, _, function = name.partition(":")
        loaded = importlib.import_module(module)
        return ("ok", getattr(loaded, function)(*arguments) if function else None)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - passed on to the campaign
        error.__cause__ = error.__context__ = None
        text = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # noqa: BLE001 - exceptions of others may fail in any way here
            error = RuntimeError(f"{type(error).__name__}: {error}")
        return ("error", error, text)


if __name__ == "__main__":
    if sys.argv[1] == "guard":
        sys.exit(guard(int(sys.argv[2])))
    serve()
