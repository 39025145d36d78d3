"""A Debian kernel with a file system in memory: busybox, sshd, and the Python that runs this.

All of it is copied from this machine, to the same paths, so that the guest's helper runs on the
interpreter that it is tested with, and nothing has to be installed.
"""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

from edgecompress.bundled import helper_dir
from edgecompress.devices.sshd import write_sshd
from edgecompress.devices.tools import run_tool
from edgecompress.errors import RuntimeMissing

HOST = "guest"
SSH = Path("/ssh")
"""Where keys and sshd's configuration lie in the guest."""
READY = "the guest is ready"
MODULES = (
    "virtio_pci", "virtio_blk", "virtio_net", "crc32c_generic", "crc32_generic", "ext4", "f2fs",
    "nls_cp437", "nls_ascii", "nls_utf8", "vfat",
)  # fmt: skip
_IMPORTED = """\
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print("\\n".join(m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None)))
"""
_INIT = """\
#!/bin/busybox sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts /run/sshd
mount -t devpts pts /dev/pts
for module in /modules/*; do insmod $module; done
ip link set lo up
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
echo {ready} > /dev/ttyS0
# In a loop: sshd must outlive a connection that ends badly, and this is process 1.
while :; do {sshd} -D -e -f {ssh}/sshd_config 2> /dev/ttyS0; done
"""
_ACCOUNTS = "root:x:0:0:root:/:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\n"


def write_guest(folder: Path, kernel: Path, tools: dict[str, str]) -> tuple[Path, Path]:
    """Fill `folder` with what a machine boots.

    Args:
        folder: that is filled.
        kernel: holds an unpacked kernel package of Debian's, below boot/ and lib/modules/.
        tools: paths of programs here: sshd and the file systems' checkers, which are copied.

    Returns:
        The initramfs, and the client's configuration without a port.

    Raises:
        RuntimeMissing: the kernel or one of its modules is not there.

    """
    root = folder / "initramfs"
    for name in ("bin", "dev", "proc", "sys", "run", "tmp", "mnt", "etc", "modules"):
        (root / name).mkdir(parents=True)
    _copy(root, Path(tools["busybox"]), Path("/bin/busybox"))
    for name in ("sshd", "fsck.ext4", "fsck.f2fs", "fsck.vfat"):
        _copy_program(root, Path(tools[name]))
    _copy_python(root)
    for number, module in enumerate(_modules(kernel)):
        shutil.copy(module, root / "modules" / f"{number:02}-{module.name}")
    (root / "etc" / "passwd").write_text(_ACCOUNTS)
    write_sshd(root / SSH.relative_to("/"), SSH, HOST, tools["sshd"])
    init = root / "init"
    init.write_text(_INIT.format(ready=READY, sshd=tools["sshd"], ssh=SSH))
    init.chmod(0o755)
    image = folder / "initramfs.cpio"
    names = "\n".join(
        str(path.relative_to(root)) for path in (root, *sorted(root.rglob("*")))
    ).encode()
    with image.open("wb") as writer:
        pack = [tools["busybox"], "cpio", "-o", "-H", "newc"]
        subprocess.run(
            pack, cwd=root, input=names, stdout=writer, stderr=subprocess.DEVNULL, check=True
        )
    return image, _client(folder, root / SSH.relative_to("/"))


def _client(folder: Path, keys: Path) -> Path:
    """Keys and configuration for who comes from here, by TCP; the port is appended later."""
    here = folder / "ssh"
    shutil.move(keys / "user_key", keys.parent / "user_key")
    here.mkdir(mode=0o700)
    shutil.move(keys.parent / "user_key", here / "user_key")
    for name in ("known_hosts", "config"):
        shutil.move(keys / name, here / name)
    config = here / "config"
    lines = [
        re.sub(r"User .*", "User root", line) if line.startswith("  User ") else line
        for line in config.read_text().replace(str(SSH), str(here)).splitlines()
        if "ProxyCommand" not in line
    ]
    config.write_text("\n".join([*lines, "  HostName 127.0.0.1", ""]))
    return config


def _copy_python(root: Path) -> None:
    """The interpreter, the modules that the helper imports, and nothing else of its library."""
    python = Path(sys.executable).resolve()
    _copy_program(root, python)
    parsed = [ast.parse(module.read_text()) for module in helper_dir().glob("*.py")]
    nodes = [node for module in parsed for node in ast.walk(module)]
    imports = [node for node in nodes if isinstance(node, ast.Import)]
    # Its loader imports `types`.
    names = sorted({alias.name for node in imports for alias in node.names} | {"types"})
    listed = run_tool([str(python), "-I", "-S", "-c", _IMPORTED, "__future__", *names]).split()
    files = {Path(line) for line in listed}
    library = Path(next(path for path in listed if path.endswith("/os.py"))).parent
    files |= set((library / "encodings").glob("*.py"))
    for file in files:
        if file.suffix == ".so":
            _copy_program(root, file)
        else:
            _copy(root, file, file)
    # By these two it finds its library, and knows where it is.
    (root / (library / "lib-dynload").relative_to("/")).mkdir(parents=True, exist_ok=True)


def _copy_program(root: Path, program: Path) -> None:
    """With the libraries that it is linked with."""
    _copy(root, program, program)
    for library in re.findall(r"(/\S+) \(0x", run_tool(["ldd", str(program)])):
        _copy(root, Path(library), Path(library))


def _copy(root: Path, source: Path, target: Path) -> None:
    there = root / target.relative_to("/")
    if not there.exists():
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, there)


def kernel_image(kernel: Path) -> Path:
    """Raises RuntimeMissing when there is none."""
    images = sorted(kernel.glob("boot/vmlinuz-*"))
    if not images:
        raise RuntimeMissing(
            f"{kernel}: holds no kernel; run: scripts/install-power-cut-tools.sh {kernel}"
        )
    return images[-1]


def _modules(kernel: Path) -> list[Path]:
    """Files of MODULES and of what they depend on, in the order in which they are loaded."""
    version = kernel_image(kernel).name.removeprefix("vmlinuz-")
    found = {
        path.stem.replace("-", "_"): path
        for path in (kernel / "lib" / "modules" / version).rglob("*.ko")
    }
    ordered: dict[str, Path] = {}

    def add(name: str) -> None:
        if name not in found:
            raise RuntimeMissing(f"{kernel}: kernel {version} has no module {name}")
        depends = re.search(rb"\0depends=([^\0]*)\0", found[name].read_bytes())
        for other in depends[1].decode().split(",") if depends else ():
            if other and other.replace("-", "_") not in ordered:
                add(other.replace("-", "_"))
        ordered[name] = found[name]

    for name in MODULES:
        add(name)
    return list(ordered.values())
