"""The campaign's side of the worker processes: start, ask, time out, kill, start again."""

import atexit
import contextlib
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from mentor.exceptions import EngineError
from mentor.learning.worker import HEADER


class WorkerTimeoutError(EngineError):
    """A task did not end within its time limit; its process was killed."""


class WorkerCrashError(EngineError):
    """The process of a task died."""


class WorkerClosedError(WorkerCrashError):
    """The process was ended on purpose, because the campaign stops."""


class Worker:
    """One persistent process that runs tasks one after the other.

    It keeps what it has imported; its log is a file without a name, cut back before every task.
    """

    def __init__(self, threads: int = 1) -> None:
        self.fresh = True
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        read_end, self._lifeline = os.pipe()
        environment = os.environ | {
            name: str(threads)
            for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mentor.learning.worker", "guard", str(read_end)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                pass_fds=(read_end,),
                start_new_session=True,
                env=environment,
                bufsize=0,
            )
        except OSError as error:
            os.close(self._lifeline)
            self._log.close()
            raise EngineError(f"a worker process cannot be started: {error}") from error
        finally:
            os.close(read_end)

    @property
    def alive(self) -> bool:
        """Whether the process is there to take a task."""
        return self._process.poll() is None

    def call(self, function: str, *arguments: Any, time_limit: float | None = None) -> Any:
        """Run ``module:function`` in the process and return its result.

        Raises
        ------
        WorkerTimeoutError
            No answer after ``time_limit`` seconds; the process group is killed.
        WorkerCrashError
            The process died.
        Exception
            Whatever the function raised.
        """
        self.fresh = False
        deadline = None if time_limit is None else time.monotonic() + time_limit
        self._log.seek(0)
        self._log.truncate()
        data = pickle.dumps((function, arguments), protocol=pickle.HIGHEST_PROTOCOL)
        try:
            self._write(HEADER.pack(len(data)) + data)
            (length,) = HEADER.unpack(self._read(HEADER.size, deadline))
            answer = pickle.loads(self._read(length, deadline))
        except TimeoutError:
            self.close()
            raise WorkerTimeoutError(f"no result within {time_limit:g} s") from None
        except (EOFError, OSError):
            raise WorkerCrashError(self._death()) from None
        if answer[0] == "ok":
            return answer[1]
        raise answer[1]

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._process.stdin.fileno(), view) :]

    def _read(self, size: int, deadline: float | None) -> bytes:
        """``size`` bytes of the answer, or TimeoutError, or EOFError."""
        parts, missing = [], size
        descriptor = self._process.stdout.fileno()
        while missing:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([descriptor], [], [], wait)[0]:
                raise TimeoutError
            part = os.read(descriptor, min(missing, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _death(self) -> str:
        """Why the process died, from its exit status and the last line of its log."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)  # the guardian passes on the status of the server
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - 2000))
        lines = self._log.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        self.close()
        status = self._process.returncode
        try:
            how = f"was killed by {signal.Signals(status - 128).name}"
        except ValueError:
            how = f"ended with status {status}"
        return f"its process {how}" + (f" ({last[:200]})" if last else "")

    def kill(self) -> None:
        """Kill the process and everything it has started; a running :meth:`call` then raises."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Kill the process and give back what was held for it."""
        self.kill()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
            self._process.stdin.close()
            self._process.stdout.close()
            self._log.close()


_idle: dict[str, list[Worker]] = {}
_all: set[Worker] = set()
_lock = threading.Lock()


def run_in_worker(
    function: str, *arguments: Any, threads: int = 1, time_limit: float | None = None
) -> Any:
    """Run ``module:function`` in an idle worker of this process, or in a new one.

    Workers are kept for later tasks of the same kind (function and number of threads) and end with
    this process or with :func:`close_workers`. May be called from any thread. Raises as
    :meth:`Worker.call`.
    """
    kind = f"{function} {threads}"
    with _lock:
        idle = _idle.setdefault(kind, [])
        worker = idle.pop() if idle else None
    if worker is None or not worker.alive:
        if worker is not None:
            _forget(worker)
        worker = Worker(threads)
        with _lock:
            _all.add(worker)
    try:
        if worker.fresh:
            worker.call(function.partition(":")[0])  # imports do not count for the time limit
        return worker.call(function, *arguments, time_limit=time_limit)
    except WorkerCrashError:
        if worker not in _all:
            raise WorkerClosedError("the campaign was stopped") from None
        raise
    finally:
        with _lock:
            keep = worker in _all and worker.alive
            if keep:
                idle.append(worker)
        if not keep:
            _forget(worker)


def _forget(worker: Worker) -> None:
    with _lock:
        _all.discard(worker)
    worker.close()


def close_workers() -> None:
    """End all workers of this process; tasks still running end with WorkerClosedError."""
    with _lock:
        idle = {worker for each in _idle.values() for worker in each}
        busy = _all - idle
        _all.clear()
        _idle.clear()
    for worker in idle:
        worker.close()
    for worker in busy:
        worker.kill()  # closed by the thread that waits for it


atexit.register(close_workers)
