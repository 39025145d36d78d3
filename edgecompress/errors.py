"""Every error that edgecompress raises on purpose.

    EdgecompressError            exit code 1: a defect of ours, if it ever gets out as such
    |- BadInput                  2: something the user gave or owns must change
    |  |- SpecError                 a YAML file, an option, or a JSON document
    |  |- TaskError                 the task: import, data, labels, loss, metric
    |  |- ModelError                the model cannot be traced, pruned, quantised or exported
    |  |- ArtifactError             a model file is unreadable or not what it claims to be
    |  `- StorageError              disk full, read-only folder, unreadable store
    |- Refused                   3: built and checked, and not good enough
    `- DeviceError               4: the device, its runtime, or the way to it
       |- RuntimeMissing            a package or program that the device lacks
       |- AgentError                the agent ran and reported a failure, or did not answer in JSON
       |- TimedOut                  a command or a copy passed its deadline and was ended
       `- TransientError            may pass by itself; the only kind that is ever retried

A message is one line and says what, where and what to do:
`targets/rpi5.yaml: runtime.name 'tflite' is unknown; known: litert, onnxruntime, tensorrt`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MESSAGE_CHARACTERS = 2000
"""The most in a message: what a device or a library says in it may be of any length."""

EXIT_SHIP = 0
EXIT_DEFECT = 1
EXIT_BAD_INPUT = 2
EXIT_REFUSED = 3
EXIT_DEVICE = 4
EXIT_UNMEASURED = 5
EXIT_INTERRUPTED = 130


class EdgecompressError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the CLI exits with."""

    exit_code = EXIT_DEFECT

    def __init__(self, message: str) -> None:
        # Library exceptions that are quoted inside often span many lines; and no JSON document and
        # no file takes the lone surrogates that names of files on a device may become.
        line = " ".join(message[: 4 * MESSAGE_CHARACTERS].split())
        line = line.encode("utf-8", "backslashreplace").decode()
        is_whole = len(line) <= MESSAGE_CHARACTERS
        super().__init__(line if is_whole else f"{line[:MESSAGE_CHARACTERS]} ..")


@contextmanager
def in_place_of(path: Path, made: Path) -> Iterator[None]:
    """Errors about `made`, a copy of `path` that no user knows of, name `path` itself.

    Raises:
        EdgecompressError: of the same class.

    """
    try:
        yield
    except EdgecompressError as error:
        message = str(error).replace(str(made), str(path)).replace(made.name, path.name)
        text = message if path.name in message else f"{path}: {message}"
        raise type(error)(text) from None


class BadInput(EdgecompressError):
    exit_code = EXIT_BAD_INPUT


class SpecError(BadInput):
    pass


class TaskError(BadInput):
    pass


class ModelError(BadInput):
    pass


class ArtifactError(BadInput):
    pass


class StorageError(BadInput):
    pass


class Refused(EdgecompressError):
    exit_code = EXIT_REFUSED


class DeviceError(EdgecompressError):
    exit_code = EXIT_DEVICE


class RuntimeMissing(DeviceError):
    pass


class AgentError(DeviceError):
    pass


class TimedOut(DeviceError):
    pass


class TransientError(DeviceError):
    pass
