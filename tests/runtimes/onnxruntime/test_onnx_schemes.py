"""What targets can ask for besides uint8: int8, symmetric, powers of two, one scale per tensor."""

import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from quantizing import Built, ZooFiles, batch, built
from zoo.catalogue import build

from edgecompress.formats.onnx.edit import Array
from edgecompress.spec.native import native_cpu

SCHEMES = (
    "int8 affine", "int8 symmetric", "portable", "powers of two", "per tensor", "uint8, 8 bits"
)  # fmt: skip
UINT8 = {"portable", "powers of two", "per tensor", "uint8, 8 bits"}
EXACT = bool({"avx512_vnni", "avx_vnni", "amx_int8"} & set(native_cpu().features)) or (
    native_cpu().architecture != "x86_64"
)
MODELS = ("mobilenet_v2", "concat")


@pytest.fixture(scope="module", params=[(s, m) for s in SCHEMES for m in MODELS], ids=" ".join)
def case(request: pytest.FixtureRequest, zoo_files: ZooFiles) -> tuple[str, Built]:
    wanted, model = request.param
    return wanted, zoo_files(model, wanted)


def test_file_agrees_with_torch(case: tuple[str, Built]) -> None:
    wanted, file = case
    if wanted == "uint8, 8 bits" and not EXACT:
        pytest.skip("x86 without VNNI adds products in 16 bits, which overflow")
    assert file.steps_apart(batch(file.example_inputs, 3, seed=9)) < 2.5


def test_activations_are_of_the_type_that_was_asked(case: tuple[str, Built]) -> None:
    wanted, file = case
    parameters = _activations(file)
    assert {zero_point.dtype.name for _, zero_point in parameters} == {
        "uint8" if wanted in UINT8 else "int8"
    }
    if wanted == "int8 symmetric":
        assert {int(zero_point) for _, zero_point in parameters} == {0}
    if wanted == "portable":
        assert 128 in {int(zero_point) for _, zero_point in parameters}


def test_uint8_runs_in_int8_kernels_throughout(case: tuple[str, Built]) -> None:
    wanted, file = case
    if wanted in UINT8:
        assert file.inspection.int8_op_fraction == 1.0
        assert file.float_kernels == set()


def test_every_float_operator_has_a_reason(case: tuple[str, Built]) -> None:
    floats = [op for op in case[1].inspection.ops if op.dtype == "float32"]
    assert [op.name for op in floats if not op.reason] == []


def test_weights_keep_to_their_bits_and_granularity(case: tuple[str, Built]) -> None:
    wanted, file = case
    for name, weight, scale in _weights(file):
        largest = 127 if wanted == "uint8, 8 bits" else 63
        used = int(np.abs(weight.astype(int)).max())
        assert used <= largest, name
        # Scales without ties are a little larger than the weights need.
        assert wanted == "powers of two" or used >= 0.9 * largest, name
        assert scale.size == (1 if wanted == "per tensor" else weight.shape[0])


def test_powers_of_two_are(case: tuple[str, Built]) -> None:
    wanted, file = case
    if wanted != "powers of two":
        return
    scales = [float(scale) for scale, _ in _activations(file)]
    scales += [float(s) for _, _, scale in _weights(file) for s in scale.reshape(-1)]
    assert len(scales) > 20
    assert all(math.log2(scale).is_integer() for scale in scales)


def test_same_model_same_bytes(tmp_path: Path, zoo_files: ZooFiles) -> None:
    again = built(*build("shared_module"), tmp_path)
    assert again.artifact.sha256 == zoo_files("shared_module").artifact.sha256


@pytest.mark.slow
def test_same_bytes_from_another_process(tmp_path: Path, zoo_files: ZooFiles) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from quantizing import built; from zoo.catalogue import build\n"
        "built(*build('transformer'), Path(sys.argv[1]))\n"
    )
    # Sets of strings are in another order there.
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    path = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(path)}
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, check=True, timeout=300
    )
    digest = hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()
    assert digest == zoo_files("transformer").artifact.sha256


def _activations(file: Built) -> list[tuple[Array, Array]]:
    """(scale, zero_point) of every QuantizeLinear."""
    graph = onnx.load(file.artifact.path).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    quantizers = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    return [(constants[node.input[1]], constants[node.input[2]]) for node in quantizers]


def _weights(file: Built) -> list[tuple[str, Array, Array]]:
    """(layer, weight, scale) of every layer."""
    graph = onnx.load(file.artifact.path).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = [
        (node.input[0], constants[node.input[0]], constants[node.input[1]])
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0].endswith(".weight")
    ]
    assert len(found) == len(file.quantized.layers)
    return found
