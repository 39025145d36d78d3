"""CIFAR-10: prune, distil, quantise, and measure two published networks against their fp32.

    python benchmarks/cifar10.py --data DIR --weights FILE --arch resnet20

DIR holds `cifar10_train_{0..4}.npz` and `cifar10_test_dev.npz` (x [N, 32, 32, 3] uint8, y uint8).
CIFAR-10 is at https://www.cs.toronto.edu/~kriz/cifar.html; the weights of ResNet-20 are those of
github.com/akamaster/pytorch_resnet_cifar10, those of ResNet-8 of MLPerf Tiny. Interrupted runs
resume: results are kept under --out.
"""

import argparse
import sys
from pathlib import Path

import yaml

from edgecompress.errors import EdgecompressError
from edgecompress.pipeline import TargetFailed, deploy_all
from edgecompress.progress import progress_on_stderr
from edgecompress.spec.report import Report

# Of each block's inner channels. Half leaves 8 in the first stage, whose operators take the most
# time; the last block matters least. Sensitivity allocation spares the first stage and is slower.
RESNET20_RATIOS = {
    **{f"layer{stage}.{block}.conv1": 0.5 for stage in (1, 2, 3) for block in (0, 1, 2)},
    "layer3.2.conv1": 0.75,
}

HALF_UNIFORMLY = {
    "method": "structured",
    "importance": "magnitude",
    "allocation": "uniform",
    "pruning_ratio": 0.5,
    "steps": 1,
}
SGD = {"optimizer": "sgd", "weight_decay": 5e-4}
QAT = {
    "mode": "qat",
    "ranges": "minmax",
    "calibration_batches": 8,
    "train": {**SGD, "epochs": 2, "learning_rate": 0.002},
}

RECIPES: dict[str, dict[str, object]] = {
    "resnet20": {
        "prune": {**HALF_UNIFORMLY, "pruning_ratio": RESNET20_RATIOS},
        "finetune": {**SGD, "epochs": 28, "learning_rate": 0.05, "warmup_epochs": 0.25},
        "quantize": {**QAT, "train": {**SGD, "epochs": 3, "learning_rate": 0.004}},
        "budgets": {"max_metric_drop": 0.0102, "min_int8_op_fraction": 1.0},
    },
    "resnet20-2to4": {
        "prune": {"method": "2:4"},
        "finetune": {**SGD, "epochs": 3, "learning_rate": 0.01},
        "quantize": {**QAT, "train": {**SGD, "epochs": 1, "learning_rate": 0.002}},
        "budgets": {"max_metric_drop": 0.0102, "min_int8_op_fraction": 1.0},
    },
    "resnet8": {
        "quantize": {"mode": "ptq", "ranges": "mse", "calibration_batches": 8},
        "budgets": {"max_metric_drop": 0.0026, "min_int8_op_fraction": 1.0},
    },
    "resnet8-half": {
        "prune": HALF_UNIFORMLY,
        "finetune": {**SGD, "epochs": 3, "learning_rate": 0.02},
        "quantize": QAT,
        "budgets": {"max_metric_drop": 0.1, "min_int8_op_fraction": 1.0},
    },
}
# The kinds of sparsity differ: what `local-onnxruntime` gains nothing from, it refuses.
TARGETS = {"resnet20-2to4": "jetson-orin-nano"}
TASK = Path(__file__).with_name("cifar10_task.py").resolve()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--arch", choices=sorted(RECIPES), required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--target", help="default: local-onnxruntime, for -2to4 jetson-orin-nano")
    parser.add_argument(
        "--ptq", action="store_true", help="calibrate only, where the recipe would train"
    )
    arguments = parser.parse_args()
    folder = arguments.out / arguments.arch
    config = folder / ("ptq.yaml" if arguments.ptq else "deploy.yaml")
    target = arguments.target or TARGETS.get(arguments.arch, "local-onnxruntime")
    (report,) = deployed(config, recipe(arguments), [target])
    show(report)


def deployed(config: Path, document: dict[str, object], targets: list[str]) -> list[Report]:
    """Write deploy.yaml and carry it out; what goes wrong ends the benchmark with one line."""
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(yaml.safe_dump(document))
    try:
        found = list(deploy_all(config, targets, progress=progress_on_stderr()))
        for result in found:
            if isinstance(result, TargetFailed):
                raise result.error
        return [report for report in found if isinstance(report, Report)]
    except EdgecompressError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def recipe(arguments: argparse.Namespace) -> dict[str, object]:
    files = sorted(arguments.data.glob("cifar10_*.npz"))
    options = {
        "data": str(arguments.data.resolve()),
        "weights": str(arguments.weights.resolve()),
        "arch": arguments.arch.partition("-")[0],
    }
    document = {
        "task": {
            "path": f"{TASK}:Cifar10",
            "options": options,
            "files": [str(file.resolve()) for file in files],
        },
        "seed": 0,
        **RECIPES[arguments.arch],
    }
    quantize = document["quantize"]
    if arguments.ptq and isinstance(quantize, dict):
        without = {key: value for key, value in quantize.items() if key != "train"}
        document["quantize"] = {**without, "mode": "ptq"}
    return document


def show(report: Report) -> None:
    """The figures that docs/benchmarks.md quotes."""
    baseline, candidate = report.baseline, report.candidate
    rows = {
        "accuracy, fp32 file": f"{baseline.metric.value:.2%}",
        "accuracy, int8 file": f"{candidate.metric.value:.2%}",
        "MACs": f"{baseline.macs:,} -> {candidate.macs:,}"
        f" ({baseline.macs / candidate.macs:.2f}x fewer)",
        "MACs in int8 kernels": f"{candidate.int8_op_fraction:.1%}",
        "verdict": report.verdict.decision,
    }
    if report.comparison is not None and report.speedup is not None:
        low, high = report.comparison.speedup_low, report.comparison.speedup_high
        rows["p50, ms"] = f"{baseline.latency_ms_p50:.3f} -> {candidate.latency_ms_p50:.3f}"
        rows["speedup"] = f"{report.speedup:.2f}x (95 %: {low:.2f} to {high:.2f})"
        rows["CPU"] = str(report.comparison.probe.cpu_model)
    for point in report.points:
        rows[f"on the way: {point.name}"] = f"{point.metric:.2%}, {point.macs:,} MACs"
    for name, value in rows.items():
        print(f"{name:28} {value}")
    for reason in report.verdict.reasons:
        print(f"  {reason}")


if __name__ == "__main__":
    main()
