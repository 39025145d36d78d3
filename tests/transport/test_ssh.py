"""A board behind a real OpenSSH server: who is let in, what is lost, what is left behind."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import DEADLINE_S, is_alive, wait_until
from sshd import HOST, know, make_key, needs_sshd, new_host_key, ssh_daemon, ssh_device
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
from edgecompress.transport import connect, ssh, ssh_session
from edgecompress.transport.known_hosts import KnownHosts

pytestmark = needs_sshd


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "board"


def refused(device, folder, error: type[Exception] = DeviceError) -> str:
    with pytest.raises(error) as caught:
        connect(device, folder).close()
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_agent_over_ssh(folder):
    device = ssh_device(folder)
    with connect(device, folder) as transport:
        probe = Agent(transport, sys.executable).probe()
        sent = transport.files.names(transport.workdir)
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


def test_changed_host_key_is_refused(folder):
    for rule in ("strict", "accept-new"):
        device = ssh_device(folder, host_keys=rule)
        known = folder / "known_hosts"
        known.write_text("# mine\nelse ssh-ed25519 AAAA\n" + known.read_text())
        before = known.read_text()
        new_host_key(folder)
        said = refused(device, folder)
        assert f"is not the one in {known}, line 3" in said
        assert f"ssh-keygen -f {known} -R {HOST}" in said
        assert known.read_text() == before


def test_what_the_refusal_says_to_do_helps(folder):
    device = ssh_device(folder, host_keys="accept-new")
    new_host_key(folder)
    command = refused(device, folder).split("`")[1]
    subprocess.run(command, shell=True, check=True, capture_output=True)  # noqa: S602 - as users do
    connect(device, folder).close()


def test_unknown_host_key_is_refused_when_strict(folder):
    device = ssh_device(folder)
    known = folder / "known_hosts"
    known.write_text("else ssh-ed25519 AAAA\n")
    said = refused(device, folder)
    assert f"is not in {known}; compare it" in said
    assert f"`ssh -F {folder}/ssh_config {HOST}`" in said
    fingerprint = ["ssh-keygen", "-l", "-f", str(folder / "host_key.pub")]
    shown = subprocess.run(fingerprint, check=True, capture_output=True, text=True).stdout.split()[
        1
    ]
    assert shown in said
    assert known.read_text() == "else ssh-ed25519 AAAA\n"


@pytest.mark.parametrize("before", [None, "", "else ssh-ed25519 AAAA"])
def test_unknown_host_key_is_taken_down_when_asked(folder, before):
    device = ssh_device(folder, host_keys="accept-new")
    known = folder / "known_hosts"
    known.unlink()
    if before is not None:
        known.write_text(before)
    with connect(device, folder) as transport:
        assert [f"is now in {known}" in note for note in transport.notes] == [True]
    key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    assert known.read_text().splitlines() == [*([before] if before else []), f"{HOST} {key}"]
    # From now on it is known, also to OpenSSH.
    with connect(ssh_device_again(device), folder) as transport:
        assert transport.notes == ()
    strict = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    openssh = ["ssh", "-F", str(folder / "ssh_config"), *strict, HOST, "true"]
    subprocess.run(openssh, check=True)


def ssh_device_again(device):
    return device.model_copy(update={"host_keys": "strict"})


def test_ports_aliases_and_hashes_are_looked_up_as_openssh_does(tmp_path):
    file = tmp_path / "known_hosts"
    make_key(tmp_path / "key")
    key = " ".join((tmp_path / "key.pub").read_text().split()[:2])

    def looked_up(line: str, host: str, port: int, alias: str | None = None) -> tuple[bool, bool]:
        file.write_text(f"{line} {key}\n")
        hosts = KnownHosts([file], [], host, port, alias)
        return len(hosts.keys()[0]) == 1, hosts.contradicts() is not None

    assert looked_up("pi", "pi", 22) == (True, True)
    assert looked_up("[pi]:22", "pi", 22) == (False, False)
    assert looked_up("pi", "pi", 2222) == (True, False)
    assert looked_up("[pi]:2222", "pi", 2222) == (True, True)
    assert looked_up("other,pi", "10.0.0.7", 2222, "pi") == (True, True)
    assert looked_up("*.local,!bad.local", "bad.local", 22) == (False, False)
    assert looked_up("10.0.0.7", "pi", 22) == (False, False)
    file.write_text(f"[pi]:2222 {key}\n")
    hashing = ["ssh-keygen", "-q", "-H", "-f", str(file)]
    subprocess.run(hashing, check=True, capture_output=True)
    assert "pi" not in file.read_text().split()[0]
    assert KnownHosts([file], [], "pi", 2222, None).contradicts() is not None


def test_revoked_host_key_is_refused(folder):
    device = ssh_device(folder)
    known = folder / "known_hosts"
    known.write_text(known.read_text() + f"@revoked {known.read_text()}")
    assert "revoked" in refused(device, folder)


def test_a_key_that_is_not_accepted(folder):
    device = ssh_device(folder)
    (folder / "authorized_keys").write_text("")
    said = refused(device, folder)
    assert said.startswith("board: accepts none of your keys, and passwords are not asked for")
    assert f"ssh-copy-id -F {folder}/ssh_config board" in said


def test_a_key_that_is_not_there_is_passed_over(folder):
    device = ssh_device(folder)
    config = folder / "ssh_config"
    config.write_text(config.read_text() + f"  IdentityFile {folder}/no_key\n")
    connect(device, folder).close()


def test_a_key_with_a_passphrase_is_left_to_the_agent(folder):
    device = ssh_device(folder)
    key, socket = str(folder / "user_key"), folder / "agent"
    lock = ["ssh-keygen", "-q", "-p", "-N", "secret", "-f", key]
    subprocess.run(lock, check=True)
    said = refused(device, folder)
    assert "load one into the agent" in said
    assert "secret" not in said
    serve = ["ssh-agent", "-D", "-a", str(socket)]
    agent = subprocess.Popen(serve, stdout=subprocess.DEVNULL)
    try:
        wait_until(socket.exists, "no agent")
        (folder / "ask").write_text("#!/bin/sh\necho secret\n")
        (folder / "ask").chmod(0o700)
        told = {"SSH_ASKPASS": str(folder / "ask"), "SSH_ASKPASS_REQUIRE": "force"}
        load = ["ssh-add", "-q", key]
        environment = {**os.environ, **told, "SSH_AUTH_SOCK": str(socket)}
        subprocess.run(load, check=True, env=environment, stdin=subprocess.DEVNULL)
        config = folder / "ssh_config"
        config.write_text(config.read_text().replace("Agent none", f"Agent {socket}"))
        connect(device, folder).close()
    finally:
        agent.terminate()
        agent.wait()


def test_a_board_that_is_not_there(folder, tmp_path):
    config = tmp_path / "config"
    with ssh_daemon(folder) as daemon:
        port = daemon.port
    config.write_text("")
    device = daemon.device.model_copy(update={"address": "127.0.0.1", "ssh_config": config})
    said = refused(device.model_copy(update={"port": port}), folder, TransientError)
    assert said.startswith(f"127.0.0.1:{port}: cannot be reached: ")
    nowhere = device.model_copy(update={"address": "no-such-board.invalid"})
    with pytest.raises(DeviceError, match=r"board\.invalid: no host of that name"):
        connect(nowhere, folder)


def test_configuration_that_cannot_be_read(folder):
    device = ssh_device(folder)
    config = folder / "ssh_config"
    config.write_text(config.read_text() + "  Port many\n")
    assert f"{config} line" in refused(device, folder, SpecError)
    config.unlink()
    assert f"{config}: No such file" in refused(device, folder, SpecError)


def test_board_without_python(folder):
    said = refused(ssh_device(folder, python="/no/python3"), folder, RuntimeMissing)
    assert "'/no/python3' cannot be started there" in said
    assert "No such file" in said
    assert "install Python 3.8 or newer" in said


def test_account_that_runs_no_commands(folder):
    server = "ForceCommand echo This account is not available.; exit 1"
    said = refused(ssh_device(folder, server=server), folder)
    assert "ends with code 1" in said
    assert "This account is not available." in said


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
    monkeypatch.setattr(ssh, "STDOUT_BYTES", 1 << 20)
    with connect(ssh_device(folder), folder) as transport:
        with pytest.raises(DeviceError, match="'yes' was ended: it wrote more than 1048576 bytes"):
            transport.run(["yes"], timeout_s=DEADLINE_S)
        script = "head -c 3000000 /dev/zero >&2; echo last words >&2"
        done = transport.run(["sh", "-c", script], timeout_s=DEADLINE_S)
    assert len(done.stderr) == 1 << 20
    assert done.stderr.endswith(b"last words\n")


def test_a_silent_board(folder, monkeypatch):
    monkeypatch.setattr(ssh_session, "END_S", 0.2)
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
