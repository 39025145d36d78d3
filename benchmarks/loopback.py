"""An sshd of OpenSSH's on a loopback port, and what benchmarks push to it."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from edgecompress.artifact import TensorInfo, sha256_of
from edgecompress.devices.sshd import write_sshd
from edgecompress.push import Alive, Manifest
from edgecompress.spec.device import Device
from edgecompress.spec.pushed import Validation

HOST = "bench"
SERVER_TOOLS = {"sshd": "openssh-server", "ssh-keygen": "openssh-client"}


def loopback_device(config: Path, root: Path) -> Device:
    """A device that is this machine, as the client's configuration reaches it."""
    return Device(
        id=HOST,
        target="local",
        transport="ssh",
        address=HOST,
        ssh_config=config,
        python=sys.executable,
        root=str(root),
    )


def unchecked(_: str, __: Alive) -> Validation | None:
    """Every model is good enough."""
    return None


def manifest_of(model: Path) -> Manifest:
    tensor = TensorInfo(name="x", shape=("N", 3), dtype="float32")
    return Manifest(
        file="model.onnx",
        format="onnx",
        sha256=sha256_of(model),
        size_bytes=model.stat().st_size,
        target="local",
        recipe_digest="0" * 64,
        inputs=(tensor,),
        outputs=(tensor,),
    )


@contextlib.contextmanager
def loopback_sshd(folder: Path, sshd: str) -> Iterator[Path]:
    """The client's configuration for an sshd that listens on a free port while this lasts."""
    write_sshd(folder, folder, HOST, sshd)
    with (folder / "sshd_config").open("a") as settings:
        # A home without a .bashrc, which scp would not run either.
        settings.write(f"SetEnv HOME={folder}\n")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "config"
    lines = config.read_text().splitlines()
    way = [
        f"  HostName 127.0.0.1\n  Port {port}" if "ProxyCommand" in one else one for one in lines
    ]
    config.write_text("\n".join(way) + "\n")
    listen = ["-D", "-p", str(port), "-o", "ListenAddress=127.0.0.1"]
    server = subprocess.Popen([sshd, "-f", str(folder / "sshd_config"), *listen])
    try:
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            assert server.poll() is None, "sshd ended"
            time.sleep(0.05)
        yield config
    finally:
        server.terminate()
        server.wait()
