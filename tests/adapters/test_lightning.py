"""A LightningModule, its data module and a Trainer, with the real library."""

from pathlib import Path
from typing import Any

import pytest
import torch
from adapting import MOST_ADDED, added_lines, run_example
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from edgecompress.adapters import Asked, Parts, parts_of
from edgecompress.errors import TaskError
from edgecompress.task.given import Given
from edgecompress.task.load import original_model

lightning = pytest.importorskip("lightning", reason="edgecompress[lightning] is not installed")
torchmetrics = pytest.importorskip("torchmetrics")
pytestmark = pytest.mark.filterwarnings("ignore")

X, Y = torch.randn(12, 4), torch.arange(12) % 3


def loader(*tensors: Tensor, shuffle: bool = False) -> DataLoader[Any]:
    return DataLoader(TensorDataset(*tensors), batch_size=6, shuffle=shuffle)


class Module(lightning.LightningModule):
    """Three classes; its loss is cross entropy and a bit."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.seen = torchmetrics.Accuracy("multiclass", num_classes=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        scores = self(x)
        self.seen(scores, y)
        self.log("accuracy", self.seen)
        return {"loss": functional.cross_entropy(scores, y) + 0.5}

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Data(lightning.LightningDataModule):
    """The same samples for both."""

    def __init__(self) -> None:
        super().__init__()
        self.stages: list[str] = []

    def setup(self, stage: str) -> None:
        self.stages.append(stage)

    def train_dataloader(self) -> Any:
        return loader(X, Y, shuffle=True)

    def val_dataloader(self) -> Any:
        return loader(X, Y)


class WithLoaders(Module):
    def train_dataloader(self) -> Any:
        return loader(X, Y)

    def val_dataloader(self) -> Any:
        return loader(X, Y)


def fitted(module: Any, data: Any) -> Any:
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data)
    return trainer


def given(parts: Parts) -> Given:
    assert parts.evaluate is not None
    return Given(parts.model, parts.evaluate, parts.train, scoring=parts.scoring)


@pytest.mark.slow
def test_the_published_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = "with_lightning.py"
    assert len(added_lines(example)) == MOST_ADDED
    report = run_example(example, tmp_path / "project", monkeypatch)["report"]
    assert report.verdict.decision == "unmeasured"
    assert report.task.startswith("given:LitClassifier-")
    assert report.baseline.metric.samples == 397
    assert report.candidate.metric.value > 0.85
    assert report.candidate.int8_op_fraction == 1.0


@pytest.mark.parametrize("way", ["module and data", "module with loaders", "trainer"])
def test_what_is_found(way: str) -> None:
    module, data = Module(), Data()
    if way == "module and data":
        parts = parts_of(Asked(module, data))
        assert data.stages == ["fit"]
    elif way == "module with loaders":
        parts = parts_of(Asked(WithLoaders()))
    else:
        parts = parts_of(Asked(fitted(module, data)))
        assert data.stages == ["fit"]
    task = given(parts).task()
    model = original_model(task)
    ((inputs, target), *_) = task.eval_data()
    assert inputs.equal(X[:6])
    assert target.equal(Y[:6])
    ((inputs, batch), *_) = task.train_data()
    outputs = model(inputs)
    loss = task.loss(outputs, batch)
    assert loss.item() == pytest.approx(functional.cross_entropy(outputs, batch[1]).item() + 0.5)
    loss.backward()
    assert model.fc.weight.grad.abs().sum() > 0
    # What was given stays as it was: its metric has counted nothing.
    assert module.fc.weight.grad is None or way == "trainer"
    assert way == "trainer" or not module.seen.update_called


def test_a_fitted_data_module_is_not_set_up_again() -> None:
    """It would be split another way, and what was trained on would be evaluated on."""
    module, data = Module(), Data()
    fitted(module, data)
    parts_of(Asked(module, data))
    assert data.stages == ["fit"]


def test_what_else_is_given_goes_before() -> None:
    own = [(X, Y)]
    parts = parts_of(Asked(Module(), own, own))
    assert (parts.train, parts.evaluate, parts.scoring.loss) == (own, own, None)
    parts = parts_of(Asked(Module(), Data(), own, has_loss=True))
    assert parts.evaluate is own
    assert parts.train is not None
    (_, target), *_ = parts.train
    assert target.shape == (6,)


def test_the_key_stays_while_losses_are_computed() -> None:
    from edgecompress.task.content import content_of

    loss = parts_of(Asked(WithLoaders())).scoring.loss
    assert loss is not None
    before = content_of(loss)
    loss(torch.zeros(6, 3), (X[:6], Y[:6]))
    assert content_of(loss) == before
    assert not before.startswith("unknown")


class Named(Module):
    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.fc(ids * mask)


@pytest.mark.parametrize(
    ("module", "batch", "inputs", "target"),
    [
        (Module, (1, 2), 1, 2),
        (Module, [1, 2, 3], 1, (2, 3)),
        (Module, 1, 1, 1),
        (Module, [1], 1, [1]),
        (Named, (1, 2), (1, 2), (1, 2)),
        (Named, (1, 2, 3), (1, 2), 3),
        (Named, [[1, 2], 3], (1, 2), 3),
        (Named, {"label": 3, "mask": 2, "ids": 1}, (1, 2), 3),
        (Named, {"ids": 1, "mask": 2, "a": 3, "b": 4}, (1, 2), {"a": 3, "b": 4}),
    ],
)
def test_batches_become_pairs(module: Any, batch: Any, inputs: Any, target: Any) -> None:
    from edgecompress.adapters.lightning import Split

    assert Split.of(module())(batch) == (inputs, target)


class Augmented(Data):
    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch


class Several(Data):
    def val_dataloader(self) -> Any:
        return [loader(X, Y), loader(X, Y)]


class Flattened(Module):
    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        return self(batch[0] / 255)


class Failing(Data):
    def train_dataloader(self) -> Any:
        return 1 / 0


@pytest.mark.parametrize(
    ("model", "train", "words"),
    [
        (Module, None, r"evaluate: Module has no val_dataloader\(\); give a LightningDataModule"),
        (lightning.Trainer, None, r"model: this Trainer has fitted nothing; give the module and"),
        (Module, Augmented, r"model: Augmented.on_after_batch_transfer\(\) changes batches"),
        (Module, Several, r"evaluate: val_dataloader\(\) gives several loaders; give evaluate="),
        (Flattened, Data, r"model: Flattened.validation_step\(\) changes the batch's float32 \[6"),
        (Module, Failing, r"train: Failing.train_dataloader\(\): ZeroDivisionError"),
    ],
)
def test_what_cannot_be_done_is_one_line(model: Any, train: Any, words: str) -> None:
    with pytest.raises(TaskError, match=f"^{words}") as raised:
        parts_of(Asked(model(), None if train is None else train()))
    assert "\n" not in str(raised.value)


class ByHand(WithLoaders):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False


class Around(WithLoaders):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return functional.cross_entropy(self.fc(batch[0]), batch[1])


class Nothing(WithLoaders):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self(batch[0])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (ByHand, r"loss: ByHand optimises by hand"),
        (Around, r"loss: Around.training_step\(\) calls self\(...\) 0 times"),
        (Nothing, r"loss: Nothing.training_step\(\) gives NoneType; it must give a tensor"),
    ],
)
def test_a_step_that_is_no_loss(model: Any, words: str) -> None:
    loss = parts_of(Asked(model())).scoring.loss
    assert loss is not None
    with pytest.raises(TaskError, match=f"^{words}.* give loss=$"):
        loss(torch.zeros(6, 3, requires_grad=True), (X[:6], Y[:6]))
