"""`edgecompress devices` as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgecompress.spec.load import load_inventory

SSH = ["add", "--id", "a", "--target", "local", "--transport", "ssh"]


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgecompress", "devices", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def document(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_added_listed_and_checked(tmp_path: Path) -> None:
    python = ["--python", "/no/such/python"]
    added = run(
        *("add", "--id", "pi", "--target", "local", "--transport", "local", "--tag", "kitchen"),
        *(*python, "--json"),
        folder=tmp_path,
    )
    assert document(added)["inventory"] == "devices.yaml"
    assert document(added)["device"]["tags"] == ["kitchen"]

    listed = document(run("list", "--json", folder=tmp_path))["devices"]
    bundled = [device.id for device in load_inventory(None).devices]
    assert [device["id"] for device in listed] == ["pi", *bundled]
    assert "kitchen" in run("list", folder=tmp_path).stdout

    done = run("check", "pi", "this-machine", "--json", folder=tmp_path)
    assert done.returncode == 4
    found = document(done)["devices"]
    assert {one["device"] for one in found} == {"pi", "this-machine"}
    by_name = {(one["device"], one["target"]): one for one in found}
    pi, here = (by_name[device, "local-onnxruntime"] for device in ("pi", "this-machine"))
    assert (pi["usable"], here["usable"]) == (False, True)
    assert pi["rows"][-1]["name"] == "python"
    assert pi["rows"][-1]["fix"].startswith("sudo apt install python3")
    assert "\nerror: not usable: pi; of pi: no Python there: " in done.stderr


def test_an_address_is_written_apart(tmp_path: Path) -> None:
    added = run(*SSH, "--address", "pi@[::1]:2222", "--json", folder=tmp_path)
    device = document(added)["device"]
    assert (device["address"], device["user"], device["port"]) == ("::1", "pi", 2222)
    written = (tmp_path / "devices.yaml").read_text()
    assert '    address: "::1"\n    user: pi\n    port: 2222\n' in written
    assert "pi@[::1]:2222" in run("list", folder=tmp_path).stdout


def test_a_usable_device_exits_well(tmp_path: Path) -> None:
    done = run("check", "this-machine", folder=tmp_path)
    assert done.returncode == 0
    assert "usable" in done.stdout
    assert "error" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add", "--id", "a"], "devices add: --target, --transport missing; or build a board with"),
        (
            ["add", "--id", "a", "--target", "locl", "--transport", "local"],
            "target 'locl' is unknown; did you mean 'local'?",
        ),
        (
            ["add", "--id", "../a", "--target", "local", "--transport", "local"],
            "devices add: id: '../a' must be of a-z",
        ),
        (
            ["add", "--id", "this-machine", "--target", "local", "--transport", "local"],
            "devices.yaml: id 'this-machine' is taken; choose another with --id",
        ),
        (
            ["add", "--id", "a", "--target", "local", "--transport", "usb"],
            "devices add: transport 'usb' is unknown; known: adb, local, ssh",
        ),
        (
            [*SSH, "--address", "pi@host:ssh"],
            "devices add: address 'pi@host:ssh': port 'ssh' is no number from 1 to 65535",
        ),
        ([*SSH, "--address", ""], "devices add: address '': has no host"),
        (
            [*SSH, "--address", "pi@host", "--user", "root"],
            "devices add: address 'pi@host': names the user 'pi', and `user` is 'root'",
        ),
        (
            ["add", "--virtual", "local"],
            "devices add --virtual: 'local' cannot be emulated; known:",
        ),
        (
            ["add", "--virtual", "raspberry-pi-5", "--address", "x"],
            "devices add: --virtual says it all; leave out --address",
        ),
        (["check", "nobody"], "device 'nobody' is unknown; known: this-machine"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = run(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
