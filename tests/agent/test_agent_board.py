"""What the agent reads of a board, from trees as real boards have them."""

import subprocess
import sys
from pathlib import Path

import pytest

PI = {
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000\n",
    "sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq": "1800000\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "62300\n",
    "sys/class/thermal/thermal_zone1/type": "rp1_adc\n",
    "sys/class/thermal/thermal_zone1/temp": "71000\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    "proc/loadavg": "0.52 0.58 0.59 1/467 12345\n",
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd crc32\n"
    "CPU part\t: 0xd08\n\nHardware\t: BCM2835\n",
}
PC = {
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: Some CPU\ncpu MHz\t\t: 2200.5\n"
    "flags\t\t: fpu sse2 avx2\n\nprocessor\t: 1\nmodel name\t: Some CPU\ncpu MHz\t\t: 3100.25\n",
    "sys/class/thermal/thermal_zone0/type": "acpitz\n",
    "sys/class/thermal/thermal_zone0/temp": "not a number\n",
    "sys/class/thermal/thermal_zone1/type": "acpitz\n",
    "sys/class/thermal/thermal_zone1/temp": "40000\n",
    "proc/loadavg": "7.00 1.00 1.00 1/467 12345\n",
}


def grow(root: Path, tree: dict[str, str]) -> Path:
    for name, text in tree.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (
            PI,
            {
                "governor": "ondemand",
                "clock_mhz": 1800.0,
                "temperature_c": 62.3,
                "throttled": "0x50005",
                "load_1m": 0.52,
            },
        ),
        (
            PC,
            {
                "governor": None,
                "clock_mhz": 3100.25,
                "temperature_c": 40.0,
                "throttled": None,
                "load_1m": 7.0,
            },
        ),
        (
            {},
            {
                "governor": None,
                "clock_mhz": None,
                "temperature_c": None,
                "throttled": None,
                "load_1m": None,
            },
        ),
    ],
    ids=["raspberry-pi", "pc", "nothing-readable"],
)
def test_state(agent_module, tmp_path, tree, expected):
    assert agent_module("state").read_state(grow(tmp_path, tree)) == expected


@pytest.mark.parametrize(
    ("tree", "model", "features"),
    [
        (PI, "Raspberry Pi 4 Model B Rev 1.4", ["asimd", "crc32", "fp"]),
        (PC, "Some CPU", ["avx2", "fpu", "sse2"]),
        ({}, None, []),
    ],
    ids=["raspberry-pi", "pc", "nothing-readable"],
)
def test_cpu(agent_module, tmp_path, tree, model, features):
    found = agent_module("probe").read_cpu(grow(tmp_path, tree))
    assert found == {"cpu_model": model, "cpu_features": features}


PEAK = """
import sys
sys.path.insert(0, sys.argv[1])
from edgecompress_agent import memory
memory.reset_peak()
before = memory.current_rss()
block = bytearray(80 << 20)
block[::4096] = b"x" * len(block[::4096])
del block
print(memory.peak_rss() - before)
"""


def test_peak_counts_what_was_freed_again(pyz):
    # In a small process of its own, as the agent is one: of a large one, the kernel may take back
    # more in the meantime than this adds.
    command = [sys.executable, "-c", PEAK, str(pyz)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 70 << 20
