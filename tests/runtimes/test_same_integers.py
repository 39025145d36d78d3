"""The portable scheme's promise: one training, three files, the same integers in every runtime.
With its weights and joins a LiteRT target of one's own has them in all of LiteRT's kernels.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

pytest.importorskip("litert_torch", reason="litert-torch is not installed")

import litert_files
from numpy.typing import NDArray
from quantizing import Inputs, batch, calibrated, exported, scheme
from random_networks import random_network
from torch import nn
from zoo.catalogue import build

from edgecompress.compress import rounding
from edgecompress.compress.biases import snap_biases
from edgecompress.compress.calibration import CalibrationRun
from edgecompress.compress.folding import freeze_statistics
from edgecompress.compress.modes import set_training
from edgecompress.compress.quantize import Prepared, convert, forward
from edgecompress.compress.refine import refine
from edgecompress.compress.step_size import learn_scales, settle_scales
from edgecompress.formats.exportable import Exportable
from edgecompress.runtimes import runtime
from edgecompress.spec.deploy import QuantizeSpec, TrainSpec
from edgecompress.spec.load import load_target
from edgecompress.spec.recipe import weight_bits

COUNT = 12
NAMES = ["resnet_conv_shortcut", "resnet20", "depthwise_separable", "mobilenet_v2"]
REFINED = QuantizeSpec(
    mode="ptq",
    scheme="portable",
    ranges="minmax",
    calibration_batches=1,
    equalise=True,
    rounding="adaptive",
    correct_biases=True,
)
LEARNT = QuantizeSpec(
    mode="qat",
    scheme="portable",
    ranges="minmax",
    calibration_batches=1,
    train=TrainSpec(epochs=1, optimizer="sgd", learning_rate=0.01),
    train_scales=True,
)
Outputs = dict[str, NDArray[np.float32]]


def outputs_of(
    model: nn.Module,
    example_inputs: Inputs,
    folder: Path,
    wanted: str,
    spec: QuantizeSpec | None = None,
) -> tuple[Outputs, float]:
    """What each runtime puts out for random inputs, and the step of these outputs."""
    prepared = calibrated(model, example_inputs, wanted, spec=spec)
    if spec is not None and spec.train_scales:
        train_scales(prepared)
    elif spec is not None:
        refine(prepared, [(batch(example_inputs, 8, seed=3), None)], spec)
    snap_biases(prepared)
    inputs = batch(example_inputs, COUNT, seed=11)
    outputs, step = outputs_in_litert(prepared, inputs, folder, wanted)
    if wanted == "portable":
        outputs["ONNX Runtime"] = exported(prepared, model, folder).run(inputs)[0]
        outputs["for TensorRT"] = run_for_tensorrt(prepared, inputs, folder)
    return outputs, step


def train_scales(prepared: Prepared) -> None:
    """A few steps towards other outputs."""
    graph = prepared.graph
    freeze_statistics(graph)
    learn_scales(prepared)
    set_training(graph, True)
    optimizer = torch.optim.SGD(graph.parameters(), lr=0.01)
    for seed in range(4):
        outputs = forward(prepared, batch(prepared.example_inputs, 4, seed))
        optimizer.zero_grad()
        (outputs - 1).square().mean().backward()
        optimizer.step()
    settle_scales(graph)
    set_training(graph, False)
    CalibrationRun(graph).freeze()


def outputs_in_litert(
    prepared: Prepared, inputs: Inputs, folder: Path, wanted: str
) -> tuple[Outputs, float]:
    quantized = convert(prepared, integers=False)
    told = scheme(wanted)
    file = litert_files.export(quantized.graph, prepared.example_inputs, folder, scheme=told)
    step = file.artifact.outputs[0].scale
    assert step is not None
    each = [tuple(x[i : i + 1] for x in inputs) for i in range(COUNT)]
    return {
        "torch": file.torch(inputs)[0].numpy(),
        "XNNPACK": np.concatenate([file.run(x)[0] for x in each]),
        "LiteRT's reference": np.concatenate([file.run(x, "BUILTIN_REF")[0] for x in each]),
    }, step


def run_for_tensorrt(prepared: Prepared, inputs: Inputs, folder: Path) -> NDArray[np.float32]:
    """Q/DQ in float, as written: TensorRT's own kernels are nowhere to be had here."""
    quantized = convert(prepared, integers=False)
    exportable = Exportable(
        module=quantized.graph,
        example_inputs=prepared.example_inputs,
        free_batch=prepared.free_batch,
        input_names=("x",),
        output_names=("y",),
        lineage={},
        target=load_target("jetson-orin-nano").model_copy(update={"float_dtype": "float32"}),
        layers=quantized.layers,
        scheme=prepared.scheme,
    )
    path = runtime("tensorrt").export(exportable, folder / "tensorrt.onnx").path
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"x": inputs[0].numpy()})[0]
    return result


def share_apart(outputs: Outputs, name: str, step: float) -> float:
    return float(np.mean(np.abs(outputs[name] - outputs["torch"]) > step / 2))


def check(
    model: nn.Module,
    example_inputs: Inputs,
    folder: Path,
    wanted: str,
    spec: QuantizeSpec | None = None,
) -> None:
    outputs, step = outputs_of(model, example_inputs, folder, wanted, spec)
    values = np.round(outputs["torch"] / step)
    assert len(np.unique(values)) > 10  # they are not all the same anyway
    apart = {runtime: share_apart(outputs, runtime, step) for runtime in outputs}
    assert apart == dict.fromkeys(outputs, 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_every_runtime_gives_the_integers_that_torch_gives(name: str, tmp_path: Path) -> None:
    check(*build(name), tmp_path, "portable")


def test_weights_that_were_rounded_adaptively_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounding, "_ITERATIONS", 60)
    check(*build("depthwise_separable"), tmp_path, "portable", REFINED)


def test_scales_that_were_learnt_too(tmp_path: Path) -> None:
    check(*build("resnet_conv_shortcut"), tmp_path, "portable", LEARNT)


@pytest.mark.parametrize("wanted", ["portable", "portable, affine"])
def test_of_random_networks_too(
    wanted: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    for seed in range(request.config.getoption("--networks")):
        check(*random_network(seed), tmp_path, wanted)


def test_whose_schemes_promise_it() -> None:
    assert scheme("portable").same_integers
    assert scheme("portable, affine").same_integers
    for name in ("android-nnapi", "android-xnnpack", "raspberry-pi-5-litert", "local-litert"):
        target = load_target(name)
        assert weight_bits(target) == 8
        assert target.quantization.joins == "free"
        assert not target.quantization.same_integers


def test_litert_s_own_scheme_ends_within_a_step(tmp_path: Path) -> None:
    """And not with the same integers, else the tests above would show nothing."""
    outputs, step = outputs_of(*build("resnet_conv_shortcut"), tmp_path, "litert")
    assert np.abs(outputs["XNNPACK"] - outputs["torch"]).max() < 1.5 * step
    assert share_apart(outputs, "XNNPACK", step) < 0.05
    assert share_apart(outputs, "LiteRT's reference", step) > 0.05
