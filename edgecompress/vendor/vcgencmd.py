"""The flags of a Raspberry Pi's `vcgencmd get_throttled`, which sysfs has too."""

from edgecompress.spec.base import Spec

FLAGS = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}
"""Bits of get_throttled that are set now; `SINCE_BOOT` bits higher: set at some time since boot."""
SINCE_BOOT = 16


class Throttled(Spec):
    bits: int

    @property
    def now(self) -> tuple[str, ...]:
        """What holds the board back now."""
        return tuple(word for bit, word in FLAGS.items() if self.bits >> bit & 1)

    @property
    def since_boot(self) -> tuple[str, ...]:
        """What did at some time since boot; these bits stay."""
        return tuple(word for bit, word in FLAGS.items() if self.bits >> bit + SINCE_BOOT & 1)
