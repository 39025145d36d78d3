"""This machine as a device: what only it does. The rest is in test_transport_contract.py."""

import os
import signal
import subprocess
from pathlib import Path
from typing import get_args

import pytest
from processes import DEADLINE_S, is_alive

from edgecompress.errors import DeviceError, StorageError
from edgecompress.spec.device import Device
from edgecompress.transport import TRANSPORTS, LocalTransport, connect


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


def test_every_transport_that_a_device_may_have_can_be_opened():
    assert set(get_args(Device.model_fields["transport"].annotation)) == set(TRANSPORTS)


def test_output_without_an_end_is_cut_off(tmp_path, monkeypatch):
    transport = LocalTransport(tmp_path)
    script = "echo $$ > pid; exec yes"
    with pytest.raises(DeviceError, match="'sh': more than 8,388,608 bytes come of it"):
        transport.run(["sh", "-c", script], timeout_s=DEADLINE_S)
    assert not is_alive(int(Path(transport.path("pid")).read_text()))
    script = "head -c 3000000 /dev/zero >&2; echo last words >&2"
    done = transport.run(["sh", "-c", script], timeout_s=DEADLINE_S)
    assert len(done.stderr) == 1 << 20
    assert done.stderr.endswith(b"last words\n")


def test_interrupt_while_a_program_is_being_started(tmp_path, monkeypatch):
    started = []

    def interrupted(*args, **kwargs):
        started.append(popen(*args, **kwargs))
        os.kill(os.getpid(), signal.SIGINT)
        return started[0]

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            LocalTransport(tmp_path).run(["sleep", "600"], timeout_s=DEADLINE_S)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert started[0].returncode == -signal.SIGKILL
