"""A U-Net with a MobileNet's encoder, trained here on drawn shapes: its files in each runtime.

    python benchmarks/segmenter.py [--targets local-onnxruntime local-litert ..]

For each target: the mean intersection over union of the float and the int8 file, on 500 pictures,
how many times as fast int8 is, and where the time goes. What is finished is kept under --out.
"""

import argparse
from pathlib import Path

from cifar10 import deployed
from encoders import show

TARGETS = ("local-onnxruntime", "local-litert", "local-openvino", "jetson-orin-nano")
TASK = Path(__file__).with_name("segmenter_task.py").resolve()
RECIPE = {
    "task": {"path": f"{TASK}:Shapes"},
    "seed": 0,
    "train": {
        "epochs": 10,
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "learning_rate": 0.003,
        "warmup_epochs": 1,
    },
    "quantize": {"mode": "ptq", "ranges": "mse", "calibration_batches": 8},
    "budgets": {"max_metric_drop": 0.005, "min_speedup": 1.2, "min_int8_op_fraction": 1.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--targets", nargs="+", default=TARGETS)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/segmenter"))
    arguments = parser.parse_args()
    for report in deployed(arguments.out.resolve() / "deploy.yaml", RECIPE, arguments.targets):
        show(report)


if __name__ == "__main__":
    main()
