"""From files to specs: `deploy.yaml`, `targets/*.yaml`, `devices/inventory.yaml`."""

import difflib
from pathlib import Path

from edgecompress.bundled import devices_dir, targets_dir
from edgecompress.errors import SpecError
from edgecompress.spec.base import parse
from edgecompress.spec.deploy import DeployConfig
from edgecompress.spec.device import Inventory
from edgecompress.spec.target import Target, in_order
from edgecompress.spec.virtual import VirtualBoards
from edgecompress.spec.words import words_of
from edgecompress.spec.yaml import load_yaml

OWN_INVENTORY = "devices.yaml"
"""Beside deploy.yaml: the user's own devices."""
_SUFFIXES = (".yaml", ".yml")


def load_deploy(path: Path) -> DeployConfig:
    """Raises SpecError naming the file and, where there is one, the line or the key."""
    if not path.exists():
        raise SpecError(f"{path}: no such file; write one with: edgecompress init")
    return parse(DeployConfig, load_yaml(path, words_of(DeployConfig)), str(path))


def load_inventory(path: Path | None, beside: Path | None = None) -> Inventory:
    """The devices at hand.

    Args:
        path: a file with all of them; None: the user's own first, then those that come with
            edgecompress and whose ids the user did not take.
        beside: the folder of deploy.yaml, where the user's own `devices.yaml` may be.

    Raises:
        SpecError: naming the file and, where there is one, the line or the key.

    """
    if path is not None:
        return _read_inventory(path)
    own = None if beside is None else beside / OWN_INVENTORY
    mine = _read_inventory(own).devices if own is not None and own.exists() else ()
    bundled = _read_inventory(devices_dir() / "inventory.yaml").devices
    taken = {device.id for device in mine}
    return Inventory(devices=(*mine, *(d for d in bundled if d.id not in taken)))


def load_virtual_boards() -> VirtualBoards:
    """What comes with edgecompress. Raises SpecError when it is not valid."""
    path = devices_dir() / "virtual.yaml"
    return parse(VirtualBoards, load_yaml(path), str(path))


def load_target(target: str, beside: Path | None = None) -> Target:
    """A target by name, or by the path of its file.

    Args:
        target: 'raspberry-pi-5', or 'boards/mine.yaml'.
        beside: the folder of deploy.yaml; a file in its `targets/` wins over a bundled one.

    Raises:
        SpecError: unknown target (lists the known), a board with several, or a file that is not a
            valid target.

    """
    targets = load_targets(target, beside)
    if len(targets) > 1:
        names = ", ".join(one.name for one in targets)
        raise SpecError(f"'{target}' is a board with several runtimes; name one of: {names}")
    return targets[0]


def load_targets(name: str, beside: Path | None = None) -> tuple[Target, ...]:
    """A target, or all those of a board.

    Args:
        name: 'local-litert', 'boards/mine.yaml', or a board's: 'raspberry-pi-5'. A target of that
            very name wins over a board.
        beside: as for `load_target`.

    Returns:
        One target, or those of the board in the order of the table of runtimes.

    Raises:
        SpecError: as `load_target`.

    """
    if name.endswith(_SUFFIXES) or "/" in name or "\\" in name:
        return (_read_target(Path(name)),)
    known = target_files(beside)
    if name in known:
        return (_read_target(known[name]),)
    targets = list_targets(beside)
    on_board = [target for target in targets if target.board == name]
    if not on_board:
        names = [*known, *(target.board for target in targets if target.board is not None)]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise SpecError(
            f"target '{name}' is unknown; {hint}known: {', '.join(sorted(set(names)))}"
            " (add your own as targets/NAME.yaml beside deploy.yaml, or give its path)"
        )
    return in_order(on_board)


def list_targets(beside: Path | None = None) -> list[Target]:
    """Every known target, by name. Raises SpecError for a file that is not a valid target."""
    return [_read_target(path) for path in target_files(beside).values()]


def target_files(beside: Path | None = None) -> dict[str, Path]:
    """Name to file of every known target, sorted by name; the user's own hide bundled ones."""
    folders = [targets_dir()]
    if beside is not None:
        folders.append(beside / "targets")
    files = {
        path.stem: path
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if path.suffix in _SUFFIXES
    }
    return dict(sorted(files.items()))


def _read_inventory(path: Path) -> Inventory:
    return parse(Inventory, load_yaml(path), str(path))


def _read_target(path: Path) -> Target:
    target = parse(Target, load_yaml(path), str(path))
    if target.name != path.stem:
        raise SpecError(
            f"{path}: name '{target.name}' must equal the file's name, '{path.stem}';"
            " change one of them"
        )
    return target
