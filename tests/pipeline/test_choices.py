"""What a deploy decides on its way, each choice by itself: what is read of a task, which set of
operators stays in float, for how long a device is measured and may be silent, what is told.
"""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx_files
import pytest
import torch
from synthetic import model as synthetic
from torch import nn

from edgecompress.measure import DEADLINE_S
from edgecompress.measure.agent import BUILD_S
from edgecompress.measure.inputs import Inputs
from edgecompress.pipeline import keeping, measuring
from edgecompress.pipeline.executable import _first
from edgecompress.pipeline.float_sets import Candidate, Searched
from edgecompress.pipeline.loading import reads_of
from edgecompress.pipeline.measuring import MARGIN_S, REHEARSAL, protocol_for, quiet_s
from edgecompress.pipeline.reporting import kept_rows, layer_rows, model_report, run_notes
from edgecompress.progress import SilentProgress
from edgecompress.spec.deploy import DeployConfig
from edgecompress.spec.device import Device
from edgecompress.spec.load import load_target
from edgecompress.spec.measurement import Evaluation, Inspection, Op
from edgecompress.spec.recipe import resolve

TRAIN = {"epochs": 1, "optimizer": "sgd", "learning_rate": 0.1}
PTQ = {"mode": "ptq", "ranges": "minmax", "calibration_batches": 1}
STRUCTURED = {
    "method": "structured",
    "importance": "magnitude",
    "allocation": "uniform",
    "steps": 1,
    "pruning_ratio": 0.5,
}
INSPECTION = synthetic(None, quantized=True).inspection
BOARD = Device(id="board", target="local", transport="local")


def config(**sections: object) -> DeployConfig:
    must = {"task": {"path": "task.py:Tiny"}, "seed": 0, "budgets": {"max_metric_drop": 0.0}}
    return DeployConfig.model_validate({**must, **sections})


SCORED = {"validation_data", "eval_data"}
ALL = {"train_data", "calibration_data", *SCORED}


@pytest.mark.parametrize(
    ("sections", "needed", "captured", "trains"),
    [
        ({"quantize": PTQ}, ALL - {"train_data"}, ALL - {"train_data"}, False),
        ({"quantize": {**PTQ, "mode": "qat", "train": TRAIN}}, ALL, ALL, True),
        ({"quantize": PTQ, "train": TRAIN}, ALL, ALL - {"train_data"}, True),
        ({"quantize": PTQ, "finetune": TRAIN}, ALL, ALL - {"train_data"}, True),
        ({"finetune": TRAIN}, {"train_data", *SCORED}, {"eval_data"}, True),
        # Channels are chosen by the loss on training data; single weights by their size.
        ({"prune": STRUCTURED}, {"train_data", *SCORED}, {"eval_data"}, True),
        ({"prune": {"method": "2:4"}}, SCORED, {"eval_data"}, False),
    ],
)
def test_what_a_recipe_reads_of_a_task(
    sections: dict[str, object], needed: set[str], captured: set[str], trains: bool
) -> None:
    reads = reads_of(config(**sections))
    assert (set(reads.needed), set(reads.captured), reads.trains) == (needed, captured, trains)


def sets(*float_work: float) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(label=str(i), operators=(f"op{i}",), metric=0.9, float_work=work)
        for i, work in enumerate(float_work)
    )


@pytest.mark.parametrize(
    ("latencies", "order"),
    [
        ({}, [1, 2, 0]),
        ({0: 1.0, 1: 2.0, 2: 3.0}, [0, 1, 2]),
        # What a clock cannot tell from the fastest comes by its work in float.
        ({0: 1.0, 1: 1.031, 2: 1.03}, [2, 0, 1]),
        # What was not measured comes last.
        ({0: 1.0, 2: 1.0}, [2, 0, 1]),
    ],
)
def test_the_fastest_set_with_the_least_work_in_float_comes_first(
    latencies: dict[int, float], order: list[int]
) -> None:
    assert keeping._by_preference(sets(0.5, 0.2, 0.3), latencies) == order


@pytest.mark.parametrize(
    ("files", "chosen", "asked", "file_metrics"),
    [
        # The file that keeps the metric is taken, though another is faster.
        ({"a": 0.79, "b": 0.801}, "b", None, {"a": 0.79, "b": 0.801}),
        # None keeps it: what the better one misses is asked of torch's graph in addition.
        ({"a": 0.79, "b": 0.794, "c": 0.8}, "c", 0.094, {"c": 0.8}),
        # Nothing keeps that either: the best so far.
        ({"a": 0.79, "b": 0.7, "c": 0.6}, "a", None, {"a": 0.79, "b": 0.7}),
        # All in int8 kept it in torch, and the file does not.
        ({"all": 0.75, "c": 0.81}, "c", 0.05, {"c": 0.81}),
        ({"all": 0.8}, "all", None, {}),
    ],
)
def test_sets_are_taken_by_their_files(
    files: dict[str, float],
    chosen: str,
    asked: float | None,
    file_metrics: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The model has a metric of 0.9 in float, and may lose 0.1 of it."""

    def searched(aim: keeping.Aim, _: keeping.Means) -> Any:
        if aim.max_drop == 0.1:
            found = sorted({"a", "b"} & set(files))
        else:
            found = ["c"] if aim.max_drop > 0.08 or "all" in files else []
        result = Searched(
            float_metric=0.9,
            keeps_in_int8=aim.max_drop == 0.1 and "all" in files,
            candidates=tuple(
                Candidate(label=name, operators=(name,), metric=0.8, float_work=ord(name) / 1000)
                for name in found
            ),
        )
        return SimpleNamespace(name="keep float", result=result.model_dump(mode="json"), key="")

    def point(_: object, record: Any, index: int) -> str:
        return str(record.result["candidates"][index]["label"])

    monkeypatch.setattr(keeping, "_searched", searched)
    monkeypatch.setattr(keeping, "_point", point)
    monkeypatch.setattr(keeping, "Int8Model", lambda _, point: point)
    monkeypatch.setattr(
        keeping, "validated", lambda _, model, __: files[getattr(model, "name", model)]
    )
    everything: Any = SimpleNamespace(name="all", trained=SimpleNamespace(metric=0.7))
    task = SimpleNamespace(metric=lambda: SimpleNamespace(higher_is_better=True))
    job: Any = SimpleNamespace(
        task=task, recipe=SimpleNamespace(target=load_target("local-onnxruntime"))
    )
    none: Any = None
    aim = keeping.Aim(job, none, everything, none, 0.1)
    taken, search = keeping._kept(aim, keeping.Means(none, None))
    assert getattr(taken, "name", taken) == chosen
    assert (search.searched_drop and round(search.searched_drop, 3)) == asked
    assert [found.label for found in search.sets if found.chosen] == [chosen] * (chosen != "all")
    assert {
        found.label: found.file_metric for found in search.sets if found.file_metric is not None
    } == file_metrics


def asked_to_measure(
    monkeypatch: pytest.MonkeyPatch,
    candidates: tuple[Candidate, ...],
    device: Device | None,
    target: str = "local-onnxruntime",
) -> tuple[dict[int, float], list[str]]:
    """p50 by index, and the sets that a device was asked for."""
    asked: list[str] = []

    def measure_files(_: object, __: object, files: dict[str, object]) -> dict[str, float]:
        asked.extend(files)
        return {name: float(name) for name in files}

    monkeypatch.setattr(keeping, "Int8Model", lambda _, point: point)
    monkeypatch.setattr(keeping, "exported_file", lambda _, point: (f"key of {point}", point))
    monkeypatch.setattr(keeping, "measure_files", measure_files)

    def run(_: str, depends_on: dict[str, Any], work: Any) -> Any:
        assert depends_on["files"] == [f"key of {name}" for name in work(Path()).result]
        return SimpleNamespace(result=work(Path()).result)

    job: Any = SimpleNamespace(
        recipe=SimpleNamespace(target=load_target(target)),
        stages=SimpleNamespace(run=run),
        depends_on=lambda **more: more,
    )
    points: Any = [str(index) for index in range(len(candidates))]
    searched = Searched(float_metric=1.0, keeps_in_int8=False, candidates=candidates)
    return keeping._latencies(job, points, searched, device), asked[: len(asked) // 2]


def test_of_many_sets_four_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = asked_to_measure(monkeypatch, sets(0.5, 0.1, 0.4, 0.2, 0.3, 0.6), BOARD)
    assert asked == ["1", "3", "4", "2"]
    assert found == {1: 1.0, 3: 3.0, 4: 4.0, 2: 2.0}


@pytest.mark.parametrize(
    ("count", "device", "target"),
    [
        (1, BOARD, "local-onnxruntime"),
        (2, None, "local-onnxruntime"),
        (2, BOARD.model_copy(update={"emulated": True}), "local-onnxruntime"),
        (2, BOARD, "jetson-orin-nano"),
    ],
)
def test_no_set_is_measured_where_it_says_nothing_or_takes_too_long(
    count: int, device: Device | None, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = [0.1 * index for index in range(count)]
    assert asked_to_measure(monkeypatch, sets(*work), device, target) == ({}, [])
    assert asked_to_measure(monkeypatch, sets(0.1, 0.2), BOARD)[0]


def test_files_are_measured_in_turns_by_the_real_agent(tmp_path: Path) -> None:
    files = {}
    for name in ("a", "b"):
        onnx_files.linear(tmp_path / f"{name}.onnx", features=8, classes=4)
        files[name] = onnx_files.artifact(tmp_path / f"{name}.onnx", {"scores": (0.25, 0)})
    target = load_target("local-onnxruntime")
    quick = REHEARSAL.model_copy(update={"turns": 2})
    steps: list[tuple[int, int, str]] = []
    progress = SilentProgress()
    progress.step = lambda *step: steps.append(step)  # type: ignore[method-assign,assignment]
    job: Any = SimpleNamespace(
        recipe=SimpleNamespace(target=target.model_copy(update={"measurement": quick})),
        stages=SimpleNamespace(progress=progress),
        agent_dir=tmp_path,
        measured_inputs=Inputs(((np.zeros((1, 8), np.float32),),), "evaluation"),
    )
    found = measuring.measure_files(job, BOARD, files)
    assert list(found) == ["a", "b"]
    assert all(0 < latency < 1000 for latency in found.values())
    turns = [f"set {name}" for name in "abab"]
    assert steps == [(i + 1, 4, name) for i, name in enumerate(turns)]


def test_what_is_emulated_is_measured_as_shortly_as_it_takes_to_see_it_work() -> None:
    target = load_target("local-onnxruntime")
    assert protocol_for(target, BOARD) == target.measurement
    emulated = BOARD.model_copy(update={"emulated": True})
    assert protocol_for(target, emulated) == REHEARSAL
    assert (REHEARSAL.turns, REHEARSAL.min_iterations) == (1, 5)


def test_a_device_may_be_silent_for_a_command_and_for_the_engine_it_builds() -> None:
    assert quiet_s(load_target("local-onnxruntime")) == DEADLINE_S + 3.3 + MARGIN_S
    assert quiet_s(load_target("local-onnxruntime"), 5.0) == 5.0 + 3.3 + MARGIN_S
    assert quiet_s(load_target("jetson-orin-nano"), 5.0) == 5.0 + BUILD_S + 5.0 + MARGIN_S


def test_the_reference_sees_whole_batches_until_there_are_enough() -> None:
    drawn: list[int] = []

    def batches() -> Iterator[Any]:
        for index in range(9):
            drawn.append(index)
            yield torch.zeros(4, 2), None

    for samples, count in ((1, 1), (4, 1), (5, 2), (8, 2), (100, 9)):
        drawn.clear()
        assert len(list(_first(batches(), samples))) == count
        assert len(drawn) == count  # no batch is made for nothing


def built(metric: str, value: float) -> Any:
    evaluation = Evaluation(metric=metric, value=value, higher_is_better=True, samples=8)
    artifact = SimpleNamespace(size_bytes=1234)
    return SimpleNamespace(
        evaluation=evaluation, artifact=artifact, inspection=INSPECTION, macs=3, params=2
    )


@pytest.mark.parametrize(
    ("metric", "value", "accuracy"),
    [
        ("MulticlassAccuracy", 0.5, 0.5),
        ("MulticlassAccuracy", 1.0, 1.0),
        ("MulticlassAccuracy", 0.0, 0.0),
        ("MulticlassAccuracy", 1.01, None),
        ("MeanAbsoluteError", 0.5, None),
    ],
)
def test_a_report_calls_accuracy_what_is_one(
    metric: str, value: float, accuracy: float | None
) -> None:
    found = model_report(built(metric, value), None)
    assert found.accuracy == accuracy
    assert (found.metric.name, found.metric.value, found.metric.samples) == (metric, value, 8)
    assert (found.latency_ms_p50, found.peak_rss_bytes, found.model_size_bytes) == (
        None,
        None,
        1234,
    )


def test_each_layer_has_its_type_and_all_reasons_that_there_are() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    ops = (
        Op(name="a", op_type="Gemm", dtype="int8", macs=32, module="0"),
        Op(name="b", op_type="Gemm", dtype="float32", macs=24, reason="by name", module="2"),
    )
    point: Any = SimpleNamespace(model=model, layers=())
    inspection = Inspection(runtime="r", machine="m", ops=ops)
    first, last = layer_rows(point, point, inspection)
    assert (first.name, first.dtype, first.reason) == ("0", "int8", None)
    assert (last.name, last.dtype, last.reason) == ("2", "float32", "by name")
    why = (first.model_copy(update={"reason": "whole"}), last.model_copy(update={"reason": "met"}))
    point.layers = why
    rows = layer_rows(point, point, inspection)
    assert [row.reason for row in rows] == ["whole", "met; by name"]
    nothing = inspection.model_copy(update={"ops": ()})
    assert {row.dtype for row in layer_rows(point, point, nothing)} == {None}


def test_what_stays_in_float_says_who_wanted_it() -> None:
    trained = SimpleNamespace(keep_float=("head", "stem"), kept_because={"stem": "it costs 9 dB"})
    point: Any = SimpleNamespace(trained=trained)
    assert [(row.name, row.reason) for row in kept_rows(point)] == [
        ("head", "named in quantize.keep_float"),
        ("stem", "it costs 9 dB"),
    ]


def test_seven_bits_are_told_with_their_reason() -> None:
    quantized = config(quantize=PTQ)
    eight = load_target("raspberry-pi-5-onnxruntime")
    weights = eight.quantization.weights.model_copy(update={"bits": 7})
    scheme = eight.quantization.model_copy(update={"weights": weights})
    seven = eight.model_copy(update={"quantization": scheme})
    portable = config(quantize={**PTQ, "scheme": "portable"})
    assert run_notes(resolve(eight, quantized), BOARD) == ()
    assert run_notes(resolve(seven, quantized), BOARD) == (
        "weights use 7 of 8 bits, as target 'raspberry-pi-5-onnxruntime' says",
    )
    assert run_notes(resolve(seven, config(prune=STRUCTURED)), BOARD) == ()
    here = resolve(eight, quantized).model_copy(update={"scheme": scheme})
    (own,) = run_notes(here, BOARD)
    assert own.startswith("weights use 7 of 8 bits, because this CPU has no VNNI")
    (same,) = run_notes(resolve(eight, portable), BOARD)
    assert same == "weights use 7 of 8 bits, with which all int8 kernels round alike"
    (unmeasured,) = run_notes(resolve(eight, quantized), None)
    assert unmeasured.startswith(
        "no device of target 'raspberry-pi-5-onnxruntime' is in the inventory"
    )
