"""One quantisation-aware training, a file for every runtime, and where two of them part.

    python benchmarks/formats.py --arch fsdd --data fsdd.npz
    python benchmarks/formats.py --arch fsdd-raw --data fsdd.npz
    python benchmarks/formats.py --arch resnet8 --data DIR --weights FILE

fsdd.npz holds the free spoken digits (github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA
4.0): audio int16 end to end, offsets, y, is_test. With fsdd-raw the files take its samples, and
have the log-mel front end inside. CIFAR-10 and weights are those of cifar10.py.
"""

import argparse
from pathlib import Path

from cifar10 import QAT, SGD, deployed, recipe

from edgecompress.errors import EdgecompressError
from edgecompress.pipeline.layers import compare_layers
from edgecompress.spec.report import Report

TARGETS = [
    "local-onnxruntime",
    "local-litert",
    "local-openvino",
    "local-executorch",
    "jetson-orin-nano",
]
FSDD = Path(__file__).with_name("fsdd_task.py").resolve()
FSDD_RAW = FSDD.with_name("fsdd_raw_task.py")
FEW_EPOCHS = {**SGD, "epochs": 3, "learning_rate": 0.004}
PORTABLE = {**QAT, "scheme": "portable", "train": FEW_EPOCHS}
CALIBRATED = {
    "mode": "ptq",
    "scheme": "portable",
    "ranges": "mse",
    "calibration_batches": 8,
}
BUDGETS = {"max_metric_drop": 0.01}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", choices=["resnet8", "resnet20", *SPOKEN], required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=Path())
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/formats"))
    parser.add_argument(
        "--ptq", action="store_true", help="calibrate only, where resnet8 and resnet20 would train"
    )
    arguments = parser.parse_args()
    is_spoken = arguments.arch in SPOKEN
    document = SPOKEN[arguments.arch](arguments.data) if is_spoken else images(arguments)
    config = arguments.out / arguments.arch / "deploy.yaml"
    reports = deployed(config, document, TARGETS)
    show(reports)
    show_layers(config, reports)


def images(arguments: argparse.Namespace) -> dict[str, object]:
    document = recipe(arguments)
    return {
        "task": document["task"],
        "seed": 0,
        "quantize": CALIBRATED if arguments.ptq else PORTABLE,
        "budgets": BUDGETS,
    }


def spoken(data: Path) -> dict[str, object]:
    file = str(data.resolve())
    adamw = {"optimizer": "adamw", "weight_decay": 0.01}
    return {
        "task": {"path": f"{FSDD}:SpokenDigits", "options": {"data": file}, "files": [file]},
        "seed": 0,
        "train": {**adamw, "epochs": 20, "learning_rate": 0.004, "warmup_epochs": 1},
        "quantize": {**PORTABLE, "train": {**adamw, "epochs": 3, "learning_rate": 0.0003}},
        "budgets": BUDGETS,
    }


def spoken_raw(data: Path) -> dict[str, object]:
    file = str(data.resolve())
    adamw = {"optimizer": "adamw", "weight_decay": 0.01}
    return {
        "task": {"path": f"{FSDD_RAW}:RawDigits", "options": {"data": file}, "files": [file]},
        "seed": 0,
        "train": {**adamw, "epochs": 20, "learning_rate": 0.004, "warmup_epochs": 1},
        "quantize": {
            **PORTABLE,
            "train": {**adamw, "epochs": 3, "learning_rate": 0.0003},
            "keep_float": ["front"],
        },
        "budgets": {"max_metric_drop": 0.005},
    }


SPOKEN = {"fsdd": spoken, "fsdd-raw": spoken_raw}


def show(reports: list[Report]) -> None:
    """A row a target: what docs/benchmarks.md quotes."""
    for report in reports:
        candidate = report.candidate
        floats = sorted({op.op_type for op in candidate.inspection.ops if op.dtype == "float32"})
        print(f"{report.target}: {report.verdict.decision}, {candidate.metric.value:.2%}")
        print(f"  fp32 {report.baseline.metric.value:.2%}, {candidate.model_size_bytes:,} bytes")
        print(f"  int8 MACs {candidate.int8_op_fraction:.1%}, float: {', '.join(floats) or 'none'}")
        for hop in candidate.hops:
            agreement = (
                "-" if hop.parity.top1_agreement is None else f"{hop.parity.top1_agreement:.2%}"
            )
            print(f"  {hop.kind}: {agreement}, {hop.parity.max_output_steps:.3g} steps")
        if report.comparison is not None:
            low, high = report.comparison.speedup_low, report.comparison.speedup_high
            print(
                f"  p50 {report.baseline.latency_ms_p50:.3f} -> {candidate.latency_ms_p50:.3f} ms,"
                f" {report.speedup:.2f}x (95 %: {low:.2f} to {high:.2f})"
            )
        for note in report.notes:
            print(f"  note: {note}")


def show_layers(config: Path, reports: list[Report]) -> None:
    """Where each file parts from the first, on inputs of the task."""
    first, *others = ((report.target, model_of(config.parent, report)) for report in reports)
    for target, file in others:
        try:
            found = compare_layers(first[1], file, config, 0.0)
        except EdgecompressError as error:
            print(f"{first[0]} and {target}: {error}")
            continue
        apart = [layer for layer in found.layers if layer.max_steps > 0]
        if not apart:
            print(f"{first[0]} and {target}: all {len(found.layers)} activations identical")
            continue
        layer = apart[0]
        print(
            f"{first[0]} and {target}: {len(apart)} of {len(found.layers)} activations part, first"
            f" {layer.layer}: {layer.differing:.3%} of its values, by {layer.max_steps:g} at most"
        )


def model_of(folder: Path, report: Report) -> Path:
    kept = next(kept for kept in report.artifacts if Path(kept.path).stem == "model")
    return folder / "runs" / report.run / Path(kept.path).name


if __name__ == "__main__":
    main()
