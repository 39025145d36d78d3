"""Channel 'agent': what the programs on a device print, and the files that they leave.

The device is a folder of this machine whose programs are not run: their answers are right ones,
changed. The Agent, the AndroidAgent, `devices check` and what is made and printed of their answers
are the real ones.
"""

import random
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
from hostile.channel import Channel
from hostile.lying import SAMPLES, LyingTransport
from hostile.printed import printed

from edgecompress.artifact import Artifact, TensorInfo, sha256_of
from edgecompress.cli import tables
from edgecompress.devices.check import rows_of
from edgecompress.devices.rows import checked
from edgecompress.measure import confidence
from edgecompress.measure.agent import Agent, Inference
from edgecompress.measure.asked import Rounds
from edgecompress.measure.compare import compare, measure_file
from edgecompress.measure.inputs import Inputs
from edgecompress.measure.latency_table import spread, steady_ms
from edgecompress.measure.loaded import Loaded, Preparation
from edgecompress.measure.profile import count_operators
from edgecompress.measure.tensors import most_bytes, outputs_of, write_npz
from edgecompress.measure.turns import Session
from edgecompress.pipeline.profiling import joined
from edgecompress.runtimes.litert.android import AndroidAgent
from edgecompress.spec.device import Device
from edgecompress.spec.engine import EngineFlags
from edgecompress.spec.load import load_target
from edgecompress.spec.measurement import Inspection, Op
from edgecompress.spec.protocol import Standard

BOARD = Device(id="board", target="raspberry-pi-5", transport="ssh", address="board")
ONE = np.ones((1, 2), np.float32)
ONCE = Standard(turns=1, warmup_iterations=1, min_iterations=1, min_duration_s=0.01)


class AgentChannel(Channel):
    name = "agent"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._onnx = model(folder / "model.onnx", "onnxruntime")
        self._tflite = model(folder / "model.tflite", "litert")
        self._transport = LyingTransport(folder / "device", self._onnx.file)
        self._inputs, self._outputs = folder / "in.npz", folder / "out.npz"
        write_npz(self._inputs, {"x": np.ones((SAMPLES, 2), np.float32)})
        self._one = folder / "one.npz"
        write_npz(self._one, {"x": ONE})
        self._target = load_target("raspberry-pi-5-onnxruntime")
        self._phone = load_target("android-xnnpack")
        tool = folder / "benchmark_model"
        tool.write_bytes(b"tool")
        self._tool = str(tool)

        self._patch = mock.patch.object(confidence, "RESAMPLES", 20)
        self._patch.start()
        warnings.simplefilter("ignore")  # Of numpy and zipfile, as the command line does.
        self.right()

    def close(self) -> None:
        self._patch.stop()

    def right(self) -> None:
        for name in sorted({name for name, _ in ASKED}):
            self._transport.wrong = ""
            getattr(self, f"_{name}")()

    def answer(self, seed: int) -> object:
        rng = random.Random(seed)
        name, wrong = rng.choice(ASKED)
        self._transport.rng, self._transport.wrong = rng, wrong
        return getattr(self, f"_{name}")()

    def _agent(self) -> Agent:
        return Agent(self._transport, "python3")

    def _android(self) -> AndroidAgent:
        return AndroidAgent(self._transport, self._tool, "xnnpack")

    def _probe(self) -> object:
        return self._agent().probe()

    def _compare(self) -> object:
        session = Session(self._agent(), ONCE, 1, Inputs(((ONE,),), "evaluation"))
        found = compare(session, self._onnx, self._onnx, BOARD)
        return printed(lambda console: tables.measured(found, console))

    def _measure(self) -> object:
        session = Session(self._agent(), ONCE, 1, Inputs(((ONE,),), "evaluation"))
        found = measure_file(session, self._onnx)
        return printed(lambda console: tables.measured(found, console))

    def _infer(self) -> object:
        limit = most_bytes(self._onnx.artifact, SAMPLES)
        inference = Inference(self._inputs, self._outputs, limit_bytes=limit)
        self._agent().infer(self._onnx, inference)
        (array,) = outputs_of(self._onnx.artifact, self._outputs, SAMPLES)
        assert len(array) == SAMPLES
        return array

    def _build(self) -> object:
        flags = EngineFlags(
            fp16=False, sparse_weights=False, strongly_typed=True, workspace_bytes=1 << 20
        )
        return self._agent().prepare(self._onnx.artifact, Preparation("tensorrt", flags))

    def _profile(self) -> object:
        inputs = Inputs(((ONE,),), "evaluation")
        counting = count_operators(self._agent(), self._onnx, inputs, 1)
        conv = Op(name="conv", op_type="Conv", dtype="int8", macs=9)
        inspection = Inspection(runtime="onnxruntime 1.20.0", machine="aarch64", ops=(conv,))
        timed, profile = joined(counting, "onnxruntime", inspection, 0.1)
        assert profile.why_none is not None or profile.operators
        return printed(lambda console: tables.inspection(timed, console))

    def _sweep(self) -> object:
        names = ("first", "second")
        files, inputs = dict.fromkeys(names, self._onnx), dict.fromkeys(names, self._one)
        sweep = self._agent().sweep(
            files, inputs, Rounds(threads=1, least=3, most=3, moment_s=0.001)
        )
        assert sorted(one.name for one in sweep.files) == sorted(names)
        return [(spread(one.rounds_ms), steady_ms(one.rounds_ms)) for one in sweep.files]

    def _optimise(self) -> object:
        output = self._folder / "optimised.onnx"
        return self._agent().optimise(self._onnx, output)

    def _check(self) -> object:
        rows = rows_of(self._transport, BOARD, self._target)
        found = checked(BOARD, self._target, rows)
        return printed(lambda console: tables.devices_checked([found], console))

    def _check_phone(self) -> object:
        device = Device(
            id="phone", target="android-xnnpack", transport="adb", benchmark_model=self._tool
        )
        rows = rows_of(self._transport, device, self._phone)
        found = checked(device, self._phone, rows)
        return printed(lambda console: tables.devices_checked([found], console))

    def _phone_probe(self) -> object:
        return self._android().probe()

    def _phone_measure(self) -> object:
        return self._android().measure(self._tflite, 1, self._one, ONCE)

    def _phone_infer(self) -> object:
        return self._android().infer(self._tflite, Inference(self._inputs, self._outputs))


ASKED = (
    ("probe", "probe"),
    ("compare", "probe"),
    ("compare", "together"),
    ("compare", "together"),
    ("measure", "measure"),
    ("compare", "usage"),
    ("profile", "profile"),
    ("sweep", "sweep"),
    ("sweep", "sweep"),
    ("infer", "infer"),
    ("infer", "npz"),
    ("infer", "npz"),
    ("build", "build"),
    ("optimise", "optimise"),
    ("check", "uname"),
    ("check", "version"),
    ("check", "probe"),
    ("check", "imports"),
    ("check_phone", "android"),
    ("check_phone", "state"),
    ("phone_probe", "android"),
    ("phone_measure", "benchmark"),
    ("phone_measure", "state"),
    ("phone_infer", "logs"),
    ("phone_infer", "outs"),
)
"""What is asked, and which of the answers to it is changed."""


def model(path: Path, runner: str) -> Loaded:
    """A file that stands for a model; nothing looks inside."""
    path.write_bytes(b"model" * 100)
    artifact = Artifact(
        path=path,
        format=path.suffix.removeprefix("."),
        sha256=sha256_of(path),
        size_bytes=path.stat().st_size,
        inputs=(TensorInfo(name="x", shape=("N", 2), dtype="float32"),),
        outputs=(TensorInfo(name="y", shape=("N", 3), dtype="float32"),),
    )
    return Loaded(artifact, runner)
