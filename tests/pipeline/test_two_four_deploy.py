"""Two of every four weights stay zero, through fine-tuning and QAT, up to the exported file."""

import json
from pathlib import Path

import deploying
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

ONE_EPOCH = (
    ("finetune:\n  epochs: 2", "finetune:\n  epochs: 1"),
    ("  train:\n    epochs: 2", "  train:\n    epochs: 1"),
)


JETSON = (
    ("  name: onnxruntime\n", "  name: tensorrt\n"),
    ('">=1.17"', '"==10.3.*"'),
    ("quantization:\n", "gpu: {architecture: sm_87}\nfloat_dtype: float16\nquantization:\n"),
    ("{dtype: uint8, scheme: affine}", "{dtype: int8, scheme: symmetric}"),
    ("[structured, unstructured]", '[structured, "2:4"]'),
)


def project(folder: Path) -> Path:
    """The tiny project with one epoch of each training, for a board that is not here."""
    deploying.unmeasured(folder)
    edit(folder / "deploy.yaml", *ONE_EPOCH, ("  steps: 1\n", "  steps: 1\n  then: 2:4\n"))
    edit(folder / "targets" / "tiny.yaml", *JETSON)
    return folder


def edit(file: Path, *changes: tuple[str, str]) -> None:
    text = file.read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file.write_text(text)


def weights(file: Path) -> list[NDArray[np.generic]]:
    """Stored weights of convolutions and matrix products, [out, in, ...], in their order."""
    graph = onnx.load(file).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    found = []
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            name = node.input[1]
            while name not in constants:
                name = made_by[name].input[0]
            weight = constants[name]
            is_out_first = node.op_type == "Conv" or any(a.name == "transB" for a in node.attribute)
            found.append(weight if is_out_first else weight.T)
    return found


def zeros_in_four(weight: NDArray[np.generic]) -> int:
    """The fewest in any four neighbours along the input channels."""
    flat = np.moveaxis(weight, 1, -1)
    return int((flat.reshape(-1, 4) == 0).sum(1).min())


@pytest.mark.slow
def test_a_whole_deploy(tmp_path: Path, cli: deploying.Cli) -> None:
    folder = project(tmp_path / "project")
    done = cli.run(folder)
    report = json.loads(done.stdout)
    assert report["verdict"]["decision"] == "unmeasured", done.stderr
    assert report["candidate"]["accuracy"] > 0.8
    assert report["candidate"]["macs"] < report["baseline"]["macs"]
    stem, *others = weights(folder / report["artifacts"][0]["path"])
    assert stem.shape[1] == 1
    assert len(others) == 4
    assert [zeros_in_four(weight) for weight in others] == [2] * 4
    reasons = {row["name"]: row["reason"] or "" for row in report["layers"]}
    dense = {name for name, reason in reasons.items() if "not 2:4" in reason}
    assert dense == {"stem.0"}
    assert "not 2:4: 1 input channels are not a multiple of 4" in reasons["stem.0"]
