"""`together`: several files side by side, burst by burst, each in a fresh process of its own.

All are loaded and warmed up, one after the other, and then sleep but for the one whose burst it is.
So a change of the clock, and what else happens to the machine, meets all alike, and what one file
takes against another is known where nobody can say how long either takes.

Files are measured one after the other instead, each alone and in a process of its own just as well,
where memory is too small for all at once, and where the board measures its power: that would be of
whichever file runs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Sequence

from . import SCHEMA_VERSION
from .baton import BESIDE, END, ENOUGH, GO, MORE, READY
from .failure import Failure
from .loops import ENOUGH_SAMPLES
from .power import find_power
from .request import Request
from .sensors import Which, read
from .unread import Unread

SPARE = 2
"""Another is loaded only while so many times what the last one took is left of memory."""


class Member:
    """The process of one file."""

    def __init__(self, request: dict[str, object]) -> None:
        command = {"schema_version": SCHEMA_VERSION, "command": "measure"}
        self._process = subprocess.Popen(
            [sys.executable, sys.argv[0]], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.answer: bytes | None = None
        """What it said in the end."""
        self._write(json.dumps({**request, **command}).encode() + b"\n")

    def __enter__(self) -> Member:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing of it is left."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def told(self, *words: bytes) -> bytes | None:
        """Which of these it says next; None: it has come to its end."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line in words:
            return line
        self.answer = line
        if self._process.wait() < 0:
            # The one who asked starts all anew where a signal ended it, as with a file alone.
            os.kill(os.getpid(), -self._process.returncode)
        return None

    def burst(self) -> bytes | None:
        """Let it run; as `told`."""
        self._write(GO)
        return self.told(MORE, ENOUGH)

    def finish(self) -> None:
        """Take its answer."""
        self._write(END)
        self.told()

    def takes_bytes(self) -> int:
        """Memory that is resident."""
        return _bytes(Path(f"/proc/{self._process.pid}/status"), "VmRSS:")

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # What it said last tells why.


def run(request: Request, root: Path = Path("/"), which: Which = shutil.which) -> dict[str, object]:
    """The answers to `measure` of each of `turns`; none to those after one that failed."""
    asked = request.objects("turns")
    share: dict[str, object] = {"most_samples": max(2, ENOUGH_SAMPLES // len(asked))}
    asked = [{**each, **share} for each in asked]
    beside = None if _measures_power(root, which) else _side_by_side(asked, root)
    answers = _one_by_one(asked) if beside is None else beside
    return {"answers": [None if answer is None else _read(answer) for answer in answers]}


def _side_by_side(asked: Sequence[dict[str, object]], root: Path) -> list[bytes | None] | None:
    """None: there is too little memory for all of them."""
    answers: list[bytes | None] = [None] * len(asked)
    with ExitStack() as stack:
        members: list[Member] = []
        for each in asked:
            members.append(stack.enter_context(Member({**each, BESIDE: True})))
            if members[-1].told(READY) is None:
                break
            left_bytes = _bytes(root / "proc/meminfo", "MemAvailable:")
            if 0 < left_bytes < SPARE * members[-1].takes_bytes():
                return None
        else:
            _take_turns(members)
        answers[: len(members)] = [each.answer for each in members]
    return answers


def _take_turns(members: list[Member]) -> None:
    """Bursts, and their order alternates, until each has had enough, or one has failed."""
    order = list(members)
    enough: set[Member] = set()
    while len(enough) < len(members):
        for member in order:
            word = member.burst()
            if word is None:
                return
            if word == ENOUGH:
                enough.add(member)
        order.reverse()
    for member in members:
        member.finish()


def _one_by_one(asked: Sequence[dict[str, object]]) -> list[bytes | None]:
    answers = []
    for each in asked:
        with Member(each) as member:
            member.told()
        answers.append(member.answer)
    return answers


def _read(answer: bytes) -> object:
    try:
        return json.loads(answer)
    except ValueError:
        raise Failure("runtime", "a process ended without an answer") from None


def _measures_power(root: Path, which: Which) -> bool:
    meter = find_power(root, which, Unread())
    if meter is None:
        return False
    meter.close()
    return True


def _bytes(file: Path, key: str) -> int:
    """A figure in kB; 0 where the system does not tell."""
    for line in read(file).splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0
