"""A push, in order. docs/devices.md says what each step leaves on the device."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edgecompress.errors import ArtifactError, EdgecompressError, Refused, TransientError
from edgecompress.packages import version_of
from edgecompress.push.board import Board
from edgecompress.push.documents import Identity, Journal, Manifest, ValidationRecord
from edgecompress.push.layout import VALIDATION, make_folders
from edgecompress.push.lock import Lock, Overtaken, by_whom, held
from edgecompress.push.pointers import is_whole, manifest_of, pointed, validation_of
from edgecompress.push.session import Ended, RollbackError, Session, Watch
from edgecompress.push.upload import Upload
from edgecompress.spec.pushed import Pushed, Validation

SILENT = Watch()

Alive = Callable[[float], None]
"""Tells the other pushers that we work, and for how many seconds they may hear nothing now."""
Validate = Callable[[str, Alive], Validation | None]
"""Given the model's path on the device, and what to call before each command of the agent there;
gives the figures to be written down. Raises Refused, with the reason, or what went wrong.
"""


@dataclass(frozen=True)
class Origin:
    """What is written down of a model, and by which an earlier validation is known again."""

    run: str = ""
    """The run that made it."""
    asked: str = ""
    """Hash of what its validation asks; empty: not known."""
    reuses: bool = False
    """Whether a validation that passed there and asked the same is enough."""


UNKNOWN = Origin()


@dataclass(frozen=True)
class PushOptions:
    """How a push goes, where it is not as usual."""

    watch: Watch = SILENT
    """Told how far it is."""
    activates: bool = True
    """Whether `current` is to point to the model in the end."""
    origin: Origin = UNKNOWN


DEFAULT = PushOptions()


def push(
    board: Board,
    model: Path,
    manifest: Manifest,
    validate: Validate,
    options: PushOptions = DEFAULT,
) -> Pushed:
    """Upload, validate on the device, activate; or leave the previous model as it was.

    Args:
        board: the device.
        model: the file here.
        manifest: describes it; its hash is the release's id.
        validate: runs the model there; whatever EdgecompressError it raises ends the push.
        options: what else there is to say.

    Returns:
        What became of it: 'success', 'rolled_back' or 'inconsistent', and why. No
        EdgecompressError is raised, so that one device stops nobody else.

    """
    watch, activates = options.watch, options.activates
    try:
        board.retried(lambda: make_folders(board))
        with held(board, watch.note) as lock:
            upload = Upload(board, lock, model, manifest, watch.sent)
            session = Session(board, lock, watch)
            session.settle(keep=upload.part)
            journal = session.begin(manifest.id)
            trial = _Trial(board, lock, manifest, options.origin)

            def work() -> None:
                upload.run()
                trial.run(validate)
                if activates:
                    session.activate(journal)

            ended, refused = _ended(session, journal, work)
            if ended.outcome == "success" and not activates:
                ended = Ended("success", journal.before)
            pushed = session.end(journal, "push" if activates else "validate", ended)
            update = {
                "sent_bytes": upload.sent_bytes,
                "refused": refused,
                "validation": trial.earlier and trial.earlier.validation,
                "notes": trial.notes,
            }
            return pushed.model_copy(update=update)
    except EdgecompressError as error:
        # Nothing of this push has changed anything there; what one before it left may be broken.
        return Pushed(
            device=board.device,
            outcome="inconsistent" if isinstance(error, RollbackError) else "rolled_back",
            release=manifest.id,
            active=None,
            reasons=(str(error),),
        )


def switch(
    board: Board, release: str | None, watch: Watch = SILENT, *, unvalidated: bool = False
) -> Pushed:
    """Activate a release that is on the device; None: the previous one.

    Args:
        board: the device.
        release: its id.
        watch: told what is noticed.
        unvalidated: take one without a record of its validation on this device; written down.

    Raises:
        ArtifactError: there is none such, it is damaged, or was not validated there.
        StorageError, DeviceError: what lies there, or the way to the device.

    """
    board.retried(lambda: make_folders(board))
    with held(board, watch.note) as lock:
        session = Session(board, lock, watch)
        session.settle()
        wanted = release or board.retried(lambda: pointed(board, "previous"))
        override = _check(board, wanted, unvalidated)
        assert wanted is not None
        journal = session.begin(wanted)
        ended, _ = _ended(session, journal, lambda: session.activate(journal))
        if override:
            reason = ended.reason or "without a record of its validation, as asked"
            ended = Ended(ended.outcome, ended.active, reason, override)
        return session.end(journal, "activate" if release else "rollback", ended)


def _check(board: Board, wanted: str | None, unvalidated: bool) -> bool:
    """Whether it can be activated only because the user says so.

    Raises:
        ArtifactError: it cannot.

    """
    looked_at = f"edgecompress status {board.device}"
    if wanted is None:
        raise ArtifactError(f"{board.name}: no previous release; see: {looked_at}")
    if board.retried(lambda: manifest_of(board, wanted)) is None:
        raise ArtifactError(f"{board.name}: no release {wanted}; see: {looked_at}")
    if not board.retried(lambda: is_whole(board, wanted)):
        raise ArtifactError(f"{board.name}: release {wanted} is damaged there; push it again")
    validated = board.retried(lambda: validation_of(board, wanted)) is not None
    if not validated and not unvalidated:
        raise ArtifactError(
            f"{board.name}: release {wanted} has no record that it was validated on this device;"
            " push it again, or take it as it is with --unvalidated"
        )
    return not validated


class _Trial:
    """The validation of a release that is there, or the one that passed before."""

    def __init__(self, board: Board, lock: Lock, manifest: Manifest, origin: Origin) -> None:
        self.board, self.lock, self.manifest, self.origin = board, lock, manifest, origin
        self.earlier: ValidationRecord | None = None
        self.notes: tuple[str, ...] = ()

    def run(self, validate: Validate) -> None:
        """Raises what `validate` does."""
        board, release, origin = self.board, self.manifest.id, self.origin
        identity = self._identity()
        found = board.retried(lambda: validation_of(board, release))
        if origin.reuses and found is not None and found.asked == origin.asked != "":
            self.earlier = found
            self.notes = (f"validated there on {found.at} by {found.by}; not run again",)
            return
        model = board.path("releases", release, self.manifest.file)
        try:
            validation = validate(model, self.lock.renew)
        except (Refused, ArtifactError):
            # What passed once, under another runtime there, may not be activated any more.
            board.retried(lambda: board.files.unlink(board.path("releases", release, VALIDATION)))
            raise
        self.lock.renew()
        record = ValidationRecord(
            release=release,
            sha256=self.manifest.sha256,
            device=identity.id,
            at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            by=by_whom(),
            edgecompress=version_of("edgecompress") or "unknown",
            run=origin.run,
            asked=origin.asked,
            validation=validation,
        )
        content = record.model_dump_json().encode()
        board.retried(lambda: board.replace(f"releases/{release}/{VALIDATION}", content))

    def _identity(self) -> Identity:
        """The device's, made by the first push."""
        board = self.board
        identity = board.retried(lambda: board.document(Identity, "device.json"))
        if identity is None:
            identity = Identity(id=secrets.token_hex(16))
            content = identity.model_dump_json().encode()
            board.retried(lambda: board.replace("device.json", content))
        return identity


def _ended(session: Session, journal: Journal, work: Callable[[], None]) -> tuple[Ended, bool]:
    """How it ended, and whether the model was refused."""
    try:
        work()
    except RollbackError as error:
        return Ended("inconsistent", None, str(error)), False
    except Overtaken as error:
        # Who overtook us settles it, whatever we had come to.
        return Ended("rolled_back", None, str(error)), False
    except TransientError as error:
        # The device is gone: what it has can neither be looked at nor mended now.
        return Ended("rolled_back", journal.before, str(error)), False
    except EdgecompressError as error:
        return session.failed(journal, str(error)), isinstance(error, (Refused, ArtifactError))
    return Ended("success", journal.release), False
