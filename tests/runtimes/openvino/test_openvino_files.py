"""Files for OpenVINO, run and told by OpenVINO itself, in the agent's process."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("openvino", reason="needs openvino: pip install 'edgecompress[openvino]'")

from openvino_files import OPENVINO, SAMPLES, TARGET, Built, built, exportable
from zoo.catalogue import build

from edgecompress.errors import ArtifactError
from edgecompress.formats.exportable import Exportable
from edgecompress.formats.onnx.kinds import FLOATS
from edgecompress.measure.loaded import Loaded
from edgecompress.pipeline.single import HERE, agent_on, inspect_file

UINT8 = "uint8"
CASES = [
    # Of the scheme of x86 boards, of Arm's, and of all.
    ("mobilenet_v3", UINT8),
    ("decoder", UINT8),
    ("resnet_conv_shortcut", "int8 affine"),
    ("grouped_conv", "int8 affine"),
    ("densenet", "portable"),
    ("transposed_grouped", "portable"),
    ("transformer", "portable"),
    ("lstm", "portable"),
    ("max_pool", "portable"),
    ("reflected", "portable"),
    ("average_pool", UINT8),
    ("concat", "portable"),
    ("concat", "int8 affine"),
]
IN_FLOAT = {"transposed_grouped": {"Deconvolution"}, "lstm": {"RNNSeq"}}
"""Primitives that multiply and have no int8 kernel."""


@pytest.fixture(scope="module", params=CASES, ids=lambda case: ", ".join(case))
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str, Built]:
    name, wanted = request.param
    return name, wanted, built(*build(name), tmp_path_factory.mktemp(name), wanted)


def test_every_mac_runs_in_int8_and_every_float_has_a_reason(case: tuple[str, str, Built]) -> None:
    name, _, file = case
    multiplying = [op for op in file.inspection.ops if op.macs]
    in_float = {op.op_type for op in multiplying if op.dtype != "int8"}
    assert in_float == IN_FLOAT.get(name, set())
    assert [op.name for op in file.inspection.ops if op.dtype in FLOATS and not op.reason] == []
    assert all(op.dtype != "unknown" and op.time_us is not None for op in multiplying)
    layers = {op.module for op in multiplying} - {None}
    assert layers <= set(file.quantized.layers.values()) | {"lstm"}


def test_agrees_with_torch_and_by_reference_kernels_with_the_definition(
    case: tuple[str, str, Built],
) -> None:
    name, wanted, file = case
    ours = file.run()
    definition = file.run("onnxruntime", "reference")
    assert file.steps_apart(ours, file.torch()) < 2.5
    assert file.steps_apart(file.run(kernels="reference"), definition) < 0.01
    if wanted == "portable" and name != "transformer":  # layer norm rounds as its kernel does
        samples = [[[x[at] for x in of] for of in (ours, definition)] for at in range(SAMPLES)]
        agrees = np.array([file.steps_apart(*each) < 0.01 for each in samples])
        assert agrees.sum() >= SAMPLES - 1
        # All do on a CPU with AVX2; with VNNI one of max_pool's does not.
        assert not (~agrees & file.is_far_from_ties()).any()


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    file = built(*build("linear_stack"), tmp_path, UINT8)
    model = exportable(file.quantized, file.example_inputs, UINT8)
    again = OPENVINO.export(model, tmp_path / "again.onnx")
    assert again.sha256 == file.artifact.sha256
    assert [tensor.shape[0] for tensor in file.artifact.inputs] == [1]


class Pooling(nn.Module):
    """A mean that counts its padding, of numbers with a zero point that is not the lowest."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3)
        self.pool = nn.AvgPool2d(3, 2, 1, count_include_pad=True)
        self.head = nn.Conv2d(8, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(self.conv(x)))


@pytest.mark.parametrize("wanted", [UINT8, "int8 affine"])
def test_a_mean_counts_its_padding_as_zeros(tmp_path: Path, wanted: str) -> None:
    file = built(Pooling(), (torch.randn(1, 3, 10, 10),), tmp_path, wanted)
    assert file.steps_apart(file.run(), file.torch()) < 1.5
    assert file.inspection.int8_op_fraction == 1.0


def test_a_float_file_is_said_to_be_one(tmp_path: Path) -> None:
    model, inputs = build("residual")
    float_model = Exportable(
        module=model.eval(),
        example_inputs=inputs,
        free_batch=True,
        input_names=("x",),
        output_names=("y",),
        lineage={},
        target=TARGET,
    )
    found = inspect_file(OPENVINO.export(float_model, tmp_path / "f.onnx").path, TARGET.name)
    assert found.int8_op_fraction == 0.0
    assert found.macs > 0
    assert {op.reason for op in found.ops if op.macs} == {"the file is not quantised"}


def test_a_file_that_openvino_cannot_read_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ArtifactError) as caught:
        inspect_file(path, TARGET.name)
    assert "\n" not in str(caught.value)
    sound = built(*build("linear_stack"), tmp_path, UINT8).artifact
    content = bytearray(sound.path.read_bytes())
    content[len(content) // 2 :] = np.random.default_rng(0).bytes(len(content) // 2)
    path.write_bytes(bytes(content))
    with pytest.raises(ArtifactError):
        agent_on(HERE, tmp_path / "agent").optimise(
            Loaded(sound.model_copy(update={"path": path}), "openvino"), tmp_path / "graph.json"
        )
