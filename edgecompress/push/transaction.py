"""A push, in order. docs/devices.md says what each step leaves on the device."""

from collections.abc import Callable
from pathlib import Path

from edgecompress.errors import ArtifactError, EdgecompressError, Refused
from edgecompress.push.board import Board
from edgecompress.push.documents import Journal, Manifest
from edgecompress.push.lock import held
from edgecompress.push.pointers import is_whole, manifest_of, pointed
from edgecompress.push.session import RollbackError, Session, Watch
from edgecompress.push.upload import Upload
from edgecompress.spec.pushed import Outcome, Pushed

SILENT = Watch()

Alive = Callable[[float], None]
"""Tells the other pushers that we work, and for how many seconds they may hear nothing now."""
Validate = Callable[[str, Alive], None]
"""Given the model's path on the device, and what to call before each command of the agent there;
raises Refused, with the reason, or what went wrong.
"""


def push(
    board: Board,
    model: Path,
    manifest: Manifest,
    validate: Validate,
    watch: Watch = SILENT,
    *,
    activates: bool = True,
) -> Pushed:
    """Upload, validate on the device, activate; or leave the previous model as it was.

    Args:
        board: the device.
        model: the file here.
        manifest: describes it; its hash is the release's id.
        validate: runs the model there; whatever EdgecompressError it raises ends the push.
        watch: told how far it is.
        activates: whether `current` is to point to it in the end.

    Returns:
        What became of it: 'success', 'rolled_back' or 'inconsistent', and why. No
        EdgecompressError is raised, so that one device stops nobody else.

    """
    try:
        board.retried(board.make_folders)
        with held(board, watch.note) as lock:
            upload = Upload(board, lock, model, manifest, watch.sent)
            session = Session(board, lock, watch)
            session.settle(keep=upload.part)
            journal = session.begin(manifest.id)
            outcome, reason, refused = _outcome(
                lambda: _carry_out(session, upload, validate, journal if activates else None)
            )
            pushed = session.end(journal, "push" if activates else "validate", outcome, reason)
            if outcome == "success" and not activates:
                pushed = pushed.model_copy(update={"active": journal.before})
            update = {"sent_bytes": upload.sent_bytes, "refused": refused}
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


def _carry_out(
    session: Session, upload: Upload, validate: Validate, activated: Journal | None
) -> None:
    upload.run()
    manifest = upload.manifest
    model = session.board.path("releases", manifest.id, manifest.file)
    validate(model, session.lock.renew)
    session.lock.renew()
    if activated is not None:
        session.activate(activated)


def switch(board: Board, release: str | None, watch: Watch = SILENT) -> Pushed:
    """Activate a release that is on the device; None: the previous one.

    Raises:
        ArtifactError: there is none such, or it is damaged.
        DeviceError: the way to the device.

    """
    board.retried(board.make_folders)
    with held(board, watch.note) as lock:
        session = Session(board, lock, watch)
        session.settle()
        wanted = release or board.retried(lambda: pointed(board, "previous"))
        looked_at = f"edgecompress status {board.device}"
        if wanted is None:
            raise ArtifactError(f"{board.name}: no previous release; see: {looked_at}")
        if board.retried(lambda: manifest_of(board, wanted)) is None:
            raise ArtifactError(f"{board.name}: no release {wanted}; see: {looked_at}")
        if not board.retried(lambda: is_whole(board, wanted)):
            raise ArtifactError(f"{board.name}: release {wanted} is damaged there; push it again")
        journal = session.begin(wanted)
        outcome, reason, _ = _outcome(lambda: session.activate(journal))
        return session.end(journal, "activate" if release else "rollback", outcome, reason)


def _outcome(work: Callable[[], None]) -> tuple[Outcome, str | None, bool]:
    """How it ended, why, and whether the model was refused."""
    try:
        work()
    except RollbackError as error:
        return "inconsistent", str(error), False
    except EdgecompressError as error:
        return "rolled_back", str(error), isinstance(error, (Refused, ArtifactError))
    return "success", None, False
