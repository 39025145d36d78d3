"""The file operations of this process and its children below a folder, as strace saw them.

Programs are recorded as they are: the helper in its own Python behind a real sshd, and the shell
and tools behind adb.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from power_cut.disk import Disk

STRACE = shutil.which("strace")
CALLS = (
    "openat,open,creat,lseek,write,pwrite64,ftruncate,truncate,fsync,fdatasync,sync,syncfs,rename,"
    "renameat,renameat2,mkdir,mkdirat,rmdir,unlink,unlinkat,symlink,symlinkat"
)
UNKNOWN = "writev,pwritev,pwritev2,link,linkat,sendfile,copy_file_range,splice,fallocate"
"""A recording of these below the folder fails, since the disk here has no word for them."""
ATTACH_S = 20.0

_LINE = re.compile(r"\d+ +(\w+)\((.*)\) += +(-?\d+)(?:<([^>]*)>)?.*")
_ARGUMENT = re.compile(r'"((?:[^"\\]|\\.)*)"(?:\.\.\.)?|([^,"<\s][^,"<]*)(?:<([^>]*)>)?')

needs_strace = pytest.mark.skipif(
    STRACE is None, reason="strace is not installed: scripts/install-test-tools.sh"
)


@contextmanager
def recorded(root: Path, log: Path) -> Iterator[Disk]:
    """What is done below `root` until the end, on a disk that holds what lies there at first."""
    disk = Disk(root)
    process = subprocess.Popen(
        [
            str(STRACE), "-f", "-y", "-xx", "-s", str(4 << 20), "-e", f"trace={CALLS},{UNKNOWN}",
            "-e", "signal=none", "-e", "status=successful", "-o", str(log), "-p", str(os.getpid()),
        ],
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + ATTACH_S
        while "TracerPid:\t0" in Path("/proc/self/status").read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.skip("strace may not attach to a process here")
            time.sleep(0.01)
        yield disk
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
    for line in log.read_text().splitlines():
        _play(disk, line)


def _play(disk: Disk, line: str) -> None:
    found = _LINE.fullmatch(line)
    if found is None:
        return
    call, arguments, result, opened = found.groups()
    given = [_Argument(*groups) for groups in _ARGUMENT.findall(arguments)]
    if call in ("openat", "open", "creat"):
        path = disk.inside(_text(opened))
        if path not in (None, "..", "") and ("O_WRONLY" in arguments or "O_RDWR" in arguments):
            disk.open(path, creates="O_CREAT" in arguments, truncates="O_TRUNC" in arguments)
    elif call == "sync":
        disk.sync_all()
    elif call in ON_NAMES:
        paths = _paths(disk, given)
        if call.startswith("symlink"):
            # The first is what it points to.
            if paths[1] is not None:
                disk.link(paths[1], given[0].text)
        elif None not in paths:
            ON_NAMES[call](disk, *paths)
    else:
        path = disk.inside(given[0].of_descriptor or given[0].text)
        if path is not None and not path.endswith(" (deleted)"):
            _on_content(disk, call, path, given, int(result))


ON_NAMES: dict[str, Callable[..., None]] = {
    "mkdir": Disk.make_folder,
    "mkdirat": Disk.make_folder,
    "rename": Disk.rename,
    "renameat": Disk.rename,
    "renameat2": Disk.rename,
    "rmdir": Disk.remove,
    "symlink": Disk.link,
    "symlinkat": Disk.link,
    "unlink": Disk.remove,
    "unlinkat": Disk.remove,
}


def _on_content(disk: Disk, call: str, path: str, given: "list[_Argument]", result: int) -> None:
    if call == "lseek":
        disk.seek(path, result)
    elif call == "write":
        disk.write(path, given[1].bytes()[:result])
    elif call == "pwrite64":
        disk.seek(path, int(given[3].word))
        disk.write(path, given[1].bytes()[:result])
    elif call in ("ftruncate", "truncate"):
        disk.truncate(path, int(given[1].word))
    elif call in ("fsync", "fdatasync"):
        disk.sync(path)
    else:
        raise AssertionError(f"{call} of {path}: is not known here")


class _Argument:
    def __init__(self, quoted: str, word: str, descriptor: str) -> None:
        self._quoted = quoted
        self.word = word.strip()
        self.of_descriptor = _text(descriptor)

    def bytes(self) -> bytes:
        return bytes.fromhex(self._quoted.replace("\\x", ""))

    @property
    def text(self) -> str:
        return self.bytes().decode("utf-8", "surrogateescape")

    @property
    def is_text(self) -> bool:
        return not self.word


def _text(escaped: str | None) -> str:
    return bytes.fromhex((escaped or "").replace("\\x", "")).decode("utf-8", "surrogateescape")


def _paths(disk: Disk, given: list[_Argument]) -> list[str | None]:
    """Each text among the arguments, below the folder that is named by the descriptor before it."""
    folder, found = "", []
    for argument in given:
        if argument.is_text:
            found.append(disk.inside(str(Path(folder, argument.text))))
            folder = ""
        elif argument.of_descriptor:
            folder = argument.of_descriptor
    return found
