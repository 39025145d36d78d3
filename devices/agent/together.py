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
import shutil
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Sequence

from . import SCHEMA_VERSION
from .baton import BESIDE, END, ENOUGH, GO, MORE, READY
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
        self.answer: object = None
        """What it said in the end, or why it said nothing."""
        self._write(json.dumps({**request, **command}).encode() + b"\n")

    def __enter__(self) -> Member:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing of it is left."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            # What could not be written is written once more by closing.
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()

    def told(self, *words: bytes) -> bytes | None:
        """Which of these it says next; None: it has come to its end."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line in words:
            return line
        self.answer = self._answer(line)
        return None

    def burst(self) -> bytes | None:
        """Let it run; as `told`."""
        self._write(GO)
        return self.told(MORE, ENOUGH)

    def finish(self) -> None:
        """Take its answer."""
        self._write(END)
        self.told()

    def _answer(self, line: bytes) -> object:
        code = self._process.wait()
        try:
            return json.loads(line)
        except ValueError:
            why = f"signal {-code}" if code < 0 else f"exit code {code}"
            kind = "killed" if code < 0 else "runtime"
            fault = {"kind": kind, "message": f"it ended without an answer ({why})"}
            return {"schema_version": SCHEMA_VERSION, "ok": False, "error": fault}

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
    """The answers to `measure` of each of `turns`; whoever fails leaves the others alone."""
    asked = request.objects("turns")
    share: dict[str, object] = {"most_samples": max(2, ENOUGH_SAMPLES // len(asked))}
    asked = [{**each, **share} for each in asked]
    beside = None if _measures_power(root, which) else _side_by_side(asked, root)
    return {"answers": _one_by_one(asked) if beside is None else beside}


def _side_by_side(asked: Sequence[dict[str, object]], root: Path) -> list[object] | None:
    """None: there is too little memory for all of them."""
    with ExitStack() as stack:
        members: list[Member] = []
        ready: list[Member] = []
        for each in asked:
            member = stack.enter_context(Member({**each, BESIDE: True}))
            members.append(member)
            if member.told(READY) is None:
                continue
            ready.append(member)
            left_bytes = _bytes(root / "proc/meminfo", "MemAvailable:")
            if 0 < left_bytes < SPARE * member.takes_bytes():
                return None
        _take_turns(ready)
        return [member.answer for member in members]


def _take_turns(running: list[Member]) -> None:
    """Bursts, and their order alternates, until each has had enough."""
    enough: set[Member] = set()
    while not enough.issuperset(running):
        for member in list(running):
            word = member.burst()
            if word is None:
                running.remove(member)
            elif word == ENOUGH:
                enough.add(member)
        running.reverse()
    for member in running:
        member.finish()


def _one_by_one(asked: Sequence[dict[str, object]]) -> list[object]:
    answers = []
    for each in asked:
        with Member(each) as member:
            member.told()
        answers.append(member.answer)
    return answers


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
