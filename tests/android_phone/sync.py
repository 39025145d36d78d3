"""adbd's sync service, version 1."""

import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from android_phone.adbd import Adbd, Stream

WORD = struct.Struct("<4sI")
CHUNK_BYTES = 64 << 10


def serve(stream: "Stream", _argument: str, adbd: "Adbd") -> None:
    while True:
        word, length = WORD.unpack(stream.read(WORD.size))
        if word == b"QUIT":
            return
        path = stream.read(length).decode("utf-8", "surrogateescape")
        if word == b"SEND":
            path, _, mode = path.rpartition(",")
            _take(stream, Path(adbd.here(path)), int(mode) & 0o777, adbd)
        elif word == b"STAT":
            _stat(stream, adbd.here(path))
        else:
            COMMANDS[word](stream, Path(adbd.here(path)))


def _stat(stream: "Stream", path: str) -> None:
    try:
        # Not by Path, which drops a `/` at the end.
        found = os.lstat(path)
        words = (found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime))
    except OSError:
        words = (0, 0, 0)
    stream.write(b"STAT" + struct.pack("<III", *words))


def _list(stream: "Stream", path: Path) -> None:
    try:
        names = [".", "..", *(entry.name for entry in path.iterdir())]
    except OSError:
        names = []
    for name in names:
        found = (path / name).lstat()
        encoded = os.fsencode(name)
        words = (found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime), len(encoded))
        stream.write(b"DENT" + struct.pack("<IIII", *words) + encoded)
    stream.write(b"DONE" + bytes(16))


def _give(stream: "Stream", path: Path) -> None:
    try:
        with path.open("rb") as reader:
            while chunk := reader.read(CHUNK_BYTES):
                stream.write(WORD.pack(b"DATA", len(chunk)) + chunk)
    except OSError as error:
        _fail(stream, f"open failed: {error.strerror}")
    else:
        stream.write(WORD.pack(b"DONE", 0))


def _take(stream: "Stream", path: Path, mode: int, adbd: "Adbd") -> None:
    failure: str | None = None
    descriptor = -1
    try:
        if path.is_file() or path.is_symlink():
            path.unlink()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        os.fchmod(descriptor, mode)
    except OSError as error:
        failure = f"couldn't create file: {error.strerror}"
    written = 0
    try:
        while True:
            word, length = WORD.unpack(stream.read(WORD.size))
            if word == b"DONE":
                break
            content = stream.read(length)
            limit = adbd.full_after
            if failure is None and limit is not None and written + length > limit:
                failure = "write failed: No space left on device"
                _fail(stream, failure)
                path.unlink()
            if failure is None:
                written += os.write(descriptor, content)
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    if failure is None:
        stream.write(WORD.pack(b"OKAY", 0))
    elif descriptor < 0:
        _fail(stream, failure)


def _fail(stream: "Stream", message: str) -> None:
    stream.write(WORD.pack(b"FAIL", len(message)) + message.encode())


COMMANDS = {b"LIST": _list, b"RECV": _give}
