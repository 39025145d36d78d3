"""`push`, `validate`, `activate`, `rollback`, `status`, `history`: each calls one function."""

from typing import TYPE_CHECKING, Annotated

import typer

from edgecompress.cli.failure import INTERRUPTED, after_result, tell
from edgecompress.cli.options import DEPLOY_YAML, Config, InventoryFile, Json
from edgecompress.cli.output import Output, output
from edgecompress.errors import EXIT_INTERRUPTED, DeviceError, Refused
from edgecompress.measure import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgecompress.pipeline import PushOrder
    from edgecompress.pipeline.on_device import Switch
    from edgecompress.spec.pushed import Pushed

push_app = typer.Typer()

Run = Annotated[str, typer.Argument(help="A run's id, the beginning of one, or 'latest'.")]
Devices = Annotated[
    list[str], typer.Argument(metavar="DEVICE...", help="Devices' ids; devices list shows them.")
]
Deadline = Annotated[
    float,
    typer.Option(
        "--deadline",
        min=1,
        max=14_400,
        metavar="SECONDS",
        help="How long one command may take on a device.",
    ),
]
Unvalidated = Annotated[
    bool,
    typer.Option(
        "--unvalidated",
        help="Also one without a record that it was validated there; the history says so.",
    ),
]
OneDevice = Annotated[str, typer.Argument(help="A device's id; devices list shows them.")]


@push_app.command()
def push(
    run: Run,
    devices: Devices,
    config: Config = DEPLOY_YAML,
    inventory: InventoryFile = None,
    deadline_s: Deadline = DEADLINE_S,
    as_json: Json = False,
) -> None:
    """Send a run's model, validate it there, and activate it."""
    with output(as_json) as out:
        from edgecompress.pipeline import PushOrder

        _push(out, PushOrder(run, tuple(devices), config, inventory, deadline_s))


@push_app.command()
def validate(
    run: Run,
    devices: Devices,
    config: Config = DEPLOY_YAML,
    inventory: InventoryFile = None,
    deadline_s: Deadline = DEADLINE_S,
    as_json: Json = False,
) -> None:
    """Send a run's model and validate it; the active one stays."""
    with output(as_json) as out:
        from edgecompress.pipeline import PushOrder

        _push(out, PushOrder(run, tuple(devices), config, inventory, deadline_s, activates=False))


@push_app.command()
def activate(
    device: OneDevice,
    release: Annotated[str, typer.Argument(help="A release's id; status lists them.")],
    config: Config = DEPLOY_YAML,
    inventory: InventoryFile = None,
    unvalidated: Unvalidated = False,
    as_json: Json = False,
) -> None:
    """Activate a release that was validated there."""
    with output(as_json) as out:
        from edgecompress.pipeline.on_device import Switch

        _switch(out, Switch(device, release, config, inventory, unvalidated))


@push_app.command()
def rollback(
    device: OneDevice,
    config: Config = DEPLOY_YAML,
    inventory: InventoryFile = None,
    unvalidated: Unvalidated = False,
    as_json: Json = False,
) -> None:
    """Activate the previous release again."""
    with output(as_json) as out:
        from edgecompress.pipeline.on_device import Switch

        _switch(out, Switch(device, None, config, inventory, unvalidated))


@push_app.command()
def status(
    device: OneDevice,
    config: Config = DEPLOY_YAML,
    inventory: InventoryFile = None,
    as_json: Json = False,
) -> None:
    """Show what is active on a device, and whether it is whole."""
    with output(as_json) as out:
        from edgecompress.cli import device_tables
        from edgecompress.pipeline.on_device import status_of

        found = status_of(device, inventory, config)
        document = found.model_dump(mode="json")
        out.result(document, lambda console: device_tables.status(found, console))


@push_app.command()
def history(
    device: OneDevice,
    config: Config = DEPLOY_YAML,
    inventory: InventoryFile = None,
    as_json: Json = False,
) -> None:
    """List the pushes and rollbacks of a device."""
    with output(as_json) as out:
        from edgecompress.cli import device_tables
        from edgecompress.pipeline.on_device import history_of

        found = history_of(device, inventory, config)
        document = found.model_dump(mode="json")
        out.result(document, lambda console: device_tables.history(found, console))


def _push(out: Output, order: "PushOrder") -> None:
    from edgecompress import pipeline
    from edgecompress.progress import progress_on_stderr

    found = pipeline.push_run(order, progress_on_stderr())
    document = found.model_dump(mode="json")
    if found.interrupted:
        from edgecompress.cli import device_tables

        out.result(document, lambda console: device_tables.pushed(found.devices, console))
        tell(INTERRUPTED, as_json=False)
        # Not typer's Exit: of an interrupt that has no result yet it would be told once more.
        raise SystemExit(EXIT_INTERRUPTED)
    _show(out, document, found.devices)


def _switch(out: Output, order: "Switch") -> None:
    from edgecompress.pipeline.on_device import switch_on
    from edgecompress.progress import progress_on_stderr

    found = switch_on(order, progress_on_stderr())
    _show(out, {"devices": [found.model_dump(mode="json")]}, [found])


def _show(out: Output, document: object, found: "Sequence[Pushed]") -> None:
    """Raises what the exit code follows from when a device does not have what was asked."""
    from edgecompress.cli import device_tables

    out.result(document, lambda console: device_tables.pushed(found, console))
    failed = [one for one in found if one.outcome != "success"]
    if not failed:
        return
    text = f"{failed[0].device}: {failed[0].outcome.replace('_', ' ')}"
    if len(found) > 1:
        text = f"{len(failed)} of {len(found)} devices do not have it; the first: {text}"
    reason = failed[0].reasons[0] if failed[0].reasons else "see the table"
    kind = Refused if len(found) == 1 and failed[0].refused else DeviceError
    raise after_result(kind(f"{text}: {reason}"))
