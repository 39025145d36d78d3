"""Boards as they are found, judged row by row."""

import pytest

from edgecompress.devices.rows import Row, board_rows, package_rows, python_row
from edgecompress.spec.device import Device
from edgecompress.spec.load import load_target
from edgecompress.spec.measurement import DeviceState, Probe

GIB = 1 << 30
WELL = Probe(
    machine="aarch64",
    system="Linux-6.6.31+rpt-rpi-2712-aarch64-with-glibc2.36",
    python="3.11.2",
    cpu_model="Raspberry Pi 5 Model B Rev 1.0",
    cpu_features=("asimd", "asimddp", "asimdhp"),
    cores=4,
    memory_bytes=8 * GIB,
    versions={"numpy": "2.2.1", "onnxruntime": "1.20.1"},
    kernel_machine="aarch64",
    python_bits=64,
    free_disk_bytes=20 * GIB,
    available_memory_bytes=6 * GIB,
    epoch_s=0.0,
    state=DeviceState(
        governor="performance", clock_mhz=2400, temperature_c=48.0, throttled="0x0", load_1m=0.1
    ),
)


def rows(
    target: str = "raspberry-pi-5-onnxruntime",
    behind_s: float = 0.0,
    python: str | None = None,
    **changed: object,
) -> dict[str, Row]:
    device = Device(id="pi", target=target, transport="ssh", address="pi", python=python)
    probe = WELL.model_copy(update=changed)
    wanted = load_target(target)
    found = [*board_rows(wanted, device, probe, behind_s), *package_rows(wanted, device, probe)]
    names = [row.name for row in found]
    assert len(names) == len(set(names))
    return {row.name: row for row in found}


def state(**changed: object) -> dict[str, object]:
    assert WELL.state is not None
    return {"state": WELL.state.model_copy(update=changed)}


def test_a_board_that_has_it_all() -> None:
    assert {row.state for row in rows().values()} == {"ok"}


@pytest.mark.parametrize(
    ("changed", "name", "text", "fix"),
    [
        (
            {"machine": "armv7l"},
            "architecture",
            "armv7l, where raspberry-pi-5-onnxruntime is aarch64",
            "list",
        ),
        ({"python_bits": 32}, "architecture", "a Python of 32 bits", "64-bit edition"),
        ({"versions": {"onnxruntime": "1.20.1"}}, "numpy", "is missing", "/pip install numpy"),
        ({"versions": {"numpy": "2"}}, "runtime", "onnxruntime is missing", "'onnxruntime>=1.17'"),
        (
            {"versions": {"numpy": "1.26", "onnxruntime": "1.16.3"}},
            "runtime",
            "onnxruntime 1.16.3 is not >=1.17, which the target asks for",
            "'onnxruntime>=1.17'",
        ),
        ({"free_disk_bytes": 1 << 20}, "disk", "1 MiB free, at least 64", "make room"),
        ({"available_memory_bytes": 1 << 20}, "memory", "1 MiB free, at least 64", "make room"),
    ],
)
def test_what_keeps_a_board_from_being_used(
    changed: dict[str, object], name: str, text: str, fix: str
) -> None:
    row = rows(python="/opt/board/python", **changed)[name]
    assert row.state == "missing"
    assert text in row.text
    assert fix.replace("/pip", "/opt/board/python -m pip") in str(row.fix)


@pytest.mark.parametrize(
    ("changed", "name", "text"),
    [
        ({"cpu_features": ("asimd",)}, "cpu", "lacks asimdhp, asimddp"),
        ({"free_disk_bytes": 500 << 20}, "disk", "500 MiB free, which is little"),
        ({"available_memory_bytes": 100 << 20}, "memory", "100 MiB free, which is little"),
        ({"behind_s": 3e8}, "clock", "3472 days behind this machine's"),
        ({"behind_s": -90.0}, "clock", "90 s ahead of this machine's"),
        (state(governor="ondemand"), "governor", "ondemand: latencies vary"),
        (
            state(throttled="0x50005"),
            "throttling",
            "under-voltage, throttled, under-voltage since boot, throttled since boot",
        ),
        (state(throttled="severe"), "throttling", "severe"),
        ({"kernel_machine": "x86_64"}, "emulated", "decides nothing"),
    ],
)
def test_what_is_amiss_and_no_obstacle(changed: dict[str, object], name: str, text: str) -> None:
    found = rows(**changed)
    assert [row.name for row in found.values() if row.state != "ok"] == [name]
    assert found[name].state == "warning"
    assert text in found[name].text


def test_what_the_system_does_not_say_is_no_obstacle() -> None:
    silent = rows(
        cpu_model=None,
        cpu_features=(),
        free_disk_bytes=None,
        available_memory_bytes=None,
        state=None,
    )
    assert {row.state for row in silent.values()} == {"ok"}


def test_pip_of_the_systems_own_python_gets_an_environment() -> None:
    fix = rows(versions={})["numpy"].fix
    assert fix is not None
    assert fix.startswith("python3 -m venv ~/edgecompress-venv")
    assert fix.endswith("~/edgecompress-venv/bin/python -m pip install numpy")


def test_litert_is_either_package() -> None:
    for package in ("ai-edge-litert", "tflite-runtime"):
        versions = {"numpy": "1.26.4", package: "2.14.0"}
        assert rows("raspberry-pi-5-litert", versions=versions)["runtime"].state == "ok"


def test_a_jetson_says_how_to_get_tensorrt() -> None:
    probe = {"versions": {"numpy": "1.26.4"}, "trtexec": "/usr/src/tensorrt/bin/trtexec"}
    found = rows("jetson-agx-orin", **probe)
    assert found["runtime"].state == "missing"
    assert "--system-site-packages" in str(found["runtime"].fix)
    assert found["trtexec"].state == "ok"
    old = rows("jetson-agx-orin", versions={"numpy": "1.26.4", "tensorrt": "8.5.2.2"})
    assert "tensorrt 8.5.2.2 is not ==10.3.*" in old["runtime"].text
    assert "JetPack that has TensorRT 10.3" in str(old["runtime"].fix)
    assert old["trtexec"].state == "warning"
    right = rows("jetson-agx-orin", versions={"numpy": "1.26.4", "tensorrt": "10.3.0"})
    assert right["runtime"].state == "ok"


@pytest.mark.parametrize(
    ("version", "state"),
    [("3.7.3", "missing"), ("3.8.0", "ok"), ("3.13.1", "ok"), ("3.14.0rc1", "warning")],
)
def test_python(version: str, state: str) -> None:
    assert python_row(version, "python3").state == state
