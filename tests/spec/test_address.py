"""Addresses as people write them: understood, or refused in one line."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.errors import SpecError
from edgecompress.spec.address import Address, is_network, parse_address, parse_serial
from edgecompress.spec.base import parse
from edgecompress.spec.device import Device, Inventory


@pytest.mark.parametrize(
    ("text", "host", "user", "port"),
    [
        ("pi", "pi", None, None),
        ("pi.local", "pi.local", None, None),
        ("pi.local.", "pi.local", None, None),
        ("10.0.0.7", "10.0.0.7", None, None),
        ("pi@host", "host", "pi", None),
        ("a@b@host", "host", "a@b", None),
        ("DOMAIN\\me@host", "host", "DOMAIN\\me", None),
        ("host:2222", "host", None, 2222),
        ("10.0.0.7:022", "10.0.0.7", None, 22),
        ("[host]:2222", "host", None, 2222),
        ("::1", "::1", None, None),
        ("[::1]", "::1", None, None),
        ("[::1]:2222", "::1", None, 2222),
        ("pi@[fe80::1%eth0]:22", "fe80::1%eth0", "pi", 22),
        ("pi@fe80::1%eth0", "fe80::1%eth0", "pi", None),
        ("ssh://pi@host:22", "host", "pi", 22),
        ("SSH://host/", "host", None, None),
        ("ssh://[fe80::1%25eth0]:22", "fe80::1%eth0", None, 22),
        ("ssh://a%40b@host", "host", "a@b", None),
        ("bücher.example", "bücher.example", None, None),
    ],
)
def test_what_is_understood(text, host, user, port):
    assert parse_address(text) == Address(host, user, port)


REFUSED = [
    "",
    " ",
    ".",
    "pi ",
    " pi",
    "p i",
    "pi\n",
    "pi\t",
    "pi\0",
    "pi\x1b[2J",
    "pi\u202e",
    "-oProxyCommand=x",
    "pi@-x",
    "-l@pi",
    "@host",
    "pi@",
    "pi@:22",
    ":22",
    "host:",
    "host:0",
    "host:65536",
    "host:ssh",
    "host:-1",
    "host:+22",
    "host:\uff12\uff12",
    "host:22:33",
    "pi@host:/home/pi",
    "host/path",
    "ssh://host:22/home",
    "ssh://",
    "sftp://host",
    "http://host",
    "[::1",
    "::1]",
    "[::1]x",
    "[::1]:",
    "[::1]22",
    "[]",
    "[]:22",
    "[::zz]",
    "a::g",
    "..",
    ".host",
    "a..b",
    "$(id)",
    "a;b",
    "a`b`",
    "a'b",
    'a"b',
    "a\\b",
    "a{1,2}",
    "pi;x@host",
    "p i@host",
    "ssh://p%20i@host",
    "ssh://ho%0ast",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused(text):
    with pytest.raises(SpecError) as caught:
        parse(Device, {"id": "a", "target": "t", "transport": "ssh", "address": text}, "here")
    said = str(caught.value)
    assert said.startswith("here: address ")
    assert said.isprintable()
    assert "write host, host:port, user@host:port or [IPv6]:port" in said


def test_a_password_is_not_repeated():
    with pytest.raises(ValueError, match=r"\*\*\*@host.*a password has no place here") as caught:
        parse_address("pi:secret@host")
    assert "secret" not in str(caught.value)


names = st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,8}[a-z0-9])?(\.[a-z0-9]{1,5}){0,2}", fullmatch=True)
zones = st.sampled_from(["", "%eth0", "%1"])
sixes = st.tuples(st.ip_addresses(v=6), zones).map(lambda pair: f"{pair[0]}{pair[1]}")
hosts = st.one_of(names, st.ip_addresses(v=4).map(str), sixes)
users = st.from_regex(r"[a-z_][a-z0-9_.@\\-]{0,8}[a-z0-9]", fullmatch=True)


@given(hosts, st.none() | users, st.none() | st.integers(1, 65535))
def test_what_is_written_is_read_alike(host, user, port):
    address = Address(host, user, port)
    assert parse_address(str(address)) == address
    if "%" not in str(address):
        assert parse_address(f"ssh://{address}") == address


@given(st.one_of(st.text(max_size=30), st.text("pi@:[]./%2-0 ssh", max_size=12)))
def test_any_text_is_read_for_good_or_refused(text):
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert parse_address(str(address)) == address
    assert (str(address) + (address.user or "x")).isprintable()
    if ":" in address.host:
        ipaddress.IPv6Address(address.host)


def ssh(**fields: object) -> Device:
    return parse(Device, {"id": "a", "target": "t", "transport": "ssh", **fields}, "here")


def test_an_address_of_ssh_is_split():
    device = ssh(address="pi@host:2222", tags=["a", "b"], ssh_config="/x")
    assert (device.address, device.user, device.port) == ("host", "pi", 2222)
    assert str(device.place) == "pi@host:2222"
    assert device == Device(
        id="a", target="t", transport="ssh", address="pi@host:2222", tags=("a", "b"),
        ssh_config=device.ssh_config,
    )  # fmt: skip
    assert parse(Device, device.model_dump(mode="json"), "again") == device
    assert ssh(address="pi@[::1]:22", user="pi", port=22).place == Address("::1", "pi", 22)
    assert ssh(address="::1", port=2222).place == Address("::1", None, 2222)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"address": "pi@host", "user": "root"}, "names the user 'pi', and `user` is 'root'"),
        ({"address": "host:22", "port": 2222}, "names the port 22, and `port` is 2222; leave out"),
        ({"address": "host", "port": 0}, "port: must be at least 1, got 0"),
        ({"address": "host", "port": 65536}, "port: must be at most 65535"),
        ({"address": "host", "port": "22"}, "port: expected a whole number"),
        ({"address": 7}, "address: expected text"),
        ({"address": ["::1"]}, "address: expected text"),
        ({"address": "host", "user": ""}, "user: "),
        ({"address": "host", "user": "pi "}, "user: "),
        ({"address": "host", "user": "pi:secret"}, "a password has no place here"),
        ({"address": "host", "tags": "x"}, "tags: expected a list"),
        ({}, "needs an address"),
        ({"address": None}, "needs an address"),
        ({"transport": ["ssh"], "address": "host"}, "transport"),
        ({"transport": {}, "address": "host"}, "transport"),
        ({"transport": "local", "address": "host"}, "transport local is this machine and has no"),
        ({"transport": "local", "port": 22}, "has no `port`; leave it out"),
        ({"transport": "adb", "user": "pi"}, "transport adb has no `user`"),
        ({"transport": "adb", "port": 5555}, "without an address"),
        (
            {"transport": "adb", "address": "10.0.0.7", "port": True},
            "port: expected a whole number",
        ),
        ({"transport": "adb", "address": "10.0.0.7", "port": 0}, "port: must be at least 1"),
        (
            {"transport": "adb", "address": "10.0.0.7:5555", "port": 5556},
            "names the port 5555, and",
        ),
        ({"transport": "adb", "address": "0A1B", "port": 5555}, "a serial number has no port"),
    ],
)
def test_what_does_not_go_together(fields, said):
    with pytest.raises(SpecError) as caught:
        ssh(**fields)
    assert str(caught.value).startswith("here: ")
    assert said in str(caught.value)


def test_an_inventory_names_the_device():
    devices = [{"id": "a", "target": "t", "transport": "ssh", "address": "host:ssh"}]
    with pytest.raises(SpecError, match=r"^x: devices\.0: address 'host:ssh': port 'ssh' is no"):
        parse(Inventory, {"devices": devices}, "x")


@pytest.mark.parametrize(
    ("text", "port", "serial"),
    [
        ("0A1B2C3D", None, "0A1B2C3D"),
        ("emulator-5554", None, "emulator-5554"),
        ("R58M.x_y+z/1", None, "R58M.x_y+z/1"),
        ("????????????", None, "????????????"),
        ("00:11:22:33:44:55", None, "00:11:22:33:44:55"),
        ("adb-9A1-xYz (2)._adb-tls-connect._tcp", None, "adb-9A1-xYz (2)._adb-tls-connect._tcp"),
        ("10.0.0.7:5556", None, "10.0.0.7:5556"),
        ("10.0.0.7", None, "10.0.0.7:5555"),
        ("10.0.0.7", 5556, "10.0.0.7:5556"),
        ("10.0.0.7:5555", 5555, "10.0.0.7:5555"),
        ("tcp:phone.local:5555", None, "phone.local:5555"),
        ("[::1]:5555", None, "[::1]:5555"),
        ("::1", None, "[::1]:5555"),
        ("fe80::1%eth0", None, "[fe80::1%eth0]:5555"),
    ],
)
def test_what_adb_goes_by(text, port, serial):
    assert parse_serial(text, port) == serial
    assert parse_serial(serial) == serial
    assert is_network(serial) == serial.endswith(("5555", "5556"))
    fields = {"address": text, **({} if port is None else {"port": port})}
    device = ssh(transport="adb", **fields)
    assert (device.address, device.port, device.place) == (serial, None, None)


@pytest.mark.parametrize(
    "text",
    ["", " ", "x ", " x", "-s", "x\n", "x\x1b[0m", "usb:1-4", "model:Pixel", "tcp:phone", "tcp:",
     "10.0.0.7:0", "10.0.0.7:99999", "pi@10.0.0.7:5555", "adb://10.0.0.7", "[::zz]:5555",
     "a;b:5555", "[]:5555"],
)  # fmt: skip
def test_what_adb_does_not_go_by(text):
    with pytest.raises(SpecError, match=r"^here: address ") as caught:
        ssh(transport="adb", address=text)
    assert str(caught.value).isprintable()
    assert "what `adb devices` prints" in str(caught.value)
