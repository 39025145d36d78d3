"""`edgecompress devices list|add|check`: each parses and calls one function."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecompress.cli.failure import after_result
from edgecompress.cli.options import DEPLOY_YAML, Config, InventoryFile, Json
from edgecompress.cli.output import output
from edgecompress.errors import RuntimeMissing, SpecError

if TYPE_CHECKING:
    from edgecompress.spec.device import Device

devices_app = typer.Typer(help="List, add or check the boards at hand.")


@devices_app.command("list")
def devices_list(
    inventory: InventoryFile = None, config: Config = DEPLOY_YAML, as_json: Json = False
) -> None:
    """List the devices: your own, and this machine."""
    with output(as_json) as out:
        from edgecompress.cli import tables
        from edgecompress.spec.load import load_inventory

        found = load_inventory(inventory, config.parent).devices
        document = {"devices": [device.model_dump(mode="json") for device in found]}
        out.result(document, lambda console: tables.devices(found, console))


@devices_app.command("check")
def devices_check(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID...", help="Devices' ids; else all are checked."),
    ] = None,
    inventory: InventoryFile = None,
    config: Config = DEPLOY_YAML,
    as_json: Json = False,
) -> None:
    """Connect, and say what is missing there and what adds it."""
    with output(as_json) as out:
        from edgecompress.cli import tables
        from edgecompress.devices import check_devices
        from edgecompress.progress import progress_on_stderr

        found = check_devices(ids or (), inventory, config.parent, progress_on_stderr())
        document = {"devices": [one.model_dump(mode="json") for one in found]}
        out.result(document, lambda console: tables.devices_checked(found, console))
        # One of several runtimes on a board is enough to use it.
        usable = {one.device for one in found if one.usable}
        unusable = [one for one in found if one.device not in usable]
        if unusable:
            first = next(row for row in unusable[0].rows if row.state == "missing")
            names = ", ".join(dict.fromkeys(one.device for one in unusable))
            raise after_result(
                RuntimeMissing(f"not usable: {names}; of {unusable[0].device}: {first.text}")
            )


@devices_app.command("add")
def devices_add(
    virtual: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET", help="Build this board under qemu-user, with SSH, and add it."
        ),
    ] = None,
    device_id: Annotated[
        str | None, typer.Option("--id", help="Its name here; with --virtual else virtual-TARGET.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="What it is; targets list shows them.")] = None,
    transport: Annotated[str | None, typer.Option(help="local, ssh or adb.")] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="ssh: [USER@]HOST[:PORT] or a Host of ssh_config; adb: serial or HOST:PORT."
        ),
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="ssh: the user there; else as ssh_config says.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="ssh: else as ssh_config says.")
    ] = None,
    ssh_config: Annotated[Path | None, typer.Option(help="ssh: else ~/.ssh/config.")] = None,
    host_keys: Annotated[
        str | None,
        typer.Option(help="ssh: strict [default]; accept-new adds an unknown host's key."),
    ] = None,
    python: Annotated[str | None, typer.Option(help="Path of Python there; else python3.")] = None,
    tool: Annotated[
        str | None, typer.Option(help="adb: path of what runs files, here or there.")
    ] = None,
    root: Annotated[str | None, typer.Option(help="Folder there for what is pushed.")] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="A word of your own; may be given again.")
    ] = None,
    mirror: Annotated[
        str | None,
        typer.Option(metavar="URL", help="With --virtual: where Debian's packages come from."),
    ] = None,
    inventory: InventoryFile = None,
    config: Config = DEPLOY_YAML,
    as_json: Json = False,
) -> None:
    """Write a device into devices.yaml, or build a virtual one."""
    given = {
        "target": target,
        "transport": transport,
        "address": address,
        "user": user,
        "port": port,
        "ssh_config": None if ssh_config is None else str(ssh_config.absolute()),
        "host_keys": host_keys,
        "python": python,
        "tool": tool,
        "root": root,
        "tags": tags,
    }
    document = {key: value for key, value in given.items() if value not in (None, [])}
    with output(as_json) as out:
        from edgecompress import devices
        from edgecompress.cli.printing import line
        from edgecompress.progress import progress_on_stderr

        if virtual is None:
            device = _described({"id": device_id, **document}, mirror)
        else:
            if document:
                options = ", ".join(f"--{key.replace('_', '-')}" for key in document)
                raise SpecError(f"devices add: --virtual says it all; leave out {options}")
            name = device_id or f"virtual-{virtual}"
            devices.check_new(name, virtual, inventory, config.parent)
            device = devices.virtual_device(virtual, name, mirror, progress_on_stderr())
        path = devices.add(device, inventory, config.parent)
        written = {"inventory": str(path), "device": device.model_dump(mode="json")}
        text = f"{path}: added {device.id}; next: edgecompress devices check {device.id}"
        out.result(written, lambda console: line(console, text))


def _described(document: dict[str, object], mirror: str | None) -> "Device":
    from edgecompress.spec.base import parse
    from edgecompress.spec.device import Device

    if mirror is not None:
        raise SpecError("devices add: --mirror goes with --virtual")
    missing = [key for key in ("id", "target", "transport") if not document.get(key)]
    if missing:
        options = ", ".join(f"--{key}" for key in missing)
        raise SpecError(f"devices add: {options} missing; or build a board with --virtual TARGET")
    return parse(Device, document, "devices add")
