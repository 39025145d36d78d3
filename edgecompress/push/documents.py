"""What a push leaves on a device, as JSON, `schema_version` 1: see docs/devices.md."""

from typing import Annotated, Literal

from pydantic import Field

from edgecompress.artifact import Format, TensorInfo
from edgecompress.spec.base import Spec
from edgecompress.spec.pushed import Outcome

Action = Literal["push", "validate", "activate", "rollback"]


class Manifest(Spec):
    """Lies beside the model; the release's id is the hash of it, so it holds no time and no run."""

    schema_version: Literal[1] = 1
    file: Annotated[str, Field(pattern=r"^model\.[a-z0-9]+$")]
    """'model.onnx', beside this manifest."""
    format: Format
    sha256: str
    size_bytes: int
    target: str
    recipe_digest: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    labels: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return self.digest()[:16]


class Owner(Spec):
    """Who holds a device's lock."""

    schema_version: Literal[1] = 1
    nonce: str
    user: str
    host: str
    machine: str
    """Where `pid` means that process: hosts may have the same name."""
    pid: int
    renewed: int
    """Counts up while the holder works; how the others see that it lives."""
    quiet_s: float
    """How long it may stay unchanged before the holder counts as dead."""
    released: bool = False


class Journal(Spec):
    """The push that is under way, or how the last one ended."""

    schema_version: Literal[1] = 1
    release: str
    before: str | None
    """The release that was active when it began."""
    previous: str | None
    """The one before that."""
    state: Literal["pushing", "activating", "success", "rolled_back", "inconsistent"]
    reason: str | None = None


class HistoryEntry(Spec):
    at: str
    """ISO 8601, UTC, by the clock of the host that pushed."""
    by: str
    """user@host."""
    action: Action
    release: str
    before: str | None
    outcome: Outcome
    reason: str | None = None


class History(Spec):
    schema_version: Literal[1] = 1
    entries: tuple[HistoryEntry, ...] = ()


class ReleaseState(Spec):
    id: str
    manifest: Manifest | None
    """None: it cannot be read."""
    whole: bool
    """Its model has the sha256 that the manifest says."""


class DeviceStatus(Spec):
    device: str
    current: str | None
    previous: str | None
    releases: tuple[ReleaseState, ...]
    journal: Journal | None
    holder: Owner | None
    """Of the lock; None: nobody is pushing."""
