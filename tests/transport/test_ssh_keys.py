"""Who is let in: host keys, user keys and the configuration, against a real OpenSSH server."""

import getpass
import os
import socket
import subprocess
import threading

import pytest
from processes import wait_until
from sshd import HOST, know, make_key, needs_sshd, new_host_key, refused, ssh_daemon, ssh_device

from edgecompress.errors import DeviceError, SpecError, TransientError
from edgecompress.spec.base import parse
from edgecompress.spec.device import Device
from edgecompress.transport import connect, ssh_connect
from edgecompress.transport.known_hosts import KnownHosts

pytestmark = needs_sshd


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "board"


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
    assert looked_up("pi", "PI", 22) == (True, True)
    assert looked_up("[pi]:22", "pi", 22) == (False, False)
    assert looked_up("pi", "pi", 2222) == (True, False)
    assert looked_up("[pi]:2222", "pi", 2222) == (True, True)
    assert looked_up("other,pi", "10.0.0.7", 2222, "pi") == (True, True)
    assert looked_up("*.local,!bad.local", "bad.local", 22) == (False, False)
    assert looked_up("10.0.0.7", "pi", 22) == (False, False)
    file.write_text(f"[pi]:2222 {key}\n")
    hashing = ["ssh-keygen", "-q", "-H", "-f", str(file)]
    subprocess.run(hashing, check=True, capture_output=True)
    hashed = file.read_text().split()[0]
    assert hashed.startswith("|1|")
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


def test_keys_and_ciphers_that_are_not_there_are_passed_over(folder):
    device = ssh_device(folder)
    config = folder / "ssh_config"
    more = f"  IdentityFile {folder}/no_key\n  Ciphers none-such,aes256-ctr\n"
    config.write_text(config.read_text() + more)
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


def test_an_address_with_its_user_and_port(folder):
    with ssh_daemon(folder) as daemon:
        config, place = folder / "ssh_config", f"127.0.0.1:{daemon.port}"
        config.write_text(config.read_text().replace(f"Host {HOST}", "Host *").replace("Port", "#"))
        config.write_text(config.read_text().replace("HostKeyAlias", "#").replace("User ", "#"))
        know(folder, f"[127.0.0.1]:{daemon.port}")
        described = daemon.device.model_dump(mode="json")
        for way in ("", "ssh://"):
            described["address"] = f"{way}{getpass.getuser()}@{place}"
            with connect(parse(Device, described, "test"), folder) as transport:
                assert transport.name == f"{getpass.getuser()}@{place}"
        described["address"] = f"nobody-of-that-name@{place}"
        assert refused(parse(Device, described, "test"), folder).startswith("nobody-of-that-name@")


def test_jump_hosts_that_are_none(folder):
    device = ssh_device(folder)
    config = folder / "ssh_config"
    config.write_text(f"Host {HOST}\n  ProxyJump jump:ssh\n{config.read_text()}")
    said = refused(device, folder, SpecError)
    assert said.startswith(f"ProxyJump of {config}: address 'jump:ssh': port 'ssh' is no number")


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


@pytest.mark.parametrize(
    ("says", "said"),
    [
        (b"", "does not answer within 0.5 s"),
        (b"SSH-2.0-slow\r\n", "answers (SSH-2.0-slow), but lets nobody in within 1.5 s"),
    ],
)
def test_a_server_that_does_not_go_on(tmp_path, monkeypatch, says, said):
    monkeypatch.setattr(ssh_connect, "CONNECT_S", 0.5)
    monkeypatch.setattr(ssh_connect, "LOGIN_S", 1.5)
    (tmp_path / "config").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def serve():
            held.append(server.accept()[0])
            held[0].sendall(says)

        threading.Thread(target=serve, daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        described = {"id": "a", "target": "local", "transport": "ssh", "address": address}
        described["ssh_config"] = str(tmp_path / "config")
        device = parse(Device, described, "test")
        assert refused(device, tmp_path, TransientError) == f"{address}: {said}"
        held[0].close()


def test_configuration_that_cannot_be_read(folder):
    device = ssh_device(folder)
    config = folder / "ssh_config"
    config.write_text(config.read_text() + "  Port many\n")
    assert f"{config} line" in refused(device, folder, SpecError)
    config.unlink()
    assert f"{config}: No such file" in refused(device, folder, SpecError)
