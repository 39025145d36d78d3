"""Push of a large file over SSH to this machine, against `scp` of the same file in turns.

    python benchmarks/push.py

A push is everything: connecting, the lock, the upload, SHA-256 of what lies on the device, fsync
of files and folders, activation, and reading back; only the model is not run. scp checks and syncs
nothing. Both go to a real sshd on a loopback port; `--scp-cipher` gives scp another cipher than
its own choice. Needs OpenSSH's server and client.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from loopback import HOST, SERVER_TOOLS, loopback_device, loopback_sshd, manifest_of, unchecked

from edgecompress.devices.tools import find_tools
from edgecompress.push import Board, Manifest, push
from edgecompress.transport import connect

TOOLS = {**SERVER_TOOLS, "scp": "openssh-client", "ssh": "openssh-client"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scp-cipher")
    arguments = parser.parse_args()
    tools = find_tools(TOOLS, "benchmarks/push.py")
    cipher = ["-c", arguments.scp_cipher] if arguments.scp_cipher else []
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as name:
        folder = Path(name)
        model = folder / "model.bin"
        model.write_bytes(os.urandom(arguments.megabytes * 1_000_000))
        with loopback_sshd(folder / "ssh", tools["sshd"]) as config:
            copied = folder / "copied.bin"
            scp = [tools["scp"], "-q", "-F", str(config), *cipher, str(model), f"{HOST}:{copied}"]
            manifest = manifest_of(model)
            print(f"{'':8}{'scp s':>8}{'push s':>8}{'ratio':>8}{'MiB above start':>17}")
            rounds = [
                _round(number, scp, lambda: _push(config, folder / "root", model, manifest))
                for number in range(arguments.rounds)
            ]
    scp_s, push_s = (statistics.median(row[column] for row in rounds) for column in (0, 1))
    peak = max(row[2] for row in rounds)
    # Of pairs, because other work on the machine slows both of one down.
    ratio = statistics.median(scp / pushed for scp, pushed, _ in rounds)
    print(f"{'median':8}{scp_s:8.2f}{push_s:8.2f}{ratio:8.2f}{peak:17.0f}")
    print(_conditions(tools["ssh"], arguments.megabytes, arguments.scp_cipher))


def _round(number: int, scp: list[str], pushed: Callable[[], None]) -> tuple[float, float, float]:
    """Seconds of both, and the peak memory of this process above its start, in MiB."""
    began = time.perf_counter()
    subprocess.run(scp, check=True)
    copied = time.perf_counter()
    before = _status_mib("VmRSS")
    # The peak counts from here on (proc(5), clear_refs).
    Path("/proc/self/clear_refs").write_text("5")
    pushing = time.perf_counter()
    pushed()
    ended = time.perf_counter()
    row = (copied - began, ended - pushing, _status_mib("VmHWM") - before)
    print(f"{number:<8}{row[0]:8.2f}{row[1]:8.2f}{row[0] / row[1]:8.2f}{row[2]:17.0f}", flush=True)
    return row


def _push(config: Path, root: Path, model: Path, manifest: Manifest) -> None:
    shutil.rmtree(root, ignore_errors=True)
    with connect(loopback_device(config, root), root) as transport:
        done = push(Board(transport), model, manifest, unchecked)
    assert done.outcome == "success", done.reasons


def _status_mib(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def _conditions(ssh: str, megabytes: int, cipher: str | None) -> str:
    openssh = subprocess.run([ssh, "-V"], capture_output=True, text=True, check=True).stderr
    return (
        f"{megabytes} MB of random bytes, loopback TCP; {len(os.sched_getaffinity(0))} CPUs,"
        f" load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, asyncssh"
        f" {version('asyncssh')}, {openssh.split(',')[0]}, scp's cipher: {cipher or 'its own'}"
    )


if __name__ == "__main__":
    main()
