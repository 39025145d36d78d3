"""What transport/base.py promises, kept by this machine and by one behind SSH."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from processes import DEADLINE_S, is_alive, wait_until
from sshd import needs_sshd, ssh_device

from edgecompress.errors import DeviceError, StorageError, TimedOut
from edgecompress.spec.device import Device
from edgecompress.transport import connect


@pytest.fixture(scope="module")
def behind_ssh(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    device = ssh_device(folder)
    with connect(device, folder) as transport:
        yield device, transport


@pytest.fixture(params=["local", pytest.param("ssh", marks=needs_sshd)])
def reached(request, tmp_path):
    """A device and the way to it, with an empty working folder."""
    if request.param == "local":
        device = Device(id="here", target="local", transport="local")
        yield device, connect(device, tmp_path / "work")
        return
    device, transport = request.getfixturevalue("behind_ssh")
    yield device, transport
    for entry in Path(transport.workdir).iterdir():
        transport.files.remove(str(entry))


@pytest.fixture
def transport(reached):
    return reached[1]


def python(transport, code: str, *arguments: str, stdin: bytes = b""):
    return transport.run([sys.executable, "-c", code, *arguments], stdin, timeout_s=DEADLINE_S)


def test_run_gives_streams_and_code(transport):
    code = "import sys; print(sys.stdin.read()[::-1]); sys.stderr.write('e'); sys.exit(3)"
    done = python(transport, code, stdin=b"abc")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"cba\n", b"e")


ARGUMENTS = (
    "$HOME; echo `id` && 'quoted' \"twice\" *",
    "new\nline",
    "",
    "~",
    "!!",
    "\\",
    "-rf",
    "象",
    b"\xff".decode("utf-8", "surrogateescape"),
)


def test_run_uses_no_shell(transport):
    code = "import os, sys; sys.stdout.buffer.write(os.fsencode(chr(0).join(sys.argv[1:])))"
    done = python(transport, code, *ARGUMENTS)
    assert done.stdout == os.fsencode("\0".join(ARGUMENTS))


def test_run_in_the_working_folder(transport):
    done = python(transport, "import os; print(os.getcwd(), end='')")
    assert done.stdout.decode() == transport.workdir


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGKILL])
def test_death_by_signal_is_a_negative_code(transport, number):
    # SSH has no name for SIGBUS, which is how a board with bad memory ends a program.
    done = transport.run(["sh", "-c", f"kill -{number:d} $$"], timeout_s=DEADLINE_S)
    assert done.returncode == -number


def test_program_that_is_not_there(transport):
    with pytest.raises(DeviceError, match="'no-such-python' cannot be started: No such file"):
        transport.run(["no-such-python"], timeout_s=DEADLINE_S)


def test_much_in_and_much_out(transport):
    content = os.urandom(5 << 20)
    done = transport.run(["cat"], content, timeout_s=DEADLINE_S)
    assert done.stdout == content


def test_stdin_that_nobody_reads(transport):
    done = transport.run(["true"], bytes(5 << 20), timeout_s=DEADLINE_S)
    assert done.returncode == 0


PARENT_AND_CHILD = ["sh", "-c", "sleep 600 & echo $! > pid.part; mv pid.part pid; wait"]


def test_timeout_ends_the_program_and_its_children(transport):
    with pytest.raises(TimedOut, match="ran longer than 2 s"):
        transport.run(PARENT_AND_CHILD, timeout_s=2)
    pid_file = Path(transport.path("pid"))
    assert pid_file.exists(), "the program did not start within its 2 s"
    child = int(pid_file.read_text())
    wait_until(lambda: not is_alive(child), "the child outlived the time-out")


HOST = """
import pathlib, sys
from edgecompress.spec.device import Device
from edgecompress.transport import connect
device = Device.model_validate_json(sys.argv[1])
with connect(device, pathlib.Path(sys.argv[2])) as transport:
    transport.run({argv!r}, timeout_s=600)
"""


def run_in_another_process(reached, argv: list[str]) -> subprocess.Popen[bytes]:
    device, transport = reached
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(HOST).format(argv=argv),
            device.model_dump_json(),
            transport.workdir,
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])},
        stderr=subprocess.PIPE,
    )


def test_interrupt_ends_the_program_and_its_children(reached, transport):
    process = run_in_another_process(reached, PARENT_AND_CHILD)
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
    assert [file.name for file in back.parent.iterdir()] == ["back"]
    assert transport.files.names(transport.path("deep")) == ("file",)


def test_put_that_fails_leaves_the_old_file_and_nothing_else(transport, tmp_path):
    source, remote = tmp_path / "source", transport.path("file")
    source.write_bytes(b"new")
    Path(remote).write_bytes(b"old")
    with pytest.raises(TimedOut):
        transport.put(source, remote, timeout_s=-1)
    assert Path(remote).read_bytes() == b"old"
    assert [file.name for file in Path(transport.workdir).iterdir()] == ["file"]


def test_put_where_a_file_is_in_the_way(transport, tmp_path):
    (tmp_path / "source").write_bytes(b"x")
    Path(transport.path("file")).write_bytes(b"")
    with pytest.raises(StorageError, match=r"/file.*cannot be copied: (File exists|Not a dir)"):
        transport.put(tmp_path / "source", transport.path("file/deep"), timeout_s=DEADLINE_S)


def test_put_of_a_missing_file_names_it(transport, tmp_path):
    with pytest.raises(StorageError, match=r"/absent: cannot be (copied|read): No such file"):
        transport.put(tmp_path / "absent", transport.path("file"), timeout_s=DEADLINE_S)


def test_get_of_a_missing_file_names_it(transport, tmp_path):
    with pytest.raises(StorageError, match="/absent: cannot be copied: No such file"):
        transport.get(transport.path("absent"), tmp_path / "back", timeout_s=DEADLINE_S)
    assert list(tmp_path.glob("*.part")) == []


def test_stat_and_remove_of_a_missing_file(transport):
    remote = transport.path("absent")
    assert transport.stat(remote, timeout_s=DEADLINE_S) is None
    transport.remove(remote, timeout_s=DEADLINE_S)
