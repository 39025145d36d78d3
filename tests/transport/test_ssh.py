"""A board behind a real OpenSSH server: what is lost, what is left behind, what a shell says."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import DEADLINE_S, is_alive, wait_until
from sshd import HOST, know, needs_sshd, refused, ssh_daemon, ssh_device
from test_transport_contract import PARENT_AND_CHILD, run_in_another_process

import edgecompress.transport
from edgecompress.errors import (
    DeviceError,
    RuntimeMissing,
    SpecError,
    StorageError,
    TimedOut,
    TransientError,
)
from edgecompress.measure.agent import Agent
from edgecompress.transport import connect, ssh_process

pytestmark = needs_sshd


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "board"


def test_agent_over_ssh(folder):
    device = ssh_device(folder)
    with connect(device, folder) as transport:
        probe = Agent(transport, sys.executable).probe()
        sent = transport.files.names(transport.cachedir)
    assert probe.system.startswith("Linux")
    assert [name.endswith(".pyz") for name in sent] == [True]


def test_root_lies_in_the_home_there(folder):
    with connect(ssh_device(folder), folder) as transport:
        assert transport.root == f"{folder}/home/.edgecompress"
        assert transport.workdir == f"{transport.root}/work"
        assert transport.name == HOST
    with connect(ssh_device(folder, root="my models"), folder) as transport:
        assert transport.root == f"{folder}/home/my models"
    with connect(ssh_device(folder, root=f"{folder}/else/where"), folder) as transport:
        assert transport.root == f"{folder}/else/where"


def test_root_that_cannot_be_made(folder):
    (folder / "home").mkdir(parents=True)
    (folder / "home" / "file").write_text("")
    said = refused(ssh_device(folder, root="file/deep"), folder, StorageError)
    assert "home/file" in said
    assert "cannot be made: Not a directory; give another `root`" in said


def test_board_without_python(folder):
    said = refused(ssh_device(folder, python="/no/python3"), folder, RuntimeMissing)
    assert "'/no/python3' cannot be started there" in said
    assert "No such file" in said
    assert "install Python 3.8 or newer" in said


def test_greetings_and_files_of_the_home_do_no_harm(folder):
    greeting = f"cd {folder}/home; echo Welcome; echo warning >&2"
    server = f'ForceCommand {greeting}; eval "$SSH_ORIGINAL_COMMAND"'
    device = ssh_device(folder, server=server)
    (folder / "home" / "json.py").write_text("raise SystemExit('imported')")
    with connect(device, folder) as transport:
        done = transport.run(["sh", "-c", "pwd"], timeout_s=DEADLINE_S)
        assert done.stdout.decode().strip() == transport.workdir


def test_jump_host(folder):
    with ssh_daemon(folder, host_keys="accept-new") as daemon:
        inner, jump = folder / "ssh_config", (folder / "ssh_config").read_text()
        jump = jump.replace(f"Host {HOST}\n", "Host jump\n")
        jump = jump.replace(f"HostKeyAlias {HOST}", "HostKeyAlias jump")
        inner.write_text(f"Host {HOST}\n  ProxyJump jump\n{inner.read_text()}{jump}")
        with connect(daemon.device, folder) as transport:
            assert transport.files.names(transport.root) == ("work",)
            assert ["jump: its host key" in note for note in transport.notes] == [True]
        wait_until(lambda: not daemon.connections(), "a connection was left open")
        know(folder)
        strict = daemon.device.model_copy(update={"host_keys": "strict"})
        assert refused(strict, folder).startswith("jump: its host key")
        inner.write_text(f"Host *\n  ProxyJump jump\n{inner.read_text()}")
        assert "does ProxyJump circle?" in refused(daemon.device, folder, SpecError)


def test_connection_cut_while_a_file_is_sent(folder):
    local = folder / "local"
    with ssh_daemon(folder) as daemon, connect(daemon.device, folder) as transport:
        content = os.urandom(24 << 20)
        local.write_bytes(content)
        remote = f"{transport.root}/upload.part"

        def cut(done: int) -> None:
            daemon.cut()

        with pytest.raises(TransientError, match=r"board: .*(lost|ended|died)"):
            transport.files.append(local, remote, 0, timeout_s=DEADLINE_S, sent=cut)
        there = transport.files.size(remote)
        assert 0 < there < len(content)
        transport.files.append(local, remote, there, timeout_s=DEADLINE_S, sent=lambda _: None)
        digest = transport.files.sha256(remote, timeout_s=DEADLINE_S)
    assert digest == hashlib.sha256(content).hexdigest()


def test_connection_cut_while_a_program_runs(folder):
    with ssh_daemon(folder) as daemon, connect(daemon.device, folder) as transport:
        sshd = " ".join(map(str, daemon.connections()))
        script = f"echo $$ > pid; kill -9 {sshd}; sleep 600"
        with pytest.raises(TransientError):
            transport.run(["sh", "-c", script], timeout_s=DEADLINE_S)
        pid = int(Path(transport.path("pid")).read_text())
        wait_until(lambda: not is_alive(pid), "the program outlived its connection")
        assert transport.run(["echo", "again"], timeout_s=DEADLINE_S).stdout == b"again\n"


def test_a_killed_host_leaves_no_program_behind(folder):
    device = ssh_device(folder)
    with connect(device, folder) as transport:
        process = run_in_another_process((device, transport), PARENT_AND_CHILD)
        pid_file = Path(transport.path("pid"))
        wait_until(pid_file.exists, "the program did not start")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=DEADLINE_S)
        child = int(pid_file.read_text())
        wait_until(lambda: not is_alive(child), "the child outlived the host")


def test_a_killed_helper_is_a_lost_connection(folder):
    with connect(ssh_device(folder), folder) as transport:
        script = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
        with pytest.raises(TransientError, match="the helper there died of SIGKILL"):
            transport.run([sys.executable, "-c", script], timeout_s=DEADLINE_S)
        assert transport.files.names(transport.root) == ("work",)


def test_output_without_an_end_is_cut_off(folder, monkeypatch):
    with connect(ssh_device(folder), folder) as transport:
        with pytest.raises(DeviceError, match="'yes': more than 8,388,608 bytes come of it"):
            transport.run(["yes"], timeout_s=DEADLINE_S)
        script = "head -c 3000000 /dev/zero >&2; echo last words >&2"
        done = transport.run(["sh", "-c", script], timeout_s=DEADLINE_S)
    assert len(done.stderr) == 1 << 20
    assert done.stderr.endswith(b"last words\n")


def test_a_silent_board(folder, monkeypatch):
    monkeypatch.setattr(ssh_process, "END_S", 0.2)
    with ssh_daemon(folder) as daemon, connect(daemon.device, folder) as transport:
        silent = daemon.connections()
        for pid in silent:
            os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(TimedOut, match=r"'size' took longer than 0\.5 s"):
                transport.stat(transport.root, timeout_s=0.5)
        finally:
            for pid in silent:
                os.kill(pid, signal.SIGCONT)
        assert transport.stat(transport.root, timeout_s=DEADLINE_S) is not None


def test_calls_after_close(folder):
    transport = connect(ssh_device(folder), folder)
    transport.close()
    transport.close()
    with pytest.raises(DeviceError, match="board: is closed"):
        transport.files.size("/")


def test_without_asyncssh(folder, monkeypatch):
    monkeypatch.setattr(edgecompress.transport, "find_spec", lambda name: None)
    said = refused(ssh_device(folder), folder, RuntimeMissing)
    assert "pip install 'edgecompress[ssh]'" in said


def test_asyncssh_is_loaded_only_for_ssh():
    code = "import sys, edgecompress.transport; print('asyncssh' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
