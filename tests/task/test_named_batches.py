"""Batches and models whose inputs have names: they become pairs where they come in."""

from collections import UserDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from looking import look
from torch import Tensor, nn
from torch.utils._pytree import register_pytree_node

from edgecompress.errors import TaskError
from edgecompress.pipeline.outputs import input_names, rebuilder
from edgecompress.task import ClassificationTask
from edgecompress.task.base import one_by_one, tensors_of
from edgecompress.task.guard import guard
from edgecompress.task.load import original_model
from edgecompress.task.named import ByName

IDS = torch.arange(20).reshape(4, 5) % 7
MASK = torch.ones(4, 5)
LABELS = torch.arange(4) % 3
ROW = {"ids": IDS, "mask": MASK, "label": LABELS}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(7, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return (self.words(ids) * mask[..., None]).mean(1)


class Turned(Net):
    """Has them in another order, and another one before them."""

    def forward(self, other: Tensor | None = None, *, mask: Tensor, ids: Tensor) -> Tensor:
        assert other is None
        return super().forward(ids, mask)


@dataclass
class Rows:
    label: Tensor
    mask: Tensor
    ids: Tensor


class Encoding(UserDict[str, Tensor]):
    """A mapping that is no dict, as Hugging Face's BatchEncoding."""


class ByNames(ClassificationTask):
    classes = 3

    def __init__(self, batch: Any, net: type[Net] = Net) -> None:
        self.batch = batch
        self.net = net

    def model(self) -> nn.Module:
        return self.net()

    def example_inputs(self) -> Any:
        return {"ids": torch.randint(7, (1, 5)), "mask": torch.ones(1, 5)}

    def train_data(self) -> Iterable[Any]:
        yield self.batch

    eval_data = train_data


@pytest.mark.parametrize(
    "batch",
    [ROW, Encoding(ROW), Rows(LABELS, MASK, IDS), ({"mask": MASK, "ids": IDS}, LABELS)],
    ids=["dict", "mapping", "dataclass", "inputs alone"],
)
@pytest.mark.parametrize("net", [Net, Turned])
def test_it_becomes_a_pair(batch: Any, net: type[Net]) -> None:
    task = ByNames(batch, net)
    look(task)
    for data in (task.train_data, task.eval_data, task.calibration_data):
        (((ids, mask), labels),) = data()
        assert ids is IDS
        assert mask is MASK
        assert labels is LABELS
    model = original_model(task)
    assert torch.equal(model(IDS, MASK), Net()(IDS, MASK))
    assert isinstance(model, ByName) is (net is Turned)
    assert input_names(model, task.example_inputs()) == ("ids", "mask")


def test_several_other_values_are_the_target_and_none_is_none() -> None:
    task = ByNames({**ROW, "weight": MASK[:, 0]})
    task.wrong_target = task.wrong_training_target = lambda *_: None  # type: ignore[method-assign]
    guard(task)
    ((_, target),) = task.train_data()
    assert target.keys() == {"label", "weight"}
    task = ByNames({"ids": IDS, "mask": MASK})
    guard(task)
    with pytest.raises(TaskError, match=r"batch 0: labels are not a tensor but NoneType"):
        list(task.train_data())


def test_what_is_missing_is_named() -> None:
    task = ByNames({"ids": IDS, "label": LABELS})
    guard(task)
    with pytest.raises(TaskError) as caught:
        list(task.train_data())
    assert str(caught.value) == (
        "ByNames.train_data() batch 0: lacks mask, as example_inputs() has; it is a dict of ids,"
        " label"
    )


def test_looking_for_names_draws_nothing() -> None:
    task = ByNames(ROW)
    guard(task)
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    list(task.train_data())
    assert torch.equal(torch.rand(1), wanted)


class Given(dict[str, Tensor]):
    """As a ModelOutput: a dict of a class of its own, which torch is told how to walk through."""


register_pytree_node(
    Given,
    lambda given: (list(given.values()), list(given)),
    lambda values, keys: Given(zip(keys, values, strict=True)),
    serialized_type_name="tests.Given",
    to_dumpable_context=list,
    from_dumpable_context=list,
)


class GivesOutput(Net):
    def forward(self, ids: Tensor, mask: Tensor) -> Any:
        return Given(logits=super().forward(ids, mask))


def test_the_only_output_may_lie_in_a_structure() -> None:
    task = ByNames(ROW, GivesOutput)
    look(task)
    model = original_model(task)
    outputs = model(IDS, MASK)
    assert len(tensors_of(outputs)) == 1
    single = one_by_one(model, (IDS, MASK))
    assert isinstance(single, Given)
    torch.testing.assert_close(single["logits"], outputs["logits"])
    plain = Net()(IDS, MASK)
    assert torch.equal(task.loss(outputs, LABELS), task.loss(plain, LABELS))
    same = task.distillation_loss(outputs, outputs, 2.0)
    assert float(same.detach()) == pytest.approx(0, abs=1e-6)
    metric = task.metric()
    rebuilt = rebuilder(model, task.example_inputs(), None)([plain])  # type: ignore[arg-type]
    task.update(metric, rebuilt, LABELS)
    assert metric.compute() == float((plain.argmax(1) == LABELS).float().mean())


def test_several_outputs_are_refused_by_what_takes_one() -> None:
    task = ByNames(ROW)
    guard(task)
    scores = torch.zeros(4, 3)
    with pytest.raises(
        TaskError, match=r"ByNames\.loss\(\): ValueError: the model gives 2 tensors"
    ):
        task.loss((scores, scores), LABELS)
