"""Cores, quotas, and what befalls the agent's process."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx_files
import pytest
from turns import make_turn

from edgecompress.measure.tensors import write_npz
from edgecompress.measure.validity import Rules, turn_fault, validity_of
from edgecompress.spec.base import parse
from edgecompress.spec.measurement import Turn
from edgecompress.spec.protocol import Standard
from edgecompress.spec.validity import Conditions

RULES = Rules(Standard(turns=1, min_iterations=1, min_duration_s=1e-9), 4)


def grow(root: Path, tree: dict[str, str]) -> Path:
    for path, text in tree.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


V2 = {"proc/self/cgroup": "0::/user/job\n"}
V1 = {"proc/self/cgroup": "5:memory:/m\n3:cpu,cpuacct:/docker/abc\n"}
V2_FOLDER, V1_FOLDER = "sys/fs/cgroup/user", "sys/fs/cgroup/cpu,cpuacct"


@pytest.mark.parametrize(
    ("tree", "cores", "waited_s"),
    [
        ({}, None, None),
        (V2, None, None),
        ({**V2, f"{V2_FOLDER}/job/cpu.max": "max 100000\n"}, None, None),
        ({**V2, f"{V2_FOLDER}/job/cpu.max": "150000 100000\n"}, 1.5, None),
        # The one above allows less.
        (
            {
                **V2,
                f"{V2_FOLDER}/job/cpu.max": "400000 100000\n",
                f"{V2_FOLDER}/cpu.max": "50000 100000\n",
                f"{V2_FOLDER}/cpu.stat": "usage_usec 9\nthrottled_usec 2500000\n",
            },
            0.5,
            2.5,
        ),
        # In a container the path is the host's, and its root is all there is.
        (
            {
                **V1,
                f"{V1_FOLDER}/cpu.cfs_quota_us": "200000\n",
                f"{V1_FOLDER}/cpu.cfs_period_us": "100000\n",
                f"{V1_FOLDER}/cpu.stat": "nr_throttled 3\nthrottled_time 1500000000\n",
            },
            2.0,
            1.5,
        ),
        (
            {
                **V1,
                f"{V1_FOLDER}/docker/abc/cpu.cfs_quota_us": "-1\n",
                f"{V1_FOLDER}/docker/abc/cpu.cfs_period_us": "100000\n",
            },
            None,
            None,
        ),
        # Of another controller.
        ({"proc/self/cgroup": "5:memory:/\n", "sys/fs/cgroup/cpu.max": "50000 100000"}, None, None),
        ({**V2, f"{V2_FOLDER}/job/cpu.max": "nonsense"}, None, None),
        ({**V2, f"{V2_FOLDER}/job/cpu.max": "5 0"}, None, None),
    ],
)
def test_quota(agent_module, tmp_path, tree, cores, waited_s):
    module = agent_module("cores")
    root = grow(tmp_path, tree)
    assert (module.quota_cores(root), module.quota_wait_s(root)) == (cores, waited_s)


@pytest.mark.parametrize(
    ("quota", "allowed", "usable"),
    [(None, 4, 4), (1.5, 4, 1), (0.2, 4, 1), (3.0, 2, 2), (2.0, 4, 2)],
)
def test_usable_cores(agent_module, monkeypatch, quota, allowed, usable):
    module = agent_module("cores")
    monkeypatch.setattr(module, "allowed_cores", lambda: set(range(allowed)))
    monkeypatch.setattr(module, "quota_cores", lambda _: quota)
    assert module.usable_cores() == usable


HEAT = "sys/devices/system/cpu/cpu0/thermal_throttle"
STAT = (
    "cpu  0\ncpu0 {0} 0 10 900 0 0 0 {1} 0 0\ncpu1 999 0 0 0 0 0 0 77 0 0\ncpu10 5 0 0 0 0 0 0 0\n"
)


def test_a_watch_tells_differences(agent_module, monkeypatch, tmp_path):
    """Only the allowed core counts; what this process used itself is no other's."""
    module = agent_module("conditions")
    monkeypatch.setattr(module, "allowed_cores", lambda: {0})
    cpu_s = iter([1.0, 1.5])
    monkeypatch.setattr(module.time, "process_time", lambda: next(cpu_s))
    root = grow(
        tmp_path,
        {
            "proc/stat": STAT.format(100, 3),
            "proc/self/io": "rchar: 5\nread_bytes: 4096\n",
            "proc/vmstat": "pgfault 9\npswpin 10\npswpout 20\n",
            f"{HEAT}/core_throttle_count": "7",
            f"{HEAT}/package_throttle_count": "9",
            "proc/self/task/7/schedstat": "1 5000000000 1",
            "proc/self/task/8/schedstat": "1 2000000000 1",
        },
    )
    stops = module.Stops()
    watch = module.Watch(root, agent_module("sensors").Sensors(root, lambda _: None), stops)
    watch.begin()
    grow(
        root,
        {
            "proc/stat": STAT.format(300, 13),
            "proc/self/io": "rchar: 9\nread_bytes: 12288\n",
            "proc/vmstat": "pgfault 9\npswpin 11\npswpout 22\n",
            f"{HEAT}/core_throttle_count": "9",
            "proc/self/task/7/schedstat": "1 5100000000 1",
            "proc/self/task/8/schedstat": "1 2400000000 1",
            "proc/self/task/9/schedstat": "1 300000000 1",
        },
    )
    found = parse(Conditions, watch.end(0.25), "agent")
    ticks = os.sysconf("SC_CLK_TCK")
    assert found.others_s == pytest.approx(200 / ticks - 0.5)
    assert found.stolen_s == pytest.approx(10 / ticks)
    assert (found.read_bytes, found.swapped_pages) == (8192, 3)
    assert found.throttles == 2
    assert found.waited_s == pytest.approx(0.4)
    assert (found.cpu_s, found.slept_s, found.cores) == (0.5, 0.25, 1)
    assert (found.stops, found.clock_mhz_first, found.quota_s) == (None, None, None)


def test_a_clock_that_falls_is_seen_at_both_ends(agent_module, tmp_path):
    module = agent_module("conditions")
    file = "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"
    root = grow(tmp_path, {file: "2400000"})
    sensors = agent_module("sensors").Sensors(root, lambda _: None)
    watch = module.Watch(root, sensors, module.Stops())
    watch.begin()
    grow(root, {file: "600000"})
    found = parse(Conditions, watch.end(), "agent")
    assert (found.clock_mhz_first, found.clock_mhz_last) == (2400.0, 600.0)
    fault = turn_fault(make_turn([1.0] * 30, running=found), RULES)
    assert fault is not None
    assert fault.text == "the clock was between 600 and 2,400 MHz"


def test_a_processor_that_others_share_is_seen_by_a_loop_of_fixed_work(
    agent_module, tmp_path, monkeypatch
):
    module = agent_module("conditions")
    assert agent_module("spin").spin_us() > 0
    spins = iter([80.0, 140.0])
    monkeypatch.setattr(module, "spin_us", lambda: next(spins))
    sensors = agent_module("sensors").Sensors(tmp_path, lambda _: None)
    watch = module.Watch(tmp_path, sensors, module.Stops())
    watch.begin()
    found = parse(Conditions, watch.end(), "agent")
    assert (found.spin_us_first, found.spin_us_last) == (80.0, 140.0)


def test_where_nothing_is_told_nothing_is_known(agent_module, tmp_path):
    module = agent_module("conditions")
    watch = module.Watch(
        tmp_path, agent_module("sensors").Sensors(tmp_path, lambda _: None), module.Stops()
    )
    watch.begin()
    found = parse(Conditions, watch.end(), "agent")
    untold = (found.waited_s, found.others_s, found.stolen_s, found.read_bytes, found.swapped_pages)
    assert untold == (None,) * 5
    assert found.wall_s > 0


def test_stops_are_counted_and_the_handler_is_put_back(agent_module):
    stops = agent_module("conditions").Stops
    before = signal.getsignal(signal.SIGCONT)
    with stops() as counted:
        os.kill(os.getpid(), signal.SIGCONT)
        os.kill(os.getpid(), signal.SIGCONT)
        for _ in range(1000):
            if counted.count == 2:
                break
            time.sleep(0.001)
    assert counted.count in (1, 2), "two at once may be one"
    assert signal.getsignal(signal.SIGCONT) == before


@pytest.fixture
def request_fields(tmp_path: Path) -> dict[str, object]:
    model = tmp_path / "model.onnx"
    onnx_files.linear(model, features=64, classes=32)
    write_npz(tmp_path / "inputs.npz", {"x": np.zeros((1, 64), np.float32)})
    return {
        "model": str(model),
        "runtime": "onnxruntime",
        "threads": 1,
        "inputs": str(tmp_path / "inputs.npz"),
        "warmup_iterations": 1,
        "min_iterations": 5,
    }


def measured(pyz: Path, fields: dict[str, object], meanwhile=lambda _: None) -> Turn:
    """A turn of the agent in its own process; `meanwhile` is called with that."""
    with tempfile.TemporaryFile() as said:
        # A pipe that nobody reads yet would keep it from ending.
        process = subprocess.Popen([sys.executable, pyz], stdin=subprocess.PIPE, stdout=said)
        assert process.stdin is not None
        request = {"schema_version": 1, "command": "measure", **fields}
        process.stdin.write(json.dumps(request).encode())
        process.stdin.close()
        meanwhile(process)
        code = process.wait(60)
        said.seek(0)
        answer = json.loads(said.read())
    assert code == 0, answer
    return parse(Turn, answer["result"], "agent measure")


def test_a_process_that_is_really_stopped_is_found_out(pyz, request_fields):
    """Several times in the four seconds that it measures, whenever those begin."""

    def stop(process):
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.5)
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.3)
            process.send_signal(signal.SIGCONT)

    turn = measured(pyz, {**request_fields, "min_duration_s": 4.0}, stop)
    assert turn.running is not None
    assert turn.running.stops
    fault = turn_fault(turn, RULES)
    assert fault is not None
    assert fault.kind == "stopped"
    assert not validity_of([turn], RULES).valid


def test_a_process_that_nobody_stops_was_not(pyz, request_fields):
    turn = measured(pyz, {**request_fields, "min_duration_s": 0.1})
    assert turn.running is not None
    assert turn.loading is not None
    assert (turn.running.stops, turn.loading.stops) == (0, 0)
    assert turn.running.suspended_s == pytest.approx(0.0, abs=0.01)
    assert turn.running.wall_s == pytest.approx(0.1, rel=0.5)
    assert turn.iterations == len(turn.latency_ms)
    assert turn.latency_ms_max == max(turn.latency_ms)


def test_fewer_cores_than_threads_are_respected(pyz, request_fields):
    """A core of those that there are, as taskset gives it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        turn = measured(pyz, {**request_fields, "threads": 3, "min_duration_s": 0.01})
    finally:
        os.sched_setaffinity(0, before)
    assert (turn.threads, turn.threads_wanted) == (1, 3)
    assert turn.running is not None
    assert turn.running.cores == 1
    assert "fewer_cores" in [flag.kind for flag in validity_of([turn], RULES).flags]


def test_paced_inferences_sleep_between(pyz, request_fields):
    fields = {**request_fields, "min_duration_s": 0.5, "interval_ms": 20.0}
    turn = measured(pyz, fields)
    assert turn.running is not None
    # A busy machine may come late, and never early.
    assert 5 <= len(turn.latency_ms) <= 26
    assert turn.late is not None
    assert turn.running.slept_s > 0


def test_sessions_side_by_side(pyz, request_fields):
    fields = {**request_fields, "min_duration_s": 0.1, "streams": 3, "batch": 4}
    turn = measured(pyz, fields)
    assert (turn.streams, turn.batch, turn.iterations) == (3, 4, len(turn.latency_ms))
    assert turn.samples_per_s is not None
    assert turn.running is not None
    expected = turn.iterations * 4 / turn.running.wall_s
    assert turn.samples_per_s == pytest.approx(expected, rel=0.5)


def test_as_many_sessions_as_there_are_cores_for(pyz, request_fields):
    fields = {**request_fields, "min_duration_s": 0.01, "streams": 0}
    assert measured(pyz, fields).streams == len(os.sched_getaffinity(0))


def test_a_file_of_a_fixed_batch_takes_no_other(ask, request_fields, tmp_path):
    onnx_files.linear(tmp_path / "one.onnx", features=64, classes=32, batch=1)
    fields = {**request_fields, "model": str(tmp_path / "one.onnx"), "min_duration_s": 0.01}
    kind, message = ask("measure", **fields, batch=4).error
    assert kind == "input"
    assert "takes no 4 at a time; measure it with batch: 1" in message
