"""docs/task.md tells of every method that a user may write, and of no other."""

import inspect
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from edgecompress import ClassificationTask, Task
from edgecompress.task.batches import Rules
from edgecompress.task.labels import wrong_labels

DOC = (Path(__file__).parents[2] / "docs" / "task.md").read_text()


DATA = {
    "images": np.arange(6 * 4 * 5 * 3, dtype=np.uint8).reshape(6, 4, 5, 3),
    "labels": np.array([0, 1, 2, 0, 1, 2], dtype=np.int32),
}


class Rows:
    """As a data set of Hugging Face's."""

    def with_format(self, name: str) -> "Rows":
        assert name == "torch"
        return self

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        image = torch.from_numpy(DATA["images"][index]).permute(2, 0, 1)
        return {"image": image, "label": torch.tensor(int(DATA["labels"][index]))}


@pytest.mark.parametrize("source", re.findall(r"```python\n(def .*?)```", DOC, re.DOTALL))
def test_other_data_sets_become_pairs(source: str) -> None:
    names: dict[str, Any] = {
        "torch": torch,
        "DataLoader": DataLoader,
        "TensorDataset": TensorDataset,
    }
    exec(source, names)  # noqa: S102 - it is what is told
    task = SimpleNamespace(**DATA, rows=Rows())
    (batch,) = names["eval_data"](task)
    Rules(partial(wrong_labels, classes=3, trained=True)).checked(batch, "eval_data() batch 0")
    images, labels = batch
    assert images.shape == (6, 3, 4, 5)
    assert images.dtype == torch.float32
    assert images[5, 2, 3, 4] == DATA["images"][5, 3, 4, 2] / np.float32(255)
    assert labels.tolist() == DATA["labels"].tolist()


def public(task: type[Task]) -> set[str]:
    return {name for name, _ in inspect.getmembers(task) if not name.startswith("_")}


def test_every_method_is_told() -> None:
    told = set(re.findall(r"^\| `(\w+)[`(]", DOC, re.MULTILINE))
    assert told | {"label_smoothing"} == public(ClassificationTask)
    assert "`label_smoothing`" in DOC


def test_arguments_are_told() -> None:
    for name, arguments in re.findall(r"^\| `(\w+)\((.*?)\)`", DOC, re.MULTILINE):
        parameters = list(inspect.signature(getattr(Task, name)).parameters)
        assert [part for part in arguments.split(", ") if part] == parameters[1:]


def test_what_must_be_written() -> None:
    needed = DOC.split("## ClassificationTask")[1].split("## Task")[0]
    told = set(re.findall(r"^\| `(\w+)[`(]", needed, re.MULTILINE))
    assert told == ClassificationTask.__abstractmethods__
