"""What goes into the inferences of a measurement: several different samples, one after the other.

The time of an inference may depend on its data: candidates that a detector suppresses, zeros that a
kernel skips, denormal numbers. So samples are the task's own, they are cycled, and every file that
is measured gets the same.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgecompress.artifact import Artifact
from edgecompress.measure.loaded import Loaded
from edgecompress.measure.tensors import Array, feed, read_npz, write_npz
from edgecompress.spec.measurement import InputSplit

Feed = dict[str, Array]
"""The arrays of one inference of a file, by input name."""

MOST_SAMPLES = 16
MOST_BYTES = 16 << 20
"""What a board is sent, and holds in memory, of them all."""
LEAST_SAMPLES = 2
"""Fewer than these are no cycle, however large one is."""


@dataclass(frozen=True)
class Inputs:
    """Samples for a measurement, at least one."""

    samples: tuple[tuple[Array, ...], ...]
    """The arrays of each inference, in the order of the task's inputs."""
    split: InputSplit

    def feeds(self, artifact: Artifact) -> list[Feed]:
        """Each sample as a file takes it. Raises TaskError when it does not fit the file."""
        return [feed(artifact, arrays) for arrays in self.samples]


def enough(arrays: Sequence[Array]) -> int:
    """How many samples of this size are cycled."""
    size_bytes = sum(array.nbytes for array in arrays)
    return max(LEAST_SAMPLES, min(MOST_SAMPLES, MOST_BYTES // max(size_bytes, 1)))


@contextmanager
def inputs_of(files: Mapping[str, Loaded], inputs: Inputs) -> Iterator[dict[str, Path]]:
    """Per file, its own .npz: its names, and quantised where it takes integers."""
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
        paths = {name: Path(folder) / f"{name}.npz" for name in files}
        for name, file in files.items():
            file.artifact.verify()
            write_feeds(paths[name], inputs.feeds(file.artifact))
        yield paths


def write_feeds(path: Path, feeds: Sequence[Feed]) -> None:
    """One .npz: of a single inference by input name, of several by '<number>/<input name>'.

    Raises:
        StorageError: the disk is full or the folder cannot be written.

    """
    if len(feeds) == 1:
        write_npz(path, feeds[0])
    else:
        write_npz(path, dict(_numbered(feeds)))


def read_feeds(path: Path, artifact: Artifact) -> list[Feed]:
    """What `write_feeds` wrote for a file. Raises StorageError when it cannot be read."""
    arrays = read_npz(path)
    count = len(arrays) // max(len(artifact.inputs), 1)
    if count <= 1:
        return [arrays]
    return [
        {info.name: arrays[f"{number}/{info.name}"] for info in artifact.inputs}
        for number in range(count)
    ]


def _numbered(feeds: Sequence[Feed]) -> Iterable[tuple[str, Array]]:
    for number, arrays in enumerate(feeds):
        for name, array in arrays.items():
            yield f"{number}/{name}", array
