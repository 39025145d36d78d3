"""What is trained on, and that everything of a step lies there: on torch's device without values,
which refuses to add what lies elsewhere, as any other does.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from noise import Noise, changed, training
from torch import Tensor, nn
from torch.fx import symbolic_trace
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_map

from edgecompress.compress import hardware
from edgecompress.compress.distill import Teacher
from edgecompress.compress.hardware import Hardware, best_hardware, place
from edgecompress.compress.lesson import Lesson
from edgecompress.compress.steps import Steps
from edgecompress.compress.train import train
from edgecompress.progress import SilentProgress
from edgecompress.spec.deploy import DistillSpec
from edgecompress.task.places import CPU, device_of, divided, to_device

CUDA = torch.device("cuda", 0)
META = torch.device("meta")


@pytest.mark.parametrize(
    ("capability", "bfloat16", "wanted"),
    [
        ((9, 0), True, torch.bfloat16),
        ((7, 5), False, torch.float16),
        ((6, 1), False, torch.float32),
    ],
)
def test_the_precision_that_a_gpu_has(
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    bfloat16: bool,
    wanted: torch.dtype,
) -> None:
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bfloat16)
    monkeypatch.setattr(hardware, "_works", lambda device: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    assert best_hardware() == Hardware(torch.device("cuda:1"), wanted)
    assert best_hardware().scales_loss is (wanted is torch.float16)
    # The launcher's --cpu, or a GPU that runs nothing.
    monkeypatch.setattr(hardware, "_works", lambda device: False)
    assert best_hardware() == Hardware()
    monkeypatch.setattr(hardware, "_works", lambda device: True)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert best_hardware() == Hardware()


@pytest.mark.parametrize(
    ("told", "wanted"), [({"amx_bf16": True}, torch.bfloat16), ({"avx2": True}, torch.float32)]
)
def test_the_precision_that_a_cpu_has(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, bool], wanted: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert best_hardware() == Hardware(CPU, wanted)


def test_a_device_that_is_not_here_does_not_work() -> None:
    if not torch.cuda.is_available():
        assert not hardware._works(CUDA)
    assert hardware._works(CPU)


class Kept(nn.Module):
    """Has a tensor as a plain attribute, which Module.to() leaves where it is."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.offsets = [torch.ones(4, 1, 1)]
        self.head = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.convolution(x)) + self.offsets[0]
        return self.head(x.relu().flatten(1))


@pytest.mark.parametrize("kind", ["attention", "similarity", "values"])
def test_every_tensor_of_a_step_is_on_the_device(kind: Any) -> None:
    task, model, teacher_model = Noise(), Kept(), Kept()
    spec = DistillSpec(
        temperature=2.0, weight=0.5, feature_layers=("norm",), feature_weight=1.0, feature_kind=kind
    )
    there, teacher = Hardware(META), Teacher(teacher_model, spec, task)
    for each in (model, teacher_model):
        place(each, META)
    lesson = Lesson("train", task, there, teacher)
    steps = Steps(model, changed(ema_decay=0.9, accumulate=2, gradient_clip=1.0), there)
    for _ in range(2):
        loss = lesson.loss(model, (torch.zeros(8, 1, 4, 4), torch.zeros(8, dtype=torch.int64)))
        assert loss.device == META
        loss.backward()
    assert not lesson.losses_on_cpu
    steps.step(2, lambda: None)
    assert steps.average is not None
    assert {tensor.device for tensor in steps.average.state.values()} == {META}
    with steps.averaged():
        pass


class Weighted(Noise):
    """Its loss has a tensor of its own on the CPU."""

    weights = torch.ones(3)

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, target, self.weights)


def test_a_loss_with_tensors_of_its_own_gets_its_outputs_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def moved(values: Any, device: torch.device) -> Any:
        """As `to_device`, but that what has no values gets some."""
        return tree_map(lambda x: torch.zeros(x.shape, dtype=x.dtype, device=device), values)

    monkeypatch.setattr("edgecompress.compress.lesson.to_device", moved)
    model = Kept()
    place(model, META)
    lesson = Lesson("train", Weighted(), Hardware(META))
    batch = (torch.zeros(8, 1, 4, 4), torch.zeros(8, dtype=torch.int64))
    for _ in range(2):
        assert lesson.loss(model, batch).device == CPU
        assert lesson.losses_on_cpu


class Makes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.zeros(1, device=torch.device("cpu"))


def test_devices_that_a_captured_graph_names_go_with_it() -> None:
    graph = make_fx(Makes())(torch.zeros(2))
    place(graph, META)
    assert graph(torch.zeros(2, device=META)).device == META
    # Without parameters it lies nowhere.
    assert device_of(graph) == CPU
    hardware._rename_devices(graph, CPU)
    assert graph(torch.zeros(2)).device == CPU


def test_fake_quantised_graphs_stay_in_float32() -> None:
    there = Hardware(CUDA, torch.bfloat16)
    assert there.for_model(symbolic_trace(nn.ReLU())) == Hardware(CUDA)
    assert there.for_model(nn.ReLU()) is there


def test_mixed_precision_learns(tmp_path: Path) -> None:
    """The CPU computes bfloat16 too, if nobody asks for it; weights and losses stay float32."""
    seen = set()

    class Watching(Noise):
        def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
            seen.add(outputs.dtype)
            return super().loss(outputs, target)

    task = Watching()
    model = task.model()
    settings = training(task, tmp_path)
    settings.hardware = lambda: Hardware(CPU, torch.bfloat16)
    rows = train(model, settings)
    assert rows[-1].metric > 0.95
    assert seen == {torch.float32}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    plain = task.model()
    (tmp_path / "plain").mkdir()
    settings = training(task, tmp_path / "plain")
    settings.hardware = Hardware
    assert train(plain, settings) != rows


class Noting(SilentProgress):
    """Keeps what the user would be told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_model_that_does_not_run_there_trains_on_the_cpu(tmp_path: Path) -> None:
    noting = Noting()
    task = Noise()
    model = task.model()
    settings = training(task, tmp_path)
    settings.progress = noting
    # Where there is no such device nothing runs there; where there is one this model does not.
    settings.hardware = lambda: Hardware(CUDA)
    model.add_module("late", Makes())
    rows = train(model, settings)
    assert rows[-1].metric > 0.9
    assert noting.notes[0].startswith(
        "train: trains on cpu, float32, because the model does not run on cuda:0"
    )


class Particular(nn.Module):
    """Has no kernel but of float32, forwards or backwards."""

    def __init__(self, backwards: bool) -> None:
        super().__init__()
        self.backwards = backwards

    def forward(self, x: Tensor) -> Tensor:
        if not self.backwards:
            _only_float32(x)
        elif x.requires_grad:
            x.register_hook(_only_float32)
        return x


def _only_float32(value: Tensor) -> None:
    if value.dtype is not torch.float32:
        raise RuntimeError(f"not implemented for {value.dtype}")


@pytest.mark.parametrize("backwards", [False, True])
def test_a_model_that_does_not_run_in_a_precision_trains_in_float32(
    tmp_path: Path, backwards: bool
) -> None:
    noting = Noting()
    task = Noise()
    model = task.model()
    model.add_module("late", Particular(backwards))
    settings = training(task, tmp_path)
    settings.progress = noting
    settings.hardware = lambda: Hardware(CPU, torch.bfloat16)
    assert train(model, settings)[-1].metric > 0.9
    assert len(noting.notes) == 1
    assert "because the model does not run on cpu, bfloat16: " in noting.notes[0]


def test_values_move_in_whatever_holds_them() -> None:
    moved = to_device({"a": [torch.zeros(2)], "b": ("x", None)}, torch.device("meta"))
    assert moved["a"][0].is_meta
    assert moved["b"] == ("x", None)


@pytest.mark.parametrize(
    ("samples", "parts", "wanted"),
    [
        (8, 2, [4, 4]),
        (7, 2, [4, 3]),
        (3, 2, [3]),
        (1, 4, [1]),
        (9, 4, [3, 2, 2, 2]),
        (5, 4, [3, 2]),
    ],
)
def test_a_batch_is_divided(samples: int, parts: int, wanted: list[int]) -> None:
    x, names = torch.arange(samples), [f"{i}" for i in range(samples)]
    found = divided((x, {"y": x * 2, "names": names, "size": 3.0}), parts)
    assert [len(inputs) for inputs, _ in found] == wanted
    assert torch.equal(torch.cat([inputs for inputs, _ in found]), x)
    for inputs, target in found:
        assert torch.equal(target["y"], inputs * 2)
        assert target["names"] == [f"{int(i)}" for i in inputs]
        assert target["size"] == 3.0


@pytest.mark.parametrize(
    "target",
    [
        torch.zeros(13, 6),
        [torch.zeros(3), torch.zeros(2)],
        {"a": torch.zeros(8, 4), "n": torch.zeros(1)},
    ],
)
def test_what_does_not_say_whose_it_is_stays_whole(target: Any) -> None:
    batch = (torch.zeros(8, 2), target)
    (whole,) = divided(batch, 2)
    assert whole is batch


def test_boxes_of_each_sample_go_with_it() -> None:
    x, boxes = torch.arange(4), [torch.full((i, 4), i) for i in range(4)]
    (first, second) = divided(((x, x), boxes), 2)
    assert [len(each) for each in first[1]] == [0, 1]
    assert [len(each) for each in second[1]] == [2, 3]
    assert torch.equal(second[0][1], torch.tensor([2, 3]))
