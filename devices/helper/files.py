"""Operations on files: each takes a request and returns its answer.

No link in the last part of a path is followed, and nothing is opened that is no plain file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat

from .wire import BLOCK_BYTES, Request, send, text_of

LINK = "is a symbolic link, which is not followed"
OVERWRITE = os.O_RDWR | os.O_CREAT | os.O_TRUNC


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
            return [[text_of(entry.name), _kind(entry)] for entry in found]
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
        return text_of(os.readlink(request.path()))
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
            # Importing it takes a small board as long as the rest of the start.
            import shutil

            shutil.rmtree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        pass


def free_bytes(request: Request) -> int:
    there = os.statvfs(request.path())
    return there.f_bavail * there.f_frsize


OPERATIONS = (
    append, entries, free_bytes, get, link, make_folder, prepare, put, read, read_link, remove,
    rename, replace, sha256, size, sync, unlink, write,
)  # fmt: skip
