"""The kinds of task: right data passes, wrong data is named, losses and distillation fit."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from looking import look
from torch import Tensor, nn

from edgecompress import task as ours
from edgecompress.errors import TaskError
from edgecompress.task import Batch, Task
from edgecompress.task.load import original_model

N = 6


class Data(Task):
    """What the kinds below have in common: a model of one layer, and a batch."""

    given: Any = None
    """The target, where it is to be another one than `right`."""

    def model(self) -> nn.Module:
        return self.net()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, *self.shape),)

    def train_data(self) -> Iterable[Batch]:
        random = torch.Generator().manual_seed(0)
        inputs = torch.randn(N, *self.shape, generator=random)
        yield inputs, self.right() if self.given is None else self.given

    eval_data = train_data


class Segmenting(Data, ours.SegmentationTask):
    classes = 3
    shape = (1, 8, 8)

    def net(self) -> nn.Module:
        return nn.Conv2d(1, 3, 3, padding=1)

    def right(self) -> Tensor:
        masks = torch.arange(N * 64).reshape(N, 8, 8) % 3
        masks[:, 0] = 255
        return masks


class Measuring(Data, ours.RegressionTask):
    shape = (4,)

    def net(self) -> nn.Module:
        return nn.Linear(4, 2)

    def right(self) -> Tensor:
        return torch.ones(N, 2)


class Labelling(Data, ours.MultiLabelTask):
    classes = 3
    shape = (4,)

    def net(self) -> nn.Module:
        return nn.Linear(4, 3)

    def right(self) -> Tensor:
        return (torch.arange(N * 3) % 2).reshape(N, 3)


class Embedding(Data, ours.EmbeddingTask):
    shape = (4,)

    def net(self) -> nn.Module:
        return nn.Linear(4, 3)

    def right(self) -> Tensor:
        return torch.arange(N) // 2


class Sentences(Data, ours.SequenceTask):
    classes = 3
    shape = (5,)

    def net(self) -> nn.Module:
        return nn.Linear(5, 3)

    def right(self) -> Tensor:
        return torch.arange(N) % 3


class Tokens(Sentences):
    def net(self) -> nn.Module:
        return nn.Sequential(nn.Unflatten(1, (5, 1)), nn.Linear(1, 3))

    def right(self) -> Tensor:
        labels = torch.arange(N * 5).reshape(N, 5) % 3
        labels[:, 3:] = -100
        return labels


class Pointing(Data, ours.KeypointTask):
    points, within = 2, 1.0
    shape = (4,)

    def net(self) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 4), nn.Unflatten(1, (2, 2)))

    def right(self) -> Tensor:
        return torch.ones(N, 2, 3)


class Mapping(Pointing):
    shape = (1, 8, 8)
    stride = 2.0

    def net(self) -> nn.Module:
        return nn.Conv2d(1, 2, 3, padding=1)

    def right(self) -> Tensor:
        return torch.full((N, 2, 2), 5.0)


class Hearing(Data, ours.AudioTask):
    classes, sampling_rate_hz = 3, 1000
    shape = (256,)

    def net(self) -> nn.Module:
        front = ours.LogMel(1000, bands=5, window=32, hop=16)
        return nn.Sequential(front, nn.AdaptiveAvgPool2d((3, 1)), nn.Flatten())

    def right(self) -> Tensor:
        return torch.arange(N) % 3


KINDS = (
    Segmenting,
    Measuring,
    Labelling,
    Embedding,
    Sentences,
    Tokens,
    Pointing,
    Mapping,
    Hearing,
)


@pytest.mark.parametrize("kind", KINDS)
def test_right_data_passes(kind: type[Any]) -> None:
    look(kind())


WRONG = [
    (Segmenting, [1], "masks are not a tensor but a list of 1: int; give integers of shape [N, H,"),
    (Segmenting, torch.zeros(N, 8, 8), "masks must be integers of shape [N, H, W], got float32"),
    (Segmenting, torch.zeros(N, 8, 8), "; give target.long()"),
    (Segmenting, torch.zeros(N, 1, 8, 8).long(), "[6, 1, 8, 8]; give target.squeeze(1)"),
    (Segmenting, torch.zeros(5, 8, 8).long(), "a batch of 6 samples has 5 masks"),
    (
        Segmenting,
        torch.full((N, 8, 8), 3),
        "label 3 is out of range; with classes = 3 labels are 0 to 2, or ignore_index = 255",
    ),
    (Measuring, torch.ones(N), "got float32 [6]; give target.unsqueeze(-1)"),
    (Measuring, torch.ones(N, 2).long(), "got int64 [6, 2]; give target.float()"),
    (Measuring, torch.full((N, 2), torch.nan), "targets hold NaN or infinity; give finite ones"),
    (Measuring, torch.ones(N, 1), "the model gives [6, 2] for targets of [6, 1]; give targets of"),
    (Labelling, torch.arange(N) % 3, "got float32 [6]; give target.unsqueeze(-1)"),
    (Labelling, torch.arange(N) % 3, "; give functional.one_hot(target, 3)"),
    (Labelling, torch.full((N, 3), 2), "targets must be 0 or 1 for each label, got 2"),
    (Labelling, torch.full((N, 3), 1.5), "targets must be between 0 and 1 for each label"),
    (Embedding, torch.ones(N), "labels must be integers of shape [N], got float32 [6]; give"),
    (Sentences, torch.full((N,), 3), "label 3 is out of range; with classes = 3 labels are 0 to 2"),
    (Sentences, torch.tensor(1), "a batch has a batch dimension, which a DataLoader adds"),
    (Tokens, torch.zeros(N, 5), "labels must be integers of shape [N, L], got float32 [6, 5]"),
    (Pointing, torch.ones(N, 3, 2), "points must be floats of shape [N, 2, 2], got float32"),
    (Hearing, torch.full((N,), 3), "label 3 is out of range; with classes = 3 labels are 0 to 2"),
]


@pytest.mark.parametrize(("kind", "target", "line"), WRONG)
def test_a_wrong_target_is_named(kind: type[Any], target: Any, line: str) -> None:
    task = kind()
    task.given = target
    with pytest.raises(TaskError) as caught:
        look(task)
    assert line in str(caught.value)
    assert str(caught.value).startswith(kind.__name__)


@pytest.mark.parametrize(
    ("kind", "net", "line"),
    [
        (Segmenting, nn.Conv2d(1, 2, 3), "it must give one of [1, 3, H, W]"),
        (Measuring, nn.Identity(), None),
        (Measuring, nn.Flatten(0), "it must give one of [1, values]"),
        (Labelling, nn.Linear(4, 4), "it must give one of [1, 3]"),
        (Embedding, nn.Unflatten(1, (2, 2)), "it must give one of [1, dimensions]"),
        (Sentences, nn.Linear(5, 4), "it must give one of [1, 3] or [1, L, 3]"),
        (Pointing, nn.Linear(4, 4), "it must give one of [1, 2, 2] or [1, 2, H, W]"),
        (Hearing, nn.Identity(), "with classes = 3 it must give one of [1, 3], or the task must"),
    ],
)
def test_a_model_of_another_kind_is_named(kind: type[Any], net: nn.Module, line: Any) -> None:
    task = kind()
    task.net = lambda: net
    if line is None:
        original_model(task)
        return
    with pytest.raises(TaskError, match="on example_inputs\\(\\); ") as caught:
        original_model(task)
    assert line in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_distillation_is_least_where_the_outputs_are_the_same(kind: type[Any]) -> None:
    task = kind()
    random = torch.Generator().manual_seed(1)
    ((inputs, _),) = task.train_data()
    teacher = task.net()(inputs).detach()
    same = task.distillation_loss(teacher, teacher, 2.0)
    other = teacher + torch.randn(teacher.shape, generator=random)
    student = other.requires_grad_()
    apart = task.distillation_loss(student, teacher, 2.0)
    apart.backward()
    assert float(same) == pytest.approx(0, abs=1e-5)
    assert float(apart.detach()) > 1e-3
    assert student.grad is not None
    assert student.grad.abs().sum() > 0


def test_embeddings_of_other_dimensions_can_be_compared() -> None:
    teacher = torch.randn(N, 8)
    rotated = teacher @ torch.linalg.qr(torch.randn(8, 8))[0]
    assert float(Embedding().distillation_loss(rotated, teacher, 1.0)) < 1e-4
    assert float(Embedding().distillation_loss(torch.randn(N, 3), teacher, 1.0)) > 1e-2


def test_the_contrastive_loss_is_that_of_the_paper() -> None:
    embeddings = torch.randn(N, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 0, 0, 1, 1, 2])  # the last is alone
    unit = nn.functional.normalize(embeddings)
    total = 0.0
    for i in range(5):
        others = [j for j in range(N) if j != i]
        whole = sum(float((unit[i] @ unit[j] / 0.1).exp()) for j in others)
        same = [j for j in others if labels[j] == labels[i]]
        shares = [(float((unit[i] @ unit[j] / 0.1).exp()) / whole) for j in same]
        total -= sum(float(torch.tensor(x).log()) for x in shares) / len(same)
    loss = Embedding().loss(embeddings, labels)
    assert float(loss) == pytest.approx(total / 5, rel=1e-4)
    alone = Embedding().loss(embeddings.requires_grad_(), torch.arange(N))
    assert float(alone.detach()) == 0.0
    assert alone.requires_grad


@pytest.mark.parametrize("kind", [Segmenting, Tokens])
def test_what_is_ignored_counts_nowhere(kind: type[Any]) -> None:
    task = kind()
    ((inputs, target),) = task.train_data()
    outputs = task.net()(inputs)
    changed = outputs.detach().clone()
    moved = changed.movedim(1, -1) if kind is Segmenting else changed
    moved[target == task.ignore_index] += 100 * torch.randn(3)
    assert torch.equal(task.loss(outputs, target), task.loss(changed, target))
    nothing = task.loss(outputs, torch.full_like(target, task.ignore_index))
    assert float(nothing.detach()) == 0.0


def test_shares_may_be_trained_on_and_are_not_scored() -> None:
    class Smoothed(Labelling):
        def eval_data(self) -> Iterable[Batch]:
            yield torch.randn(N, 4, generator=torch.Generator().manual_seed(0)), self.right()

    task = Smoothed()
    task.given = torch.full((N, 3), 0.1)
    look(task)


def test_the_peak_of_a_heat_map_is_where_its_point_is() -> None:
    task = Mapping()
    wanted = torch.tensor([[[5.0, 3.0], [13.0, 1.0]]])
    maps = task._peaks(wanted, torch.zeros(1, 2, 8, 8))
    assert torch.equal(task.decode(maps), wanted)
    assert float(task.loss(maps, wanted)) == 0.0


def test_a_kind_of_ours_is_no_source_of_the_user_but_counts() -> None:
    from pathlib import Path

    from edgecompress.task.load import _sources

    found = {path.name for path in _sources(Segmenting(), Path("/nowhere"))}
    # The metric's and the kind's; of what is ours nothing else.
    assert {path for path in found if "segmentation" in path} == {"segmentation.py"}
    assert "guard.py" not in found
