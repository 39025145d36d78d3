"""The tool that runs files on a phone: found there, or sent there."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edgecompress.artifact import sha256_of
from edgecompress.errors import RuntimeMissing
from edgecompress.transport import Transport


@dataclass(frozen=True)
class Wanted:
    """What a runtime runs its files with."""

    name: str
    """As its vendor calls it."""
    whose: str
    """Its vendor's project."""
    remedy: str
    """How it is had: 'download ..'."""


class Tool(NamedTuple):
    path: str
    """On the device."""
    version: str
    """The start of its hash, because not all print what they are."""


def find_tool(transport: Transport, wanted: Wanted, given: str | None, timeout_s: float) -> Tool:
    """`given`: its path there, or that of a file here, which is sent when it is not there.

    Raises:
        RuntimeMissing: it is neither, or nothing is given.

    """
    if given is None:
        raise RuntimeMissing(
            f"{transport.name}: Android needs {wanted.whose}'s {wanted.name}: {wanted.remedy} and"
            " name it as the device's tool in the inventory"
        )
    if Path(given).is_file():
        digest = sha256_of(Path(given))
        remote = transport.cached(f"{wanted.name}-{digest}")
        transport.put_once(Path(given), remote, timeout_s=timeout_s)
        transport.run(["chmod", "755", remote], timeout_s=timeout_s)
        return Tool(remote, _version(digest))
    there = given.startswith("/") and transport.files.sha256(given, timeout_s=timeout_s)
    if not there:
        raise RuntimeMissing(
            f"{transport.name}: {wanted.name} '{given}' is neither a file here nor one there;"
            f" {wanted.remedy}"
        )
    return Tool(given, _version(there))


def _version(digest: str) -> str:
    return f"sha256 {digest[:12]}"
