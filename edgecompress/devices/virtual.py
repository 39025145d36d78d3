"""A board without the board: its userland under qemu-user, behind a real sshd.

What it shows is true of the board: the interpreter, the agent, the runtime's kernels and their
rounding, the push. What it does not show is speed. A board lies in

    CACHE/virtual/TARGET/   root/ (Debian, and the wheels), ssh/, board.json
    CACHE/boards/ID/        what was pushed to one of them

CACHE is $XDG_CACHE_HOME/edgecompress, else ~/.cache/edgecompress.
"""

import importlib.util
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgecompress.devices.debian import NETWORK, Debian, unpack
from edgecompress.devices.sshd import write_sshd
from edgecompress.devices.tools import find_tools, run_tool
from edgecompress.errors import DeviceError, RuntimeMissing, SpecError
from edgecompress.progress import Progress
from edgecompress.runtimes import modules
from edgecompress.spec.base import digest
from edgecompress.spec.device import Device
from edgecompress.spec.load import load_virtual_boards
from edgecompress.spec.virtual import VirtualBoard, VirtualBoards
from edgecompress.store.files import release, storage_errors, take_lock

LAYOUT = 1
"""One more whenever what is built here changes, so that boards of before are built again."""
QEMU = "qemu-aarch64-static"
TOOLS = {
    QEMU: "qemu-user-static",
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
}
PLATFORMS = ("2_28", "2_27", "2_17")
"""Tags of manylinux; Debian bookworm has glibc 2.36."""
STEPS = 6
NEEDED_BYTES = 300 << 20
INTERPRETER = "usr/bin/board-python"

_PLAIN_PATH = re.compile(r"[\w/.+@~-]+")
# -0: what the interpreter believes to be its own path, so that what it starts is emulated too.
_WRAPPER = """\
#!/bin/sh
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONDONTWRITEBYTECODE LD_LIBRARY_PATH LD_PRELOAD
export PYTHONNOUSERSITE=1
exec "{qemu}" -cpu {cpu} -L "{root}" -0 "{root}/{interpreter}" "{root}/usr/bin/python{python}" "$@"
"""


@dataclass(frozen=True)
class Plan:
    target: str
    boards: VirtualBoards
    board: VirtualBoard
    tools: dict[str, str]
    cache: Path

    @property
    def folder(self) -> Path:
        return self.cache / "virtual" / self.target

    def key(self) -> str:
        """Changes with whatever the board is made of."""
        document = {
            "layout": LAYOUT,
            "suite": self.boards.suite,
            "packages": list(self.boards.debian_packages),
            "python": self.boards.python,
            "board": self.board.model_dump(mode="json"),
            "tools": self.tools,
            "folder": str(self.folder),
        }
        return digest(document)


def virtual_device(target: str, device_id: str, mirror: str | None, progress: Progress) -> Device:
    """Build the board of that target if it is not there yet; `mirror` as in Debian.

    Raises:
        SpecError: no such board, or the cache lies in a folder whose name cannot be used.
        RuntimeMissing: this machine lacks a program that is needed.
        DeviceError: something cannot be fetched, or does not run under this qemu.
        StorageError: the cache cannot be written.

    """
    boards = load_virtual_boards()
    if target not in boards.boards:
        known = ", ".join(boards.boards)
        raise SpecError(f"devices add --virtual: '{target}' cannot be emulated; known: {known}")
    tools = find_tools(TOOLS, f"a virtual {target}")
    plan = Plan(target, boards, boards.boards[target], tools, _cache())
    with (
        storage_errors(plan.folder, NEEDED_BYTES),
        _alone(plan.folder.parent),
        progress.stage(f"virtual {target}"),
    ):
        _build(plan, mirror, progress)
    return Device(
        id=device_id,
        target=target,
        transport="ssh",
        address=_host(plan),
        ssh_config=plan.folder / "ssh" / "config",
        python=str(plan.folder / "root" / INTERPRETER),
        root=str(plan.cache / "boards" / device_id),
        emulated=True,
        tags=("virtual",),
    )


def _build(plan: Plan, mirror: str | None, progress: Progress) -> None:
    """Under another name, so that a board that is there is whole."""
    made = plan.folder / "board.json"
    if made.exists() and json.loads(made.read_text()).get("key") == plan.key():
        progress.note(f"{plan.folder} is there already")
        return
    for left in plan.folder.parent.glob("*.part"):
        shutil.rmtree(left)
    part = Path(tempfile.mkdtemp(suffix=".part", prefix=f"{plan.target}.", dir=plan.folder.parent))
    try:
        _fill(plan, part, mirror, progress)
        (part / "board.json").write_text(json.dumps({"key": plan.key()}) + "\n")
        if plan.folder.exists():
            plan.folder.replace(f"{part}.old.part")
        part.replace(plan.folder)
    finally:
        for left in plan.folder.parent.glob(f"{part.name}*"):
            shutil.rmtree(left)


def _fill(plan: Plan, part: Path, mirror: str | None, progress: Progress) -> None:
    root = part / "root"
    debian = Debian(plan.cache / "virtual" / "debian", plan.boards.suite, mirror)
    progress.step(0, STEPS, f"lists of packages of Debian {plan.boards.suite}, 9 MB")
    debian.update()
    progress.step(1, STEPS, "Python and what it needs, 16 MB")
    packages = debian.fetch(plan.boards.debian_packages)
    progress.step(2, STEPS, f"unpacking {len(packages)} packages")
    for package in packages:
        unpack(package, root)
    progress.step(3, STEPS, f"{', '.join(plan.board.wheels)}")
    _install_wheels(plan, root / "usr/lib/python3/dist-packages")
    progress.step(4, STEPS, "the first run, which compiles")
    _write_wrapper(plan, root, root)
    _try(plan, root)
    _write_wrapper(plan, root, plan.folder / "root")
    progress.step(5, STEPS, "keys and configuration of SSH")
    write_sshd(part / "ssh", plan.folder / "ssh", _host(plan), plan.tools["sshd"])
    debian.clean()
    progress.step(STEPS, STEPS, f"{plan.folder}")


def _install_wheels(plan: Plan, folder: Path) -> None:
    if importlib.util.find_spec("pip") is None:
        raise RuntimeMissing(f"pip is missing; run: {sys.executable} -m ensurepip")
    digits = plan.boards.python.replace(".", "")
    platforms = [f"--platform=manylinux_{version}_aarch64" for version in PLATFORMS]
    run_tool(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-input"),
            *("--disable-pip-version-check", "--no-compile", "--no-deps", "--only-binary=:all:"),
            *(f"--python-version={plan.boards.python}", "--implementation=cp", f"--abi=cp{digits}"),
            *platforms,
            f"--target={folder}",
            *plan.board.wheels,
        ],
        NETWORK,
    )


def _write_wrapper(plan: Plan, root: Path, final: Path) -> None:
    wrapper = root / INTERPRETER
    wrapper.write_text(
        _WRAPPER.format(
            qemu=plan.tools[QEMU],
            cpu=plan.board.cpu,
            root=final,
            interpreter=INTERPRETER,
            python=plan.boards.python,
        )
    )
    wrapper.chmod(0o755)


def _try(plan: Plan, root: Path) -> None:
    """Import what was installed; newer releases of some wheels crash in older emulators."""
    names = [wheel.partition("==")[0] for wheel in plan.board.wheels]
    known = modules()
    # What only the others need is named as pip has it, and comes with them.
    imports = "; ".join(f"import {known[name]}" for name in names if name in known)
    try:
        run_tool([str(root / INTERPRETER), "-c", imports])
    except DeviceError as error:
        raise DeviceError(
            f"{', '.join(plan.board.wheels)} cannot be imported under {plan.tools[QEMU]}"
            f" -cpu {plan.board.cpu}, which needs qemu 7.1 or later: {error}"
        ) from None


def _host(plan: Plan) -> str:
    return f"virtual-{plan.target}"


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(home) if home else Path.home() / ".cache") / "edgecompress"
    if not folder.is_absolute() or not _PLAIN_PATH.fullmatch(str(folder)):
        raise SpecError(
            f"{folder}: a path that is relative, or has spaces or quotes, cannot be written into"
            " sshd's configuration; set XDG_CACHE_HOME to another"
        )
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One builder at a time, for they share what they fetch."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = take_lock(folder / "lock")
    try:
        yield
    finally:
        release(lock)
