"""Real interpreters that lack one thing or the other, and what is said of them."""

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecompress.devices import Checked, Row, check_devices
from edgecompress.devices.check import check
from edgecompress.devices.sshd import write_sshd
from edgecompress.devices.tools import SYSTEM_FOLDERS
from edgecompress.errors import SpecError
from edgecompress.progress import SilentProgress
from edgecompress.spec.device import Device
from edgecompress.spec.load import load_target, load_targets

Program = Callable[[str], str]
SSHD = shutil.which("sshd") or shutil.which("sshd", path=":".join(SYSTEM_FOLDERS))


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """program(script): a shell script in the place of the device's Python."""

    def write(script: str) -> str:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return write


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment with nothing in it."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return str(folder / "bin" / "python")


def local(python: str | None = None, target: str = "local") -> Device:
    return Device(id="board", target=target, transport="local", python=python)


def checked(device: Device) -> Checked:
    return check(device, load_targets(device.target)[0])


def missing(found: Checked) -> dict[str, Row]:
    assert found.usable == all(row.state != "missing" for row in found.rows)
    return {row.name: row for row in found.rows if row.state == "missing"}


def test_this_machine_is_usable() -> None:
    found = checked(local())
    assert missing(found) == {}
    names = [row.name for row in found.rows]
    assert names[:3] == ["connection", "python", "architecture"]
    assert {"system", "numpy", "runtime", "disk", "memory", "clock", "governor", "import"} <= {
        *names
    }


def test_a_python_that_has_nothing(bare_python: str) -> None:
    found = missing(checked(local(bare_python)))
    assert set(found) == {"numpy", "runtime"}
    assert found["numpy"].fix == f"{bare_python} -m pip install numpy"
    wanted = load_target("local-onnxruntime").runtime.version
    assert found["runtime"].fix == f"{bare_python} -m pip install 'onnxruntime{wanted}'"


def test_a_package_that_ends_the_interpreter(
    bare_python: str, program: Program, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    for name in ("numpy", "onnxruntime"):
        (site / f"{name}-9.9.dist-info").mkdir(parents=True)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n"
        (site / f"{name}-9.9.dist-info" / "METADATA").write_text(metadata)
    (site / "numpy.py").touch()
    (site / "onnxruntime.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    python = program(f'PYTHONPATH="{site}" exec "{bare_python}" "$@"')
    found = missing(checked(local(python)))
    assert set(found) == {"import"}
    assert found["import"].text.startswith("onnxruntime cannot be imported: the interpreter ended")
    assert found["import"].fix == f"{python} -m pip install --force-reinstall onnxruntime"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo Python 3.7.3", "3.7.3, .*: the agent needs 3.8 or later"),
        ("echo hello", "no Python there: .* said: hello"),
        ("exit 3", "no Python there: .* said: nothing"),
        ("echo Python 2.7.18 >&2", "2.7.18, .*: the agent needs 3.8 or later"),
    ],
)
def test_no_python_to_speak_of(program: Program, script: str, said: str) -> None:
    found = checked(local(program(script)))
    assert [row.name for row in found.rows] == ["connection", "python"]
    assert re.fullmatch(said, missing(found)["python"].text)


def test_no_python_at_all() -> None:
    found = missing(checked(local("/no/such/python")))
    assert "'/no/such/python' cannot be started" in found["python"].text


def test_an_agent_that_cannot_run(program: Program) -> None:
    found = missing(checked(local(program('[ "$1" = --version ] && echo Python 3.11.2'))))
    assert set(found) == {"agent"}


def test_another_architecture() -> None:
    found = missing(checked(local(target="raspberry-pi-5")))
    assert set(found) == (set() if platform.machine() == "aarch64" else {"architecture"})


def test_a_board_that_does_not_answer_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Host gone\n  ProxyCommand /bin/false\n")
    (tmp_path / "devices.yaml").write_text(
        "devices:\n- {id: here, target: local, transport: local}\n"
        "- {id: gone, target: local, transport: ssh, address: gone,"
        f" ssh_config: {tmp_path / 'config'}}}\n"
    )
    found = check_devices(["gone", "here"], None, tmp_path, SilentProgress())
    # A board has a table for each of its targets.
    names = [target.name for target in load_targets("local")]
    assert [(one.device, one.target) for one in found] == [
        (device, name) for device in ("gone", "here") for name in names
    ]
    gone, here = found[0], found[len(names)]
    assert missing(gone)["connection"].fix == f"try it with: ssh -F {tmp_path}/config gone true"
    assert missing(here) == {}
    with pytest.raises(SpecError, match="device 'nobody' is unknown; known: here, gone, this-mach"):
        check_devices(["here", "nobody"], None, tmp_path, SilentProgress())


@pytest.mark.skipif(SSHD is None, reason="sshd is not installed: scripts/install-test-tools.sh")
def test_over_ssh(tmp_path: Path, bare_python: str) -> None:
    folder = tmp_path / "ssh"
    write_sshd(folder, folder, "board", str(SSHD))
    device = Device(
        id="board",
        target="local",
        transport="ssh",
        address="board",
        ssh_config=folder / "config",
        root=str(tmp_path / "home"),
        python=bare_python,
    )
    assert set(missing(checked(device))) == {"numpy", "runtime"}
    none = missing(checked(device.model_copy(update={"python": "/no/python"})))
    assert set(none) == {"python"}
    assert "'/no/python' cannot be started there" in none["python"].text
    (folder / "known_hosts").write_text("board " + (folder / "user_key.pub").read_text())
    assert "host key" in missing(checked(device))["connection"].text
