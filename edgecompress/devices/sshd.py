"""A way to this machine by SSH that opens no port: each connection starts an sshd for itself.

The client's ProxyCommand runs OpenSSH's sshd in inetd mode, with a host key, a user key and a
known_hosts of its own. So everything of a board's SSH is real but the network.
"""

import os
import pwd
from pathlib import Path

from edgecompress.devices.tools import run_tool
from edgecompress.errors import DeviceError

_CONNECT = """\
#!/bin/sh
# Started by root, sshd wants this folder, which only its service makes.
[ "$(id -u)" -ne 0 ] || mkdir -p -m 755 /run/sshd
exec "{sshd}" -i -f "{folder}/sshd_config" -E "{folder}/sshd.log"
"""
_SERVER = """\
HostKey "{folder}/host_key"
AuthorizedKeysFile "{folder}/user_key.pub"
AuthenticationMethods publickey
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
PrintMotd no
LogLevel ERROR
Subsystem sftp internal-sftp
"""
_CLIENT = """\
Host {host}
  HostKeyAlias {host}
  User {user}
  ProxyCommand "{folder}/connect"
  IdentityFile "{folder}/user_key"
  IdentitiesOnly yes
  UserKnownHostsFile "{folder}/known_hosts"
  StrictHostKeyChecking yes
"""


def write_sshd(folder: Path, final: Path, host: str, sshd: str) -> None:
    """Write keys, `config` for the client, and what it starts.

    Args:
        folder: that is filled; made here.
        final: where it will lie when it is used.
        host: its name in `config`.
        sshd: path of the program.

    Raises:
        DeviceError: this user cannot log in, or a key cannot be made.

    """
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise DeviceError(
            f"user {os.getuid()} is not in /etc/passwd, and sshd lets nobody else in"
        ) from None
    folder.mkdir(mode=0o700)
    for name in ("host_key", "user_key"):
        run_tool(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host, "-f", str(folder / name)]
        )
    texts = {"connect": _CONNECT, "sshd_config": _SERVER, "config": _CLIENT}
    for name, text in texts.items():
        (folder / name).write_text(text.format(folder=final, host=host, sshd=sshd, user=user))
    (folder / "connect").chmod(0o700)
    (folder / "known_hosts").write_text(f"{host} {(folder / 'host_key.pub').read_text()}")
