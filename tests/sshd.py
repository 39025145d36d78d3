"""A real OpenSSH server as a board: its own keys, a throw-away home, nobody's configuration.

`ssh_device` needs no port and no daemon: every connection is a fresh `sshd -i`, started by the
ProxyCommand of the configuration that it writes. `Daemon` listens on a loopback port, for what
needs one: connections that are killed, jump hosts, other clients.
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgecompress.errors import DeviceError
from edgecompress.spec.device import Device
from edgecompress.transport import connect

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
HOST = "board"
"""What the configuration calls the server, and known_hosts knows it by."""
DEADLINE_S = 60.0

needs_sshd = pytest.mark.skipif(
    SSHD is None or shutil.which("ssh-keygen") is None,
    reason="sshd or ssh-keygen is not installed: scripts/install-test-tools.sh",
)


def ssh_device(
    folder: Path,
    *,
    device_id: str = HOST,
    target: str = "local",
    python: str = sys.executable,
    server: str = "",
    **fields: object,
) -> Device:
    """A device that is this machine behind `sshd -i`; its home is `folder`/home.

    `server`: further lines of the server's configuration; `fields`: further ones of Device, such
    as root, host_keys, tags, emulated.
    """
    _lay_out(folder, server)
    command = f"{SSHD} -i -f {folder}/sshd_config -E {folder}/sshd.log"
    _write_client(folder, f"ProxyCommand {command}")
    know(folder)
    return _device(folder, device_id, target, python, fields)


@dataclass
class Daemon:
    folder: Path
    device: Device
    port: int
    process: subprocess.Popen[bytes]

    def connections(self) -> list[int]:
        """Processes of the server that hold connections: one each, or two, by OpenSSH's mood."""
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        found = [self.process.pid]
        for pid in found:
            found += [child for child in pids if _parent(child) == pid and _is_sshd(child)]
        return found[1:]

    def cut(self) -> None:
        """End every connection, as a network that goes away does."""
        for pid in self.connections():
            # The first may take the second with it.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def ssh_daemon(folder: Path, **fields: object) -> Iterator[Daemon]:
    """An sshd on a free loopback port, and a device that reaches it."""
    _lay_out(folder, "")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert SSHD is not None
    listen = ["-D", "-p", str(port), "-o", "ListenAddress=127.0.0.1", "-E", f"{folder}/sshd.log"]
    process = subprocess.Popen([SSHD, "-f", f"{folder}/sshd_config", *listen])
    try:
        _wait_for(port, process, folder)
        _write_client(folder, f"HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias {HOST}")
        know(folder)
        device = _device(folder, HOST, "local", sys.executable, fields)
        yield Daemon(folder, device, port, process)
    finally:
        process.terminate()
        process.wait()


def refused(device: Device, folder: Path, error: type[Exception] = DeviceError) -> str:
    """What is said of a device that cannot be connected to."""
    with pytest.raises(error) as caught:
        connect(device, folder).close()
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    return str(caught.value)


def know(folder: Path, host: str = HOST) -> None:
    """Write the server's present host key to the known_hosts of the configuration."""
    key = (folder / "host_key.pub").read_text().split()[:2]
    (folder / "known_hosts").write_text(" ".join([host, *key]) + "\n")


def new_host_key(folder: Path) -> None:
    """The next connection finds a server with another key: another board, or an attacker."""
    for name in ("host_key", "host_key.pub"):
        (folder / name).unlink(missing_ok=True)
    make_key(folder / "host_key")


def _lay_out(folder: Path, server: str) -> None:
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        # sshd of a root wants it, and only its boot script makes it.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    new_host_key(folder)
    make_key(folder / "user_key")
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    (folder / "sshd_config").write_text(
        f"""
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PidFile none
MaxStartups 200
Subsystem sftp internal-sftp
SetEnv HOME={home}
{server}
"""
    )


def make_key(path: Path) -> None:
    path.unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True)


def _write_client(folder: Path, way: str) -> None:
    (folder / "ssh_config").write_text(
        f"""
Host {HOST}
  User {getpass.getuser()}
  {way}
  IdentityFile {folder}/user_key
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile /dev/null
"""
    )


def _device(
    folder: Path, device_id: str, target: str, python: str, fields: dict[str, object]
) -> Device:
    return Device.model_validate(
        {
            "id": device_id,
            "target": target,
            "transport": "ssh",
            "address": HOST,
            "ssh_config": folder / "ssh_config",
            "python": python,
            **fields,
        }
    )


def _wait_for(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, (folder / "sshd.log").read_text()
            assert time.monotonic() < end, "sshd does not listen"
            time.sleep(0.05)
        else:
            return


def _is_sshd(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("sshd")
    except OSError:
        return False


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None
