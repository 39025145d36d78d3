"""The stage that needs the device: what is told meanwhile, and what is asked of a device alone."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgecompress.measure.agent import Agent, DeviceAgent
from edgecompress.measure.inputs import Inputs
from edgecompress.pipeline import measuring
from edgecompress.progress import SilentProgress
from edgecompress.runtimes import runtime
from edgecompress.runtimes.base import Runtime
from edgecompress.runtimes.litert.android import AndroidAgent
from edgecompress.spec.device import Device
from edgecompress.spec.load import load_target
from edgecompress.transport import LocalTransport


class Stage:
    """A job and a device that are compared in two turns each; what is told and asked is noted."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[tuple[int, int, str]] = []
        self.notes: list[tuple[str, bool]] = []
        self.ticks: list[int] = []
        self.folder = folder
        progress = SilentProgress()
        progress.step = lambda *step: self.steps.append(step)  # type: ignore[method-assign,assignment]
        stages = SimpleNamespace(
            progress=progress, note=lambda name, _, cached: self.notes.append((name, cached))
        )
        target = load_target("local-onnxruntime")
        twice = target.measurement.model_copy(update={"turns": 2})
        self.job: Any = SimpleNamespace(
            recipe=SimpleNamespace(target=target.model_copy(update={"measurement": twice})),
            runtime=runtime(target.runtime.name),
            stages=stages,
            agent_dir=folder,
            measured_inputs=Inputs(((np.zeros((1, 8), np.float32),),), "evaluation"),
        )
        self.agent: DeviceAgent = Agent(LocalTransport(folder), "python3")
        self.agent.retried.append("tried twice")
        self.built: Any = SimpleNamespace(
            artifact=SimpleNamespace(sha256="0"), inspection="as it was here"
        )
        self.emulated = False
        monkeypatch.setattr(measuring, "compare", self.compare)
        monkeypatch.setattr(measuring, "profiled", self.profiled)
        monkeypatch.setattr(Runtime, "inspect_there", lambda *_: "as it is there")

    def compare(self, *arguments: Any) -> Any:
        on_turn = arguments[0].on_turn
        for name, number in (("baseline", 1), ("candidate", 1), ("candidate", 2), ("baseline", 2)):
            on_turn(name, number, None)
        alone = SimpleNamespace(latency_ms_p50=2.0)
        return SimpleNamespace(baseline=alone, candidate=alone, emulated=self.emulated)

    def profiled(self, _: object, __: object, inspection: str, latency_ms_p50: float) -> Any:
        return f"{inspection}, timed", f"of {inspection} in {latency_ms_p50} ms"

    def tick(self, files: int = 1) -> None:
        self.ticks.append(files)

    def look(self, transport: str) -> measuring.DeviceFindings:
        device = Device.model_construct(id="board", transport=transport, emulated=False)
        connected = measuring.Connected(device, self.agent, self.tick, LocalTransport(self.folder))
        return measuring.measure_on(self.job, connected, self.built, self.built)


def test_every_turn_is_told_and_the_lock_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, monkeypatch)
    there = stage.look("local")
    assert there.notes == ("tried twice",)
    assert stage.steps == [
        (1, 4, "baseline, turn 1"),
        (2, 4, "candidate, turn 1"),
        (3, 4, "candidate, turn 2"),
        (4, 4, "baseline, turn 2"),
    ]
    # Before the look and before each file is made ready; before the first round and after each
    # turn, of two files each; and before each profile.
    assert stage.ticks == [1] + [1] * 2 + [2] + [2] * 4 + [1] * 2
    assert stage.notes == [("measure", False)]


def test_what_a_file_becomes_is_asked_of_the_device_unless_that_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, monkeypatch)
    assert stage.look("local").inspection == "as it was here, timed"
    assert stage.look("ssh").inspection == "as it is there, timed"
    # benchmark_model tells no graph, whatever the way to the phone is.
    stage.agent = AndroidAgent(LocalTransport(tmp_path), None, None)
    assert stage.look("adb").inspection == "as it was here, timed"


def test_where_the_time_goes_is_asked_after_measuring_and_never_of_an_emulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, monkeypatch)
    there: Any = stage.look("ssh")
    assert there.baseline_profile == "of as it was here in 2.0 ms"
    assert there.candidate_profile == "of as it is there in 2.0 ms"
    stage.emulated = True
    emulated = stage.look("ssh")
    assert emulated.inspection == "as it is there"
    assert (emulated.baseline_profile, emulated.candidate_profile) == (None, None)
