"""Fixtures: a real adb server on a port of its own, and devices of `adbd.py` for it."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from android_phone.adbd import Adbd

from edgecompress.transport.adb import AdbTransport

PROGRAMS = ("adb", "mksh", "toybox")
TOOLS = Path(__file__).parent / "system"
BENCHMARK_MODEL = Path(__file__).parent / "benchmark_model.py"

MakePhone = Callable[[], Adbd]


@pytest.fixture(scope="session")
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Its port; the server has a home of its own and ends with the tests."""
    pytest.importorskip("adbutils", reason="transport adb needs adbutils")
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: see scripts/install-test-tools.sh")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    adb = [str(shutil.which("adb")), "-P", str(port)]
    home = tmp_path_factory.mktemp("adb-home")
    # adb looks for devices of others on the network and on USB: not in tests.
    quiet = {"ADB_MDNS": "0", "ADB_LIBUSB": "0", "ADB_EMU": "0"}
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), **quiet}
    subprocess.run([*adb, "start-server"], env=env, check=True, capture_output=True, timeout=60)
    yield port
    subprocess.run([*adb, "kill-server"], env=env, check=False, capture_output=True, timeout=60)


@pytest.fixture
def make_phone(
    adb_server: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakePhone]:
    """make_phone(): another device, known to nobody yet."""
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(adb_server))
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    phones: list[Adbd] = []

    def make() -> Adbd:
        root = tmp_path / f"phone{len(phones)}"
        _install(root)
        phones.append(Adbd(root))
        return phones[-1]

    yield make
    for phone in phones:
        phone.vanish()
        _adb(adb_server, "disconnect", phone.address)


@pytest.fixture
def phone(make_phone: MakePhone) -> Adbd:
    return make_phone()


@pytest.fixture
def adb(phone: Adbd) -> AdbTransport:
    """The transport under test, to `phone`."""
    return AdbTransport(phone.address)


def adb_connect(port: int, phone: Adbd) -> None:
    """As a user does it by hand."""
    _adb(port, "connect", phone.address)


def _adb(port: int, *arguments: str) -> None:
    program = str(shutil.which("adb"))
    subprocess.run([program, "-P", str(port), *arguments], capture_output=True, timeout=60)


def _install(root: Path) -> None:
    """/data/local/tmp, and in /system/bin Android's shell, toybox, and the scripts of `system/`."""
    (root / "data" / "local" / "tmp").mkdir(parents=True)
    system = root / "system" / "bin"
    system.mkdir(parents=True)
    (system / "sh").symlink_to(str(shutil.which("mksh")))
    toybox = str(shutil.which("toybox"))
    applets = subprocess.run([toybox], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        (system / applet).symlink_to(toybox)
    for script in TOOLS.iterdir():
        shutil.copy(script, system / script.name)
    tool = system / "benchmark_model"
    tool.write_text(f"#!{sys.executable}\n{BENCHMARK_MODEL.read_text()}")
    tool.chmod(0o755)
