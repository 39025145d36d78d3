"""What a disk may hold after a power cut that takes its cache, too.

qemu's `blklogwrites` records every write and flush, in the format of Linux's dm-log-writes. A
disk may lose any of the writes since its last finished flush, keep a later one without an earlier
one, and keep half of one; it may lose none from before. So each of these is a state: all that was
written before a flush, and any selection of what was written until the next.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
MAGIC = 0x6A736677736872
SUPER = struct.Struct("<QQQI")
"""Magic, version, number of entries, bytes of a sector."""
ENTRY = struct.Struct("<QQQQ")
"""First sector, number of sectors, flags, bytes of a mark."""
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8


@dataclass(frozen=True)
class Write:
    """`length` bytes at `offset`, which are in the log at `data`."""

    offset: int
    length: int
    data: int
    end: int
    """Where the entry ends in the log, by which it is before or after a moment of the recording."""


@dataclass(frozen=True)
class Epoch:
    """The writes between two flushes, in the order in which they were finished."""

    writes: tuple[Write, ...]
    end: int
    """Where the entry of the flush that ends it ends in the log."""


@dataclass(frozen=True)
class State:
    """The writes of the first `whole` epochs, and some of the next."""

    whole: int
    some: tuple[Write, ...]
    promised: bool
    """Whether the power may have been cut only when the push had already said success."""


def read_log(log: Path) -> list[Epoch]:
    """Raises ValueError when it is no such log."""
    size = log.stat().st_size
    epochs: list[Epoch] = []
    writes: list[Write] = []
    with log.open("rb") as reader:
        magic, _, _, sector = SUPER.unpack(reader.read(SUPER.size))
        if (magic, sector) != (MAGIC, SECTOR):
            raise ValueError(f"{log}: no log of writes with sectors of {SECTOR} bytes")
        at = SECTOR
        while at + SECTOR <= size:
            reader.seek(at)
            first, count, flags, _ = ENTRY.unpack(reader.read(ENTRY.size))
            data, length = at + SECTOR, count * SECTOR
            at = data + (0 if flags & (DISCARD | MARK) else length)
            if at > size:
                break
            if flags & (FUA | DISCARD):
                raise ValueError(f"{log}: a kind of write that the disk does not offer: {flags}")
            if count:
                writes.append(Write(first * SECTOR, length, data, at))
            if flags & FLUSH:
                epochs.append(Epoch(tuple(writes), at))
                writes = []
    # Of these nobody knows that they were finished when the recording ended.
    epochs.append(Epoch(tuple(writes), size))
    return epochs


def states(epochs: list[Epoch], promise: int, rng: random.Random, each: int) -> Iterator[State]:
    """For every flush the state right after it, and `each` selections of what comes next.

    Args:
        epochs: of the recording.
        promise: how long the log was when the push said success.
        rng: chooses.
        each: how many selections; fewer where there are no more.

    """
    for number, epoch in enumerate(epochs):
        promised = epoch.end > promise
        yield State(number, (), promised)
        tried: set[tuple[Write, ...]] = {(), epoch.writes}
        for way in range(each if epoch.writes else 0):
            some = _selection(epoch.writes, way, rng)
            # All of them are the next epoch's first state.
            if some not in tried:
                tried.add(some)
                yield State(number, some, promised)


def _selection(writes: tuple[Write, ...], way: int, rng: random.Random) -> tuple[Write, ...]:
    """Each with even odds; all but one; only one; or each with even odds and the last one torn."""
    if way % 4 == 1:
        missing = rng.randrange(len(writes))
        return writes[:missing] + writes[missing + 1 :]
    if way % 4 == 2:
        return (rng.choice(writes),)
    some = tuple(write for write in writes if rng.random() < 0.5)
    if way % 4 == 3 and some:
        last = some[-1]
        sectors = rng.randrange(last.length // SECTOR)
        torn = Write(last.offset, sectors * SECTOR, last.data, last.end)
        return (*some[:-1], torn) if sectors else some[:-1]
    return some


class Disk:
    """An image that goes from one state to the next."""

    def __init__(self, base: Path, log: Path, epochs: list[Epoch], image: Path) -> None:
        self._log = log
        self._epochs = epochs
        self._image = image
        self._whole = bytearray(base.read_bytes())
        self._applied = 0

    def become(self, state: State) -> None:
        """States come in the order in which `states` makes them."""
        with self._log.open("rb") as log:
            for epoch in self._epochs[self._applied : state.whole]:
                for write in epoch.writes:
                    log.seek(write.data)
                    self._whole[write.offset : write.offset + write.length] = log.read(write.length)
            self._applied = max(self._applied, state.whole)
            with self._image.open("r+b") as image:
                image.write(self._whole)
                for write in state.some:
                    log.seek(write.data)
                    image.seek(write.offset)
                    image.write(log.read(write.length))
