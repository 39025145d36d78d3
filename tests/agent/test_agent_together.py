"""`together`: several files side by side, by the agent as it travels, in real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx_files
import pytest

from edgecompress.artifact import sha256_of
from edgecompress.measure.agent_answer import Together, killed, result_of
from edgecompress.measure.tensors import write_npz
from edgecompress.spec.base import parse
from edgecompress.spec.measurement import Turn

Fields = dict[str, object]
LONG = {"min_duration_s": 120.0}


@pytest.fixture
def turns(tmp_path: Path) -> list[Fields]:
    """Requests for a small file and for one that takes much longer."""
    write_npz(tmp_path / "inputs.npz", {"x": np.zeros((1, 64), np.float32)})
    fields = []
    for name, classes in (("small", 8), ("large", 20_000)):
        onnx_files.linear(tmp_path / f"{name}.onnx", features=64, classes=classes)
        fields.append(
            {
                "model": str(tmp_path / f"{name}.onnx"),
                "runtime": "onnxruntime",
                "threads": 1,
                "inputs": str(tmp_path / "inputs.npz"),
                "warmup_iterations": 1,
                "min_iterations": 12,
                "min_duration_s": 0.2,
            }
        )
    return fields


@pytest.fixture
def start(pyz: Path) -> Iterator[Callable[[list[Fields]], subprocess.Popen[bytes]]]:
    """start(turns): the agent at work on them, which is killed in the end."""
    started = []

    def run(turns: list[Fields]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, pyz], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        started.append(process)
        assert process.stdin is not None
        request = {"schema_version": 1, "command": "together", "turns": turns}
        process.stdin.write(json.dumps(request).encode())
        process.stdin.close()
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def read(result: object) -> list[Turn]:
    answers = parse(Together, result, "agent together").answers
    return [result_of(one, Turn, "agent", None) for one in answers]


def children(pid: int, least: int) -> list[int]:
    """Once there are so many."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if len(found) >= least:
            return [int(one) for one in found]
        time.sleep(0.01)
    raise AssertionError("it has started too few processes")


def test_files_have_their_bursts_in_turns(ask, turns):
    small, large = read(ask("together", turns=turns).result)
    assert small.model_sha256 == sha256_of(Path(str(turns[0]["model"])))
    assert large.model_sha256 == sha256_of(Path(str(turns[1]["model"])))
    assert small.bursts_ms is not None
    assert large.bursts_ms is not None
    # Each of at least 10 ms, until both have had 0.2 s, and as many of either.
    assert 2 <= len(small.bursts_ms) == len(large.bursts_ms)
    for turn in (small, large):
        assert turn.iterations == len(turn.latency_ms) >= 12
        assert turn.running is not None
        assert turn.running.wall_s >= 0.2
        assert turn.bursts_ms is not None
        assert min(turn.latency_ms) <= min(turn.bursts_ms) <= max(turn.bursts_ms)
        assert max(turn.bursts_ms) <= max(turn.latency_ms)
    assert np.median(large.bursts_ms) > 2 * np.median(small.bursts_ms)


def test_only_its_own_bursts_are_looked_at(ask, turns):
    """While one runs the other does not: what is noted of both is no more than there was in all.
    With the other's bursts in it, it would be twice the time of the bursts.
    """
    turns = [{**turns[0], "min_duration_s": 3.0}] * 2
    begin = time.monotonic()
    both = [turn.running for turn in read(ask("together", turns=turns).result)]
    passed_s = time.monotonic() - begin
    assert sum(each.wall_s for each in both) <= passed_s
    for each in both:
        assert each.wall_s >= 3.0
        assert each.slept_s == 0
        assert each.cpu_s <= each.wall_s + 0.05


def test_one_alone_has_no_bursts(ask, turns):
    assert parse(Turn, ask("measure", **turns[0]).result, "agent").bursts_ms is None


@pytest.mark.parametrize("broken", [0, 1])
def test_a_file_that_cannot_be_read_leaves_the_other_alone(ask, turns, broken):
    Path(str(turns[broken]["model"])).write_bytes(b"nothing of the kind")
    answers = parse(Together, ask("together", turns=turns).result, "agent together").answers
    assert answers[broken].error is not None
    assert answers[broken].error.kind == "input"
    other = result_of(answers[1 - broken], Turn, "agent", None)
    assert other.bursts_ms
    assert other.samples >= 12


def test_no_turns_are_a_bad_request(ask):
    assert ask("together", turns=[]).error == (
        "input",
        "turns must be objects, at least one, got []",
    )


def test_of_one_that_is_killed_that_is_told(start, turns):
    """The other goes on; whoever asked knows that another try may end otherwise."""
    process = start([{**turns[0], "min_duration_s": 1.0}, {**turns[1], **LONG}])
    time.sleep(0.5)
    os.kill(children(process.pid, 2)[1], signal.SIGKILL)
    assert process.stdout is not None
    answers = parse(Together, json.loads(process.stdout.read())["result"], "agent").answers
    assert answers[0].ok
    assert killed(answers[1])
    assert answers[1].error is not None
    assert answers[1].error.message == "it ended without an answer (signal 9)"


def test_nothing_outlives_it(start, turns):
    process = start([{**fields, **LONG} for fields in turns])
    pids = children(process.pid, 2)
    process.kill()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}/cmdline").exists() and is_running(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether it is there, and not only waits to be reaped."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.fixture
def run_here(
    pyz: Path, agent_module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[Turn]]:
    """run_here(turns, root): the command in this process, with a board's files under `root`."""
    monkeypatch.setattr(sys, "argv", [str(pyz)])
    together, request = agent_module("together"), agent_module("request")

    def run(turns: list[Fields], root: Path) -> list[Turn]:
        asked = {"schema_version": 1, "command": "together", "turns": turns}
        found = together.run(request.Request(json.dumps(asked).encode()), root, lambda _: None)
        return read(found)

    return run


@pytest.mark.parametrize(("left_kb", "beside"), [(100, False), (10_000_000, True)])
def test_with_too_little_memory_they_run_one_by_one(run_here, turns, tmp_path, left_kb, beside):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(f"MemFree: 5 kB\nMemAvailable:   {left_kb} kB\n")
    found = run_here(turns, tmp_path)
    assert [turn.bursts_ms is not None for turn in found] == [beside, beside]
    assert all(turn.samples >= 12 for turn in found)


def test_where_power_is_measured_they_run_one_by_one(run_here, turns, tmp_path):
    """It would be the power of whichever runs at that moment."""
    rail = tmp_path / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
    rail.mkdir(parents=True)
    for name, text in (("in1_label", "VDD_IN"), ("in1_input", "5000"), ("curr1_input", "900")):
        (rail / name).write_text(text)
    assert [turn.bursts_ms for turn in run_here(turns, tmp_path)] == [None, None]
