"""Packages of Debian for 64-bit Arm, fetched by this machine's apt into folders of our own.

apt resolves what depends on what and checks Debian's signatures. Nothing of this machine's own
package lists is touched, and nothing needs root.
"""

from collections.abc import Sequence
from pathlib import Path

from edgecompress.devices.tools import run_tool
from edgecompress.errors import RuntimeMissing

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ARCHITECTURE = "arm64"
NETWORK = "is there a network?"

# The lists that are cleared would run programs of this machine's, or add its architectures.
_CONFIG = """\
#clear APT::Architectures;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
APT::Architecture "{architecture}";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
Dir::State "{folder}";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
"""


class Debian:
    """Downloads lie in `folder`, so that one that was cut off goes on from there."""

    def __init__(self, folder: Path, suite: str, mirror: str | None) -> None:
        """`mirror`: its URL; None: the one that this machine's apt uses, if it is a Debian.

        Raises RuntimeMissing when apt knows no mirror, or Debian's keys are not here.
        """
        if not KEYRING.exists():
            raise RuntimeMissing(
                f"{KEYRING}: Debian's keys are missing; run:"
                " sudo apt install debian-archive-keyring"
            )
        self._folder = folder
        self._config = folder / "apt.conf"
        mirror = mirror or _own_mirror()
        for name in ("lists/partial", "archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        # Nothing is installed there, so that whatever is depended on is fetched.
        (folder / "status").write_bytes(b"")
        (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n")
        self._config.write_text(_CONFIG.format(folder=folder, architecture=ARCHITECTURE))

    def update(self) -> None:
        """Fetch the lists of packages. Raises DeviceError when the mirror cannot be read."""
        self._apt_get("update", "--option", "APT::Update::Error-Mode=any")

    def fetch(self, packages: Sequence[str]) -> list[Path]:
        """These packages and what they depend on, as .deb files.

        Raises:
            DeviceError: one is not there, or cannot be fetched.

        """
        self._apt_get("autoclean")  # what an earlier fetch left and the mirror has no more
        self._apt_get("install", "--download-only", "--yes", *packages)
        return sorted((self._folder / "archives").glob("*.deb"))

    def clean(self) -> None:
        """Remove what was fetched, but for the lists."""
        self._apt_get("clean")

    def _apt_get(self, *arguments: str) -> None:
        run_tool(["apt-get", "--config-file", str(self._config), "--quiet=2", *arguments], NETWORK)


def unpack(package: Path, folder: Path) -> None:
    """Raises DeviceError when it is not a Debian package."""
    run_tool(["dpkg-deb", "--extract", str(package), str(folder)])


def _own_mirror() -> str:
    """The mirror of this machine's apt; its other sources are not looked at."""
    listed = run_tool(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI) $(COMPONENT) $(ORIGIN)",
            "Created-By: Packages",
        ]
    )
    for line in listed.splitlines():
        uri, component, origin = (*line.split(maxsplit=2), "")[:3]
        # Before the first `apt-get update` the origin is not known. Security updates are a
        # repository of their own, and hold a few packages only.
        is_main = uri.rstrip("/").endswith("/debian") or origin == "Debian"
        if is_main and component == "main" and "security" not in uri:
            return uri
    raise RuntimeMissing(
        "this machine's apt knows no Debian mirror; choose one on"
        " https://www.debian.org/mirror/list and name it with --mirror URL"
    )
