"""Several processes at one piece of work: those that ``mpirun`` has started.

The first leads: it runs what :func:`led` wraps, reads, decides and writes as if it were alone.
Where it meets a value that can be spread, the others hold parts of it and put functions of them
together; otherwise they wait. Without ``mpirun`` there is no team and nothing of this happens;
mpi4py is only imported with it.
"""

import functools
import os
import pickle
import signal
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from mentor.exceptions import EngineError, InputError, MentorError, StorageError

if TYPE_CHECKING:
    import numpy as np
    from mpi4py.MPI import Comm

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

Together = Callable[["np.ndarray", "np.ndarray"], "np.ndarray"]
"""What makes one array of those of two processes."""

INSTALL = "pip install 'mentor[parallel]'"

# What mpirun of MPICH and relatives, srun, and mpirun of Open MPI leave in the environment.
_RANKS = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
_SIZES_HERE = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_LONGEST_NAP = 5e-3  # s, of processes that wait


def rank() -> int:
    """Number of this process among those of ``mpirun``; 0 without it."""
    return _from_environment(_RANKS) or 0


def share_cores() -> None:
    """Keep the processes of ``mpirun`` from using all cores each; before NumPy is imported.

    Numbers of threads that the environment already names stay.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if processes := _from_environment(_SIZES_HERE[:1]):  # all of them may use all these cores
        cores //= processes
    elif processes := _from_environment(_SIZES_HERE[1:]):  # each is bound to some, perhaps shared
        cores = min(cores, os.cpu_count() // processes)
    else:
        return
    for name in _THREADS:
        os.environ.setdefault(name, os.environ.get("OMP_NUM_THREADS", str(max(cores, 1))))


def led(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Let the first process run ``function`` and the others help; all return or raise the same.

    The wrapped function raises :class:`InputError` where ``mpirun`` has started several processes
    and mpi4py is missing or belongs to another MPI.
    """

    @functools.wraps(function)
    def call(*arguments: Parameters.args, **options: Parameters.kwargs) -> Result:
        everyone = None if _team.get() is not None else _communicator()
        if everyone is None or everyone.size == 1:
            return function(*arguments, **options)
        found = Team(everyone.Dup())
        if everyone.rank > 0:
            return found.serve()
        token = _team.set(found)
        try:
            with _ase_alone():
                return found.lead(lambda: function(*arguments, **options))
        finally:
            _team.reset(token)

    return call


def team() -> "Team | None":
    """The processes that help this one."""
    return _team.get()


class Team:
    """The processes of a communicator; the first leads the others."""

    def __init__(self, comm: "Comm") -> None:
        self.comm = comm
        self._spread = 0
        self._dropped: list[int] = []

    @property
    def size(self) -> int:
        """Number of processes, the leader among them."""
        return self.comm.size

    def spread(self, parts: Sequence[Any]) -> "Spread":
        """Let the others hold ``parts``, one each."""
        self._spread += 1
        self._tell("hold", self._spread)
        for number, part in enumerate(parts, 1):
            self.comm.send(part, dest=number)
        return Spread(self, self._spread)

    def lead(self, work: Callable[[], Result]) -> Result:
        """What ``work`` returns, also to those that serve."""
        try:
            result = work()
            self._tell("end", result, None)
        except KeyboardInterrupt:
            self.comm.Abort(130)  # the others may be in the middle of a sum
            raise
        except BaseException as error:
            self._tell("end", None, _retold(error))
            raise
        return result

    def serve(self) -> Any:
        """Hold parts and put functions of them together until the leader's work is done."""
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the leader ends all of them
        try:
            result, error = self._serve()
        except Exception as fault:
            what = f"unexpected {type(fault).__name__} in process {self.comm.rank}: {fault}"
            print(f"mentor: {what}", file=sys.__stderr__, flush=True)
            self.comm.Abort(1)  # the leader would wait for ever
            raise
        finally:
            signal.signal(signal.SIGINT, handler)
        if error is not None:
            raise error
        return result

    def _serve(self) -> tuple[Any, Exception | None]:
        parts: dict[int, Any] = {}
        while True:
            dropped, task, *details = self._hear()
            for number in dropped:
                parts.pop(number, None)
            if task == "hold":
                parts[details[0]] = self.comm.recv(source=0)
            elif task == "total":
                number, together, function, arguments = details
                self._total(together, function, parts[number], arguments)
            else:
                return tuple(details)

    def total(
        self,
        number: int,
        together: Together,
        function: Callable[..., "np.ndarray"],
        part: Any,
        arguments: tuple,
    ) -> "np.ndarray":
        """``function`` of the leader's ``part`` ``together`` with those of the others' parts."""
        self._tell("total", number, together, function, arguments)
        return self._total(together, function, part, arguments)

    def drop(self, number: int) -> None:
        """Let the others forget their parts, when they are next told something."""
        self._dropped.append(number)

    def _total(
        self, together: Together, function: Callable, part: Any, arguments: tuple
    ) -> "np.ndarray | None":
        """The total in the leader, None in the others."""
        error = None
        try:
            own = function(part, *arguments)
        except Exception as raised:  # noqa: BLE001, all are to raise it
            error = _retold(raised)
        failed = next((each for each in self.comm.allgather(error) if each is not None), None)
        if failed is None:
            return self.comm.reduce(own, op=together)
        if self.comm.rank == 0:
            raise failed
        return None

    def _tell(self, task: str, *details: Any) -> None:
        message = pickle.dumps((self._dropped, task, *details))  # fails before anyone listens
        self._dropped = []
        self.comm.Ibarrier().Wait()
        self.comm.bcast(message)

    def _hear(self) -> tuple:
        """The next task; waiting for it leaves the core to others."""
        arrived, nap = self.comm.Ibarrier(), 1e-5
        while not arrived.Test():
            time.sleep(nap)
            nap = min(2.0 * nap, _LONGEST_NAP)
        return pickle.loads(self.comm.bcast(None))


class Spread:
    """Parts of a value that the other processes hold, as long as this object exists."""

    def __init__(self, team: Team, number: int) -> None:
        self.team = team
        self.number = number
        weakref.finalize(self, team.drop, number)

    def total(
        self,
        together: Together,
        function: Callable[..., "np.ndarray"],
        part: Any,
        *arguments: Any,
    ) -> "np.ndarray":
        """``function(part, *arguments)`` ``together`` with those of the others' parts.

        ``function`` and ``together``, which makes one array of two, must be what modules define.
        """
        return self.team.total(self.number, together, function, part, arguments)


_team: ContextVar[Team | None] = ContextVar("team", default=None)


def _from_environment(names: Sequence[str]) -> int | None:
    values = (os.environ.get(name, "") for name in names)
    return next((int(value) for value in values if value.isdecimal()), None)


def _communicator() -> "Comm | None":
    """That of all processes of ``mpirun``; None where it has not started this one."""
    if _from_environment(_RANKS) is None:
        return None
    size = _from_environment(_SIZES)
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError):  # not installed; finds no MPI library
        if size == 1:
            return None
        raise InputError(
            f"mpirun with several processes needs the package mpi4py: {INSTALL}"
        ) from None
    if MPI.COMM_WORLD.size == 1 and size not in (None, 1):
        raise InputError(
            f"mpirun has started {size} processes that do not find each other, because mpi4py uses "
            "another MPI; use the mpirun of that MPI or reinstall mpi4py with this one"
        )
    return MPI.COMM_WORLD


@contextmanager
def _ase_alone() -> Iterator[None]:
    """Keep ASE, which shares its files among processes, from expecting the others."""
    import ase.parallel as ase

    before, ase.world.comm = ase.world.comm, ase.DummyMPI()
    try:
        yield
    finally:
        ase.world.comm = before


def _retold(error: BaseException) -> Exception:
    """The same in one of the few kinds that every process can read."""
    kinds = (InputError, EngineError, StorageError, MentorError, MemoryError)
    kind = next((each for each in kinds if isinstance(error, each)), None)
    if kind is None:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return kind(str(error))
