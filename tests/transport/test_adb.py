"""An Android device: the real adb server and client, and the test-suite's own adbd."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from android_phone.phone import adb, adb_connect, adb_server, make_phone, phone

from edgecompress.errors import (
    DeviceError,
    RuntimeMissing,
    SpecError,
    StorageError,
    TimedOut,
    TransientError,
)
from edgecompress.spec.device import Device
from edgecompress.transport import AdbTransport, connect
from edgecompress.transport.adb_link import AdbLink

__all__ = ["adb", "adb_server", "make_phone", "phone"]

DEADLINE_S = 60.0
EVIL = (
    "two  words",
    'it\'s "quoted" \\ `id` $(id) $HOME',
    "new\nline",
    "-rf",
    "; rm -rf *",
    "ünï çode 象",
    "%s%n",
    "..",
    "*",
    b"no utf-8 \xff".decode("utf-8", "surrogateescape"),
)
PARENT_AND_CHILD = ["sh", "-c", "sleep 600 & echo $! > pid.part; mv pid.part pid; wait"]


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "source"
    file.write_bytes(os.urandom(3 << 20))
    return file


def is_alive(pid: int) -> bool:
    """A zombie counts as dead: who reaps an orphan is not ours to say."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(condition, what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_streams_exit_code_and_stdin(adb):
    text = os.urandom(300_000)
    done = adb.run(["sh", "-c", "cat; echo no >&2; exit 7"], text, timeout_s=DEADLINE_S)
    assert (done.returncode, done.stdout, done.stderr) == (7, text, b"no\n")


def test_a_program_that_does_not_read_its_stdin(adb):
    done = adb.run(["echo", "x"], bytes(3 << 20), timeout_s=DEADLINE_S)
    assert (done.returncode, done.stdout) == (0, b"x\n")


def test_arguments_arrive_as_they_are(adb):
    arguments = [*EVIL, "", "a" * 20_000]
    done = adb.run(["printf", "%s\\0", *arguments], timeout_s=DEADLINE_S)
    assert done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1] == arguments


def test_arguments_that_adb_cannot_carry(adb):
    with pytest.raises(DeviceError, match="'echo' cannot be started: an argument holds a NUL"):
        adb.run(["echo", "a\0b"], timeout_s=DEADLINE_S)
    with pytest.raises(DeviceError, match="'echo' cannot be started: its arguments are too long"):
        adb.run(["echo", "a" * 40_000], timeout_s=DEADLINE_S)


def test_runs_in_the_working_folder_below_the_root(adb, phone):
    done = adb.run(["pwd"], timeout_s=DEADLINE_S)
    assert adb.root == "/data/local/tmp/edgecompress"
    assert done.stdout.decode().strip() == phone.here(adb.workdir)


def test_death_by_signal_is_a_negative_code(adb):
    done = adb.run(["sh", "-c", "kill -SEGV $$"], timeout_s=DEADLINE_S)
    assert done.returncode == -signal.SIGSEGV


def test_program_that_is_not_there(adb):
    with pytest.raises(DeviceError, match="'no-such' cannot be started: there is no such program"):
        adb.run(["no-such"], timeout_s=DEADLINE_S)


def test_timeout_ends_the_program_and_its_children_on_the_device(adb, phone):
    with pytest.raises(TimedOut, match="'sh' ran longer than 2 s"):
        adb.run(PARENT_AND_CHILD, timeout_s=2)
    child = int(Path(phone.here(adb.path("pid"))).read_text())
    wait_until(lambda: not is_alive(child), "the child outlived the time-out")


def test_interrupt_ends_the_program_and_its_children_on_the_device(adb, phone):
    host = textwrap.dedent(
        f"""
        from edgecompress.transport import AdbTransport
        AdbTransport({phone.address!r}).run({PARENT_AND_CHILD!r}, timeout_s=600)
        """
    )
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", host],
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.PIPE,
    )
    pid_file = Path(phone.here(adb.path("pid")))
    wait_until(pid_file.exists, "the program did not start")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=DEADLINE_S)
    assert b"KeyboardInterrupt" in stderr
    child = int(pid_file.read_text())
    wait_until(lambda: not is_alive(child), "the child outlived the interrupt")


def test_endless_output_is_cut_and_its_program_ended(adb, phone, monkeypatch):
    script = "echo $$ > pid; exec yes"
    with pytest.raises(DeviceError, match="'sh': more than 8,388,608 bytes come of it"):
        adb.run(["sh", "-c", script], timeout_s=DEADLINE_S)
    pid = int(Path(phone.here(adb.path("pid"))).read_text())
    wait_until(lambda: not is_alive(pid), "the program goes on writing")


def test_put_and_get_copy_bytes(adb, source, tmp_path):
    remote = adb.path("deep/er/file")
    adb.put(source, remote, timeout_s=DEADLINE_S)
    assert adb.stat(remote, timeout_s=DEADLINE_S).size_bytes == 3 << 20
    assert adb.files.names(adb.path("deep/er")) == ("file",)
    adb.get(remote, tmp_path / "new" / "back", timeout_s=DEADLINE_S)
    assert (tmp_path / "new" / "back").read_bytes() == source.read_bytes()
    adb.remove(remote, timeout_s=DEADLINE_S)
    assert adb.stat(remote, timeout_s=DEADLINE_S) is None


def test_get_of_a_missing_file(adb, tmp_path):
    with pytest.raises(StorageError, match="/absent: cannot be copied: open failed: No such file"):
        adb.get(adb.path("absent"), tmp_path / "back", timeout_s=DEADLINE_S)
    assert list(tmp_path.glob("*back*")) == []


def test_put_that_fails_leaves_the_old_file_and_nothing_else(adb, phone, source):
    remote = adb.path("file")
    adb.files.write(remote, b"old")
    phone.full_after = 1 << 20
    with pytest.raises(StorageError, match=r"No space left on device; make room there") as caught:
        adb.put(source, remote, timeout_s=DEADLINE_S)
    assert "\n" not in str(caught.value)
    assert adb.files.names(adb.workdir) == ("file",)
    assert adb.files.read(remote, 10) == b"old"


def test_device_that_vanishes_during_a_copy_and_comes_back(adb, phone, source):
    remote = adb.path("file")
    adb.files.write(remote, b"old")
    phone.vanish_after = 1 << 20
    with pytest.raises(TransientError, match="the connection was lost"):
        adb.put(source, remote, timeout_s=DEADLINE_S)
    with pytest.raises(TransientError, match="the connection was lost"):
        adb.files.size(remote)
    phone.appear()
    assert adb.files.read(remote, 10) == b"old"
    adb.put(source, remote, timeout_s=DEADLINE_S)
    assert adb.files.size(remote) == 3 << 20


@pytest.mark.parametrize("listed", ["", "offline"])
def test_a_server_that_notices_late_that_it_lost_the_device(adb, monkeypatch, listed):
    """The real server's race, held open: "already connected", but not as a device."""
    adb.files.write(adb.path("file"), b"old")
    said = AdbLink._said
    late = iter(["devices", "connect", "devices"] * 2)

    def noticed_late(link, service):
        if not service.startswith(("host:devices", "host:connect")) or next(late, None) is None:
            return said(link, service)
        if service == "host:devices":
            return f"{link.serial}\t{listed}\n" if listed else ""
        return f"already connected to {link.serial}"

    adb._link.lost("for this test")
    monkeypatch.setattr(AdbLink, "_said", noticed_late)
    assert adb.files.read(adb.path("file"), 10) == b"old"
    assert next(late, None) is None


def test_device_that_vanishes_while_a_program_runs(adb, phone):
    started = Path(phone.here(adb.path("started")))

    def pull_the_cable() -> None:
        wait_until(started.exists, "the program did not start")
        phone.vanish()

    threading.Thread(target=pull_the_cable).start()
    with pytest.raises(TransientError, match="the connection was lost"):
        adb.run(["sh", "-c", "echo > started; exec sleep 600"], timeout_s=DEADLINE_S)


def test_device_that_says_nothing_is_not_waited_for(adb, phone):
    phone.is_silent = True
    with pytest.raises(TimedOut, match=r"no answer within 0\.5 s"):
        adb.run(["true"], timeout_s=0.5)


def test_the_only_device_needs_no_address(make_phone, adb_server):
    with pytest.raises(DeviceError, match=r"no Android device is connected; plug it in, allow"):
        AdbTransport(None)
    first, second = make_phone(), make_phone()
    adb_connect(adb_server, first)
    assert AdbTransport(None).serial == first.address
    adb_connect(adb_server, second)
    with pytest.raises(DeviceError) as caught:
        AdbTransport(None)
    assert str(caught.value).startswith("several Android devices are connected: ")
    assert f"{first.address} (device)" in str(caught.value)
    assert f"{second.address} (device)" in str(caught.value)


def test_device_that_did_not_allow_debugging(phone):
    phone.is_authorized = False
    with pytest.raises(DeviceError, match="is in the state 'unauthorized'; unlock it and allow"):
        AdbTransport(phone.address)


def test_device_that_is_not_there(phone):
    phone.vanish()
    with pytest.raises(DeviceError, match="Connection refused; adb sees these devices: ") as caught:
        AdbTransport(phone.address)
    assert not isinstance(caught.value, TransientError)
    with pytest.raises(DeviceError, match="Android device 0A1B2C: is not connected; adb sees"):
        AdbTransport("0A1B2C")


def test_android_without_exit_codes(phone):
    phone.features = ("cmd",)
    with pytest.raises(DeviceError, match="Android 8 or later is needed"):
        AdbTransport(phone.address)


def test_adbutils_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "adbutils", None)
    with pytest.raises(RuntimeMissing, match=r"run: pip install 'edgecompress\[adb\]'"):
        AdbTransport(None)


def test_adb_is_not_installed_or_does_not_start(monkeypatch, tmp_path):
    pytest.importorskip("adbutils")
    program = tmp_path / "adb"
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(program))
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    with pytest.raises(RuntimeMissing, match="adb is not installed here; install Android's"):
        AdbTransport(None)
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(
        DeviceError, match=r"server at 127\.0\.0\.1:1 does not answer .*start-server`"
    ):
        AdbTransport(None)


def test_connect_by_the_inventory(phone, tmp_path):
    device = Device(id="d", target="android-xnnpack", transport="adb", address=phone.address)
    with connect(device, tmp_path) as transport:
        assert transport.name == f"Android device {phone.address}"
    elsewhere = device.model_copy(update={"root": "/data/local/tmp/mine"})
    assert connect(elsewhere, tmp_path).workdir == "/data/local/tmp/mine/work"
    with pytest.raises(SpecError, match="root 'mine' of an adb device must begin with /"):
        connect(device.model_copy(update={"root": "mine"}), tmp_path)
