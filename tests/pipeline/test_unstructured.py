"""Weights that were zeroed stay zero, through fine-tuning and QAT, up to the exported file."""

from pathlib import Path

import deploying
import numpy as np
import onnx
import pytest

STRUCTURED = """\
  method: structured
  importance: magnitude
  allocation: uniform
  pruning_ratio: 0.5
  steps: 1
"""


def integer_weights(file: Path) -> dict[str, np.ndarray]:
    return {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(file).graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all, because they are quantised in several ways after the same training."""
    return deploying.unmeasured(tmp_path_factory.mktemp("unstructured") / "project")


@pytest.mark.parametrize("mode", ["qat", "ptq", "refined"])
def test_zeros_reach_the_file(folder: Path, cli: deploying.Cli, mode: str) -> None:
    text = (deploying.TINY / "deploy.yaml").read_text()
    sparse = "  {method: unstructured, sparsity: 0.75, scope: layer, ignored_layers: [head]}\n"
    text = text.replace(STRUCTURED, sparse).replace("prune:\n", "prune:\n")
    if mode != "qat":
        start = text.index("mode: qat")
        end = text.index("budgets:")
        ptq = "mode: ptq\n  ranges: mse\n  calibration_batches: 2\n\n"
        if mode == "refined":
            ptq = "equalise: true\n  rounding: adaptive\n  correct_biases: true\n  " + ptq
        text = text[:start] + ptq + text[end:]
    (folder / "deploy.yaml").write_text(text)
    report = deploying.deploy(folder, cli)
    assert report["candidate"]["accuracy"] > 0.8
    told = {note.split(":")[0] for note in report["notes"]}
    refinements = {"equalise", "rounding", "correct_biases"}
    assert told & refinements == (refinements if mode == "refined" else set())
    weights = integer_weights(folder / report["artifacts"][0]["path"])
    zeros = {name: float((weight == 0).mean()) for name, weight in weights.items()}
    assert len(zeros) == 5
    sparse_layers = [share for share in zeros.values() if share >= 0.75 - 1e-9]
    assert len(sparse_layers) == 4, zeros  # all but the head, which was ignored
    assert min(zeros.values()) < 0.5
