"""A YOLO-like detector, trained here on drawn shapes: its files, decoded inside, in each runtime.

    python benchmarks/detector.py [--targets local-onnxruntime local-litert ..] [--suppress]

For each target: the mean average precision of the float and the int8 file, on 500 pictures, how
many times as fast int8 is, which operators before the decoder stay in float, and how far the boxes
that the file decodes lie from those that Python decodes of the same file without the decoder. With
`--suppress` the file chooses among boxes that overlap, too.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
import yaml
from cifar10 import deployed
from detector_task import Decoder, Shapes, Suppressing
from torch import Tensor, nn

from edgecompress.measure.evaluate import Runs, infer_all
from edgecompress.pipeline.formats import describe_file
from edgecompress.pipeline.single import HERE, agent_on, loaded_here
from edgecompress.spec.load import load_target
from edgecompress.spec.measurement import DECODER
from edgecompress.spec.report import Report
from edgecompress.task.suppression import paired

TARGETS = ("local-onnxruntime", "local-litert", "local-openvino", "jetson-orin-nano")
TASK = Path(__file__).with_name("detector_task.py").resolve()
RECIPE = {
    "seed": 0,
    "train": {
        "epochs": 16,
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "learning_rate": 0.003,
        "warmup_epochs": 1,
    },
    "quantize": {"mode": "ptq", "ranges": "mse", "calibration_batches": 8},
    "budgets": {"max_metric_drop": 0.005, "min_speedup": 1.5, "min_int8_op_fraction": 1.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--targets", nargs="+", default=TARGETS)
    parser.add_argument("--suppress", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/detector"))
    arguments = parser.parse_args()
    folder = arguments.out.resolve()
    task = {"path": f"{TASK}:Shapes", "options": {"suppresses": arguments.suppress}}
    raw = [without_decoder(name, folder) for name in arguments.targets]
    recipe = {"task": task, **RECIPE}
    reports = deployed(folder / "deploy.yaml", recipe, [*arguments.targets, *raw])
    whole, plain = reports[: len(raw)], reports[len(raw) :]
    for one, other in zip(whole, plain, strict=True):
        show(one)
        decoder = Suppressing() if arguments.suppress else Decoder()
        print(f"  boxes: {apart(decoder, folder, one, other)}")


def without_decoder(name: str, folder: Path) -> str:
    """A target like `name` whose files put out what the model does."""
    raw = f"{name}-raw"
    target = load_target(name, folder).model_dump(mode="json", exclude_none=True)
    path = folder / "targets" / f"{raw}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**target, "name": raw, "outputs": "raw"}))
    return raw


def show(report: Report) -> None:
    """The figures that docs/benchmarks.md quotes."""
    before, after = report.baseline.metric, report.candidate.metric
    print(
        f"{report.target}: mAP {before.value:.4f} -> {after.value:.4f}, {before.samples} pictures"
    )
    if report.comparison is not None and report.speedup is not None:
        low, high = report.comparison.speedup_low, report.comparison.speedup_high
        print(f"  {report.speedup:.2f}x (95 %: {low:.2f} to {high:.2f}) the float file's speed")
    ops = report.candidate.inspection.ops
    last = max(index for index, op in enumerate(ops) if op.dtype == "int8")
    floats = [
        f"{op.op_type} {op.module or op.name}"
        for op in ops[:last]
        if op.reason is not None
        and not op.op_type.upper().startswith(("QUANTIZE", "DEQUANTIZE"))
        and DECODER not in f"{op.module} {op.name}"
    ]
    count = sum(op.dtype == "int8" for op in ops)
    print(f"  {count} operators in int8; in float before the decoder: {floats or 'none'}")
    print(f"  violations: {report.candidate.inspection.violations or 'none'}")
    print(f"  {report.verdict.decision}: {'; '.join(report.verdict.reasons)}")


def apart(decoder: nn.Module, folder: Path, whole: Report, plain: Report) -> str:
    """How far the file's boxes and scores are from those that Python decodes."""
    largest, changed = [0.0, 0.0], 0
    pairs = zip(outputs_of(folder, whole), outputs_of(folder, plain), strict=True)
    with torch.no_grad():
        for decoded, raw in pairs:
            wanted = list(decoder(tuple(raw)))
            # Scores of the last place apart may have changed places.
            found = paired(wanted, decoded) if len(wanted) == 3 else decoded
            changed += sum(not torch.equal(*each) for each in zip(found, decoded, strict=True))
            for index, (ours, theirs) in enumerate(zip(found[:2], wanted[:2], strict=True)):
                largest[index] = max(largest[index], float((ours - theirs).abs().max()))
    order = f"; {changed} tensors of batches in another order" if changed else ""
    return (
        f"at most {largest[0]:.2g} pixels and scores {largest[1]:.2g} from Python's decoding{order}"
    )


def outputs_of(folder: Path, report: Report) -> Iterator[list[Tensor]]:
    """What a run's file puts out, run here as its runtime does, batch by batch."""
    shipped = next(each for each in report.artifacts if "baseline" not in each.path)
    artifact = describe_file(folder / "runs" / report.run / Path(shipped.path).name)
    with tempfile.TemporaryDirectory() as name:
        runs = Runs(agent_on(HERE, Path(name)), loaded_here(artifact), Path(name))
        for arrays, _ in infer_all(runs, Shapes().eval_data()):
            yield [torch.from_numpy(array) for array in arrays]


if __name__ == "__main__":
    main()
