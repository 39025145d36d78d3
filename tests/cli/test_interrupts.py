"""Ctrl-C at the worst moment, in a process of its own."""

import subprocess
import sys

import pytest

SCRIPT = """\
import signal, time
from edgecompress.cli.interrupts import hear_lost_interrupts

class Collected:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

{first}
try:
    Collected()
    print("goes on")
    time.sleep({patience})
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize(
    ("first", "patience", "last"),
    [("hear_lost_interrupts()", 30, "interrupted"), ("", 0.5, "goes on")],
)
def test_an_interrupt_within_a_callback_of_the_garbage_collector_is_heard(
    first: str, patience: float, last: str
) -> None:
    """Without the hook Python loses it."""
    script = SCRIPT.format(first=first, patience=patience)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split("\n")[-2] == last
    assert ("Exception ignored" in done.stderr) == (first == "")


def test_what_else_cannot_be_raised_is_told_as_ever() -> None:
    script = SCRIPT.format(first="hear_lost_interrupts()", patience=0).replace(
        "signal.raise_signal(signal.SIGINT)", "raise OSError('no')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "goes on\n"
    assert "OSError: no" in done.stderr
