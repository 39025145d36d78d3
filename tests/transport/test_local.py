"""This machine as a device: what only it does. The rest is in test_transport_contract.py."""

from pathlib import Path

import pytest
from processes import DEADLINE_S

from edgecompress.errors import SpecError, StorageError
from edgecompress.spec.device import Device
from edgecompress.transport import LocalTransport, connect


def test_put_onto_itself_changes_nothing(tmp_path):
    transport = LocalTransport(tmp_path)
    remote = transport.path("file")
    Path(remote).write_bytes(b"content")
    inode = Path(remote).stat().st_ino
    transport.put(Path(remote), remote, timeout_s=DEADLINE_S)
    assert Path(remote).read_bytes() == b"content"
    assert Path(remote).stat().st_ino == inode


def test_working_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/work: cannot be made: Not a directory"):
        LocalTransport(tmp_path / "file" / "work")


def test_connect_by_name(tmp_path):
    device = Device(id="d", target="local", transport="local")
    assert isinstance(connect(device, tmp_path), LocalTransport)


def test_connect_to_an_unknown_transport_lists_the_known(tmp_path):
    device = Device.model_construct(id="d", target="local", transport="pigeon")
    with pytest.raises(SpecError, match="'pigeon' is unknown; known: adb, local, ssh"):
        connect(device, tmp_path)
