"""Where a device is, as people write it: `[user@]host[:port]` of SSH, and what adb goes by.

Read as OpenSSH reads them (ssh(1), and valid_hostname and valid_ruser of its ssh.c, which refuse
what a shell or a ProxyCommand could be made to carry out), and written so that they are read alike.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote

T = TypeVar("T")
SSH_SCHEME = "ssh://"
ADB_PORT = 5555
LAST_PORT = 65535
WRITE = "write host, host:port, user@host:port or [IPv6]:port"
_ODD = re.compile(r"""['`"$;&<>|(){}\s\x00-\x1f\x7f]""")
_NETWORK = re.compile(r"(?:\[(?P<six>[^\[\]]*)\]|(?P<name>[^:@\s\[\]]+)):(?P<port>[0-9]{1,5})")
_PASSWORD = re.compile(r":[^:@/]*@")
_QUALIFIED = re.compile(r"(usb|product|model|device|transport_id):")


@dataclass(frozen=True)
class Address:
    """`str` of one is read as the same again."""

    host: str
    """A name, an IP address without brackets, or a Host of the SSH configuration."""
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        user = "" if self.user is None else f"{self.user}@"
        if self.port is None:
            return f"{user}{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{user}{host}:{self.port}"


def parse_address(text: str) -> Address:
    """One of SSH: `host`, `pi@host:2222`, `[::1]:22`, `::1`, `fe80::1%eth0`, `ssh://pi@host:22`.

    Raises:
        ValueError: in one line, what it is instead.

    """
    try:
        if text[: len(SSH_SCHEME)].lower() == SSH_SCHEME:
            return _split(text[len(SSH_SCHEME) :].removesuffix("/"), is_uri=True)
        return _split(text, is_uri=False)
    except ValueError as error:
        shown = _PASSWORD.sub(":***@", text)
        raise ValueError(f"address {shown!r}: {error}; {WRITE}") from None


def check_user(user: str) -> None:
    """Raises ValueError for what no user is called, and a command line would take for more."""
    if ":" in user:
        raise ValueError("a user has no ':', and a password has no place here: SSH takes keys")
    if not user or user[0] == "-" or user[-1] == "\\" or not _is_plain(user):
        raise ValueError(f"the user {user!r} is empty, begins with '-', or has odd characters")


def parse_serial(text: str, port: int | None = None) -> str:
    """What `adb devices` prints of a device: a serial number, or HOST:PORT with adb's own port
    where an IP address comes without one.

    Raises:
        ValueError: in one line, what it is instead.

    """
    if not text or text != text.strip() or not text.isprintable() or text[0] == "-":
        raise ValueError(
            f"address {text!r}: is empty, begins with '-', or has odd characters; write what"
            " `adb devices` prints"
        )
    place = text.removeprefix("tcp:")
    found = _NETWORK.fullmatch(place)
    if found is None and not _is_ip(place):
        if place != text or "://" in text or "@" in text or _QUALIFIED.match(text):
            raise ValueError(
                f"address {text!r}: is neither HOST:PORT nor a serial; write what `adb devices`"
                " prints"
            )
        if port is not None:
            raise ValueError(f"address {text!r}: a serial number has no port; leave that out")
        return text
    try:
        address = _split(place, is_uri=False) if found else Address(_host(place))
    except ValueError as error:
        raise ValueError(f"address {text!r}: {error}; write what `adb devices` prints") from None
    its = agreed("port", address.port, port, text)
    return str(Address(address.host, None, ADB_PORT if its is None else its))


def agreed(key: str, named: T | None, given: T | None, address: str) -> T | None:
    """What an address names, or a key of the inventory; raises ValueError where they differ."""
    if named is not None and given is not None and named != given:
        raise ValueError(
            f"address {address!r}: names the {key} {named!r}, and `{key}` is {given!r}; leave out"
            " one"
        )
    return given if named is None else named


def is_network(serial: str) -> bool:
    """Whether adb reaches this device by HOST:PORT, and can be told to connect to it."""
    return _NETWORK.fullmatch(serial) is not None


def _split(text: str, *, is_uri: bool) -> Address:
    user, at, place = text.rpartition("@")
    host, port = place, None
    if place.startswith("["):
        host, bracket, behind = place[1:].partition("]")
        if not bracket or (behind and not behind.startswith(":")):
            raise ValueError("brackets hold an IPv6 address, and only a port may come behind")
        port = _port(behind[1:]) if behind else None
    elif place.count(":") == 1:
        host, _, behind = place.partition(":")
        port = _port(behind)
    if is_uri:
        user, host = unquote(user), unquote(host)
    if at:
        check_user(user)
    return Address(_host(host), user if at else None, port)


def _host(host: str) -> str:
    # Of a name that is complete; known_hosts has none.
    host = host.removesuffix(".")
    if not host:
        raise ValueError("has no host")
    if "/" in host:
        raise ValueError(f"{host!r} is no host; a folder there is `root`")
    if ":" in host and not _is_ip(host):
        raise ValueError(f"{host!r} is no IPv6 address")
    if host[0] in "-." or ".." in host or "\\" in host or not _is_plain(host):
        raise ValueError(
            f"{host!r} is no host: it begins with '-', has an empty part or odd characters"
        )
    return host


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= LAST_PORT:
        raise ValueError(f"port {text!r} is no number from 1 to {LAST_PORT}")
    return int(text)


def _is_plain(text: str) -> bool:
    return text.isprintable() and _ODD.search(text) is None


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
