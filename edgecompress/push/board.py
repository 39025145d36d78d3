"""A device as a push sees it: names below its root, small documents, and another try."""

import secrets
import time
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TypeVar

import tenacity

from edgecompress.errors import SpecError, TransientError
from edgecompress.push.documents import DOCUMENT_BYTES
from edgecompress.spec.base import S, parse
from edgecompress.spec.untrusted import read_json
from edgecompress.transport import Transport

T = TypeVar("T")
ATTEMPTS = 5
ATTEMPTS_S = 120.0
TEMPORARY = ".new-"


class Board:
    """`sleep` and `clock` are another's in tests, which have no time to wait.

    `device`: what commands call it; the way to it has another name.
    """

    def __init__(
        self,
        transport: Transport,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        *,
        device: str | None = None,
    ) -> None:
        self.transport = transport
        self.files = transport.files
        self.name = transport.name
        self.device = device or transport.name
        self.sleep = sleep
        self.clock = clock

    def path(self, *parts: str) -> str:
        return str(PurePosixPath(self.transport.root, *parts))

    def retried(self, step: Callable[[], T], attempts: int = ATTEMPTS) -> T:
        """The step, again while it loses its connection, so it must look before it does.

        Raises:
            TransientError: so many times, or for two minutes. All other errors at once.

        """
        return retried(step, attempts, self.sleep)

    def temporary(self, folder: str) -> str:
        """A name in `folder` that nobody else has; what a kill leaves of it is cleaned up."""
        return f"{folder}/{TEMPORARY}{secrets.token_hex(8)}"

    def replace(self, name: str, content: bytes) -> None:
        """A small file, whole or not at all, as it was given, and on the disk."""
        path = self.path(name)
        folder = str(PurePosixPath(path).parent)
        self.files.replace(path, self.temporary(folder), content)

    def document(self, spec: type[S], name: str) -> S | None:
        """What lies under a name; None when there is nothing, or nothing that can be read."""
        content = self.files.read(self.path(name), DOCUMENT_BYTES)
        return None if content is None else parsed(spec, content, name)


def retried(
    step: Callable[[], T],
    attempts: int = ATTEMPTS,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Try again as `Board.retried` does, for what comes before there is a board."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TransientError),
        stop=tenacity.stop_after_attempt(attempts) | tenacity.stop_after_delay(ATTEMPTS_S),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=20),
        sleep=sleep,
        reraise=True,
    )
    return retrying(step)


def parsed(spec: type[S], content: bytes, name: str) -> S | None:
    """None for what is damaged or another version's: a push must be able to go on."""
    try:
        return parse(spec, read_json(content, len(content)), name)
    except (ValueError, SpecError):
        return None
