"""What a deploy says of wrong data, and how soon: each kind on the demo's model, in a process of
its own.

    python benchmarks/wrong_data.py [KIND ...]
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT_S = 10.0
HEAD = """\
import itertools
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from digits import Digits


def changed(data, change):
    for images, labels in data:
        yield change(images, labels)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(100, 8)
        self.head = nn.Linear(8, 10)

    def forward(self, ids):
        return self.head(self.words(ids).mean(1))


class Wrong(Digits):
"""


def method(name: str, body: str) -> str:
    """A task with this one method of its own."""
    return HEAD + f"    def {name}:\n" + "".join(f"        {line}\n" for line in body.splitlines())


def batches(name: str, batch: str) -> str:
    """A task of which one data method gives `batch`, made of `x` and `y`, for each right one."""
    return method(f"{name}(self)", f"return changed(super().{name}(), lambda x, y: {batch})")


TOKENS = (
    "def example_inputs(self):\n"
    "    return (torch.zeros(1, 5, dtype=torch.long),)\n"
    "def eval_data(self):\n"
    "    labels = torch.zeros(50, dtype=torch.long)\n"
    "    yield torch.arange(250).view(50, 5), labels\n"
    "train_data = calibration_data = validation_data = eval_data\n"
)

KINDS: dict[str, str] = {
    # Numbers
    "float64_inputs": batches("train_data", "(x.double(), y)"),
    "float64_validation": batches("validation_data", "(x.double(), y)"),
    "float64_evaluation": batches("eval_data", "(x.double(), y)"),
    "float64_calibration": method(
        "calibration_data(self)",
        "return changed(self.train_data(), lambda x, y: (x.double(), y))",
    ),
    "half_inputs": batches("train_data", "(x.half(), y)"),
    "bfloat16_inputs": batches("eval_data", "(x.bfloat16(), y)"),
    "uint8_inputs": batches("train_data", "((x * 255).to(torch.uint8), y)"),
    "nan_inputs": batches("train_data", "(x / x.sum(2, keepdim=True), y)"),
    "infinite_inputs": batches("eval_data", "(torch.log(x), y)"),
    "inputs_with_gradient": batches("train_data", "(x.requires_grad_(), y)"),
    "inputs_on_another_device": batches("eval_data", "(x.to('meta'), y)"),
    # Shapes
    "channels_last": batches("train_data", "(x.permute(0, 2, 3, 1), y)"),
    "channels_last_evaluation": batches("eval_data", "(x.permute(0, 2, 3, 1), y)"),
    "no_channels": batches("train_data", "(x[:, 0], y)"),
    "too_many_channels": batches("validation_data", "(x.repeat(1, 3, 1, 1), y)"),
    "no_batch": batches("train_data", "(x[0], y[0])"),
    "no_batch_but_labels": batches("train_data", "(x[0], y[:1])"),
    "another_size": batches("eval_data", "(x[..., :12, :12], y)"),
    # Labels
    "one_hot_labels": batches("train_data", "(x, torch.eye(10)[y])"),
    "integer_one_hot_labels": batches("eval_data", "(x, torch.eye(10)[y].long())"),
    "float_labels": batches("train_data", "(x, y.float())"),
    "int32_labels": batches("train_data", "(x, y.int())"),
    "labels_of_two_dimensions": batches("eval_data", "(x, y[:, None])"),
    "labels_from_one": batches("train_data", "(x, y + 1)"),
    "negative_labels": batches("eval_data", "(x, y - 1)"),
    "numpy_labels": batches("train_data", "(x, y.numpy())"),
    "names_for_labels": batches("train_data", "(x, [str(int(i)) for i in y])"),
    "fewer_labels_than_inputs": batches("eval_data", "(x, y[:-1])"),
    # Batches
    "dict_batch": batches("train_data", "{'image': x, 'label': y}"),
    "dict_inputs": batches("eval_data", "({'image': x}, y)"),
    "inputs_only": batches("train_data", "x"),
    "inputs_in_a_tuple_only": batches("train_data", "(x,)"),
    "three_parts": batches("eval_data", "(x, y, torch.arange(len(y)))"),
    "numpy_inputs": batches("train_data", "(x.numpy(), y)"),
    "numpy_batch": batches("train_data", "x.numpy()"),
    "list_of_inputs": batches("train_data", "(list(x), y)"),
    "list_of_samples": batches("train_data", "list(zip(x, y))"),
    "two_inputs_for_one": batches("train_data", "((x, x), y)"),
    "different_batch_sizes": batches("train_data", "((x, x[:-1]), y)"),
    "no_samples": batches("train_data", "(x[:0], y[:0])"),
    # Loaders
    "empty_loader": method("train_data(self)", "return DataLoader([])"),
    "empty_generator": method("eval_data(self)", "yield from ()"),
    "no_loader": method("train_data(self)", "self.images"),
    "single_samples": method("train_data(self)", "return TensorDataset(self.images, self.targets)"),
    "iterator_kept": method(
        "__init__(self)", "super().__init__()\nself.kept = super().train_data()"
    )
    + "    def train_data(self):\n        return self.kept\n",
    "iterator_that_goes_on": method(
        "__init__(self)", "super().__init__()\nself.kept = super().eval_data()"
    )
    + "    def eval_data(self):\n        yield from self.kept\n",
    "shuffled_evaluation": method(
        "eval_data(self)",
        "data = TensorDataset(self.images, self.targets)\n"
        "return DataLoader(data, batch_size=64, shuffle=True)",
    ),
    "augmented_evaluation": batches("eval_data", "(x + 0.1 * torch.randn_like(x), y)"),
    "loader_raises": batches("validation_data", "(x, y[1000])"),
    # The model
    "float64_model": method("model(self)", "return super().model().double()"),
    "half_model": method("model(self)", "return super().model().half()"),
    "bfloat16_model": method("model(self)", "return super().model().bfloat16()"),
    "half_layer": method("model(self)", "net = super().model()\nnet[8].half()\nreturn net"),
    "model_on_meta": method("model(self)", "return super().model().to('meta')"),
    "model_with_nan": method(
        "model(self)",
        "net = super().model()\nnet[8].bias.data[3] = float('nan')\nreturn net",
    ),
    "float64_example": method("example_inputs(self)", "return (self.images[:1].double(),)"),
    "numpy_example": method("example_inputs(self)", "return (self.images[:1].numpy(),)"),
    "tokens_out_of_range": method("model(self)", "return Words()")
    + "".join(f"    {line}\n" for line in TOKENS.splitlines()),
    # Loss and metric
    "loss_raises": method("loss(self, outputs, target)", "return outputs @ target"),
    "loss_is_a_vector": method(
        "loss(self, outputs, target)",
        "return nn.functional.cross_entropy(outputs, target, reduction='none')",
    ),
    "loss_is_a_number": method("loss(self, outputs, target)", "return outputs.mean().item()"),
    "loss_without_gradient": method(
        "loss(self, outputs, target)", "return outputs.detach().mean()"
    ),
    "update_raises": method(
        "update(self, metric, outputs, target)", "metric.update(outputs['logits'], target)"
    ),
    "metric_of_many_numbers": method(
        "metric(self)",
        "from torchmetrics.classification import MulticlassAccuracy\n"
        "return MulticlassAccuracy(num_classes=10, average=None)",
    ),
    "metric_of_another_number_of_classes": method(
        "metric(self)",
        "from torchmetrics.classification import MulticlassAccuracy\n"
        "return MulticlassAccuracy(num_classes=5)",
    ),
    "one_metric_for_all": method(
        "__init__(self)", "super().__init__()\nself.kept = super().metric()"
    )
    + "    def metric(self):\n        return self.kept\n",
}


def project(folder: Path, source: str) -> Path:
    """The demo in `folder`, with a task that is wrong in one way."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("digits.py", "digits.csv.gz"):
        shutil.copy(ROOT / "examples" / name, folder)
    text = (ROOT / "deploy.yaml").read_text()
    (folder / "deploy.yaml").write_text(text.replace("examples/digits.py:Digits", "wrong.py:Wrong"))
    (folder / "wrong.py").write_text(source)
    return folder


def main() -> int:
    slow = 0
    print("| kind | seconds | exit code | line |\n|---|---|---|---|")
    for kind in sys.argv[1:] or KINDS:
        with tempfile.TemporaryDirectory() as name:
            folder = project(Path(name), KINDS[kind])
            start = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", "edgecompress", "deploy", "local-onnxruntime"],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
            )
            seconds = time.monotonic() - start
        lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        line = " / ".join(lines).removeprefix("error: ").replace(name, "")
        print(f"| {kind} | {seconds:.1f} | {done.returncode} | {line} |", flush=True)
        slow += done.returncode != 2 or len(lines) != 1 or seconds > LIMIT_S
    print(f"\n{slow} not exit code 2, in one line, within {LIMIT_S:g} s")
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
