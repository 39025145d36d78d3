"""Finds `targets/` and `devices/`: beside the package in a checkout, inside it in a wheel.

Hatchling's `force-include` puts them into the wheel as `edgecompress/_bundled/`; an editable
install has them in the checkout only.
"""

from pathlib import Path

from edgecompress.errors import EdgecompressError

_PACKAGE = Path(__file__).resolve().parent


def targets_dir() -> Path:
    """The folder of `targets/*.yaml`."""
    return _find("targets")


def devices_dir() -> Path:
    """The folder that holds `inventory.yaml`, `agent/` and `helper/`."""
    return _find("devices")


def agent_dir() -> Path:
    """The folder of the agent's sources."""
    return devices_dir() / "agent"


def helper_dir() -> Path:
    """The folder of what a board behind SSH runs for file operations and commands."""
    return devices_dir() / "helper"


def _find(name: str) -> Path:
    # The wheel's copy first: beside an installed package lie folders of other projects.
    for folder in (_PACKAGE / "_bundled" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise EdgecompressError(
        f"{_PACKAGE}: its folder '{name}' is missing; install edgecompress again"
    )
