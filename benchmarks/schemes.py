"""LiteRT's own scheme beside the portable one's weights and joins: accuracy and latency.

    python benchmarks/schemes.py --data DIR --models DIR

Each network is calibrated with three seeds; accuracy is that of the file in LiteRT, the latency
that of two files in turns. --data holds fsdd.npz and CIFAR-10 as for formats.py and cifar10.py,
--models the weights of ResNet-8 and ResNet-20. What is trained here is kept under --out.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import Literal

import torch
from cifar10_task import Cifar10
from fsdd_task import SpokenDigits
from sensor_task import Sensor
from torch import Tensor, nn

from edgecompress import ClassificationTask
from edgecompress.artifact import Artifact
from edgecompress.compress.biases import snap_biases
from edgecompress.compress.quantize import calibrate, convert, prepare
from edgecompress.compress.train import Training, train
from edgecompress.formats.exportable import Exportable
from edgecompress.measure.compare import compare
from edgecompress.measure.evaluate import Runs, infer_all
from edgecompress.measure.turns import Session
from edgecompress.pipeline.inputs import chosen
from edgecompress.pipeline.single import HERE, agent_on, loaded_here
from edgecompress.progress import SilentProgress
from edgecompress.runtimes import runtime
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.deploy import TrainSpec
from edgecompress.spec.load import load_target
from edgecompress.spec.scheme import QuantizationScheme
from edgecompress.task.seed import seed_everything

SEEDS = (0, 1, 2)
CALIBRATION_BATCHES = 8
TARGET = load_target("local-litert")
TRAINING = TrainSpec(
    optimizer="adamw", weight_decay=0.01, epochs=15, learning_rate=0.004, warmup_epochs=1
)


@dataclass(frozen=True)
class Kind:
    bits: Literal[7, 8]
    joins: Literal["free", "shared"]

    @property
    def scheme(self) -> QuantizationScheme:
        own = TARGET.quantization
        weights = own.weights.model_copy(update={"bits": self.bits})
        return own.model_copy(update={"weights": weights, "joins": self.joins})

    def __str__(self) -> str:
        return f"{self.bits} bits, {self.joins}"


OWN, ALIKE = KINDS = Kind(8, "free"), Kind(7, "shared")


class Inverted(nn.Module):
    """An inverted residual (Sandler et al., 2018)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        wide = 4 * channels_in
        norm = nn.BatchNorm2d
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, wide, 1, bias=False), norm(wide), nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), norm(wide), nn.ReLU6(),
            nn.Conv2d(wide, channels, 1, bias=False), norm(channels),
        )  # fmt: skip
        self.adds = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.adds else y


class InvertedDigits(SpokenDigits):
    """The spoken digits with a small MobileNetV2."""

    def model(self) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(),
            Inverted(16, 16, 1), Inverted(16, 24, 2), Inverted(24, 24, 1),
            Inverted(24, 40, 2), Inverted(40, 40, 1),
            nn.Conv2d(40, 96, 1, bias=False), nn.BatchNorm2d(96), nn.ReLU6(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 10),
        )  # fmt: skip


def tasks(arguments: argparse.Namespace) -> dict[str, Callable[[], ClassificationTask]]:
    data, models = arguments.data, arguments.models
    cifar10 = partial(Cifar10, str(data))
    return {
        "resnet8": partial(cifar10, str(models / "mlperf_tiny_resnet8.pt"), "resnet8"),
        "resnet20": partial(cifar10, str(models / "resnet20-12fca82f.th"), "resnet20"),
        "fsdd": partial(SpokenDigits, str(data / "fsdd.npz")),
        "inverted": partial(InvertedDigits, str(data / "fsdd.npz")),
        "sensor": Sensor,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/schemes"))
    parser.add_argument("--only", nargs="+", help="names of networks")
    parser.add_argument("--turns", type=int, default=6)
    arguments = parser.parse_args()
    for name, make in tasks(arguments).items():
        if arguments.only is None or name in arguments.only:
            show(name, make(), arguments.out / name, arguments.turns)


def show(name: str, task: ClassificationTask, folder: Path, turns: int) -> None:
    """The accuracies of both, then their latencies in turns."""
    model = trained(task, folder)
    print(f"{name}: float {accuracy_of(model, task):.2%}", flush=True)
    files = {}
    for kind in KINDS:
        made = [exported(model, task, kind, seed, folder) for seed in SEEDS]
        scores = [accuracy(file, task, folder) for file in made]
        files[kind] = made[0]
        each = ", ".join(f"{score:.2%}" for score in scores)
        print(f"  {kind!s:14} {mean(scores):.2%} ({each})", flush=True)
    found = in_turns(files[ALIKE], files[OWN], task, folder, turns)
    before, after = found.baseline.latency_ms_p50, found.candidate.latency_ms_p50
    print(
        f"  {ALIKE} -> {OWN}: p50 {before:.4f} -> {after:.4f} ms, {found.speedup:.3f}x"
        f" (95 %: {found.speedup_low:.3f} to {found.speedup_high:.3f})",
        flush=True,
    )


def trained(task: ClassificationTask, folder: Path) -> nn.Module:
    """The model of a task; trained first where it comes without weights."""
    seed_everything(0, 0)
    model = task.model()
    if not isinstance(task, Cifar10):
        folder.mkdir(parents=True, exist_ok=True)
        train(model, Training("float", task, TRAINING, 0, folder, SilentProgress()))
    return model.eval()


def accuracy_of(model: nn.Module, task: ClassificationTask) -> float:
    with torch.no_grad():
        right = [(model(x).argmax(1) == y) for x, y in task.eval_data()]
    return float(torch.cat(right).float().mean())


def exported(
    model: nn.Module, task: ClassificationTask, kind: Kind, seed: int, folder: Path
) -> Artifact:
    seed_everything(seed, 0)
    batches = islice(task.calibration_data(), CALIBRATION_BATCHES)
    prepared = prepare(model, task.example_inputs(), kind.scheme, "minmax")
    calibrate(prepared, batches)
    snap_biases(prepared)
    quantized = convert(prepared, integers=False)
    exportable = Exportable(
        module=quantized.graph,
        example_inputs=prepared.example_inputs,
        free_batch=prepared.free_batch,
        input_names=("input",),
        output_names=("output",),
        lineage={},
        target=TARGET,
        layers=quantized.layers,
        scheme=kind.scheme,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind.bits}-{kind.joins}-{seed}.tflite"
    return runtime("litert").export(exportable, path)


def accuracy(file: Artifact, task: ClassificationTask, folder: Path) -> float:
    runs = Runs(agent_on(HERE, folder), loaded_here(file, TARGET), folder)
    right = [
        torch.from_numpy(outputs[0].argmax(1)) == target
        for outputs, target in infer_all(runs, task.eval_data())
    ]
    return float(torch.cat(right).float().mean())


def in_turns(
    before: Artifact, after: Artifact, task: ClassificationTask, folder: Path, turns: int
) -> Comparison:
    inputs = chosen(task.eval_data())
    protocol = TARGET.measurement.model_copy(update={"turns": turns})
    session = Session(agent_on(HERE, folder), protocol, 1, inputs)
    return compare(session, loaded_here(before, TARGET), loaded_here(after, TARGET), HERE)


if __name__ == "__main__":
    main()
