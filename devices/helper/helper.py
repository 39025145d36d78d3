"""What edgecompress runs on a board behind SSH: file operations and commands, one after another.

Standard library only, Python 3.8 on, nothing installed: the host sends this text to `python3 -c`.
Unlike SFTP it tells a full disk from a read-only one, brings a folder to the disk, hashes where
the bytes are, and ends what it started when the host goes away.

Requests come on stdin, one JSON object a line, some with `length` bytes behind them. Frames go to
stdout: a kind, the body's length as 4 bytes (big-endian), the body.

    A  answer, JSON                     the request is done
    X  refusal, JSON: errno, text       it is not, and the helper ends
    P  progress, JSON                   bytes behind the request that are taken, and of a file
                                        written, counted from the file's start; at the end the last
    D  data                             of a file, or of a command's stdout
    S  data                             of a command's stderr

A path is a JSON string; what is no UTF-8 in it travels as lone surrogates (PEP 383).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import json
import os
import stat
import struct
import sys
import time
from collections.abc import Iterator

MAGIC = b"\0edgecompress helper 1\n"
"""Before the first frame: a login shell may have written a greeting."""
BLOCK_BYTES = 1 << 20
PROGRESS_BYTES = 4 << 20
PROGRESS_S = 0.5
SET_PIPE_SIZE = 1031
"""F_SETPIPE_SZ of Linux, which Python has a name for since 3.10."""
HEADER = struct.Struct(">cI")
LINK = "is a symbolic link, which is not followed"
OVERWRITE = os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Gone(Exception):
    """The host has closed stdin within a request."""


class Request:
    def __init__(self, fields: dict[str, object], stdin: io.BufferedIOBase) -> None:
        self._fields = fields
        self.stdin = stdin

    def text(self, key: str) -> str:
        return str(self._fields[key])

    def count(self, key: str) -> int:
        return int(self.text(key))

    def optional(self, key: str) -> int | None:
        return None if self._fields[key] is None else self.count(key)

    def path(self, key: str = "path") -> bytes:
        return self.text(key).encode("utf-8", "surrogateescape")

    def words(self, key: str) -> list[bytes]:
        words = self._fields[key]
        assert isinstance(words, list)
        return [word.encode("utf-8", "surrogateescape") for word in words]

    def arriving(self, offset: int = 0) -> Iterator[memoryview]:
        """The bytes behind the request, in large blocks where they come quickly.

        The host is told how far it has got whenever a block has been dealt with and it is time.
        """
        block = memoryview(bytearray(BLOCK_BYTES))
        end, told, told_at = offset + self.count("length"), offset, time.monotonic()
        while offset < end:
            filled, limit = 0, min(BLOCK_BYTES, end - offset)
            while filled < limit and (not filled or time.monotonic() - told_at < PROGRESS_S):
                count = self.stdin.readinto1(block[filled:limit])
                if not count:
                    raise Gone
                filled += count
            yield block[:filled]
            offset += filled
            late = time.monotonic() - told_at >= PROGRESS_S
            if late or offset == end or offset - told >= PROGRESS_BYTES:
                send(b"P", offset)
                told, told_at = offset, time.monotonic()

    def payload(self) -> bytes:
        """All of them, before anything can fail."""
        return b"".join(map(bytes, self.arriving()))


def main() -> None:
    # The host asks nothing before it has read MAGIC, so sys.stdin holds nothing back.
    stdin = io.BufferedReader(io.FileIO(0, closefd=False))
    with contextlib.suppress(OSError):  # Not a pipe, or none so large is allowed.
        # A fifth faster than with the usual 64 KiB: sshd and we take turns less often.
        fcntl.fcntl(0, SET_PIPE_SIZE, BLOCK_BYTES)
    _write(MAGIC)
    for line in iter(stdin.readline, b""):
        request = Request(json.loads(line), stdin)
        try:
            send(b"A", OPERATIONS[request.text("op")](request))
        except BrokenPipeError:
            raise
        except OSError as error:
            _refuse(error)
            return
        except ValueError as error:  # A path with a NUL in it.
            _refuse(OSError(errno.EINVAL, str(error)))
            return


def _refuse(error: OSError) -> None:
    where = error.filename
    answer = {
        "errno": "EIO" if error.errno is None else errno.errorcode.get(error.errno, "EIO"),
        "text": error.strerror or str(error),
        "path": _text(where) if isinstance(where, bytes) else where,
    }
    send(b"X", answer)


def send(kind: bytes, value: object) -> None:
    body = value if isinstance(value, (bytes, memoryview)) else json.dumps(value).encode()
    _write(HEADER.pack(kind, len(body)))
    _write(body)


def _write(data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def prepare(request: Request) -> str:
    """Make the root and its working folder; a root that is not absolute lies in the home."""
    home = os.path.expanduser("~")
    root = os.path.normpath(os.path.join(home, os.path.expanduser(request.text("root"))))
    os.makedirs(os.path.join(root, request.text("work")), exist_ok=True)
    return root


def size(request: Request) -> int | None:
    try:
        return os.stat(request.path()).st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def entries(request: Request) -> list[list[str]]:
    """Names and kinds; a link to a folder is none, but where a `/` is at the end of the path."""
    path = request.path()
    if not path.endswith(b"/") and os.path.islink(path):
        return []
    try:
        with os.scandir(path) as found:
            return [[_text(entry.name), _kind(entry)] for entry in found]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _kind(entry: os.DirEntry[bytes]) -> str:
    if entry.is_symlink():
        return "link"
    if entry.is_dir():
        return "folder"
    return "file" if entry.is_file() else "other"


def _opened(path: bytes, flags: int) -> io.FileIO:
    """A plain file. What is none is neither followed nor waited for: a pipe would block."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, LINK, path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no plain file", path)
    return io.FileIO(descriptor, "rb" if flags == os.O_RDONLY else "rb+")


def read(request: Request) -> bool:
    """The start of a file, up to `limit` bytes: false when there is none."""
    try:
        with _opened(request.path(), os.O_RDONLY) as reader:
            send(b"D", reader.read(request.count("limit")))
    except FileNotFoundError:
        return False
    return True


def write(request: Request) -> None:
    _write_to_disk(request.path(), request.payload())


def replace(request: Request) -> bool:
    """A small file, there whole or as it was: false when it cannot be read back as it was sent."""
    import hashlib

    content, temporary = request.payload(), request.path("temporary")
    _write_to_disk(temporary, content)
    with _opened(temporary, os.O_RDONLY) as reader:
        found = reader.read(len(content) + 1)
    if hashlib.sha256(found).hexdigest() != request.text("sha256"):
        os.unlink(temporary)
        return False
    os.replace(temporary, request.path())
    _sync(os.path.dirname(request.path()))
    return True


def _write_to_disk(path: bytes, content: bytes) -> None:
    with _opened(path, OVERWRITE) as writer:
        left = memoryview(content)
        while left:
            left = left[writer.write(left) :]
        os.fsync(writer.fileno())


def append(request: Request) -> None:
    offset = request.count("offset")
    with _opened(request.path(), os.O_RDWR if offset else OVERWRITE) as writer:
        writer.seek(offset)
        writer.truncate()
        _receive(request, writer, offset)
        os.fsync(writer.fileno())


def put(request: Request) -> None:
    """A file that appears whole or not at all."""
    target = request.path()
    part = target + b"." + request.text("suffix").encode() + b".part"
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        with open(part, "xb", buffering=0) as writer:
            _receive(request, writer, 0)
        os.replace(part, target)
    except BaseException:
        if os.path.lexists(part):
            os.unlink(part)
        raise


def _receive(request: Request, writer: io.FileIO, offset: int) -> None:
    for block in request.arriving(offset):
        left = block
        while left:
            left = left[writer.write(left) :]


def get(request: Request) -> None:
    with open(request.path(), "rb", buffering=0) as reader:
        block = memoryview(bytearray(BLOCK_BYTES))
        count = reader.readinto(block)
        while count:
            send(b"D", block[:count])
            count = reader.readinto(block)


def sha256(request: Request) -> str | None:
    import hashlib

    digest, left = hashlib.sha256(), request.optional("count")
    block = memoryview(bytearray(BLOCK_BYTES))
    try:
        with _opened(request.path(), os.O_RDONLY) as reader:
            while left is None or left:
                count = reader.readinto(block if left is None else block[:left])
                if not count:
                    break
                digest.update(block[:count])
                left = None if left is None else left - count
    except FileNotFoundError:
        return None
    return digest.hexdigest()


def make_folder(request: Request) -> bool:
    try:
        os.mkdir(request.path())
    except FileExistsError:
        return False
    return True


def rename(request: Request) -> None:
    os.replace(request.path(), request.path("target"))


def link(request: Request) -> None:
    os.symlink(request.path("target"), request.path())


def read_link(request: Request) -> str | None:
    try:
        return _text(os.readlink(request.path()))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL):
            return None
        raise


def sync(request: Request) -> None:
    _sync(request.path())


def _sync(path: bytes) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unlink(request: Request) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(request.path())


def remove(request: Request) -> None:
    path = request.path()
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            import shutil

            shutil.rmtree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        pass


def free_bytes(request: Request) -> int:
    there = os.statvfs(request.path())
    return there.f_bavail * there.f_frsize


def run(request: Request) -> int:
    """A command in a process group of its own, which ends when the host goes away."""
    # Importing them takes as long as the rest of the start.
    import signal
    import subprocess
    import threading

    content = request.payload()
    argv = request.words("argv")
    argv[0] = os.path.expanduser(argv[0])
    child = subprocess.Popen(
        argv,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=request.path("cwd"),
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    with child.stdout, child.stderr:
        # Not joined: what the command leaves behind may hold its stdin and never read.
        threading.Thread(target=_feed, args=(child.stdin, content), daemon=True).start()
        try:
            _forward({child.stdout.fileno(): b"D", child.stderr.fileno(): b"S"})
            return child.wait()
        finally:
            if child.returncode is None:
                # Not reaped yet, so the number is still its own.
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def _feed(pipe: io.FileIO, content: bytes) -> None:
    left = memoryview(content)
    # It need not read all that it is given.
    with contextlib.suppress(BrokenPipeError), pipe:
        while left:
            left = left[pipe.write(left) :]


def _forward(streams: dict[int, bytes]) -> None:
    """Send what comes out of the pipes until all are closed."""
    import selectors

    with selectors.DefaultSelector() as selector:
        for stream in (0, *streams):
            selector.register(stream, selectors.EVENT_READ)
        while streams:
            for key, _ in selector.select():
                if key.fd == 0:
                    # The host asks nothing while a command runs: this is the end of stdin.
                    raise Gone
                data = os.read(key.fd, 1 << 16)
                if data:
                    send(streams[key.fd], data)
                else:
                    selector.unregister(key.fd)
                    del streams[key.fd]


_FILES = (append, get, link, make_folder, put, read, read_link, remove, rename, replace, write)
_OTHERS = (entries, free_bytes, prepare, run, sha256, size, sync, unlink)
OPERATIONS = {operation.__name__: operation for operation in (*_FILES, *_OTHERS)}


if __name__ == "__main__":
    try:
        main()
    except (Gone, BrokenPipeError):
        sys.exit(1)
