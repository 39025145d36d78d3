"""One line for every mistake in a spec: the key, what is wrong, what is known or expected."""

import copy
from typing import Any

import pytest

from edgecompress.errors import SpecError
from edgecompress.runtimes import RUNTIMES
from edgecompress.spec.base import Spec, parse
from edgecompress.spec.deploy import DeployConfig
from edgecompress.spec.load import load_target
from edgecompress.spec.preprocessing import ImagePreprocessing
from edgecompress.spec.target import Target

TRAIN = {"epochs": 1, "optimizer": "sgd", "learning_rate": 0.1}
DEPLOY: dict[str, Any] = {
    "task": {"path": "task.py:Mine"},
    "seed": 0,
    "finetune": TRAIN,
    "budgets": {"max_metric_drop": 0.01},
}
PRUNE = {"method": "structured", "importance": "taylor", "allocation": "uniform", "steps": 1}
BUDGETS = (
    "known: accept_uncertain, init_time_ms, latency_ms_p50, latency_ms_p90, latency_ms_p99,"
    " max_metric_drop, min_int8_op_fraction, min_speedup, model_size_bytes, peak_rss_bytes"
)


def refusal(spec: type[Spec], data: object) -> str:
    with pytest.raises(SpecError) as caught:
        parse(spec, data, "f.yaml")
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix("f.yaml: ")


def budgets(**keys: object) -> dict[str, object]:
    return {"budgets": {"max_metric_drop": 0.01, **keys}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"bugets": {}},
            "unknown key 'bugets'; did you mean 'budgets'? known: budgets, distill, finetune,"
            " prune, quantize, recipe, robustness, seed, task, train",
        ),
        (
            budgets(latency_p90_ms=3),
            f"unknown key 'budgets.latency_p90_ms'; did you mean 'latency_ms_p90'? {BUDGETS}",
        ),
        (
            budgets(peak_rss_mb=3),
            f"unknown key 'budgets.peak_rss_mb'; did you mean 'peak_rss_bytes'? {BUDGETS}",
        ),
        (budgets(xyz=3), f"unknown key 'budgets.xyz'; {BUDGETS}"),
        (
            budgets(peak_rss_bytes="3 MB"),
            "budgets.peak_rss_bytes: expected a whole number of bytes, got '3 MB'; write 3000000",
        ),
        (
            budgets(latency_ms_p50="0.5s"),
            "budgets.latency_ms_p50: expected a number of milliseconds, got '0.5s'; write 500",
        ),
        (
            budgets(latency_ms_p50="5 parsecs"),
            "budgets.latency_ms_p50: expected a number of milliseconds, got '5 parsecs'",
        ),
        (
            {"budgets": {"max_metric_drop": "1%"}},
            "budgets.max_metric_drop: expected a number, got '1%'; write 0.01",
        ),
        ({"budgets": None}, "budgets: expected keys (name: value), got nothing"),
        ({"seed": 1.5}, "seed: expected a whole number, got 1.5"),
        ({"seed": True}, "seed: expected a whole number, got True"),
        ({"seed": -1}, "seed: must be at least 0, got -1"),
        ({"task": {"path": "x"}}, "task: path 'x' must look like 'my_task.py:MyTask'"),
        (
            {"task": {"path": "a:b", "files": "data.npz"}},
            "task.files: expected a list, got 'data.npz'",
        ),
        (
            {"task": {"path": "a:b", "files": ["x", 1]}},
            "task.files.1: expected text (put it in quotes), got 1",
        ),
        ({"finetune": {**TRAIN, "epochs": 0}}, "finetune.epochs: must be greater than 0, got 0"),
        (
            {"finetune": {**TRAIN, "optimizer": "adam"}},
            "finetune.optimizer 'adam' is unknown; did you mean 'adamw'? known: adamw, sgd",
        ),
        ({"finetune": {"epochs": 1, "optimizer": "sgd"}}, "missing key 'finetune.learning_rate'"),
        (
            {"finetune": None},
            "nothing to do: give at least one of prune, finetune, quantize, or recipe: auto",
        ),
        ({"distill": "on"}, "distill: expected keys (name: value) or 'off', got 'on'"),
        ({"distill": {"temperature": 4.0}}, "missing key 'distill.weight'"),
        (
            {"distill": {"temperature": 4.0, "weight": 0.5, "alpha": 1}},
            "unknown key 'distill.alpha'; known: feature_kind, feature_layers, feature_weight,"
            " temperature, weight",
        ),
        ({"prune": {}}, "missing key 'prune.method'"),
        ({"prune": 3}, "prune: expected keys (name: value), got 3"),
        (
            {"prune": {"method": "magnitude"}},
            "prune.method 'magnitude' is unknown; known: 2:4, structured, unstructured",
        ),
        (
            {"prune": PRUNE},
            "prune: give exactly one of pruning_ratio, macs_reduction, latency_reduction; or with"
            " remove_blocks none",
        ),
        (
            {"prune": {**PRUNE, "pruning_ratio": "half"}},
            "prune.pruning_ratio: expected a number or keys (name: value), got 'half'",
        ),
        (
            {"prune": {**PRUNE, "pruning_ratio": {"layer1.conv": 2}}},
            "prune.pruning_ratio.layer1.conv: must be less than 1, got 2",
        ),
        (
            {"prune": {**PRUNE, "pruning_ratio": 0.5, "ratio": 1}},
            "unknown key 'prune.ratio'; did you mean 'pruning_ratio'? known: allocation,"
            " epochs_between, ignored_layers, importance, latency_reduction, macs_reduction,"
            " method, pruning_ratio, reach, remove_blocks, sparsify, steps, then",
        ),
    ],
)
def test_a_mistake_in_deploy_yaml(change: dict[str, object], message: str) -> None:
    assert refusal(DeployConfig, {**DEPLOY, **change}) == message


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        (
            "runtime",
            "name",
            "tflite",
            f"runtime.name 'tflite' is unknown; known: {', '.join(sorted(RUNTIMES))}",
        ),
        (
            "runtime",
            "version",
            1.17,
            "runtime.version: expected text (put it in quotes), got 1.17",
        ),
        (
            "measurement",
            "min_duration_s",
            "500ms",
            "measurement.min_duration_s: expected a number of seconds, got '500ms'; write 0.5",
        ),
        (
            "measurement",
            "min_duration_ms",
            500,
            "unknown key 'measurement.min_duration_ms'; did you mean 'min_duration_s'? known:"
            " max_warmup_s, min_duration_s, min_iterations, protocol, turns, warmup_iterations",
        ),
        (
            "quantization",
            "activations",
            {"dtype": "uint8", "scheme": "symmetric"},
            "quantization.activations: uint8 activations cannot be symmetric; use int8, or"
            " scheme: affine",
        ),
    ],
)
def test_a_mistake_in_a_target(section: str, key: str, value: object, message: str) -> None:
    data = copy.deepcopy(load_target("local-onnxruntime").model_dump(mode="json"))
    data[section][key] = value
    assert refusal(Target, data) == message


def test_the_unknown_key_comes_before_the_key_that_it_leaves_missing() -> None:
    data = load_target("local-onnxruntime").model_dump(mode="json")
    data["measurement"]["min_duration_ms"] = data["measurement"].pop("min_duration_s")
    assert refusal(Target, data) == (
        "unknown key 'measurement.min_duration_ms'; did you mean 'min_duration_s'? known:"
        " max_warmup_s, min_duration_s, min_iterations, protocol, turns, warmup_iterations"
    )


def test_not_a_mapping_at_all() -> None:
    assert refusal(Target, [1]) == "expected keys (name: value), got [1]"


def test_long_values_are_cut() -> None:
    message = refusal(DeployConfig, {**DEPLOY, "seed": "7" * 500})
    assert len(message) < 120
    assert message.endswith("...")


def test_a_list_that_is_too_short_names_what_is_missing() -> None:
    assert refusal(ImagePreprocessing, {"size": [8]}) == "missing key 'size.1'"
