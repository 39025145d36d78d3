"""Watching processes of the machine that the tests run on."""

import time
from collections.abc import Callable
from pathlib import Path

DEADLINE_S = 60.0


def is_alive(pid: int) -> bool:
    """A zombie counts as dead: who reaps an orphan is not ours to say."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)
