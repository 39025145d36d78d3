"""MobileNetV2-1.0 at 224, random weights: calibrate, quantise, and measure against its fp32.

    python benchmarks/mobilenetv2.py

Shows what the int8 file costs: the operators that should not be there (Clip, Q or DQ between
compute operators), and the latency of both files, measured in turns.
"""

import argparse
from pathlib import Path

from cifar10 import deployed, show

from edgecompress.report.layer_types import between_compute

TASK = Path(__file__).with_name("mobilenetv2_task.py").resolve()
RECIPE: dict[str, object] = {
    "task": {"path": f"{TASK}:RandomImages"},
    "seed": 0,
    "quantize": {"mode": "ptq", "ranges": "minmax", "calibration_batches": 2},
    # With random weights the scores are nearly equal: only the speed is judged.
    "budgets": {"max_metric_drop": 1.0, "min_speedup": 1.7, "min_int8_op_fraction": 1.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/mobilenetv2"))
    parser.add_argument("--target", default="local-onnxruntime")
    arguments = parser.parse_args()
    (report,) = deployed(arguments.out / "deploy.yaml", RECIPE, [arguments.target])
    show(report)
    between = [
        f"{op.op_type} {op.name}: {op.reason}"
        for op in between_compute(report.candidate.inspection)
    ]
    print(f"{'between compute operators':28} {'; '.join(between) or 'none'}")


if __name__ == "__main__":
    main()
