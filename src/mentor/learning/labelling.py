"""Labels for structures: looked up, or computed by the engine, each stored the moment it is there.

The work goes through any ``concurrent.futures.Executor``. The task functions run what they do in
persistent processes of their own (:mod:`mentor.learning.processes`), so an executor of threads,
the default, uses all cores, and one of a cluster needs nothing but to call a function.
"""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from typing import Any

from ase import Atoms

from mentor import progress
from mentor.exceptions import EngineError, StorageError
from mentor.learning.engines import EngineSetupError, Label, label_key
from mentor.learning.processes import (
    WorkerClosedError,
    WorkerCrashError,
    WorkerTimeoutError,
    run_in_worker,
)
from mentor.learning.settings import EngineSettings
from mentor.learning.store import DiskFullError, Store

GIVE_UP = 5
"""Failures without any success after which the engine itself is taken to be at fault."""


def local_executor(workers: int | None, threads: int = 1) -> ThreadPoolExecutor:
    """Threads that wait for worker processes: by default one for each ``threads`` cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ThreadPoolExecutor(workers or max(1, (cores or 1) // threads))


def label_task(engine: EngineSettings, atoms: Atoms, scratch: str, base: str) -> Label:
    """Compute one label in a worker process, within the time limit, with retries.

    Raises
    ------
    EngineSetupError
        The engine cannot run at all.
    EngineError
        It failed on this structure, the last time as the message says.
    """
    failure: EngineError | None = None
    for _ in range(engine.retries + 1):
        begin = time.perf_counter()
        try:
            label = run_in_worker(
                "mentor.learning.engines:compute",
                engine,
                atoms,
                scratch,
                base,
                threads=engine.threads,
                time_limit=engine.time_limit,
            )
            return Label(**vars(label) | {"seconds": time.perf_counter() - begin})
        except (EngineSetupError, WorkerClosedError):
            raise
        except WorkerTimeoutError:
            failure = EngineError(
                f"{engine.name} did not finish within time_limit = {engine.time_limit:g} s"
            )
        except WorkerCrashError as error:
            failure = EngineError(f"{engine.name} crashed: {error}")
        except EngineError as error:
            failure = error
    assert failure is not None
    raise failure


def explore_task(*arguments: Any) -> Any:
    """:func:`mentor.learning.explore.explore` in a worker process."""
    return _in_worker("molecular dynamics", "mentor.learning.explore:explore", *arguments)


def sample_task(*arguments: Any) -> Any:
    """:func:`mentor.learning.explore.sample` in a worker process."""
    return _in_worker("molecular dynamics", "mentor.learning.explore:sample", *arguments)


def try_out_task(*arguments: Any) -> None:
    """:func:`mentor.learning.explore.try_out` in a worker process."""
    _in_worker("molecular dynamics", "mentor.learning.explore:try_out", *arguments)


def train_task(function: str, threads: int, *arguments: Any) -> Any:
    """A function of :mod:`mentor.learning.training` in a worker process."""
    name = f"mentor.learning.training:{function}"
    return _in_worker("fit", name, *arguments, threads=threads)


def _in_worker(what: str, function: str, *arguments: Any, threads: int = 1) -> Any:
    try:
        return run_in_worker(function, *arguments, threads=threads)
    except WorkerCrashError as error:
        raise EngineError(f"{what}: {error}; run the same command again to go on") from error


class Labeller:
    """Labels structures with one engine, through one executor, into one store."""

    def __init__(
        self, store: Store, engine: EngineSettings, executor: Executor, base: str = ""
    ) -> None:
        self.store = store
        self.engine = engine
        self.executor = executor
        self.base = base

    def label(self, structures: Sequence[Atoms], role: str, iteration: int) -> list[str | None]:
        """Label ``structures``; returns the key of each, None where the engine failed.

        What is stored already is not computed again. Failures are stored with their reason.

        Raises
        ------
        EngineError
            The engine cannot run at all, or fails on everything.
        StorageError
            The disk is full; the labels under way have been stored.
        """
        keys = [label_key(self.engine, atoms) for atoms in structures]
        missing = {
            key: atoms
            for key, atoms in zip(keys, structures, strict=True)
            if not self.store.has_label(key) and self.store.failure(key) is None
        }
        if missing:
            self._compute(missing, role, iteration)
        return [key if self.store.has_label(key) else None for key in keys]

    def _compute(self, missing: dict[str, Atoms], role: str, iteration: int) -> None:
        scratch = str(self.store.folder.absolute() / "scratch")
        futures = {
            self.executor.submit(label_task, self.engine, atoms, scratch, self.base): key
            for key, atoms in missing.items()
        }
        succeeded, failed = 0, {}
        with progress.task(f"Labels by {self.engine.name}", len(futures)) as task:
            try:
                for future in as_completed(futures):
                    key = futures[future]
                    if future.cancelled():
                        continue
                    try:
                        label = _result(future, self.engine)
                    except EngineSetupError:
                        raise
                    except EngineError as error:
                        if self.store.nearly_full():
                            raise DiskFullError(f"{self.store.folder}: the disk is full") from error
                        failed[key] = str(error)
                        self.store.add_failure(key, missing[key], str(error), iteration)
                        progress.message(f"put aside: {error}")
                    else:
                        succeeded += 1
                        self.store.add_label(key, missing[key], label, role, iteration)
                    task.advance()
                    self._check(succeeded, failed, len(missing), _cancel(futures))
            except BaseException:
                _cancel(futures)()
                raise
        if self.store.disk_full:
            raise StorageError(
                f"{self.store.folder}: the disk is full; all labels so far are stored, free some "
                "space and run the same command again"
            )

    def _check(
        self, succeeded: int, failed: dict[str, str], total: int, cancel: Callable[[], None]
    ) -> None:
        """Stop asking when the disk is full or the engine fails on everything."""
        if self.store.disk_full:
            cancel()
        hopeless = min(GIVE_UP, total) if self.store.label_count == 0 else GIVE_UP
        if not succeeded and len(failed) >= hopeless:
            self.store.forget_failures(failed)
            reasons = list(failed.values())
            raise EngineError(
                f"the engine failed on all of the first {len(failed)} structures, the last time: "
                f"{reasons[-1]}; correct [engine] and run the same command again"
            )


def _cancel(futures: dict[Future, str]) -> Callable[[], None]:
    def cancel() -> None:
        for future in futures:
            future.cancel()

    return cancel


def _result(future: Future, engine: EngineSettings) -> Label:
    """The label of a finished task; whatever else went wrong with it is an EngineError."""
    try:
        return future.result()
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(f"{engine.name} failed: {type(error).__name__}: {error}") from error
