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


def test_a_command_hears_it() -> None:
    script = (
        "import edgecompress.cli as cli\n"
        + SCRIPT.partition("{first}")[0].replace("from edgecompress.cli.interrupts", "#")
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
