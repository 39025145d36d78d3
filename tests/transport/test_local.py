"""This machine as a device."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from edgecompress.errors import DeviceError, SpecError, StorageError, TimedOut
from edgecompress.spec.device import Device
from edgecompress.transport import LocalTransport, connect

DEADLINE_S = 60.0


@pytest.fixture
def transport(tmp_path):
    return LocalTransport(tmp_path / "work")


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


def test_run_gives_streams_and_code(transport):
    code = "import sys; print(sys.stdin.read()[::-1]); sys.stderr.write('e'); sys.exit(3)"
    done = transport.run([sys.executable, "-c", code], b"abc", timeout_s=DEADLINE_S)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"cba\n", b"e")


def test_run_uses_no_shell(transport):
    argument = "$HOME; echo `id` && 'quoted' *"
    code = "import sys; print(sys.argv[1], end='')"
    done = transport.run([sys.executable, "-c", code, argument], timeout_s=DEADLINE_S)
    assert done.stdout.decode() == argument


def test_run_in_the_working_folder(transport):
    code = "import os; print(os.getcwd(), end='')"
    done = transport.run([sys.executable, "-c", code], timeout_s=DEADLINE_S)
    assert done.stdout.decode() == transport.workdir


def test_death_by_signal_is_a_negative_code(transport):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    done = transport.run([sys.executable, "-c", code], timeout_s=DEADLINE_S)
    assert done.returncode == -signal.SIGSEGV


def test_program_that_is_not_there(transport):
    with pytest.raises(DeviceError, match="'no-such-python' cannot be started: No such file"):
        transport.run(["no-such-python"], timeout_s=DEADLINE_S)


PARENT_AND_CHILD = ["sh", "-c", "sleep 600 & echo $! > pid.part; mv pid.part pid; wait"]


def test_timeout_ends_the_program_and_its_children(transport):
    with pytest.raises(TimedOut, match="ran longer than 2 s"):
        transport.run(PARENT_AND_CHILD, timeout_s=2)
    pid_file = Path(transport.path("pid"))
    assert pid_file.exists(), "the program did not start within its 2 s"
    child = int(pid_file.read_text())
    wait_until(lambda: not is_alive(child), "the child outlived the time-out")


def test_interrupt_ends_the_program_and_its_children(transport):
    host = textwrap.dedent(
        f"""
        import pathlib, sys
        from edgecompress.transport import LocalTransport
        transport = LocalTransport(pathlib.Path({transport.workdir!r}))
        transport.run({PARENT_AND_CHILD!r}, timeout_s=600)
        """
    )
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", host],
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.PIPE,
    )
    pid_file = Path(transport.path("pid"))
    wait_until(pid_file.exists, "the program did not start")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=DEADLINE_S)
    assert b"KeyboardInterrupt" in stderr
    child = int(pid_file.read_text())
    wait_until(lambda: not is_alive(child), "the child outlived the interrupt")


def test_put_and_get_copy_bytes(transport, tmp_path):
    source, back = tmp_path / "source", tmp_path / "new" / "back"
    source.write_bytes(os.urandom(9 << 20))
    remote = transport.path("deep/file")
    transport.put(source, remote, timeout_s=DEADLINE_S)
    assert transport.stat(remote, timeout_s=DEADLINE_S).size_bytes == 9 << 20
    transport.get(remote, back, timeout_s=DEADLINE_S)
    assert back.read_bytes() == source.read_bytes()


def test_put_onto_itself_changes_nothing(transport):
    remote = transport.path("file")
    Path(remote).write_bytes(b"content")
    inode = Path(remote).stat().st_ino
    transport.put(Path(remote), remote, timeout_s=DEADLINE_S)
    assert Path(remote).read_bytes() == b"content"
    assert Path(remote).stat().st_ino == inode


def test_put_that_fails_leaves_the_old_file_and_nothing_else(transport, tmp_path):
    source, remote = tmp_path / "source", transport.path("file")
    source.write_bytes(b"new")
    Path(remote).write_bytes(b"old")
    with pytest.raises(TimedOut):
        transport.put(source, remote, timeout_s=-1)
    assert Path(remote).read_bytes() == b"old"
    assert [file.name for file in Path(transport.workdir).iterdir()] == ["file"]


def test_get_of_a_missing_file_names_it(transport, tmp_path):
    with pytest.raises(StorageError, match="/absent: cannot be copied: No such file"):
        transport.get(transport.path("absent"), tmp_path / "back", timeout_s=DEADLINE_S)


def test_stat_and_remove_of_a_missing_file(transport):
    remote = transport.path("absent")
    assert transport.stat(remote, timeout_s=DEADLINE_S) is None
    transport.remove(remote, timeout_s=DEADLINE_S)


def test_working_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/work: cannot be made: Not a directory"):
        LocalTransport(tmp_path / "file" / "work")


def test_connect_by_name(tmp_path):
    device = Device(id="d", target="local", transport="local")
    assert isinstance(connect(device, tmp_path), LocalTransport)


def test_connect_to_an_unknown_transport_lists_the_known(tmp_path):
    device = Device.model_construct(id="d", target="local", transport="pigeon")
    with pytest.raises(SpecError, match="device 'd': transport 'pigeon' is unknown; known: adb, local"):
        connect(device, tmp_path)
