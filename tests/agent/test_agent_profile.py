"""What the runtimes count, in an agent of its own process, and what is read of it."""

import importlib
import json
import random
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx_files
import pytest
from onnx import TensorProto, helper
from onnx_files import value
from tflite_files import float_edges

from edgecompress.artifact import sha256_of

PTE = Path(__file__).parents[1] / "runtimes" / "executorch" / "net.pte"
ETDUMP = Path(__file__).parent / "logs" / "net.etdump"


def chain(path: Path) -> None:
    """A small product, then one with a thousand times the work."""
    random = np.random.default_rng(0)
    onnx_files.save(
        path,
        [
            helper.make_node("MatMul", ["x", "small"], ["middle"], name="small one"),
            helper.make_node("MatMul", ["middle", "large"], ["wide"], name="large one"),
            helper.make_node("ReduceMax", ["wide"], ["y"], name="largest", keepdims=0),
        ],
        [value("x", TensorProto.FLOAT, [64, 64])],
        [value("y", TensorProto.FLOAT, [])],
        {
            "small": random.standard_normal((64, 8), np.float32),
            "large": random.standard_normal((8, 65536), np.float32),
        },
    )


@pytest.fixture
def part(pyz: Path, monkeypatch: pytest.MonkeyPatch):
    """Imports a module out of the packed agent."""
    monkeypatch.syspath_prepend(str(pyz))
    return lambda name: importlib.import_module(f"edgecompress_agent.{name}")


@pytest.fixture
def feeds(tmp_path):
    x = np.random.default_rng(1).standard_normal((2, 64, 64), np.float32)
    np.savez(tmp_path / "feeds.npz", **{"0/x": x[0], "1/x": x[1]})
    return {"threads": 1, "inputs": str(tmp_path / "feeds.npz"), "samples": 2}


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_where_the_time_goes(ask, tmp_path, feeds, runtime):
    pytest.importorskip(runtime)
    chain(tmp_path / "m.onnx")
    found = ask("profile", runtime=runtime, model=str(tmp_path / "m.onnx"), **feeds).result
    assert found["runtime"].startswith(f"{runtime} ")
    assert found["model_sha256"] == sha256_of(tmp_path / "m.onnx")
    assert found["inferences"] >= 5
    times = {each["name"]: each["time_us"] for each in found["operators"]}
    # A thousand times the work, on a machine that may be busy.
    (large,) = [name for name in times if name.startswith("large one")]
    (small,) = [name for name in times if name.startswith("small one")]
    assert times[large] > 3 * times[small]
    assert found["inference_us"] > 0


def test_kernels_of_a_loop_count_once(ask, tmp_path):
    number, truth = TensorProto.INT64, TensorProto.BOOL
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"], name="on"),
            helper.make_node("MatMul", ["before", "w"], ["after"], name="product"),
        ],
        "body",
        [value("round", number, []), value("go", truth, []), value("before", 1, [64, 64])],
        [value("go_on", truth, []), value("after", 1, [64, 64])],
    )
    onnx_files.save(
        tmp_path / "m.onnx",
        [helper.make_node("Loop", ["rounds", "", "x"], ["y"], name="loop", body=body)],
        [value("x", 1, [64, 64])],
        [value("y", 1, [64, 64])],
        {"rounds": np.array(20), "w": np.eye(64, dtype=np.float32)},
    )
    np.savez(tmp_path / "x.npz", x=np.ones((64, 64), np.float32))
    request = {"model": str(tmp_path / "m.onnx"), "inputs": str(tmp_path / "x.npz"), "threads": 1}
    found = ask("profile", runtime="onnxruntime", **request).result
    assert {each["name"] for each in found["operators"]} == {"loop", "product", "on"}
    assert all(each["time_us"] > 0 for each in found["operators"])


def test_executorch_tells_what_its_delegate_runs(ask, tmp_path):
    pytest.importorskip("executorch")
    x = np.random.default_rng(0)
    arrays = {"in0": x.random((1, 3, 8, 8), np.float32), "in1": x.random((1, 8), np.float32)}
    np.savez(tmp_path / "x.npz", **arrays)
    request = {"model": str(PTE), "inputs": str(tmp_path / "x.npz"), "threads": 1}
    found = ask("profile", runtime="executorch", **request).result
    kinds = [each["op_type"] for each in found["operators"]]
    assert "Convolution (NHWC, QC8) IGEMM" in kinds
    assert kinds.count("slice_copy.Tensor_out") == 4
    assert len({each["name"] for each in found["operators"]}) == len(kinds)


def test_litert_has_no_profiler_and_says_so(ask, tmp_path, feeds):
    pytest.importorskip("ai_edge_litert")
    model = str(float_edges(tmp_path / "m.tflite"))
    found = ask("profile", runtime="litert", model=model, **feeds).result
    assert "has no profiler" in found["why_none"]
    assert "operators" not in found


def event(name: str, ts: int, dur: int, cat: str = "Node", **args: str) -> dict[str, object]:
    return {"name": name, "ts": ts, "dur": dur, "cat": cat, "args": {"op_name": "Kind", **args}}


def test_a_trace_is_read_inference_by_inference(part, tmp_path):
    trace = [
        event("session_initialization", 0, 9, "Session"),
        event("if_kernel_time", 100, 50),
        event("then_kernel_time", 110, 20),
        event("deep_kernel_time", 115, 5, mem_arena_held="4096", mem_in_use_peak="1024"),
        event("last_kernel_time", 150, 10),
        event("model_run", 100, 70, "Session"),
        event("last_kernel_time", 205, 30),
        event("model_run", 200, 40, "Session"),
    ]
    (tmp_path / "t.json").write_text(json.dumps(trace))
    found = part("onnxruntime_trace").read_trace(str(tmp_path / "t.json"))
    assert (found.arena_bytes, found.arena_used_bytes) == (4096, 1024)
    assert len(found.counts) == 2
    times = {row["name"]: row["time_us"] for row in found.counts.rows(0)}
    assert times == {"if": 15.0, "then": 7.5, "deep": 2.5, "last": 20.0}
    assert [row["time_us"] for row in found.counts.rows(1)] == [30.0]


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"name": "model_run"}]', "{}x"])
def test_a_trace_that_is_none(part, tmp_path, text):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(part("failure").Failure, match="profile cannot be read"):
        part("onnxruntime_trace").read_trace(str(tmp_path / "t.json"))


def test_one_inference_that_was_held_up_does_not_show(part):
    counted, counts = part("counts").Counted, part("counts").Counts()
    for held_up in (0, 0, 0, 5000):
        counts.add([counted("a", "Kind", 3.0 + held_up), counted("a", "Kind", 1.0)])
    assert counts.rows(0) == [{"name": "a", "op_type": "Kind", "time_us": 4.0}]


def test_what_openvino_s_first_inference_took_is_taken_off(part):
    counters = part("openvino_counters").Counters()
    spent = [3300.0, 40.0, 8.0, 10.0, 12.0]
    for number in range(1, 6):
        average = timedelta(microseconds=sum(spent[:number]) / number)
        node = SimpleNamespace(node_name="fc", node_type="FullyConnected", real_time=average)
        told = [node, SimpleNamespace(node_name="w", node_type="Const", real_time=timedelta(0))]
        counters.note(SimpleNamespace(get_profiling_info=lambda told=told: told))
    mean_us = counters.mean_us(2)
    assert mean_us == {("fc", "FullyConnected"): pytest.approx(10, abs=2.5), ("w", "Const"): 0.0}
    (row,) = counters.counts().rows(2)
    assert (row["name"], row["time_us"]) == ("fc", pytest.approx(10, abs=2.5))


def test_a_dump_is_read(part):
    rows = part("etdump").read_etdump(str(ETDUMP)).rows(1)
    assert len(rows) == 35
    weighted = [row["name"] for row in rows if "Fully Connected" in str(row["op_type"])]
    assert weighted[0] == "6: Fully Connected (NC, F32) GEMM #1"


def test_a_damaged_dump_is_a_failure_and_nothing_else(part, tmp_path):
    read_etdump = part("etdump").read_etdump
    whole = ETDUMP.read_bytes()
    chance = random.Random(0)
    path = tmp_path / "d.etdump"
    failed = 0
    for _ in range(300):
        content = bytearray(whole[: chance.choice([len(whole), chance.randrange(len(whole))])])
        for _ in range(chance.randrange(8) if content else 0):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content)
        try:
            read_etdump(str(path))
        except part("failure").Failure:
            failed += 1
    assert failed > 50
