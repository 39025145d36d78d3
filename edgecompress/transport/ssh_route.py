"""Where to connect to by SSH, as OpenSSH's own programs are told it."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from edgecompress.errors import SpecError
from edgecompress.spec.address import Address, parse_address
from edgecompress.spec.device import Device


@dataclass(frozen=True)
class Route:
    """What the address leaves open, the SSH configuration says."""

    address: Address
    config: Path | None = None
    """None: the user's own."""

    def command(self, program: str, *words: str) -> str:
        """OpenSSH's, for the user to run."""
        config = ["-F", str(self.config)] if self.config else []
        port = [] if self.address.port is None else ["-p", str(self.address.port)]
        whom = str(Address(self.address.host, self.address.user))
        return shlex.join([program, *config, *port, whom, *words])

    def __str__(self) -> str:
        return str(self.address)


def route_to(device: Device) -> Route:
    """How OpenSSH is told of a device of transport ssh, which has an address by its spec."""
    place = device.place
    assert place is not None
    return Route(place, device.ssh_config)


def jump_of(text: str, config: Path | None) -> Route:
    """One host of ProxyJump; raises SpecError for what is none."""
    try:
        return Route(parse_address(text.strip()), config)
    except ValueError as error:
        raise SpecError(f"ProxyJump of {config or '~/.ssh/config'}: {error}") from None
