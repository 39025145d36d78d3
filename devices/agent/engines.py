"""Engine files: each has a small JSON beside it that says what it was made from and for.

An engine runs on the TensorRT release and the GPU that it was built with, and nowhere else. So it
is named by a key of all that it depends on, and whatever does not fit is stale: rebuilt by
`build`, refused by the runner, never loaded.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from .cuda import Gpu
from .failure import Failure
from .files import sha256_of, whole

SIDECAR_VERSION = 1


class Origin(NamedTuple):
    """All that an engine depends on."""

    onnx_sha256: str
    tensorrt: str
    """Its version, such as '10.3.0'."""
    gpu: Gpu
    flags: dict[str, object]
    """What the request asks of the build, as JSON values."""

    def key(self) -> str:
        """sha256 of the canonical JSON."""
        text = json.dumps(self.document(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def document(self) -> dict[str, object]:
        return {**self._asdict(), "gpu": self.gpu._asdict()}


class BuiltEngine(NamedTuple):
    """How it came to be."""

    how: str
    """python or trtexec."""
    notes: list[str]
    """What was not as asked."""


def write_sidecar(engine: str, origin: Origin, made: BuiltEngine) -> None:
    """Describe a finished engine."""
    document = {
        "sidecar_version": SIDECAR_VERSION,
        "key": origin.key(),
        "engine_sha256": sha256_of(engine),
        **origin.document(),
        **made._asdict(),
    }
    with whole(_sidecar(engine)) as part:
        Path(part).write_text(json.dumps(document, indent=1, sort_keys=True))


def find_current(engine: str, origin: Origin) -> BuiltEngine | None:
    """None unless that file is there, whole, and made from exactly this."""
    sidecar = _read(engine)
    if sidecar is None or sidecar.get("key") != origin.key() or not Path(engine).is_file():
        return None
    if sidecar.get("engine_sha256") != sha256_of(engine):
        return None
    notes = sidecar.get("notes")
    return BuiltEngine(str(sidecar.get("how")), notes if isinstance(notes, list) else [])


def check_loadable(engine: str, tensorrt: str, gpu: Gpu) -> None:
    """Raises Failure naming what differs, so that TensorRT never gets a stale engine."""
    sidecar = _read(engine)
    if sidecar is None:
        raise Failure(
            "input",
            f"{engine}: no {Path(_sidecar(engine)).name} beside it says which TensorRT and GPU it"
            " was built for; build it on this device",
        )
    built_with = str(sidecar.get("tensorrt"))
    if not _same_release(built_with, tensorrt):
        raise _stale(engine, f"was built with TensorRT {built_with}, and here is {tensorrt}")
    built_for = sidecar.get("gpu")
    if built_for != gpu._asdict():
        raise _stale(
            engine, f"was built for {_told(built_for)}, and here is {_told(gpu._asdict())}"
        )
    if sidecar.get("engine_sha256") != sha256_of(engine):
        raise _stale(engine, "has changed since it was built")


def _told(gpu: object) -> str:
    if not isinstance(gpu, dict):
        return "no GPU"
    return ", ".join(f"{field} {gpu.get(field)}" for field in Gpu._fields)


def _stale(engine: str, why: str) -> Failure:
    return Failure("input", f"{engine}: {why}; build it again on this device")


def _same_release(one: str, other: str) -> bool:
    """What both give must be equal: trtexec says 10.3.0 where Python may say 10.3.0.30."""
    return all(a == b for a, b in zip(one.split("."), other.split(".")))


def _sidecar(engine: str) -> str:
    return engine + ".json"


def _read(engine: str) -> dict[str, object] | None:
    """None where there is none that this version of the agent understands."""
    try:
        document = json.loads(Path(_sidecar(engine)).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or document.get("sidecar_version") != SIDECAR_VERSION:
        return None
    return document
