"""Many devices at once, some of which fail, each in its own way.

`python -m pytest tests/pipeline/test_push_fleet.py --fleet 50` is the whole promise.
"""

import json
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import deploying
import misbehaving
import pytest
from pushed_project import Project
from pushing import opened
from sshd import needs_sshd, ssh_device

from edgecompress.spec.device import Device

DEADLINE_S = 20
"""What hangs holds its worker up for so long; the others take a few seconds."""
Way = Callable[[Device, Path, ExitStack], Device]
"""Gives a device, whose home is in a folder, its defect, until the stack is closed."""


def unreachable(device: Device, folder: Path, until: ExitStack) -> Device:
    # Bound and not listened to: nobody else can have the port, and it refuses.
    port = until.enter_context(socket.socket())
    port.bind(("127.0.0.1", 0))
    config = folder / "ssh_config"
    way = f"HostName 127.0.0.1\n  Port {port.getsockname()[1]}\n  # "
    config.write_text(config.read_text().replace("ProxyCommand", way))
    return device


def wrong_outputs(device: Device, folder: Path, _: ExitStack) -> Device:
    return device.model_copy(update={"python": misbehaving.script(folder, "wrong_outputs")})


def hangs(device: Device, folder: Path, _: ExitStack) -> Device:
    return device.model_copy(update={"python": misbehaving.script(folder, "hangs")})


def no_python(device: Device, _: Path, __: ExitStack) -> Device:
    return device.model_copy(update={"python": "/nowhere/python3"})


def read_only(device: Device, folder: Path, until: ExitStack) -> Device:
    config = folder / "ssh_config"
    if os.geteuid() == 0:
        # A root may write everywhere, unless it may not.
        less = "ProxyCommand setpriv --bounding-set -dac_override,-dac_read_search "
        config.write_text(config.read_text().replace("ProxyCommand ", less))
    folders = [path for path in (folder / "home").rglob("*") if path.is_dir()]
    for path in folders:
        path.chmod(0o555)
        until.callback(path.chmod, 0o755)
    return device


WAYS: dict[Way, str] = {
    unreachable: "cannot be reached",
    wrong_outputs: "golden outputs differ",
    hangs: f"ran longer than {DEADLINE_S} s",
    no_python: "cannot be started there",
    read_only: "Permission denied",
}
"""With words of the reason."""


@needs_sshd
@pytest.mark.slow
def test_a_fleet_of_which_some_fail(
    finished: Path, tmp_path: Path, cli: deploying.Cli, request: pytest.FixtureRequest
) -> None:
    count = request.config.getoption("--fleet")
    ways = dict(list(WAYS.items())[: max(3, count // 10)])
    project = Project.of(finished, tmp_path / "project", cli)
    roots: dict[str, Path] = {}
    with ExitStack() as until:
        for number in range(count):
            name, folder = f"board-{number:02}", tmp_path / f"board-{number:02}"
            device = ssh_device(folder, device_id=name, target="tiny")
            roots[name] = folder / "home" / ".edgecompress"
            old = project.old_model(roots[name])
            # They come first, so that they are in the way of all others.
            if number < len(ways):
                device = list(ways)[number](device, folder, until)
            project.add(device)
        done = project.cli.run(
            project.folder,
            *("push", "latest", *roots, "--deadline", str(DEADLINE_S)),
            *("--inventory", "all.yaml"),
        )
    assert done.returncode == 4, done.stderr
    *table, counts = done.stdout.splitlines()
    assert counts == f"{len(ways)} rolled back, {count - len(ways)} success"
    new = {opened(root) for root in list(roots.values())[len(ways) :]}
    assert len(new) == 1
    assert new != {old}
    for number, (name, root) in enumerate(roots.items()):
        (row,) = [line for line in table if name in line.split()[:1]]
        last = json.loads((root / "history.json").read_text())["entries"][-1]
        if number < len(ways):
            assert "rolled back" in row
            assert opened(root) == old
            (reason,) = [
                line for line in done.stderr.splitlines() if f"{name}: rolled_back" in line
            ]
            assert list(ways.values())[number] in reason
        else:
            assert "success" in row
            assert (last["release"], last["outcome"]) == (opened(root), "success")
