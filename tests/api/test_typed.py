"""The calls on a user's side, under mypy --strict: what may be given, and what comes back."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USER = """\
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from typing_extensions import assert_type

import edgecompress
from edgecompress import api, compress
from edgecompress.spec.preprocessing import ImagePreprocessing

model = nn.Linear(4, 2)
loader = DataLoader(TensorDataset(torch.zeros(8, 4), torch.zeros(8)), batch_size=4)
batches = [(torch.zeros(4, 4), torch.zeros(4))]


class Error:
    higher_is_better = False

    def update(self, outputs: Tensor, target: Tensor) -> None: ...

    def compute(self) -> float:
        return 0.0


class Digits:
    # As a LightningDataModule.

    def setup(self, stage: str) -> None: ...

    def train_dataloader(self) -> object: ...

    def val_dataloader(self) -> object: ...


class Loaded(nn.Module):
    # As a LightningModule.
    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        return batch[0].mean()

    def train_dataloader(self) -> object: ...

    def val_dataloader(self) -> object: ...


class Trainer:
    # As of Lightning.

    def fit(self, model: nn.Module, datamodule: object = None) -> None: ...


class OtherTrainer:
    # As of Hugging Face.
    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor], more: int = 0) -> Tensor:
        return torch.zeros(())


class YOLO(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.overrides: dict[str, str] = {}


def anew() -> Iterator[tuple[Tensor, Tensor]]:
    yield from batches


def loss(outputs: Tensor, target: Tensor) -> Tensor:
    return (outputs - target).mean()


report = edgecompress.compress(
    model,
    train=loader,
    evaluate=anew,
    target="raspberry-pi-5",
    metric=Error,
    loss=loss,
    preprocessing=ImagePreprocessing(size=(8, 8), colours="gray"),
    decoder=nn.Softmax(1),
    recipe={"budgets": {"max_metric_drop": 0.1}},
    progress=False,
)
assert_type(report, api.Report)
assert_type(report.file, Path)
assert_type(report.speedup, float | None)
assert_type(report.verdict.decision == "ship", bool)
assert_type(compress(model, loader, evaluate=batches, recipe="auto", time="10m"), api.Report)
assert_type(edgecompress.measure(report), api.Measurement)
assert_type(edgecompress.measure("a.onnx", Path("b.onnx"), threads=2), api.Comparison)
assert_type(edgecompress.inspect("a.onnx", target="local"), api.Inspection)
assert_type(edgecompress.evaluate("a.onnx", loader, metric=Error()), api.Evaluation)
assert_type(edgecompress.compare("a.onnx", report, data=batches), api.LayerComparison)
assert_type(edgecompress.push(report, ["pi", "other-pi"]).devices[0].device, str)
assert_type(compress(model, Digits(), target="local"), api.Report)
assert_type(compress(OtherTrainer()), api.Report)
assert_type(compress(Loaded()), api.Report)
assert_type(compress(YOLO()), api.Report)
assert_type(compress(YOLO(), "shapes.yaml", target="local"), api.Report)
assert_type(compress(Trainer(), metric=Error, recipe="best.yaml"), api.Report)
edgecompress.compress(model)  # type: ignore[call-overload]
edgecompress.compress(model, loader)  # type: ignore[call-overload]
edgecompress.compress(model, evaluate=loader, metrics=Error)  # type: ignore[call-overload]
edgecompress.compress(model, evaluate=3)  # type: ignore[call-overload]
edgecompress.compress("net.pt", evaluate=loader)  # type: ignore[call-overload]
edgecompress.compress(Digits())  # type: ignore[call-overload]
edgecompress.measure(report, threads="2")  # type: ignore[call-overload]
edgecompress.push(3, "pi")  # type: ignore[arg-type]
"""


@pytest.mark.slow
def test_a_users_script(tmp_path: Path) -> None:
    script = tmp_path / "user.py"
    script.write_text(USER)
    # From here, where the linters' own run keeps what it found of torch.
    command = [sys.executable, "-m", "mypy", "--strict", str(script)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "Success: no issues found in 1 source file\n", done.stdout + done.stderr
