"""`push`: the model of a run onto devices."""

from collections.abc import Sequence
from pathlib import Path

from typing_extensions import TypedDict, Unpack

from edgecompress import pipeline
from edgecompress.api.naming import as_arguments, check_options, path_of, told_by
from edgecompress.api.results import PushedRun, Report, shown_as
from edgecompress.errors import SpecError
from edgecompress.measure import DEADLINE_S
from edgecompress.progress import Progress

_MADE_HERE = "given:"


class PushOptions(TypedDict, total=False):
    """What `push` may be given besides."""

    config: str | Path
    """The deploy.yaml of the run; not for a report that `compress` gave in this process."""
    inventory: str | Path
    """Another file of devices."""
    deadline_s: float
    """How long one command may take on a device."""
    activates: bool
    """False: the model is sent and validated there, and the active one stays."""
    progress: bool | Progress
    """True by itself: lines on stderr."""


def push(
    run: Report | str | Path, device: str | Sequence[str], **options: Unpack[PushOptions]
) -> PushedRun:
    """Send a run's model to devices, validate it there, and activate it.

    Args:
        run: what `compress` gave; or a run's id, or the model file in its folder.
        device: ids of devices in the inventory, one or several.
        options: see PushOptions.

    Returns:
        How it ended on each device; `.devices[0].outcome` is 'success' where it is active.

    Raises:
        EdgecompressError: the run, the devices, deploy.yaml or the task. What goes wrong on a
            device is in what is returned.

    """
    check_options("push", options, PushOptions)
    made_by = run.order() if isinstance(run, Report) else None
    config = Path(options.get("config", "deploy.yaml"))
    if made_by is not None:
        config = made_by.folder / "deploy.yaml"
    elif isinstance(run, Report) and run.task.startswith(_MADE_HERE):
        raise SpecError(f"push: run {run.run}: was made in another process; compress again")
    devices = (device,) if isinstance(device, str) else tuple(device)
    order = pipeline.PushOrder(
        _id_of(run),
        devices,
        config,
        path_of(options.get("inventory")),
        options.get("deadline_s", DEADLINE_S),
        activates=options.get("activates", True),
        made_by=made_by,
    )
    with as_arguments():
        found = pipeline.push_run(order, told_by(options.get("progress", True)))
    return shown_as(PushedRun, found)


def _id_of(run: Report | str | Path) -> str:
    """A run's id; of a file, that of the run in whose folder it lies."""
    if isinstance(run, Report):
        return run.run
    path = Path(run)
    return path.resolve().parent.name if isinstance(run, Path) or path.suffix else str(run)
