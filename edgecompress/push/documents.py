"""What a push leaves on a device, as JSON, `schema_version` 1: see docs/devices.md."""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field

from edgecompress.artifact import TensorInfo
from edgecompress.spec.base import Spec, digest
from edgecompress.spec.preprocessing import Preprocessing
from edgecompress.spec.pushed import Outcome, Validation

DOCUMENT_BYTES = 64 << 10
"""A manifest, journal or history that is larger is not ours."""
LABELS: Literal["labels.json"] = "labels.json"

Action = Literal["push", "validate", "activate", "rollback"]


class LabelsFile(Spec):
    """A JSON list of texts beside a manifest that has no room for them."""

    file: Literal["labels.json"] = LABELS
    sha256: str
    size_bytes: int


class Manifest(Spec):
    """Lies beside the model; the release's id is the hash of it, so it holds no time and no run."""

    schema_version: Literal[1] = 1
    file: Annotated[str, Field(pattern=r"^model\.[a-z0-9]+$")]
    """'model.onnx', beside this manifest."""
    format: str
    sha256: str
    size_bytes: int
    target: str
    recipe_digest: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    """How an application prepares the input; see docs/contract.md."""
    labels_file: LabelsFile | None = None
    """Where the labels are when they are too many for this file; None: `labels` has them."""

    @property
    def id(self) -> str:
        """The same for a manifest and for what of it is stored."""
        return digest(self._fields())[:16]

    def stored(self) -> tuple[bytes, bytes]:
        """The manifest's file, and that of its labels, which is empty where they are in it."""
        return json.dumps(self._fields(), ensure_ascii=False).encode(), self._labels()

    def _fields(self) -> dict[str, object]:
        content = self._labels()
        kept = self._apart(content) if content else self
        fields = kept.model_dump(mode="json")
        for name in ("labels_file", "preprocessing"):
            if getattr(kept, name) is None:
                # Releases that were made before there was such a field keep their ids.
                del fields[name]
        return fields

    def _labels(self) -> bytes:
        """What belongs in a file of its own; nothing where this one has room."""
        if len(self.model_dump_json()) <= DOCUMENT_BYTES:
            return b""
        return json.dumps(self.labels, ensure_ascii=False).encode() if self.labels else b""

    def _apart(self, labels: bytes) -> "Manifest":
        file = LabelsFile(sha256=hashlib.sha256(labels).hexdigest(), size_bytes=len(labels))
        return self.model_copy(update={"labels": (), "labels_file": file})


class Identity(Spec):
    """Tells the device's folder from that of any other device."""

    schema_version: Literal[1] = 1
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class ValidationRecord(Spec):
    """Written beside a release after its validation has passed on this device.

    A signature will be of this document with `signature` None.
    """

    schema_version: Literal[1] = 1
    release: str
    sha256: str
    """The hash of the model's file that was run."""
    device: str
    """The id in the device's `device.json`: a folder that was copied from elsewhere has another."""
    at: str
    """ISO 8601, UTC, by the clock of the host that pushed."""
    by: str
    """user@host."""
    edgecompress: str
    """Version of the program that validated it."""
    run: str = ""
    """The run that made the model, where it is known."""
    asked: str = ""
    """Hash of what was asked of it: the sample, the limits, the protocol."""
    validation: Validation | None = None
    """The figures."""
    signature: str | None = None


class Owner(Spec):
    """Who holds a device's lock."""

    schema_version: Literal[1] = 1
    nonce: str
    user: str
    host: str
    machine: str
    """Where `pid` means that process: hosts may have the same name."""
    pid: Annotated[int, Field(ge=1, lt=1 << 31)]
    renewed: int
    """Counts up while the holder works; how the others see that it lives."""
    quiet_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]
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
    run: str = ""
    """The run that made the release, where it is known."""
    metric: str | None = None
    value: float | None = None
    """The metric's, computed from what this device put out when it validated the release."""
    override: bool = False
    """It was activated without a record of its validation, because the user said so."""


class History(Spec):
    schema_version: Literal[1] = 1
    entries: tuple[HistoryEntry, ...] = ()


class ReleaseState(Spec):
    id: str
    manifest: Manifest | None
    """None: it cannot be read."""
    whole: bool
    """Its model has the sha256 that the manifest says."""
    validated: ValidationRecord | None = None
    """When it was validated there; None: this device has no record of that."""


class DeviceStatus(Spec):
    device: str
    current: str | None
    previous: str | None
    releases: tuple[ReleaseState, ...]
    journal: Journal | None
    holder: Owner | None
    """Who holds the lock; None: nobody is pushing."""
    in_the_way: tuple[str, ...] = ()
    """What no push made and the next one needs moved or removed, a line each."""
