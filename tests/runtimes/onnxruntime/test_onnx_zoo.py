"""Every model of the zoo: prepared, calibrated, converted, exported, and run by ONNX Runtime."""

from collections import Counter
from pathlib import Path

import onnx
import pytest
from quantizing import Built, ZooFiles, batch
from zoo.catalogue import EVERYTHING

from edgecompress.report.layer_types import between_compute
from edgecompress.spec.measurement import Op

NORMS = {"LayerNormalization"}
FLOAT = {
    "causal_attention": {"Add", "Softmax"},
    "conv1d": {"PRelu"},
    "decoder": {"ConvTranspose"},
    "dict_output": {"Softmax"},
    "gelu": {"Gelu"},
    "group_norm": {"InstanceNormalization", "Mul", "Add"},
    "instance_norm": {"InstanceNormalization"},
    "layer_norm": NORMS,
    "lstm": {"LSTM"},
    "masked_attention": {"Where", "Mul", "Add", "Softmax"},
    "mlp_mixer": {"Gelu"},
    "multi_head_attention": {"Softmax"},
    "recurrent": {"GRU"},
    "single_head_attention": {"Softmax"},
    "softmax_output": {"Softmax"},
    "text": {*NORMS, "Softmax", "Sum"},
    "transformer": {*NORMS, "Gelu", "Softmax"},
    "transposed": {"ConvTranspose"},
    "transposed_1d": {"ConvTranspose"},
    "transposed_grouped": {"ConvTranspose"},
    "upsample_bilinear": {"Resize"},
}
"""What has no int8 kernel, or holds the -inf of a mask; all other models are int8 throughout."""
WITHOUT_KERNEL = {"ConvTranspose", "GRU", "LSTM"}
"""Those of them that multiply by weights."""
FIXED_BATCH = {"fixed_batch"}
QUICK = {
    *("resnet20", "mobilenet_v2", "mobilenet_v3", "densenet", "flatten_linear", "two_inputs"),
    *("transformer", "uneven_padding", "transposed", "residual_relu6", "concat", "global_mean"),
    *("linear_3d", "multi_head_attention", "masked_attention", "dict_output", "preactivation"),
    *("fixed_batch", "hardtanh", "layer_norm", "recurrent", "conv1d"),
}
NAMES = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in EVERYTHING]


@pytest.fixture(scope="module", params=NAMES)
def case(request: pytest.FixtureRequest, zoo_files: ZooFiles) -> tuple[str, Built]:
    return request.param, zoo_files(request.param)


def test_file_agrees_with_torch(case: tuple[str, Built]) -> None:
    name, file = case
    for count in (1,) if name in FIXED_BATCH else (1, 3):
        assert file.steps_apart(batch(file.example_inputs, count, seed=9)) < 2.5


def test_every_mac_with_an_int8_kernel_runs_in_it(case: tuple[str, Built]) -> None:
    name, file = case
    assert file.float_kernels == FLOAT.get(name, set())
    multiplying = [op for op in file.inspection.ops if op.macs and op.dtype != "int8"]
    assert {op.op_type for op in multiplying} <= WITHOUT_KERNEL


def test_every_float_operator_has_a_reason(case: tuple[str, Built]) -> None:
    floats = [op for op in case[1].inspection.ops if op.dtype == "float32"]
    assert [op.name for op in floats if not op.reason] == []


def test_no_clip_or_conversion_between_int8_operators(case: tuple[str, Built]) -> None:
    name, file = case
    if name not in FLOAT:
        assert between_compute(file.inspection) == ()
        converting = Counter(op.op_type for op in file.inspection.ops)
        # The token is a constant, but how often it is repeated depends on the batch.
        entering = len(file.example_inputs) + (name == "class_token")
        assert converting["QuantizeLinear"] <= entering
        assert converting["DequantizeLinear"] <= len(file.artifact.outputs)


def test_batch_is_free_where_the_model_allows(case: tuple[str, Built]) -> None:
    name, file = case
    sizes = {tensor.shape[0] for tensor in (*file.artifact.inputs, *file.artifact.outputs)}
    assert sizes == ({1} if name in FIXED_BATCH else {"batch"})


def test_file_says_nothing_of_this_machine(case: tuple[str, Built]) -> None:
    content = case[1].artifact.path.read_bytes()
    for word in (b"stack_trace", b"site-packages", b".py", b"File ", str(Path.home()).encode()):
        assert word not in content, word


def test_is_one_file_that_onnx_accepts(case: tuple[str, Built]) -> None:
    path = case[1].artifact.path
    assert {file.name for file in path.parent.iterdir()} <= {"model.onnx", "optimised.onnx"}
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [tensor.name for tensor in model.graph.output] == [
        f"out{index}" for index in range(len(model.graph.output))
    ]


def test_int8_weights_are_inside(case: tuple[str, Built]) -> None:
    model = onnx.load(case[1].artifact.path)
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    for name in case[1].quantized.layers.values():
        if f"{name}.weight" in kinds:
            assert kinds[f"{name}.weight"] == onnx.TensorProto.INT8


def test_layers_have_the_names_of_the_users_modules(case: tuple[str, Built]) -> None:
    name, file = case
    if name == "functional_weight":
        return  # its last layer is a parameter of no module
    modules = {name for name, _ in file.model.named_modules()}
    multiplying: list[Op] = [op for op in file.inspection.ops if op.macs and op.module]
    assert {op.module for op in multiplying} <= modules
