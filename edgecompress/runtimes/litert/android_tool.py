"""TFLite's benchmark_model on an Android device: found there, or sent there."""

from pathlib import Path
from typing import NamedTuple

from edgecompress.artifact import sha256_of
from edgecompress.errors import RuntimeMissing
from edgecompress.transport import Transport

DOWNLOAD = (
    "https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/"
    "nightly/latest/android_aarch64_benchmark_model"
)


class Tool(NamedTuple):
    path: str
    """On the device."""
    version: str
    """The start of its hash: old ones do not print what they are."""


def find_tool(transport: Transport, given: str | None, timeout_s: float) -> Tool:
    """`given`: its path there, or that of a file here, which is sent when it is not there.

    Raises:
        RuntimeMissing: it is neither, or nothing is given.

    """
    if given is None:
        raise RuntimeMissing(
            f"{transport.name}: Android needs TFLite's benchmark_model: download {DOWNLOAD} and"
            " name it as the device's tool in the inventory"
        )
    if Path(given).is_file():
        digest = sha256_of(Path(given))
        remote = transport.cached(f"benchmark_model-{digest}")
        transport.put_once(Path(given), remote, timeout_s=timeout_s)
        transport.run(["chmod", "755", remote], timeout_s=timeout_s)
        return Tool(remote, _version(digest))
    there = given.startswith("/") and transport.files.sha256(given, timeout_s=timeout_s)
    if not there:
        raise RuntimeMissing(
            f"{transport.name}: benchmark_model '{given}' is neither a file here nor one there;"
            f" download {DOWNLOAD}"
        )
    return Tool(given, _version(there))


def _version(digest: str) -> str:
    return f"sha256 {digest[:12]}"
