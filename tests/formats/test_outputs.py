"""Whatever structure a model returns, its tensors are in the file, under the user's names."""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from quantizing import LOCAL
from torch import Tensor, nn

from edgecompress.compress.capture import capture
from edgecompress.compress.quantize import run_batch
from edgecompress.formats.exportable import Exportable
from edgecompress.pipeline.outputs import input_names, output_names, rebuilder
from edgecompress.runtimes import runtime
from edgecompress.task.structures import learn_structures

X = torch.randn(1, 6, generator=torch.Generator().manual_seed(0))
Pair = namedtuple("Pair", "first second")


@dataclass
class Result:
    logits: Tensor
    hidden: Tensor | None = None


class Returning(nn.Module):
    def __init__(self, how: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 4)
        self.how = how

    def forward(self, x: Tensor) -> Any:
        return self.how(x, self.fc(x))


STRUCTURES: dict[str, tuple[Callable[[Tensor, Tensor], Any], tuple[str, ...]]] = {
    "inner names": (lambda x, y: {"linear": y * 2, "softmax": y.softmax(1)}, ("linear", "softmax")),
    "an input's name": (lambda x, y: {"x": y, "z": y * 2}, ("x_out", "z")),
    "other keys": (lambda x, y: {1: y, "": y * 2, "1": y * 3}, ("1", "output_1", "1_out")),
    "None": (lambda x, y: {"loss": None, "logits": y}, ("logits",)),
    "numbers": (lambda x, y: (y, 3, "three", x.shape[0]), ("output",)),
    "dataclass": (lambda x, y: Result(y), ("output",)),
    "named tuple": (lambda x, y: Pair(y, [y * 2, (y + 1,)]), ("output_0", "output_1", "output_2")),
    "twice": (lambda x, y: (y, y), ("output_0", "output_1")),
    "the input": (lambda x, y: (y, x), ("output_0", "output_1")),
    "a constant": (lambda x, y: (y, torch.ones(3)), ("output_0", "output_1")),
    "other types": (
        lambda x, y: (y > 0, y.argmax(1), y.mean()),
        tuple(f"output_{i}" for i in range(3)),
    ),
}


@pytest.mark.parametrize("captured", [False, True], ids=["as it is", "captured"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_a_file_gives_what_the_model_returns(name: str, captured: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    how, names = STRUCTURES[name]
    model = Returning(how).eval()
    with torch.no_grad():
        expected = model(X)
    learn_structures(expected)
    module: nn.Module = capture(model, (X,))[0] if captured else model
    inputs = input_names(model, (X,))
    assert output_names(expected, inputs) == names
    exportable = Exportable(module, (X,), True, inputs, names, {}, LOCAL)
    artifact = runtime("onnxruntime").export(exportable, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(artifact.path, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["x"]
    assert tuple(value.name for value in session.get_outputs()) == names
    given = [torch.from_numpy(np.asarray(out)) for out in session.run(None, {"x": X.numpy()})]
    rebuilt = rebuilder(model, (X,), artifact.path)(given)
    assert type(rebuilt) is type(expected)
    flat = torch.utils._pytree.tree_leaves
    for ours, theirs in zip(flat(rebuilt), flat(expected), strict=True):
        if isinstance(theirs, Tensor):
            torch.testing.assert_close(ours, theirs)
        else:
            assert ours == theirs


def test_samples_one_by_one_keep_what_is_no_tensor() -> None:
    model = Returning(lambda x, y: {"loss": None, "logits": y, "mean": 3})
    x = torch.cat([X, X])
    found = run_batch(model, (x,), free_batch=False)
    assert found["loss"] is None
    assert found["logits"].shape == (2, 4)


def test_what_nothing_can_walk_through_is_named() -> None:
    class Odd:
        pass

    with pytest.raises(TypeError, match=r"forward\(\) returns a Odd"):
        learn_structures((X, Odd()))
