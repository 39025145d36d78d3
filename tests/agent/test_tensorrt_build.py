"""`build` and the TensorRT runner, against recordings of TensorRT and CUDA.

They are made from the real releases' own descriptions and compute nothing on hardware: these tests
say which calls are made, in which order, with what; not that an engine is good or fast.
"""

import json
from pathlib import Path

import numpy as np
import onnx_files
import pytest
from onnx import helper
from tensorrt_recording import BEFORE_8_5, VERSIONS, environment

FLAGS = {
    "fp16": False,
    "sparse_weights": False,
    "strongly_typed": True,
    "workspace_bytes": 64 << 20,
}
RUN = {"runtime": "tensorrt", "threads": 1}
MEASURE = {**RUN, "warmup_iterations": 1, "min_iterations": 3, "min_duration_s": 0.0}
BATCH, FEATURES, CLASSES = 2, 8, 3
INFERENCE = [
    "cudaMemcpyAsync to the device 64",
    "cudaEventRecord 1",
    "IExecutionContext.execute_async_v3 24301",
    "cudaEventRecord 2",
    "cudaMemcpyAsync to the host 24",
    "cudaStreamSynchronize 0",
]


class Board:
    """One model on one pretended board."""

    def __init__(self, ask, folder: Path, version: str) -> None:
        self.ask, self.folder, self.version = ask, folder, version
        self.model = folder / "model.onnx"
        self.weight = onnx_files.linear(self.model, FEATURES, CLASSES)
        self.log = folder / "calls.log"

    def said(self, command: str, settings: dict[str, str], **fields: object):
        """The answer; `calls` are then those of this process."""
        self.log.write_text("")
        env = environment(self.log, self.version, **settings)
        return self.ask(command, env=env, **fields)

    def build(self, settings: dict[str, str] | None = None, **changes: object):
        fields = {
            "model": str(self.model),
            "cache": str(self.folder / "cache"),
            "timing_cache": str(self.folder / "cache" / "timing.cache"),
            "shapes": {"x": [BATCH, FEATURES]},
            **FLAGS,
            **changes,
        }
        return self.said("build", settings or {}, **fields)

    def run(
        self,
        command: str,
        engine: str,
        settings: dict[str, str] | None = None,
        kernels: str = "default",
    ):
        x = np.random.default_rng(0).standard_normal((BATCH, FEATURES)).astype("float32")
        np.savez(self.folder / "x.npz", x=x)
        return self.said(
            command,
            settings or {},
            **(MEASURE if command == "measure" else {**RUN, "batch": 1}),
            model=engine,
            kernels=kernels,
            inputs=str(self.folder / "x.npz"),
            outputs=str(self.folder / "y.npz"),
            output=str(self.folder / "layers.json"),
        )

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def board(ask, tmp_path):
    return lambda version="10.3.0": Board(ask, tmp_path, version)


def in_order(calls: list[str], wanted: list[str]) -> bool:
    rest = iter(calls)
    return all(any(call.startswith(want) for call in rest) for want in wanted)


@pytest.mark.parametrize("version", VERSIONS)
def test_build_makes_the_calls_of_its_release(board, version):
    here = board(version)
    built = here.build(fp16=True, sparse_weights=True).result
    assert built["built_with"] == version
    assert (built["gpu"], built["how"], built["reused"]) == ("recording", "python", False)
    # EXPLICIT_BATCH is bit 0, STRONGLY_TYPED bit 1 in 10; in 11 the former is gone, the latter 0.
    network = {"8": 1, "10": 3, "11": 1}[version.partition(".")[0]]
    assert in_order(
        here.calls,
        [
            "Builder.__init__",
            f"Builder.create_network {network}",
            "OnnxParser.__init__",
            f"OnnxParser.parse_from_file {here.model}",
            "Builder.create_builder_config",
            "IBuilderConfig.set_memory_pool_limit WORKSPACE 67108864",
            "IBuilderConfig.set_flag SPARSE_WEIGHTS",
            "IOptimizationProfile.set_shape x",
            "IBuilderConfig.add_optimization_profile",
            "IBuilderConfig.set_timing_cache ITimingCache False",
            "Builder.build_serialized_network",
            "ITimingCache.serialize",
        ],
    )
    flags = {call.split()[-1] for call in here.calls if call.startswith("IBuilderConfig.set_flag")}
    old = version.startswith("8.")
    assert flags == ({"SPARSE_WEIGHTS", "FP16"} if old else {"SPARSE_WEIGHTS"})
    assert any("cannot type strongly" in note for note in built["notes"]) == old
    assert any("fp16 has no effect" in note for note in built["notes"]) != old
    assert "1 kernels were passed over for lack of device memory" in built["notes"]


@pytest.mark.parametrize(
    ("version", "typed", "expected"),
    [
        ("8.6.1", True, {"INT8"}),
        ("10.3.0", True, set()),
        ("10.3.0", False, {"INT8"}),
        ("11.4.0.106", False, set()),
    ],
)
def test_int8_is_allowed_for_quantized_files_alone(board, version, typed, expected):
    here = board(version)
    onnx_files.save(
        here.model,
        [
            helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
        ],
        [onnx_files.value("x", onnx_files.FLOAT, ["batch", FEATURES])],
        [onnx_files.value("y", onnx_files.FLOAT, ["batch", FEATURES])],
        {"scale": np.array(0.5, "float32"), "zero": np.array(0, "int8")},
    )
    assert here.build(strongly_typed=typed).result["reused"] is False
    flags = {call.split()[-1] for call in here.calls if call.startswith("IBuilderConfig.set_flag")}
    assert flags == expected


@pytest.mark.parametrize(
    ("version", "hides"),
    [("8.6.1", BEFORE_8_5), ("8.6.1", ""), ("10.3.0", ""), ("11.4.0.106", "")],
)
def test_the_runner_copies_computes_and_copies_back(board, version, hides):
    here = board(version)
    engine = here.build().result["engine"]
    settings = {"hides": hides}

    assert here.run("infer", engine, settings).result["samples"] == BATCH
    with np.load(here.folder / "x.npz") as x, np.load(here.folder / "y.npz") as y:
        np.testing.assert_allclose(y["scores"], x["x"] @ here.weight, rtol=1e-5, atol=1e-5)
    execute = "execute_async_v2 [address,address] 24301" if hides else "execute_async_v3 24301"
    one = [step.replace("execute_async_v3 24301", execute) for step in INFERENCE]
    assert in_order(here.calls, ["IExecutionContext.set_", "cudaMalloc 64", "cudaMallocHost 64"])
    assert [call for call in here.calls if call in one] == one

    turn = here.run("measure", engine, settings).result
    assert len(turn["latency_ms"]) == 3
    # The recording's clock ticks once from one event to the next.
    assert turn["latency_ms_without_copies"] == [1.0, 1.0, 1.0]
    assert [call for call in here.calls if call in one] == one * 5
    given = sum(call.startswith(("cudaMalloc ", "cudaMallocHost ")) for call in here.calls)
    taken = sum(call.startswith(("cudaFree ", "cudaFreeHost ")) for call in here.calls)
    assert given == taken == 4


def test_an_engine_is_built_once(board):
    here = board()
    first = here.build().result
    again = here.build().result
    assert again["reused"] is True
    assert not [call for call in here.calls if call.startswith("Builder")]
    timed = ("seconds", "reused")
    assert {k: v for k, v in again.items() if k not in timed} == {
        k: v for k, v in first.items() if k not in timed
    }


def break_engine(here: Board, engine: Path) -> dict[str, object]:
    engine.write_bytes(engine.read_bytes() + b"x")
    return {}


def break_sidecar(here: Board, engine: Path) -> dict[str, object]:
    Path(f"{engine}.json").write_text("{")
    return {}


def lose_sidecar(here: Board, engine: Path) -> dict[str, object]:
    Path(f"{engine}.json").unlink()
    return {}


def change_model(here: Board, engine: Path) -> dict[str, object]:
    onnx_files.constant(here.model, 1.0, FEATURES, CLASSES)
    return {}


def change_flag(here: Board, engine: Path) -> dict[str, object]:
    return {"sparse_weights": True}


def change_shape(here: Board, engine: Path) -> dict[str, object]:
    return {"shapes": {"x": [1, FEATURES]}}


def change_gpu(here: Board, engine: Path) -> dict[str, object]:
    return {"settings": {"gpu": "another recording"}}


def change_release(here: Board, engine: Path) -> dict[str, object]:
    here.version = "10.13.3.9"
    return {}


@pytest.mark.parametrize(
    "change",
    [
        *(break_engine, break_sidecar, lose_sidecar, change_model),
        *(change_flag, change_shape, change_gpu, change_release),
    ],
)
def test_a_stale_engine_is_rebuilt(board, change):
    here = board()
    first = here.build().result
    again = here.build(**change(here, Path(first["engine"]))).result
    assert again["reused"] is False
    kept = change in (break_engine, break_sidecar, lose_sidecar)
    assert (again["key"] == first["key"]) == kept
    sidecar = json.loads(Path(again["engine"] + ".json").read_text())
    assert sidecar["key"] == again["key"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (break_engine, "has changed since it was built"),
        (lose_sidecar, "says which TensorRT and GPU it was built for"),
        (change_gpu, "was built for gpu recording, compute_capability 0.0"),
        (change_release, "was built with TensorRT 10.3.0, and here is 10.13.3.9"),
    ],
)
def test_the_runner_refuses_a_stale_engine(board, change, why):
    here = board()
    engine = here.build().result["engine"]
    settings = change(here, Path(engine)).get("settings")
    kind, message = here.run("measure", engine, settings).error
    assert kind == "input"
    assert why in message
    assert not [call for call in here.calls if "deserialize" in call]


def test_timings_are_kept_for_the_next_build(board):
    here = board()
    here.build()
    timings = here.folder / "cache" / "timing.cache"
    assert timings.read_bytes() == b"timings 10.3.0"
    assert not any("timing cache" in note for note in here.build(fp16=True).result["notes"])
    timings.write_bytes(b"timings 8.6.1")
    notes = here.build(sparse_weights=True).result["notes"]
    assert "the timing cache was of another GPU or TensorRT, and begins anew" in notes
    assert timings.read_bytes() == b"timings 10.3.0"


@pytest.mark.parametrize(
    ("version", "fails", "kind", "expected"),
    [
        ("8.6.1", "parse", "input", "cannot parse it: node 3: Assertion failed: scale is missing"),
        ("11.4.0.106", "parse", "input", "node 3 'conv3' (Conv): Assertion failed: scale"),
        ("10.3.0", "build", "runtime", "built no engine: Error Code 10: Could not find any"),
    ],
)
def test_a_build_that_fails_is_one_line(board, version, fails, kind, expected):
    here = board(version)
    said, message = here.build({"fails": fails}).error
    assert said == kind
    assert str(here.model) in message
    assert expected in message
    assert "\n" not in message
    assert list((here.folder / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"fails": "load"}, "the engine cannot be loaded: Serialization assertion"),
        ({"fails": "context"}, "the GPU has no room for the engine"),
        ({"fails": "infer"}, "the inference was refused"),
        ({"cuda_fails": "cudaMalloc"}, "CUDA: cudaMalloc: out of memory (error 2)"),
    ],
)
def test_an_engine_that_does_not_run_is_one_line(board, settings, expected):
    here = board()
    kind, message = here.run("infer", here.build().result["engine"], settings).error
    assert kind == "runtime"
    assert expected in message


@pytest.mark.parametrize("shapes", [{}, {"x": [2, 9]}, {"x": [2]}])
def test_free_dimensions_must_be_fixed(board, shapes):
    kind, message = board().build(shapes=shapes).error
    assert kind == "input"
    assert "input 'x' has the free shape [-1, 8]: shapes must fix it" in message


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"fp16": 1}, "fp16 must be true or false, got 1"),
        ({"shapes": {"x": [0]}}, "shapes must be lists of integers of at least 1"),
        ({"workspace_bytes": 0}, "workspace_bytes must be an integer of at least 1"),
        ({"model": "/no/model.onnx"}, "/no/model.onnx: cannot be read"),
    ],
)
def test_a_wrong_request_is_one_line(board, changes, expected):
    kind, message = board().build(**changes).error
    assert kind == "input"
    assert expected in message


def test_the_engine_tells_its_layers_and_has_no_other_kernels(board):
    here = board()
    engine = here.build().result["engine"]
    said = here.run("infer", engine, kernels="reference").error
    assert said == ("input", "an engine has the kernels it was built with and no others")
    assert here.run("optimise", engine).result["runtime"] == "tensorrt 10.3.0"
    assert json.loads((here.folder / "layers.json").read_text())["format"] == "JSON"
