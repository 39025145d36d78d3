"""What a board's sensors say while it is measured, from trees and programs as boards have them."""

import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import onnx_files
import pytest

from edgecompress.measure.tensors import write_npz
from edgecompress.spec.base import parse
from edgecompress.spec.measurement import Turn

CPU = "sys/devices/system/cpu"
ZONE = "sys/class/thermal/thermal_zone"
INA = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon4"
IIO = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
FLAGS = "sys/devices/platform/soc/soc:firmware/get_throttled"
# As tegrastats of JetPack 6 printed them on an Orin NX; 4985 mV * 3600 mA = 17946 mW.
ORIN_NX = {
    f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "1984000\n",
    f"{CPU}/cpu5/cpufreq/scaling_cur_freq": "247000\n",
    f"{ZONE}0/type": "cpu-thermal\n",
    f"{ZONE}0/temp": "65562\n",
    f"{ZONE}1/type": "soc1-thermal\n",
    f"{ZONE}1/temp": "64718\n",
    f"{INA}/in1_label": "VDD_IN\n",
    f"{INA}/in1_input": "4985\n",
    f"{INA}/curr1_input": "3600\n",
    f"{INA}/in2_label": "VDD_CPU_GPU_CV\n",
    f"{INA}/in2_input": "4985\n",
    f"{INA}/curr2_input": "1784\n",
}
# An AGX Orin: no rail feeds the whole module, a zone has no power.
AGX_ORIN = {
    f"{ZONE}0/type": "cpu-thermal\n",
    f"{ZONE}0/temp": "44562\n",
    f"{ZONE}1/type": "soc-cv-thermal\n",
    f"{ZONE}1/temp": "-256000\n",
    f"{INA}/in1_label": "VDD_GPU_SOC\n",
    f"{INA}/in1_input": "5000\n",
    f"{INA}/curr1_input": "468\n",
}
# A Xavier NX, in the files of JetPack 4.
XAVIER_NX = {
    f"{IIO}/rail_name_0": "VDD_IN\n",
    f"{IIO}/in_power0_input": "2763\n",
    f"{IIO}/rail_name_1": "VDD_SOC\n",
    f"{IIO}/in_power1_input": "650\n",
}
# vcgencmd_rpi3bplus_clean_0x0.txt and sysfs_soc_firmware_get_throttled_80008.txt.
PI = {
    f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "1400000\n",
    f"{ZONE}0/type": "cpu-thermal\n",
    f"{ZONE}0/temp": "62300\n",
    FLAGS: "80008\n",
}
# Two of the rails of a Pi 5, and its input, which has no current.
PMIC = (
    "   3V3_SYS_A current(1)=0.10000000A\n  VDD_CORE_A current(7)=2.00000000A\n"
    "   3V3_SYS_V volt(9)=3.30000000V\n  VDD_CORE_V volt(15)=0.75000000V\n"
    "     EXT5V_V volt(24)=5.08530000V\n"
)
DEADLINE_S = 30.0


def nowhere(_name: str) -> None:
    return None


@pytest.fixture
def grow(tmp_path):
    def plant(tree: dict[str, str]) -> Path:
        root = tmp_path / "root"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        for name, text in tree.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return root

    return plant


@pytest.fixture
def programs(tmp_path):
    """programs(name=source): finds a program of that name, in Python, as a board's PATH would."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def install(**sources: str):
        for name, source in sources.items():
            (folder / name).write_text(f"#!{sys.executable} -S\nimport sys, time\n{source}\n")
            (folder / name).chmod(0o755)
        return lambda name: shutil.which(name, path=str(folder))

    return install


def vcgencmd(**answers: str) -> str:
    return f'print({answers!r}.get(sys.argv[1], "error=1 error_msg=\\"Command not registered\\""))'


@pytest.fixture
def sampled(agent_module, grow):
    """Telemetry of a board, after some samples; `meanwhile` is done after the first."""

    def run(tree, which=nowhere, count=2, meanwhile=lambda root: None):
        root = grow(tree)
        telemetry = agent_module("telemetry").Telemetry(root, which, every_s=0.02)
        deadline = time.monotonic() + DEADLINE_S
        with telemetry:
            for wanted in range(1, count + 1):
                while len(telemetry.samples) < wanted and time.monotonic() < deadline:
                    time.sleep(0.01)
                if wanted == 1:
                    meanwhile(root)
        assert len(telemetry.samples) >= count
        return telemetry

    return run


def figures(sample: dict[str, object]) -> tuple[object, ...]:
    return tuple(sample[key] for key in ("temperature_c", "clock_mhz", "throttled", "power_mw"))


@pytest.mark.parametrize(
    ("tree", "expected", "power_of"),
    [
        (ORIN_NX, (65.562, 1984.0, None, 17946.0), "VDD_IN"),
        (AGX_ORIN, (44.562, None, None, None), None),
        (XAVIER_NX, (None, None, None, 2763.0), "VDD_IN"),
        (PI, (62.3, 1400.0, "0x80008", None), None),
        ({}, (None, None, None, None), None),
    ],
    ids=["orin-nx", "agx-orin", "xavier-nx", "raspberry-pi", "nothing-readable"],
)
def test_boards(sampled, tree, expected, power_of):
    telemetry = sampled(tree)
    assert {figures(sample) for sample in telemetry.samples} == {expected}
    assert telemetry.power_of == power_of
    times = [sample["at_s"] for sample in telemetry.samples]
    assert times == sorted(times)
    assert times[0] > 0


def test_what_changes_while_it_runs(sampled):
    def throttle(root: Path) -> None:
        (root / FLAGS).write_text("5000d\n")
        (root / f"{CPU}/cpu0/cpufreq/scaling_cur_freq").write_text("600000\n")

    samples = sampled(PI, count=4, meanwhile=throttle).samples
    assert figures(samples[0]) == (62.3, 1400.0, "0x80008", None)
    assert figures(samples[-1]) == (62.3, 600.0, "0x5000d", None)


def test_a_sensor_that_goes_away(sampled):
    samples = sampled(ORIN_NX, count=4, meanwhile=lambda root: shutil.rmtree(root / INA)).samples
    assert samples[0]["power_mw"] == 17946.0
    assert samples[-1]["power_mw"] is None


@pytest.mark.parametrize(
    ("power_mw", "latency_ms", "expected"),
    [
        ([17000.0, 19000.0], [10.0, 12.0], 18000 * 0.011),
        ([17000.0], [10.0, 12.0], None),
        ([], [10.0], None),
        ([17000.0, 19000.0], [], None),
    ],
)
def test_energy(agent_module, power_mw, latency_ms, expected):
    found = agent_module("telemetry").energy_mj(power_mw, latency_ms)
    assert found == (None if expected is None else pytest.approx(expected))


def test_flags_and_power_by_vcgencmd(sampled, programs):
    which = programs(vcgencmd=vcgencmd(get_throttled="throttled=0x50005", pmic_read_adc=PMIC))
    telemetry = sampled({}, which)
    assert telemetry.samples[0]["throttled"] == "0x50005"
    assert telemetry.samples[0]["power_mw"] == pytest.approx(100 * 3.3 + 2000 * 0.75)
    assert telemetry.power_of == "the rails of the PMIC, without USB and what else hangs on 5 V"


@pytest.mark.parametrize(
    "source",
    [
        vcgencmd(),
        'print("VCHI initialization failed"); sys.exit(255)',
        "sys.exit(1)",
        vcgencmd(pmic_read_adc=" VDD_CORE_A current(7)=2.0A\n 3V3_SYS_V volt(9)=3.3V"),
    ],
    ids=["older-pi", "no-access", "fails", "a-rail-is-missing"],
)
def test_a_vcgencmd_that_does_not_say(sampled, programs, source):
    assert figures(sampled({}, programs(vcgencmd=source)).samples[0]) == (None,) * 4


TEGRASTATS = """
assert sys.argv[1:] == ["--interval", "1000"]
while True:
    print("RAM 6982/7620MB (lfb 5x1MB) cpu@65.562C {} 17946mW/15710mW VDD_SOC 3923mW/3515mW",
          flush=True)
    time.sleep(0.01)
"""


def test_power_by_tegrastats_where_sysfs_is_closed(sampled, programs):
    telemetry = sampled({}, programs(tegrastats=TEGRASTATS.format("VDD_IN")))
    assert telemetry.samples[0]["power_mw"] == 17946.0
    assert telemetry.power_of == "VDD_IN"


@pytest.mark.parametrize(
    "figures", ["17946/15710", "17946mW/15710mW/17946mW", "17.946W/15.71W", "17946mW/-392mW"]
)
def test_power_as_releases_of_tegrastats_print_it(sampled, programs, figures):
    source = TEGRASTATS.format("VDD_IN").replace("17946mW/15710mW", figures)
    assert sampled({}, programs(tegrastats=source)).samples[0]["power_mw"] == 17946.0


@pytest.mark.parametrize(
    ("tree", "program", "said"),
    [
        (
            {},
            {"tegrastats": TEGRASTATS.format("VDD_IN").replace("17946mW", "17946J")},
            "tegrastats says what is not understood, and not used: VDD_IN 17946J/15710mW",
        ),
        ({**PI, FLAGS: "no 1"}, {}, f"{FLAGS} says what is not understood, and not used: no 1"),
        (
            {f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "1400 MHz\n"},
            {},
            "scaling_cur_freq says what is not understood, and not used: 1400 MHz",
        ),
        (
            {f"{ZONE}0/type": "cpu-thermal\n", f"{ZONE}0/temp": "62\x1b[2J"},
            {},
            "temp says what is not understood, and not used: 62\\x1b[2J",
        ),
        (
            {f"{INA}/in1_label": "VDD_IN", f"{INA}/in1_input": "5 V", f"{INA}/curr1_input": "1"},
            {},
            "in1_input says what is not understood, and not used: 5 V",
        ),
        (
            {},
            {"vcgencmd": vcgencmd(get_throttled="throttled=5")},
            "vcgencmd get_throttled says what is not understood, and not used: throttled=5",
        ),
        (
            {},
            {"vcgencmd": vcgencmd(pmic_read_adc=PMIC + "  NEW_A current(9)=12mA")},
            "pmic_read_adc says what is not understood, and not used: NEW_A current(9)=12mA",
        ),
    ],
    ids=["tegrastats", "flags", "clock", "zone", "rail", "throttled", "pmic"],
)
def test_what_looks_like_data_and_is_not_understood_is_said(
    agent_module, grow, programs, tree, program, said
):
    unread = agent_module("unread").Unread()
    which = programs(**program) if program else nowhere
    with agent_module("telemetry").Telemetry(grow(tree), which, 60.0, unread) as telemetry:
        telemetry._sample()
    assert telemetry.samples[0]["power_mw"] is None
    (note,) = unread.notes()
    assert note.endswith(said)


@pytest.mark.parametrize("source", [TEGRASTATS.format("VDD_GPU_SOC"), "sys.exit(1)"])
def test_a_tegrastats_that_does_not_say(sampled, programs, source):
    telemetry = sampled({}, programs(tegrastats=source))
    assert (telemetry.samples[0]["power_mw"], telemetry.power_of) == (None, None)


@pytest.fixture
def request_fields(tmp_path) -> dict[str, object]:
    model = tmp_path / "model.onnx"
    onnx_files.linear(model, features=8, classes=3, batch=1)
    write_npz(tmp_path / "inputs.npz", {"x": np.zeros((1, 8), np.float32)})
    return {
        "model": str(model),
        "runtime": "onnxruntime",
        "threads": 1,
        "inputs": str(tmp_path / "inputs.npz"),
        "warmup_iterations": 1,
        "min_iterations": 5,
    }


def test_a_board_that_lacks_a_sensor_says_none(ask, request_fields):
    """This machine: a whole run of the agent, whatever of sensors is here."""
    said = ask("measure", **request_fields, min_duration_s=1.2).result
    turn = parse(Turn, said, "agent measure")
    assert turn.telemetry
    assert not any(
        (turn.power_of is None) != (sample.power_mw is None) for sample in turn.telemetry
    )
    if not any(map(shutil.which, ("vcgencmd", "tegrastats"))):
        assert {sample.throttled for sample in turn.telemetry} == {None}
        assert {sample.power_mw for sample in turn.telemetry} == {None}
        assert turn.energy_mj_per_inference is None


def test_a_turn_tells_its_energy(agent_module, grow, request_fields):
    """The agent's own code, on a board that has sensors; two and a half seconds of samples."""
    document = {"schema_version": 1, "min_duration_s": 2.5, **request_fields}
    request = agent_module("request").Request(json.dumps(document).encode())
    said = agent_module("measure").run(request, grow(ORIN_NX), nowhere)
    turn = parse(Turn, said, "agent measure")
    assert turn.power_of == "VDD_IN"
    assert turn.before.temperature_c == 65.562
    assert turn.energy_mj_per_inference == pytest.approx(17.946 * np.mean(turn.latency_ms))
