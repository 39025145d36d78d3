"""MobileNetV2-1.0 at 224, random weights: calibrate, quantise, and measure against its fp32.

    python benchmarks/mobilenetv2.py

Shows what the int8 file costs: the operators that should not be there (Clip, Q or DQ between
compute operators), and the latency of both files, measured in turns.
"""

import argparse
import sys
from pathlib import Path

import yaml
from cifar10 import show

import edgecompress
from edgecompress.errors import EdgecompressError
from edgecompress.inspect import between_compute
from edgecompress.progress import progress_on_stderr

TASK = Path(__file__).with_name("mobilenetv2_task.py").resolve()
RECIPE = {
    "task": {"path": f"{TASK}:RandomImages"},
    "seed": 0,
    "quantize": {"mode": "ptq", "ranges": "minmax", "calibration_batches": 2},
    # With random weights the scores are nearly equal: only the speed is judged.
    "budgets": {"max_metric_drop": 1.0, "min_speedup": 1.7, "min_int8_op_fraction": 1.0},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/mobilenetv2"))
    parser.add_argument("--target", default="local")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    config = arguments.out / "deploy.yaml"
    config.write_text(yaml.safe_dump(RECIPE))
    try:
        report = edgecompress.deploy(config, arguments.target, progress=progress_on_stderr())
    except EdgecompressError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    show(report)
    between = [
        f"{op.op_type} {op.name}: {op.reason}"
        for op in between_compute(report.candidate.inspection)
    ]
    print(f"{'between compute operators':28} {'; '.join(between) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
