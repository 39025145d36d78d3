"""The user's own inventory: `devices.yaml` beside deploy.yaml, written by hand or by `add`."""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from yaml.events import SequenceStartEvent

from edgecompress.errors import SpecError
from edgecompress.spec.base import parse
from edgecompress.spec.device import Device, Inventory
from edgecompress.spec.load import OWN_INVENTORY, load_inventory, load_targets
from edgecompress.spec.yaml import load_yaml
from edgecompress.store.files import publish, storage_errors, write_temp

HEADER = """\
# The devices at hand; see docs/devices.md of edgecompress. Never a secret in here.
devices:
"""
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/._-]*")
_NOT_TEXT = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def own_inventory(inventory: Path | None, folder: Path) -> Path:
    """The file that `add` writes: the one named, or that of deploy.yaml's folder."""
    return folder / OWN_INVENTORY if inventory is None else inventory


def check_new(device_id: str, target: str, inventory: Path | None, folder: Path) -> None:
    """Raises SpecError when the id is taken, or the target unknown (the nearest is named)."""
    load_targets(target, folder)
    path = own_inventory(inventory, folder)
    known = load_inventory(inventory, folder) if inventory is None or path.exists() else None
    if known is not None and known.by_id(device_id) is not None:
        raise SpecError(f"{path}: id '{device_id}' is taken; choose another with --id")


def add(device: Device, inventory: Path | None, folder: Path) -> Path:
    """Write a device at the end of the user's own inventory; what is there stays as it is.

    Args:
        device: checked already, but for its id and its target.
        inventory: the file; None: `devices.yaml` in `folder`.
        folder: that of deploy.yaml.

    Returns:
        The file.

    Raises:
        SpecError: as in `check_new`; or the file is not valid, or is written in a style to which
            nothing can be appended.
        StorageError: it cannot be written.

    """
    path = own_inventory(inventory, folder)
    with _alone(path):
        check_new(device.id, device.target, inventory, folder)
        _append(path.resolve(), device)
    return path


def _append(path: Path, device: Device) -> None:
    before: tuple[Device, ...] = ()
    text, indent = HEADER, 2
    if path.exists():
        before = parse(Inventory, load_yaml(path), str(path)).devices
        text = path.read_text(encoding="utf-8-sig")
        indent = _indent(text)
        text += "" if text.endswith("\n") else "\n"
    part = write_temp(path.parent, [(text + _item(device, indent)).encode()])
    if not _holds(part, (*before, device)):
        part.unlink()
        raise SpecError(
            f"{path}: is written in a style to which nothing can be appended; write its devices as"
            " '- id: ..' lines, or add this one yourself:"
            f" {device.model_dump_json(exclude_defaults=True)}"
        )
    if path.exists():
        part.chmod(path.stat().st_mode & 0o777)
    publish(part, path)


def _indent(text: str) -> int:
    """Column of the list's dashes."""
    for event in yaml.parse(text, Loader=yaml.BaseLoader):
        if isinstance(event, SequenceStartEvent) and event.start_mark is not None:
            return event.start_mark.column
    return 0


def _holds(path: Path, devices: tuple[Device, ...]) -> bool:
    try:
        return parse(Inventory, load_yaml(path), str(path)).devices == devices
    except SpecError:
        return False


def _item(device: Device, indent: int) -> str:
    """As YAML, one key a line, without what is left at its default."""
    document = device.model_dump(mode="json", exclude_defaults=True)
    lines = [f"{key}: {_value(value)}" for key, value in document.items()]
    margin = " " * indent
    return f"{margin}- {lines[0]}\n" + "".join(f"{margin}  {line}\n" for line in lines[1:])


def _value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    # YAML's double quotes take JSON's escapes, but no halves of characters.
    return json.dumps(value, ensure_ascii=False)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One writer at a time; a lock on the folder leaves no file behind."""
    with storage_errors(path):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)
