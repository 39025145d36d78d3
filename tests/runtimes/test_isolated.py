"""A process of its own for what may die: what comes back, and what is left behind."""

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from edgecompress.errors import ModelError
from edgecompress.runtimes.isolated import Died, Limits, isolated


def test_it_gives_back_what_the_work_returns_and_swallows_what_it_prints(
    capfd: pytest.CaptureFixture[str],
) -> None:
    large = np.arange(1 << 20)

    def work() -> tuple[int, object]:
        print("on stdout")
        os.write(2, b"on stderr")
        return os.getpid(), large * 2

    pid, array = isolated(work)
    assert pid != os.getpid()
    assert np.array_equal(array, large * 2)  # type: ignore[arg-type]
    assert capfd.readouterr() == ("", "")


def test_errors_come_through_and_defects_bring_their_traceback() -> None:
    def refuse() -> None:
        raise ModelError("litert: no")

    with pytest.raises(ModelError, match=r"^litert: no$"):
        isolated(refuse)
    with pytest.raises(RuntimeError, match=r"(?s)test_isolated.*ZeroDivisionError"):
        isolated(lambda: 1 // 0)
    with pytest.raises(RuntimeError, match="pickle"):
        isolated(threading.Lock)


def _abort() -> None:
    os.write(2, b"free(): double free detected\n")
    os.abort()


@pytest.mark.parametrize(
    ("work", "limits", "how"),
    [
        (lambda: ctypes.string_at(0), Limits(), "SIGSEGV"),
        (_abort, Limits(), "SIGABRT, free(): double free detected"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), Limits(), "SIGKILL"),
        (lambda: os._exit(3), Limits(), "exit code 3"),
        (lambda: time.sleep(60), Limits(time_s=0.2), "did not end within"),
        (lambda: bytearray(1 << 30), Limits(memory_bytes=1 << 28), "ran out of memory"),
        (lambda: torch.ones(1 << 28), Limits(memory_bytes=1 << 28), "ran out of memory"),
    ],
)
def test_how_it_died(work: Callable[[], object], limits: Limits, how: str) -> None:
    before = _children()
    with pytest.raises(Died) as caught:
        isolated(work, limits)
    assert how in str(caught.value)
    assert _children() <= before  # nothing is left to wait for


def _children() -> set[str]:
    """Process ids of this one's children, those that ended and were not waited for included."""
    lists = Path("/proc/self/task").glob("*/children")
    return {child for path in lists for child in path.read_text().split()}


def test_it_computes_after_a_fork_of_a_process_whose_threads_compute() -> None:
    x = torch.randn(512, 512)
    torch.set_num_threads(2)
    try:
        expected = x @ x  # OpenMP's threads exist from here on
        assert torch.allclose(isolated(lambda: x @ x, Limits(time_s=30)), expected, atol=1e-3)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_the_process_that_waits_for_it(ending: int, tmp_path: Path) -> None:
    told = tmp_path / "pid"

    def work() -> None:
        told.with_suffix(".new").write_text(str(os.getpid()))
        told.with_suffix(".new").rename(told)
        time.sleep(60)

    waiting = os.fork()  # a fork, because an import of torch takes seconds
    if not waiting:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            isolated(work)
        finally:
            os._exit(7)
    while not told.exists():
        time.sleep(0.02)
    child = int(told.read_text())
    os.kill(waiting, ending)
    status = os.waitstatus_to_exitcode(os.waitpid(waiting, 0)[1])
    assert status == (7 if ending == signal.SIGINT else -ending)
    if ending == signal.SIGINT:
        assert not _runs(child)  # it was killed and waited for
    deadline = time.monotonic() + 10
    while _runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
