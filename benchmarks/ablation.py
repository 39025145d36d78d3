"""What each method of compressing is worth, alone and together: accuracy of the file, and speed.

    python benchmarks/ablation.py --net sensor
    python benchmarks/ablation.py --net fsdd --data fsdd.npz --only ptq --only "half, qat"

Every row is deployed for this machine with ONNX Runtime, once a seed: the seed trains another float
net. Accuracies are of the exported file, differences against the float net of the same seed;
speedups are against that net's float file in the same run.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

from cifar10 import deployed
from formats import spoken

from edgecompress.spec.report import Report

TARGET = "local-onnxruntime"
Document = dict[str, Any]

ADAMW = {"optimizer": "adamw", "weight_decay": 0.01}
SENSOR: Document = {
    "task": {"path": f"{Path(__file__).with_name('sensor_task.py').resolve()}:Sensor"},
    "train": {**ADAMW, "epochs": 15, "learning_rate": 0.004, "warmup_epochs": 1},
}
MINMAX = {"mode": "ptq", "ranges": "minmax", "calibration_batches": 8}
RANGES = {**MINMAX, "ranges": "auto"}
QAT = {
    **MINMAX,
    "mode": "qat",
    "train": {**ADAMW, "epochs": 4, "learning_rate": 0.0003},
}
HALF = {
    "method": "structured",
    "importance": "taylor",
    "allocation": "uniform",
    "pruning_ratio": 0.5,
    "steps": 1,
}
BY_LATENCY = {
    "method": "structured",
    "importance": "taylor",
    "allocation": "latency",
    # Both nets allow 1.4 at most in ONNX Runtime, whose calls take as long as their layers.
    "latency_reduction": 1.3,
    "steps": 1,
}
FINETUNE = {**ADAMW, "epochs": 8, "learning_rate": 0.002}
TUNED = {"finetune": FINETUNE, "distill": "off"}
LEARNT = {"finetune": FINETUNE, "distill": {"temperature": 4.0, "weight": 0.7}}
METHODS: dict[str, Document] = {
    "ptq": {"quantize": MINMAX},
    "ptq, ranges": {"quantize": RANGES},
    "ptq, equalised": {"quantize": {**MINMAX, "equalise": True}},
    "ptq, biases corrected": {"quantize": {**MINMAX, "correct_biases": True}},
    "ptq, adaptive rounding": {"quantize": {**MINMAX, "rounding": "adaptive"}},
    "ptq, all of these": {
        "quantize": {**RANGES, "equalise": True, "correct_biases": True, "rounding": "adaptive"}
    },
    "qat": {"quantize": QAT, "distill": "off"},
    "qat, learned scales": {"quantize": {**QAT, "train_scales": True}, "distill": "off"},
    "qat, distilled": {"quantize": QAT, "distill": LEARNT["distill"]},
    "half, ptq": {"prune": HALF, **TUNED, "quantize": MINMAX},
    "half, qat": {"prune": HALF, **TUNED, "quantize": QAT},
    "half, distilled, qat": {"prune": HALF, **LEARNT, "quantize": QAT},
    "by latency, distilled, qat": {"prune": BY_LATENCY, **LEARNT, "quantize": QAT},
    "a block less, distilled, qat": {
        "prune": {**HALF, "pruning_ratio": 0.25, "remove_blocks": 1},
        **LEARNT,
        "quantize": QAT,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--net", choices=["fsdd", "sensor"], required=True)
    parser.add_argument("--data", type=Path, default=Path("fsdd.npz"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=METHODS, metavar="METHOD")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/ablation"))
    arguments = parser.parse_args()
    base = spoken(arguments.data) if arguments.net == "fsdd" else SENSOR
    for name in arguments.only or METHODS:
        rows = []
        for seed in range(arguments.seeds):
            document = {
                "task": base["task"],
                "train": base["train"],
                "seed": seed,
                "budgets": {"max_metric_drop": 1.0, "accept_uncertain": True},
                **METHODS[name],
            }
            rows += one(arguments.out / arguments.net / "deploy.yaml", document)
        show(name, rows)


def one(config: Path, document: Document) -> list[Report]:
    """Nothing where it cannot be had; `deployed` says why."""
    try:
        return deployed(config, document, [TARGET])
    except SystemExit:
        return []


def show(name: str, reports: list[Report]) -> None:
    if not reports:
        print(f"{name:30} could not be made", flush=True)
        return
    files = [report.candidate.metric.value for report in reports]
    losses = [report.baseline.metric.value - report.candidate.metric.value for report in reports]
    speedups = [report.speedup for report in reports if report.speedup is not None]
    speed = f"{statistics.median(speedups):.2f}x" if speedups else "not measured"
    print(
        f"{name:30} {spread(files)}, {spread(losses)} less than float, {speed},"
        f" {min(report.candidate.model_size_bytes for report in reports):,} bytes",
        flush=True,
    )


def spread(values: list[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):7.2%} +-{deviation:.2%}"


if __name__ == "__main__":
    main()
