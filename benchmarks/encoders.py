"""Transformers: what int8 makes of a small ViT and a small BERT in each runtime, and where the time
goes.

    python benchmarks/encoders.py --net bert
    python benchmarks/encoders.py --net vit --data DIR

DIR has cifar10_*.npz, as in cifar10.py. The net is trained here in some minutes, calibrated, and
deployed for each runtime of this machine; then all files race beside each other. Metrics are those
of the exported files. What is finished is kept under --out.
"""

import argparse
from pathlib import Path
from typing import Any

from cifar10 import deployed

from edgecompress.spec.report import ModelReport, Report

TARGETS = ["local-onnxruntime", "local-litert", "local-openvino"]
TASKS = Path(__file__).with_name("encoders_task.py").resolve()
ADAMW = {"optimizer": "adamw", "weight_decay": 0.01, "learning_rate": 0.002, "warmup_epochs": 1}
QUANTIZE = {"mode": "ptq", "ranges": "minmax", "calibration_batches": 8}
KINDS = 8
BUDGETS = {"max_metric_drop": 0.01, "min_speedup": 1.3}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--net", choices=["vit", "bert"], required=True)
    parser.add_argument("--data", type=Path, help="the folder of CIFAR-10, for vit")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/encoders"))
    parser.add_argument("--targets", nargs="+", default=[*TARGETS, "local"])
    arguments = parser.parse_args()
    if arguments.net == "vit" and arguments.data is None:
        parser.error("--net vit needs --data DIR with cifar10_*.npz")
    config = arguments.out / arguments.net / "deploy.yaml"
    for target in arguments.targets:
        for report in deployed(config, document(arguments), [target]):
            show(report)


def document(arguments: argparse.Namespace) -> dict[str, Any]:
    task: dict[str, Any] = {"path": f"{TASKS}:Sentences"}
    if arguments.net == "vit":
        data = arguments.data.resolve()
        files = [str(file) for file in sorted(data.glob("cifar10_*.npz"))]
        task = {"path": f"{TASKS}:Images", "options": {"data": str(data)}, "files": files}
    return {
        "task": task,
        "seed": 0,
        "train": {**ADAMW, "epochs": 5},
        "quantize": QUANTIZE,
        "budgets": BUDGETS,
    }


def show(report: Report) -> None:
    """What docs/benchmarks.md quotes."""
    before, after = report.baseline, report.candidate
    print(
        f"{report.target}: {report.verdict.decision}; {before.metric.value:.2%} float,"
        f" {after.metric.value:.2%} int8; {after.int8_op_fraction:.1%} of the MACs in int8"
    )
    if report.comparison is not None:
        low, high = report.comparison.speedup_low, report.comparison.speedup_high
        print(
            f"  p50 {before.latency_ms_p50:.3f} -> {after.latency_ms_p50:.3f} ms,"
            f" {report.speedup:.2f}x (95 %: {low:.2f} to {high:.2f})"
        )
    for one in () if report.race is None else report.race.entrants:
        p50 = "-" if one.latency_ms_p50 is None else f"{one.latency_ms_p50:.3f} ms"
        print(f"  {one.name:40} {p50:10} {one.ending}: {one.why}")
    show_profile("original", before)
    show_profile("shipped", after)
    for line in (*report.verdict.reasons, *report.verdict.advice):
        print(f"  {line}", flush=True)


def show_profile(name: str, model: ModelReport) -> None:
    """Where its time goes, by kinds of operators."""
    profile = model.profile
    if profile is None or profile.sum_us is None:
        print(f"  {name}: {'not counted' if profile is None else profile.why_none}")
        return
    print(f"  {name}: {profile.sum_us:.0f} us in {profile.operators_in_all} operators")
    for kind in profile.kinds[:KINDS]:
        share = kind.time_us / profile.sum_us
        reason = "" if kind.reason is None else f", {kind.reason}"
        print(f"    {share:6.1%} {kind.operators} {kind.op_type} in {kind.dtype}{reason}")


if __name__ == "__main__":
    main()
