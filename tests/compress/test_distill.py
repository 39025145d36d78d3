"""Learning from the original: values by hand, and features of a pruned student."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgecompress.compress.distill import Teacher, features_of
from edgecompress.compress.hardware import Hardware
from edgecompress.compress.lesson import Lesson
from edgecompress.compress.prune import prune
from edgecompress.compress.prune_context import PruneContext
from edgecompress.errors import ModelError, TaskError
from edgecompress.spec.deploy import DistillSpec, StructuredPruneSpec
from edgecompress.task import ClassificationTask, Task


class Two(ClassificationTask):
    classes = 2
    model = example_inputs = train_data = eval_data = None


class Pair(Task):
    model = example_inputs = train_data = eval_data = loss = metric = None


class Constant(nn.Module):
    """The same scores for every sample: [N, 2]."""

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.tensor(scores))

    def forward(self, x: Tensor) -> Tensor:
        return self.scores.expand(len(x), 2)


def taught(teacher: Teacher, student: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """The loss of one batch."""
    return Lesson("train", teacher.task, Hardware(), teacher).loss(student, (x, target))


def test_kullback_leibler_by_hand() -> None:
    student, teacher = torch.tensor([[0.0, math.log(3.0)]]), torch.zeros(1, 2)
    # Probabilities 1/4 and 3/4 against 1/2 and 1/2.
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert float(Two().distillation_loss(student, teacher, 1.0)) == pytest.approx(expected)
    # Softened by 2 the odds are sqrt(3), and the loss is multiplied by 4.
    odds = math.sqrt(3.0)
    low, high = 1 / (1 + odds), odds / (1 + odds)
    expected = 4 * (0.5 * math.log(0.5 / low) + 0.5 * math.log(0.5 / high))
    assert float(Two().distillation_loss(student, teacher, 2.0)) == pytest.approx(expected)


def test_mean_squared_error_of_every_floating_output() -> None:
    student = {"a": torch.tensor([1.0, 2.0]), "b": (torch.tensor([3.0]), torch.tensor([1]))}
    teacher = {"a": torch.tensor([0.0, 0.0]), "b": (torch.tensor([1.0]), torch.tensor([9]))}
    assert float(Pair().distillation_loss(student, teacher, 4.0)) == pytest.approx(2.5 + 4.0)


def test_the_loss_is_shared_between_task_and_teacher() -> None:
    student, teacher = Constant([0.0, math.log(3.0)]), Constant([0.0, 0.0])
    spec = DistillSpec(temperature=1.0, weight=0.7)
    target = torch.tensor([0, 0, 1])
    loss = taught(Teacher(teacher, spec, Two()), student, torch.zeros(3, 1), target)
    task_loss = (2 * math.log(4.0) + math.log(4.0 / 3.0)) / 3
    divergence = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert float(loss.detach()) == pytest.approx(0.3 * task_loss + 0.7 * divergence)
    loss.backward()
    assert student.scores.grad is not None
    assert teacher.scores.grad is None


def test_attention_map_by_hand() -> None:
    model = nn.Sequential(nn.Identity())
    x = torch.tensor([[[[1.0, 2.0]], [[1.0, 0.0]]]])  # two channels, two positions
    with features_of(model, ("0",)) as maps:
        model(x)
    # Means of squares 1 and 2, at length 1.
    torch.testing.assert_close(maps["0"], torch.tensor([[1.0, 2.0]]) / math.sqrt(5.0))
    maps.clear()
    model(x)
    assert maps == {}  # the hook is gone


def test_similarity_by_hand() -> None:
    model = nn.Sequential(nn.Identity())
    x = torch.tensor([[[3.0, 0.0]], [[0.0, 1.0]], [[1.0, 1.0]]])  # three samples
    with features_of(model, ("0",), "similarity") as found:
        model(x)
    products = torch.tensor([[9.0, 0.0, 3.0], [0.0, 1.0, 1.0], [3.0, 1.0, 2.0]])
    torch.testing.assert_close(found["0"], products / products.norm(dim=1, keepdim=True))


def test_a_masked_score_has_no_distance() -> None:
    inf = math.inf
    student = torch.tensor([[1.0, -inf, 4.0]], requires_grad=True)
    teacher = torch.tensor([[0.0, -inf, 2.0]])
    loss = Pair().distillation_loss(student, teacher, 1.0)
    assert float(loss.detach()) == pytest.approx((1.0 + 4.0) / 2)
    loss.backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    diverged = Pair().distillation_loss(torch.tensor([math.nan]), torch.tensor([1.0]), 1.0)
    assert math.isnan(float(diverged))


@pytest.mark.parametrize(
    ("student", "teacher", "told"),
    [
        (torch.zeros(2, 5), torch.zeros(2, 4), r"outputs of \[\[2, 5\]\] and of \[\[2, 4\]\]"),
        ([torch.zeros(2)], [torch.zeros(2)] * 2, "cannot be compared; write one that can"),
        (torch.tensor([1]), torch.tensor([2]), "no floating-point outputs to compare"),
    ],
)
def test_outputs_that_cannot_be_compared_are_told(student: Any, teacher: Any, told: str) -> None:
    with pytest.raises(TaskError, match=told):
        Pair().distillation_loss(student, teacher, 1.0)


class Dense(Task):
    """Pictures, and a number for each, in a dict."""

    model = example_inputs = train_data = eval_data = metric = None

    def loss(self, outputs: Any, target: Any) -> Tensor:
        return (outputs["picture"] - target).square().mean()


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(1, 3, 1)
        self.number = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> dict[str, Any]:
        x = self.body(x)
        return {"picture": x, "more": [self.number(x.mean((2, 3)))]}


@pytest.mark.parametrize("kind", ["attention", "similarity", "values"])
def test_a_dense_model_learns_from_outputs_and_features(kind: Any) -> None:
    torch.manual_seed(0)
    student, teacher_model, x = Both(), Both(), torch.randn(4, 1, 5, 5)
    spec = DistillSpec(
        temperature=1.0, weight=1.0, feature_layers=("body",), feature_weight=1.0, feature_kind=kind
    )
    teacher = Teacher(teacher_model, spec, Dense())
    optimizer = torch.optim.Adam(student.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = taught(teacher, student, x, torch.zeros(4, 3, 5, 5))
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize(
    ("kind", "layer", "told"),
    [
        ("values", "second", r"'second' gives \[8, 8, 6, 6\], the original \[8, 16, 6, 6\]"),
        ("attention", "head", r"'head' gives \[8, 2\], which has no positions"),
    ],
)
def test_features_that_cannot_be_compared_are_told(
    teacher_model: "Net", kind: Any, layer: str, told: str
) -> None:
    x = torch.randn(8, 1, 6, 6)
    student = pruned(teacher_model, x)
    spec = DistillSpec(
        temperature=2.0, weight=0.5, feature_layers=(layer,), feature_weight=1.0, feature_kind=kind
    )
    with pytest.raises(ModelError, match=told):
        taught(Teacher(teacher_model, spec, Two()), student, x, torch.zeros(8, dtype=torch.int64))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x).relu()).relu()
        return self.head(x.mean((2, 3)))


@pytest.fixture
def teacher_model() -> Net:
    torch.manual_seed(0)
    return Net()


def pruned(model: Net, x: Tensor) -> nn.Module:
    spec = StructuredPruneSpec(
        method="structured",
        importance="magnitude",
        allocation="uniform",
        pruning_ratio=0.5,
        steps=1,
    )
    context = PruneContext(
        example_inputs=(x[:1],),
        loss=lambda m: m(x).square().mean(),
        score=lambda _: lambda m: 0.0,
        finetune=lambda m, step: None,
    )
    return prune(model, spec, 4, context).model


def test_features_of_a_pruned_student(teacher_model: Net) -> None:
    x, target = torch.randn(8, 1, 6, 6), torch.zeros(8, dtype=torch.int64)
    student = pruned(teacher_model, x)
    assert student.second.weight.shape[:2] == (8, 8)
    plain = DistillSpec(temperature=2.0, weight=0.5)
    with_features = DistillSpec(
        temperature=2.0, weight=0.5, feature_layers=("first", "second"), feature_weight=10.0
    )
    base = taught(Teacher(teacher_model, plain, Two()), student, x, target)
    total = taught(Teacher(teacher_model, with_features, Two()), student, x, target)
    by_hand = 0.0
    for name in ("first", "second"):
        outputs = []
        for model in (student, teacher_model):
            features = model.first(x)
            features = model.second(features.relu()) if name == "second" else features
            squares = features.pow(2).mean(1).reshape(8, 36)
            outputs.append(squares / squares.norm(dim=1, keepdim=True))
        by_hand += 10.0 * float(functional.mse_loss(*outputs).detach())
    assert by_hand > 0
    assert float((total - base).detach()) == pytest.approx(by_hand, rel=1e-4)
    total.backward()
    assert student.first.weight.grad is not None


def test_features_bring_a_pruned_student_nearer(teacher_model: Net) -> None:
    x, target = torch.randn(8, 1, 6, 6), torch.zeros(8, dtype=torch.int64)
    student = pruned(teacher_model, x)
    spec = DistillSpec(
        temperature=2.0, weight=1.0, feature_layers=("second",), feature_weight=100.0
    )
    teacher = Teacher(teacher_model, spec, Two())
    optimizer = torch.optim.Adam(student.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = taught(teacher, student, x, target)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_an_unknown_feature_layer_is_refused(teacher_model: Net) -> None:
    spec = DistillSpec(temperature=1.0, weight=0.5, feature_layers=("thrid",), feature_weight=1.0)
    with pytest.raises(ModelError, match=r"'thrid' is no module of Net; known: first, head"):
        Teacher(teacher_model, spec, Two())


def test_the_teacher_never_learns(teacher_model: Net) -> None:
    teacher = Teacher(teacher_model.train(), DistillSpec(temperature=1.0, weight=0.5), Two())
    assert not teacher.model.training
    assert not any(p.requires_grad for p in teacher.model.parameters())
