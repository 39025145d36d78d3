"""What is wrong with a call is one line that names the argument, before anything is made."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deploying
import pytest
import torch
from notebooks import Notebook
from torch import nn

import edgecompress
from edgecompress.api.compressing import wanted_of
from edgecompress.errors import DeviceError, EdgecompressError, SpecError, TaskError

Change = Callable[[Notebook], dict[str, Any]]
X, Y = torch.zeros(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64)


class Holey(nn.Module):
    """A net of one layer, on the meta device or where it is put."""

    def __init__(self, device: str = "cpu") -> None:
        super().__init__()
        self.fc = nn.Linear(64, 8, device=device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.flatten(1))


WRONG: list[tuple[str, dict[str, Any], type[EdgecompressError], str]] = [
    ("no model", {"model": "net.pt"}, TaskError, r"model: must be a torch.nn.Module, not str"),
    ("meta", {"model": Holey("meta")}, TaskError, r"model: 'fc.weight' is on the meta device"),
    ("double", {"model": Holey().double()}, TaskError, r"model: .* float64; .* give model.float"),
    ("generator", {"evaluate": (b for b in [(X, Y)])}, TaskError,
     r"evaluate: a generator can be read once only; give a list of batches, a DataLoader"),
    ("generator for training", {"train": iter([(X, Y)])}, TaskError, r"train: a list_iterator can"),
    ("nothing to read", {"train": 3}, TaskError, r"train: int gives no batches"),
    ("no pairs", {"evaluate": [X]}, TaskError, r"evaluate batch 0 is not \(inputs, target\)"),
    ("empty", {"evaluate": []}, TaskError, r"evaluate: gives no batches"),
    ("a function that fails", {"evaluate": lambda: 1 / 0}, TaskError, r"evaluate: ZeroDivision"),
    ("other inputs", {"train": [(X[:, :, :5], Y)]}, TaskError,
     r"train batch 0: the input is float32 \[4, 1, 5, 8\]; the model takes float32 \[N, 1, 8"),
    ("labels", {"evaluate": [(X, Y + 9)]}, TaskError, r"evaluate batch 0: label 9 is out of range"),
    ("the model", {"evaluate": [(X[..., 0], Y)]}, TaskError, r"model\(\*example_inputs\): "),
    ("no metric", {"evaluate": [(X, Y.float())]}, TaskError,
     r"metric: none is given, .* the target is float32 \[4\]; give metric="),
    ("metric", {"metric": 3, "recipe": {"budgets": {"max_metric_drop": 1}}}, TaskError,
     r"metric: int lacks update\(\)"),
    ("no budget", {"metric": object}, SpecError, r"recipe: how much the metric may lose"),
    ("target", {"target": "raspbery-pi-5"}, SpecError,
     r"target 'raspbery-pi-5' is unknown; did you mean 'raspberry-pi-5'\?"),
    ("recipe key", {"recipe": {"quantise": {}}}, SpecError,
     r"recipe: unknown key 'quantise'; did you mean 'quantize'"),
    ("recipe value", {"recipe": {"quantize": {"mode": "int4"}}}, SpecError,
     r"recipe: quantize.*int4"),
    ("recipe word", {"recipe": "best"}, SpecError, r"recipe: recipe 'best'|recipe: .*auto"),
    ("recipe kind", {"recipe": [1]}, SpecError, r"recipe: must be 'auto', a dictionary with"),
    ("recipe file", {"recipe": "nowhere.yaml"}, SpecError, r"nowhere.yaml: "),
    ("task", {"recipe": {"task": {}}}, SpecError, r"recipe: 'task' is none of it"),
    ("argument", {"metrics": object}, SpecError,
     r"compress: unknown argument 'metrics'; did you mean 'metric'\?"),
    ("no training data", {"train": None}, SpecError, r"train: no data is given, .* give train="),
    ("no training data for a search", {"train": None, "recipe": "auto"}, SpecError,
     r"train: no data is given"),
    ("no device for a search", {"recipe": "auto"}, DeviceError, r"optimize tiny: no device of it"),
    ("time", {"time": "5m"}, SpecError, r"time: is for a search"),
    ("name", {"name": "a:b"}, SpecError, r"name: "),
    ("device", {"device": "nowhere"}, SpecError, r"device 'nowhere' is unknown"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "kind", "words"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG]
)
def test_one_line(
    notebook: Notebook, changes: dict[str, Any], kind: type[EdgecompressError], words: str
) -> None:
    with pytest.raises(kind, match=f"^{words}") as raised:
        notebook.compress(**changes)
    assert "\n" not in str(raised.value)
    assert not re.search(r"Given|_data\(\)|return ", str(raised.value))


def test_what_the_users_code_raised_is_its_cause(notebook: Notebook) -> None:
    with pytest.raises(TaskError) as raised:
        notebook.compress(evaluate=lambda: 1 / 0)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_training_needs_a_loss(notebook: Notebook) -> None:
    teacher = [(x, torch.zeros(len(x), 8)) for x, _ in notebook.evaluate]
    training = {"epochs": 1, "optimizer": "sgd", "learning_rate": 0.1}
    recipe = {"finetune": training, "budgets": {"max_metric_drop": 1.0}}
    with pytest.raises(TaskError, match=r"^loss: none is given, and the recipe trains; give loss="):
        notebook.compress(train=teacher, evaluate=teacher, metric=Anything, recipe=recipe)


class Anything:
    higher_is_better = True

    def update(self, outputs: Any, target: Any) -> None: ...

    def compute(self) -> float:
        return 0.5


def test_the_other_calls() -> None:
    with pytest.raises(SpecError, match="unknown argument 'thread'; did you mean 'threads'"):
        edgecompress.measure("model.onnx", thread=1)
    with pytest.raises(EdgecompressError, match=r"^nothing.onnx: cannot be read"):
        edgecompress.inspect("nothing.onnx")
    with pytest.raises(SpecError, match=r"deploy.yaml: no such file|run 'nope'|no run"):
        edgecompress.push("nope", "this-machine", config="nowhere/deploy.yaml")


def test_a_recipe_may_lie_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "best.yaml"
    file.write_text(deploying.SHORT)
    wanted = wanted_of({"recipe": file, "seed": 3})
    assert wanted == wanted_of({"recipe": str(file), "seed": 3})
    assert wanted.task.path == "given:unnamed"
    assert (wanted.seed, wanted.budgets.max_metric_drop) == (3, 0.5)
    assert wanted.train is not None
    file.write_text(deploying.SHORT.replace("quantize", "quantise"))
    with pytest.raises(SpecError, match=r"best.yaml: unknown key 'quantise'"):
        wanted_of({"recipe": file})
