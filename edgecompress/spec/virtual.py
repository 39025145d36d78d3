"""`devices/virtual.yaml`: the boards that can be had without the board."""

from edgecompress.spec.base import Spec


class VirtualBoard(Spec):
    cpu: str
    """As `qemu-aarch64-static -cpu help` spells it."""
    wheels: tuple[str, ...]
    """What pip installs there, each as 'name==version'; nothing that they depend on is added."""


class VirtualBoards(Spec):
    suite: str
    """Debian's release."""
    debian_packages: tuple[str, ...]
    """With what they depend on."""
    python: str
    """The board's, as '3.11'."""
    boards: dict[str, VirtualBoard]
    """Target -> board."""
