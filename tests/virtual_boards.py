"""A virtual board for tests, built once a session; skips by name where it cannot be built."""

import os
from pathlib import Path

import pytest

from edgecompress.devices import virtual_device
from edgecompress.devices.debian import NETWORK
from edgecompress.errors import DeviceError, RuntimeMissing
from edgecompress.progress import SilentProgress
from edgecompress.spec.device import Device


def session_folder(factory: pytest.TempPathFactory) -> Path:
    """One for all of a session's processes."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def built_board(target: str, factory: pytest.TempPathFactory, device_id: str = "board") -> Device:
    """A Device, with its userland and its way in; who comes second waits for the first."""
    cache = session_folder(factory) / "virtual-boards"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        try:
            return virtual_device(target, device_id, None, SilentProgress())
        except RuntimeMissing as error:
            pytest.skip(f"{error} (scripts/install-test-tools.sh)")
        except DeviceError as error:
            if NETWORK not in str(error):
                raise
            pytest.skip(str(error))
