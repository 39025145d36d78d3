"""Ctrl-C at the worst moment."""

import signal
import subprocess
import sys

import pytest

from edgecompress.interrupts import held_interrupt

SCRIPT = """\
import signal, time
from edgecompress.interrupts import hear_lost_interrupts

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


def test_a_command_hears_it() -> None:
    script = (
        "import edgecompress.cli as cli\n"
        + SCRIPT.partition("{first}")[0].replace("from edgecompress.interrupts", "#")
        + "def app(**_):\n    Collected()\n    time.sleep(30)\ncli.app = app\ncli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 130, done.stderr
    assert "run the same command again to resume" in done.stderr


def test_what_else_cannot_be_raised_is_told_as_ever() -> None:
    script = SCRIPT.format(first="hear_lost_interrupts()", patience=0).replace(
        "signal.raise_signal(signal.SIGINT)", "raise OSError('no')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "goes on\n"
    assert "OSError: no" in done.stderr


def test_one_is_held_back_and_the_next_is_not() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    done = []
    try:
        with held_interrupt() as came:
            signal.raise_signal(signal.SIGINT)
            with held_interrupt() as within:
                done.append("after the first")
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert came == [signal.SIGINT]
    assert within == []
    assert done == ["after the first"]
