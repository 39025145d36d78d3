"""What `check` says of a phone, over the real adb."""

import shutil
from pathlib import Path

from android_phone.adbd import Adbd
from android_phone.phone import BENCHMARK_MODEL, adb_connect, adb_server, make_phone, phone

from edgecompress.devices import Checked, Row
from edgecompress.devices.check import check
from edgecompress.spec.device import Device
from edgecompress.spec.load import load_target

__all__ = ["adb_server", "make_phone", "phone"]

TOOL = "/data/local/tmp/benchmark_model"


def checked(phone: Adbd, target: str, **fields: object) -> Checked:
    described = {"id": "phone", "target": target, "transport": "adb", "address": phone.address}
    wanted = load_target(target)
    # The phone of the tests has the processor of this machine.
    return check(
        Device.model_validate({**described, **fields}),
        wanted.model_copy(update={"cpu": "native"}),
    )


def rows(found: Checked) -> dict[str, Row]:
    return {row.name: row for row in found.rows}


def test_a_phone_with_the_tool(adb_server: int, phone: Adbd) -> None:
    adb_connect(adb_server, phone)
    shutil.copy(BENCHMARK_MODEL, f"{phone.root}{TOOL}")
    found = checked(phone, "android-nnapi", benchmark_model=TOOL)
    assert found.usable, found
    said = rows(found)
    assert said["system"].text.startswith("Android 13 (API 33), edgecompress")
    assert said["api level"].text == "33"
    assert said["benchmark_model"].text == TOOL
    assert said["emulated"].state == "warning"
    assert said["disk"].text.endswith("MiB free")
    assert not {"python", "numpy", "runtime"} & set(said)
    sent = checked(phone, "android-xnnpack", benchmark_model=str(BENCHMARK_MODEL))
    assert sent.usable, sent


def test_a_phone_without_it(adb_server: int, phone: Adbd, tmp_path: Path) -> None:
    adb_connect(adb_server, phone)
    for given in (None, "/system/bin/nothing", str(tmp_path / "nothing")):
        found = checked(phone, "android-xnnpack", benchmark_model=given)
        lacking = [row for row in found.rows if row.state == "missing"]
        assert [row.name for row in lacking] == ["benchmark_model"]
        assert "download https://" in lacking[0].text


def test_a_phone_that_is_too_old_for_the_target(adb_server: int, phone: Adbd) -> None:
    adb_connect(adb_server, phone)
    target = load_target("android-nnapi")
    newer = target.runtime.model_copy(update={"api_level": 35})
    wanted = target.model_copy(update={"cpu": "native", "runtime": newer})
    device = Device(id="phone", target=target.name, transport="adb", address=phone.address)
    found = check(device, wanted)
    assert not found.usable
    assert rows(found)["api level"].text == "33"
    assert rows(found)["nnapi"].text == "33, where android-nnapi counts on NNAPI of 35"
    assert rows(found)["nnapi"].fix == "use target android-xnnpack, or a newer phone"


def test_a_phone_that_is_gone(adb_server: int, phone: Adbd) -> None:
    phone.vanish()
    (row,) = checked(phone, "android-xnnpack").rows
    assert (row.name, row.state) == ("connection", "missing")
    assert row.fix == "see what is connected with: adb devices"
