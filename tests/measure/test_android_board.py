"""What a phone is and how it does, from what its commands print; nothing where they fail."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgecompress.measure.android_board import BETWEEN, CPUFREQ, read_probe, read_state
from edgecompress.transport import Completed, Transport

THERMAL = """IsStatusOverride: {overridden}
Thermal Status: {status}
Current temperatures from HAL:
\tTemperature{{mValue=41.5, mType=0, mName=cpu0, mStatus=0}}
\tTemperature{{mValue=43.25, mType=0, mName=CPU1, mStatus=0}}
\tTemperature{{mValue=55.0, mType=1, mName=GPU, mStatus=0}}
"""
STATE = {
    "cat /proc/loadavg": "10.52 0.58 0.59 1/1234 5678\n",
    f"cat {CPUFREQ}/scaling_governor": "walt\nschedutil\nwalt\n",
    f"cat {CPUFREQ}/scaling_cur_freq": "1804800\n2419200\n",
    "dumpsys thermalservice": THERMAL.format(overridden="false", status=2),
}
PHONE = {
    **STATE,
    "uname -m": "aarch64\n",
    "getprop ro.build.version.release": "14\n",
    "getprop ro.build.version.sdk": "34\n",
    "getprop ro.product.manufacturer": "Google\n",
    "getprop ro.product.model": "Pixel 8\n",
    "getprop ro.soc.manufacturer": "Google\n",
    "getprop ro.soc.model": "Tensor G3\n",
    "cat /proc/cpuinfo": (
        "processor\t: 0\nFeatures\t: fp asimd\n\nprocessor\t: 1\nFeatures\t: fp asimd\n\n"
        "Hardware\t: Zuma\n"
    ),
    "cat /proc/meminfo": "MemTotal:  7800000 kB\nMemFree: 1 kB\nMemAvailable: 3900000 kB\n",
    "date +%s": "1790000000\n",
}


class Phone:
    """Runs the script of one call as a shell would, with these answers."""

    root = "/data/local/tmp/edgecompress"
    files = SimpleNamespace(free_bytes=lambda _: 5 << 30)

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers

    def run(self, argv: Sequence[str], *_: Any, timeout_s: float) -> Completed:
        assert timeout_s == 60
        said = [
            self.answers.get(command.removesuffix(" 2>/dev/null"), "")
            for command in argv[2].split(f"; echo; echo {BETWEEN}; ")
        ]
        return Completed(0, f"\n{BETWEEN}\n".join(said).replace("\n", "\r\n").encode(), b"")


def phone(**answers: str) -> Transport:
    return cast("Transport", Phone({**PHONE, **answers}))


def test_the_state_is_that_of_the_fastest_and_hottest_core() -> None:
    state = read_state(phone())
    assert (state.governor, state.clock_mhz, state.load_1m) == ("schedutil,walt", 2419.2, 10.52)
    # The GPU is hotter, and not what is measured.
    assert (state.temperature_c, state.throttled) == (43.25, "moderate")


def test_what_somebody_set_by_hand_is_no_reading() -> None:
    said = THERMAL.format(overridden="true", status=0)
    assert read_state(phone(**{"dumpsys thermalservice": said})).throttled is None


def test_without_a_sensor_of_the_cpu_the_hottest_of_all_counts() -> None:
    said = THERMAL.format(overridden="false", status=0).replace("CPU", "skin").replace("cpu", "s")
    state = read_state(phone(**{"dumpsys thermalservice": said}))
    assert (state.temperature_c, state.throttled) == (55.0, "none")


def test_a_sensor_that_is_not_understood_is_said() -> None:
    said = THERMAL.format(overridden="false", status=2).replace("mValue=55.0", "mValue=55.0C")
    assert read_state(phone()).unread is None
    assert read_state(phone(**{"dumpsys thermalservice": said})).unread == (
        "Temperature{mValue=55.0C, mType=1, mName=GPU, mStatus=0}",
    )


def test_a_clock_or_load_that_is_not_understood_is_said() -> None:
    clocks, load = f"cat {CPUFREQ}/scaling_cur_freq", "cat /proc/loadavg"
    said = phone(**{clocks: "1804800\n2.4GHz\n<unknown>\n", load: "10 percent\n"})
    state = read_state(said)
    assert (state.clock_mhz, state.load_1m) == (1804.8, None)
    assert state.unread == ("2.4GHz", "10 percent")


def test_a_phone_that_says_nothing_has_no_state() -> None:
    silent = cast("Transport", Phone({}))
    state = read_state(silent)
    assert set(state.model_dump().values()) == {None}
    probe = read_probe(silent, {})
    assert (probe.system, probe.cores) == ("Android of unknown release (API ?), ", 1)
    assert (probe.cpu_model, probe.cpu_features) == (None, ())
    assert (probe.memory_bytes, probe.available_memory_bytes, probe.epoch_s) == (None, None, None)
    assert not probe.is_emulator


def test_what_it_is() -> None:
    probe = read_probe(phone(), {"benchmark_model": "sha256 0123"})
    assert (probe.machine, probe.system) == ("aarch64", "Android 14 (API 34), Google Pixel 8")
    assert (probe.cpu_model, probe.cpu_features) == ("Google Tensor G3", ("asimd", "fp"))
    assert (probe.cores, probe.free_disk_bytes, probe.epoch_s) == (2, 5 << 30, 1.79e9)
    assert probe.memory_bytes == 7_800_000 * 1024
    assert probe.available_memory_bytes == 3_900_000 * 1024
    assert probe.versions == {"android": "14", "benchmark_model": "sha256 0123"}
    assert probe.state == read_state(phone())


@pytest.mark.parametrize("name", ["ro.boot.qemu", "ro.kernel.qemu"])
def test_an_emulator_says_so(name: str) -> None:
    assert read_probe(phone(**{f"getprop {name}": "1\n"}), {}).is_emulator
    assert not read_probe(phone(**{f"getprop {name}": "0\n"}), {}).is_emulator


def test_old_phones_name_their_processor_in_cpuinfo() -> None:
    unnamed = {"getprop ro.soc.manufacturer": "\n", "getprop ro.soc.model": "\n"}
    assert read_probe(phone(**unnamed), {}).cpu_model == "Zuma"
