"""What each way to quantise better is worth alone: accuracy of the exported file.

    python benchmarks/quantizing.py --data DIR --models DIR [--only resnet8 fsdd] [--target NAME]

A seed chooses the calibration data, and the order of the training data. --data holds fsdd.npz and
CIFAR-10 as for formats.py and cifar10.py, --models the weights of ResNet-8 and ResNet-20. What is
trained here is kept under --out.
"""

import argparse
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import mean, stdev

import torch
from schemes import CALIBRATION_BATCHES, SEEDS, accuracy_of, tasks, trained
from torch import nn

from edgecompress import ClassificationTask
from edgecompress.artifact import Artifact
from edgecompress.compress.biases import snap_biases
from edgecompress.compress.quantize import (
    Prepared,
    calibrate,
    captured,
    convert,
    prepare_captured,
)
from edgecompress.compress.refine import refine
from edgecompress.compress.sensitivity import measure_noise
from edgecompress.compress.train import Training
from edgecompress.formats.exportable import Exportable
from edgecompress.measure.evaluate import Runs, infer_all
from edgecompress.pipeline.quantizing import fine_tune
from edgecompress.pipeline.single import HERE, agent_on, loaded_here
from edgecompress.progress import SilentProgress
from edgecompress.runtimes import runtime
from edgecompress.spec.deploy import QuantizeSpec, TrainSpec
from edgecompress.spec.load import load_target
from edgecompress.spec.recipe import weight_bits
from edgecompress.spec.target import Target
from edgecompress.task.seed import seed_everything

PTQ = QuantizeSpec(mode="ptq", ranges="mse", calibration_batches=CALIBRATION_BATCHES)
TRAINING = TrainSpec(epochs=2, optimizer="sgd", learning_rate=0.002)
QAT = PTQ.model_copy(update={"mode": "qat", "train": TRAINING})
REFINED = {"equalise": True, "rounding": "adaptive", "correct_biases": True}
WAYS: dict[str, QuantizeSpec] = {
    "ptq": PTQ,
    "+ equalise": PTQ.model_copy(update={"equalise": True}),
    "+ correct_biases": PTQ.model_copy(update={"correct_biases": True}),
    "+ rounding": PTQ.model_copy(update={"rounding": "adaptive"}),
    "+ all three": PTQ.model_copy(update=REFINED),
    "qat": QAT,
    "qat + train_scales": QAT.model_copy(update={"train_scales": True}),
}


@dataclass(frozen=True)
class Setting:
    """What all files of a network have in common."""

    name: str
    model: nn.Module
    task: ClassificationTask
    target: Target
    folder: Path


@dataclass(frozen=True)
class Result:
    accuracy: float
    outputs_db: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/quantizing"))
    parser.add_argument("--only", nargs="+", default=["resnet8", "fsdd"], help="networks")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), help=f"of {', '.join(WAYS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--target", default="local-onnxruntime")
    arguments = parser.parse_args()
    target = load_target(arguments.target)
    for name, make in tasks(arguments).items():
        if name not in arguments.only:
            continue
        task, folder = make(), arguments.out / name
        folder.mkdir(parents=True, exist_ok=True)
        setting = Setting(name, trained(task, folder), task, target, folder)
        print(f"{name}, {target.name}: float {accuracy_of(setting.model, task):.2%}", flush=True)
        for way in arguments.ways:
            show(way, [result_of(setting, WAYS[way], seed) for seed in arguments.seeds])


def show(way: str, results: list[Result]) -> None:
    scores = [result.accuracy for result in results]
    each = ", ".join(f"{score:.2%}" for score in scores)
    spread = f" +- {100 * stdev(scores):.2f}" if len(scores) > 1 else ""
    decibels = mean(result.outputs_db for result in results)
    seconds = mean(result.seconds for result in results)
    print(
        f"  {way:20} {mean(scores):.2%}{spread} ({each}),"
        f" {decibels:.1f} dB at the outputs, {seconds:.0f} s",
        flush=True,
    )


def result_of(setting: Setting, spec: QuantizeSpec, seed: int) -> Result:
    """Quantise as the recipe's section says, export, and score the file."""
    start = time.monotonic()
    seed_everything(seed, 0)
    prepared = quantised(setting, spec, seed)
    seconds = time.monotonic() - start
    noise = measure_noise(prepared, setting.task.validation_data()).outputs_db
    score = accuracy(exported(prepared, setting), setting)
    return Result(score, float("nan") if noise is None else noise, seconds)


def quantised(setting: Setting, spec: QuantizeSpec, seed: int) -> Prepared:
    task, bits = setting.task, weight_bits(setting.target)
    own = setting.target.quantization
    weights = own.weights.model_copy(update={"bits": bits})
    scheme = own.model_copy(update={"weights": weights})
    batches = list(islice(task.calibration_data(), spec.calibration_batches))
    traced = captured(setting.model, task.example_inputs(), spec)
    prepared = prepare_captured(traced, scheme, spec.ranges)
    calibrate(prepared, batches)
    refine(prepared, batches, spec)
    if spec.train is not None:
        folder = setting.folder / f"{'lsq' if spec.train_scales else 'qat'}-{seed}"
        training = Training("qat", task, spec.train, seed, folder, SilentProgress())
        folder.mkdir(parents=True, exist_ok=True)
        fine_tune(prepared, training, spec, {})
    snap_biases(prepared)
    return prepared


def exported(prepared: Prepared, setting: Setting) -> Artifact:
    quantized = convert(prepared, integers=setting.target.runtime.name == "onnxruntime")
    exportable = Exportable(
        module=quantized.graph,
        example_inputs=prepared.example_inputs,
        free_batch=prepared.free_batch,
        input_names=("input",),
        output_names=("output",),
        lineage={},
        target=setting.target,
        layers=quantized.layers,
        scheme=prepared.scheme,
    )
    kind = runtime(setting.target.runtime.name)
    return kind.export(exportable, setting.folder / f"model{kind.format.suffix}")


def accuracy(file: Artifact, setting: Setting) -> float:
    runs = Runs(agent_on(HERE, setting.folder), loaded_here(file, setting.target), setting.folder)
    right = [
        torch.from_numpy(outputs[0].argmax(1)) == wanted
        for outputs, wanted in infer_all(runs, setting.task.eval_data())
    ]
    return float(torch.cat(right).float().mean())


if __name__ == "__main__":
    main()
