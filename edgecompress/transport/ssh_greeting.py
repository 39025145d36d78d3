"""From a login shell to the first word of the helper, so that who stands in the way can be named.

Three parties speak one after another: the login shell says a word of ours before it starts Python,
Python says its version before it reads the helper from stdin, the helper says that it is there.
Nothing is written before the shell has said its word: what its start-up files start instead
would read it, and another shell would even carry it out.
"""

import asyncio
import contextlib
import re
import shlex
from typing import NoReturn

from edgecompress.errors import DeviceError, RuntimeMissing, TransientError
from edgecompress.transport.ssh_process import End, SshProcess, last_line

SHELL_WORD = "edgecompress shell"
SHELL_MARK = re.compile(SHELL_WORD.encode())
PYTHON_MARK = re.compile(rb"edgecompress python (\d{1,3})\.(\d{1,3})\n")
MAGIC = re.compile(b"\0edgecompress helper 1\n")
NOT_WHOLE = 98
"""Exit code of the bootstrap when its stdin does not hold what was sent."""
BOOTSTRAP = (
    "import sys; print('edgecompress python %d.%d' % sys.version_info[:2]); sys.stdout.flush();"
    " sys.path = [p for p in sys.path if p]; stdin = sys.stdin and sys.stdin.buffer;"
    " size = stdin.readline().strip() if stdin else b'';"
    " size = int(size) if size.isdigit() else -1; source = stdin.read(size) if size > 0 else b'';"
    f" exec(source) if len(source) == size else sys.exit({NOT_WHOLE})"
)
"""The first entry of sys.path is the home folder: a json.py there is not ours to import. No `!` and
no backslash, which some shells have a use for even in quotes.
"""
GREETING_S = 20.0
"""For each of the three to speak; a slow card takes seconds for start-up files."""
END_S = 2.0
"""For what reads stdin to go on once that has ended."""
GREETING_BYTES = 1 << 20
CHUNK_BYTES = 1 << 16
OLDEST = (3, 8)
FILE = "(such as ~/.bashrc)"
START_UP = f"a start-up file of the login shell there {FILE}"
INTERACTIVE = "it must do so only for interactive shells"
INSTALL = "install Python 3.8 or newer, or give its path as `python` in the inventory"


def command_line(python: str) -> str:
    """What the login shell is given; `python` may begin with `~/`."""
    tilde = "~/" if python.startswith("~/") else ""
    program = f"{tilde}{shlex.quote(python[len(tilde) :])}"
    # -S: no site packages to search, which takes most of the start.
    return f"echo {SHELL_WORD}; exec {program} -S -c {shlex.quote(BOOTSTRAP)}"


class Greeting:
    """Read once, to the helper's first word; nothing of the stream is taken beyond that."""

    def __init__(self, process: SshProcess, name: str, python: str) -> None:
        self._process = process
        self._name = name
        self._python = python
        self._said = b""
        """What has been read, behind the last mark."""
        self._count = 0
        self._is_open = True

    async def pass_over(self, source: bytes) -> None:
        """Give Python the helper's text, and return when the helper speaks.

        Raises:
            RuntimeMissing: the device has no such Python, or one that is too old.
            DeviceError: a start-up file is in the way, or the account runs no commands.
            TransientError: the connection is lost.

        """
        if await self._reach(SHELL_MARK, GREETING_S) is None:
            await self._without_shell()
        with contextlib.suppress(TransientError):  # What there is to read says why.
            await self._process.write(b"%d\n%b" % (len(source), source))
        version = await self._reach(PYTHON_MARK, GREETING_S)
        if version is None:
            await self._without_python()
        elif (int(version[1]), int(version[2])) < OLDEST:
            raise RuntimeMissing(f"{self._name}: '{self._python}' is too old there; {INSTALL}")
        if await self._reach(MAGIC, GREETING_S) is None:
            await self._without_helper()

    async def _reach(self, mark: re.Pattern[bytes], for_s: float) -> re.Match[bytes] | None:
        """Read up to this mark; None when nothing more comes, or not within `for_s`."""
        clock = asyncio.get_running_loop().time
        end = clock() + for_s
        while (found := mark.search(self._said)) is None:
            try:
                chunk = await asyncio.wait_for(self._process.read(CHUNK_BYTES), end - clock())
            except asyncio.TimeoutError:
                return None
            if not chunk:
                self._is_open = False
                return None
            self._count += len(chunk)
            if self._count > GREETING_BYTES:
                raise self._start_up(f"prints more than {GREETING_BYTES >> 20} MiB")
            # A mark is shorter than a chunk, and may lie across two.
            self._said = self._said[-CHUNK_BYTES:] + chunk
        self._said = self._said[found.end() :]
        return found

    async def _goes_on(self, mark: re.Pattern[bytes]) -> bool:
        """Whether what is awaited comes once stdin has ended: then something reads that."""
        self._process.end_stdin()
        return await self._reach(mark, END_S) is not None

    async def _without_shell(self) -> NoReturn:
        """Our line was not carried out, or is not heard of."""
        if self._is_open:
            if await self._goes_on(SHELL_MARK):
                raise self._start_up("reads stdin, which is ours")
            if self._is_open:
                raise self._start_up(
                    f"lets none of our commands run within {GREETING_S:g} s: it waits, or starts"
                    " another program"
                )
        end = await self._process.ended()
        if end.status == NOT_WHOLE or end.runs_on:
            raise self._start_up("sends elsewhere what is printed")
        raise DeviceError(
            f"{self._name}: the login shell there ends before it runs what it is given"
            f" ({self._said_of(end)}): the account runs no commands (nologin, ForceCommand), or a"
            f" start-up file of it {FILE} ends the shell, reads stdin or starts another shell;"
            f" {INTERACTIVE}"
        )

    async def _without_python(self) -> NoReturn:
        if self._is_open:
            raise DeviceError(
                f"{self._name}: '{self._python}' does not start within {GREETING_S:g} s; try there:"
                f" {self._python} --version"
            )
        said = self._said_of(await self._process.ended())
        if "restricted" in said:
            raise DeviceError(
                f"{self._name}: the login shell there is a restricted one ({said}); give the"
                " account another with `chsh`"
            )
        raise RuntimeMissing(
            f"{self._name}: '{self._python}' cannot be started there ({said}); {INSTALL}"
        )

    async def _without_helper(self) -> NoReturn:
        """Python is there, and does not do what it is given."""
        if self._is_open and (await self._goes_on(MAGIC) or self._is_open):
            raise self._start_up("leaves a program running that reads stdin, which is ours")
        end = await self._process.ended()
        if end.status == NOT_WHOLE:
            raise self._start_up("closes stdin, or leaves a program running that reads it")
        raise DeviceError(
            f"{self._name}: '{self._python}' ends ({self._said_of(end)}) instead of doing what it"
            " is given; it must be a whole Python 3.8 or newer"
        )

    def _said_of(self, end: End) -> str:
        """Raises TransientError when the connection is gone, or a signal ended the program."""
        if end.status is None:
            raise TransientError(f"{self._name}: {end.how}")
        return f"code {end.status}: {end.words or last_line(self._said) or 'it says nothing'}"

    def _start_up(self, what: str) -> DeviceError:
        return DeviceError(f"{self._name}: {START_UP} {what}; {INTERACTIVE}")
