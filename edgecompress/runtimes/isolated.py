"""Work of native libraries in a process of its own: what kills that one does not kill this one.

The process is a fork of this one, so that it need not import anything nor be sent the model. Two
things make that safe. It computes with one thread, as PyTorch's own data loaders do, because the
threads of OpenMP do not survive a fork. And the converters run in such processes only: JAX and MLIR
start threads when they are first used, and a fork of a process with those hangs.
"""

import contextlib
import ctypes
import faulthandler
import gc
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, NoReturn, TypeVar

import torch

from edgecompress.errors import EdgecompressError

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1
_MEMORY_SIGNS = ("bad_alloc", "out of memory", "Cannot allocate memory")  # as C++ says it
_NO_MEMORY = "it ran out of memory"


@dataclass(frozen=True)
class Limits:
    """What the process may take.

    Args:
        time_s: until it is ended.
        memory_bytes: beyond what this process has; None: what the machine has left.

    """

    time_s: float = 1800.0
    memory_bytes: int | None = None


class Died(Exception):
    """The process ended without an answer; the text says how: 'SIGSEGV'."""


def isolated(work: Callable[[], T], limits: Limits | None = None) -> T:
    """What `work` returns, which must be picklable; whatever it prints is lost. Where the system
    cannot fork, `work` runs in this process.

    Raises:
        EdgecompressError: as `work` raised it.
        Died: by a signal, or at the end of its memory or of its time.
        RuntimeError: any other exception of `work`, with its traceback.

    """
    if not hasattr(os, "fork"):
        return work()
    limits = limits or Limits()
    here, there = multiprocessing.Pipe(duplex=False)
    with here, tempfile.TemporaryFile() as said:
        with there, warnings.catch_warnings():
            # JAX, once imported, warns of any fork; its threads do not exist here.
            warnings.simplefilter("ignore")
            child = os.fork()
            if not child:
                _live(work, limits, there, said)
        ended = False
        try:
            answer = pickle.loads(_received(here, limits.time_s))  # noqa: S301 - of our own fork
            ended = True
        except EOFError:  # the pipe was closed without a word
            ended = True
            answer = None
        finally:
            if not ended:
                os.kill(child, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if answer is None:
            raise Died(_how(status, said))
    if isinstance(answer, Exception):
        raise answer
    result: T = answer[0]
    return result


def is_memory(error: BaseException) -> bool:
    """Whether it says that there is no memory left, as Python or as torch does."""
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def _received(here: Connection, time_s: float) -> bytes:
    if not here.poll(time_s):
        raise Died(f"it did not end within {time_s:.0f} s")
    return here.recv_bytes()


def _how(status: int, said: IO[bytes]) -> str:
    said.seek(0)
    lines = [line.strip() for line in said.read().decode(errors="replace").splitlines()]
    if any(sign in line for line in lines for sign in _MEMORY_SIGNS):
        return _NO_MEMORY
    if status >= 0:
        return f"exit code {status}"
    if status == -signal.SIGKILL:
        return "SIGKILL, as the system does when memory is short"
    last = next((line for line in reversed(lines) if line), "")
    name = signal.Signals(-status).name
    return f"{name}, {last[:120]}" if status == -signal.SIGABRT and last else name


def _live(work: Callable[[], T], limits: Limits, there: Connection, said: IO[bytes]) -> NoReturn:
    """All that the process does."""
    code = 1
    try:
        _separate(said)
        _limit_memory(limits.memory_bytes)
        try:
            there.send_bytes(pickle.dumps((work(),)))
        except EdgecompressError as error:
            there.send_bytes(pickle.dumps(error))
        except Exception as error:
            defect = RuntimeError(traceback.format_exc())
            there.send_bytes(pickle.dumps(Died(_NO_MEMORY) if is_memory(error) else defect))
        code = 0
    finally:
        # Buffers and exit handlers belong to the process that this one is a copy of.
        os._exit(code)


def _separate(said: IO[bytes]) -> None:
    """Out of reach of the terminal and of the locks of the other process; ended with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is killed by the process that waits for it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(OSError):
            # Where memory is short, the system ends this process and no other.
            Path("/proc/self/oom_score_adj").write_text("1000")
    for descriptor in (1, 2):
        os.dup2(said.fileno(), descriptor)
    # A thread that does not exist here may have held the lock of the old objects.
    sys.stdout = sys.stderr = os.fdopen(1, "w", errors="replace", closefd=False)
    faulthandler.disable()  # it would write to where the other process's stderr was
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    gc.disable()  # a short life; and searching what the fork brought for garbage takes seconds


def _limit_memory(more: int | None) -> None:
    if sys.platform != "linux":
        return
    import resource  # POSIX has it

    if more is None:
        more = _kilobytes("/proc/meminfo", "MemAvailable") << 10
    limit = (_kilobytes("/proc/self/status", "VmData") << 10) + more
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    with contextlib.suppress(ValueError):  # `hard` is lower
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _kilobytes(path: str, key: str) -> int:
    lines = Path(path).read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))
