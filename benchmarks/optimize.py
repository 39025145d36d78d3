"""A search for a net's recipe, with nothing set by hand, beside other quantizers' int8.

    python benchmarks/optimize.py --net resnet20 --data DIR --weights FILE --time 90m
    python benchmarks/optimize.py --net sensor --time 20m

What is on the search's front, the peers' files, and the originals run side by side in one run,
every turn in a fresh process, and all are scored on the evaluation data, which no search has seen.
Interrupted runs resume.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from peers import litert_peer, onnxruntime_peers
from trained import calibration

from edgecompress.artifact import Artifact
from edgecompress.errors import EdgecompressError
from edgecompress.measure.inputs import inputs_of
from edgecompress.measure.statistics import costs_of_round
from edgecompress.measure.turns import measure_turns
from edgecompress.optimize import Asked, optimize
from edgecompress.optimize.bench import Bench, opened
from edgecompress.optimize.front import Point, dominates, front_of
from edgecompress.optimize.place import Place
from edgecompress.optimize.study import Study
from edgecompress.optimize.whole import STUDY, study_name
from edgecompress.pipeline import evaluate_file
from edgecompress.pipeline.executable import FloatModel
from edgecompress.pipeline.files import exported_file
from edgecompress.pipeline.formats import describe_file
from edgecompress.pipeline.measuring import lane_of, on_device
from edgecompress.pipeline.models import original
from edgecompress.pipeline.orders import Measured, deploy_order
from edgecompress.progress import SilentProgress, progress_on_stderr
from edgecompress.spec.native import native_cpu
from edgecompress.spec.target import Target

HERE = Path(__file__).parent.resolve()
BOARD = "local"
BUDGETS = {"max_metric_drop": 0.01}
TRAIN = {"optimizer": "adamw", "learning_rate": 0.004, "weight_decay": 0.01, "warmup_epochs": 1}
FP32, PEER, OURS = "fp32", "peer", "ours"


@dataclass(frozen=True)
class File:
    """One file that runs in the end."""

    kind: str
    name: str
    target: Target
    artifact: Artifact


@dataclass(frozen=True)
class Row:
    file: File
    metric: float
    latency_ms: float

    @property
    def point(self) -> Point:
        return Point(-self.metric, self.latency_ms)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--net", choices=["resnet8", "resnet20", "fsdd", "sensor"], required=True)
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--weights", type=Path, default=Path())
    parser.add_argument("--time", default="20m")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--study")
    parser.add_argument("--rounds", type=int, default=10, help="of the last measurement")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/optimize"))
    arguments = parser.parse_args()
    folder = (arguments.out / arguments.net).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "deploy.yaml"
    config.write_text(yaml.safe_dump(document(arguments)))
    asked = Asked(arguments.time, arguments.trials, arguments.study)
    found = optimize(config, BOARD, asked, progress_on_stderr())
    if found.report.interrupted:
        raise SystemExit(130)
    order = deploy_order(config, [BOARD], Measured())
    place = Place(folder / "runs" / STUDY if arguments.study is None else arguments.study)
    with opened(order, SilentProgress()) as bench, tempfile.TemporaryDirectory() as name:
        files = [*originals(bench), *peers(bench, Path(name)), *front(bench, place)]
        latencies = measured(bench, files, arguments.rounds)
        rows = [Row(file, scored(file, config), latency) for file, latency in latencies]
    show(rows, arguments.net, bench)
    print(f"{found.report.seconds:.0f} s in {len(found.report.trials)} trials; {found.page}")


def document(arguments: argparse.Namespace) -> dict[str, Any]:
    """A deploy.yaml that says nothing of how."""
    common = {"seed": 0, "recipe": "auto", "budgets": BUDGETS}
    data = arguments.data.resolve()
    if arguments.net == "sensor":
        task = {"path": f"{HERE / 'sensor_task.py'}:Sensor"}
        return {"task": task, **common, "train": {**TRAIN, "epochs": 15}}
    if arguments.net == "fsdd":
        file = str(data / "fsdd.npz")
        path = f"{HERE / 'fsdd_task.py'}:SpokenDigits"
        task_of: dict[str, Any] = {"path": path, "options": {"data": file}, "files": [file]}
        return {"task": task_of, **common, "train": {**TRAIN, "epochs": 20}}
    options = {
        "data": str(data),
        "arch": arguments.net,
        "weights": str(arguments.weights.resolve()),
    }
    files = [str(file) for file in sorted(data.glob("cifar10_*.npz"))]
    path = f"{HERE / 'cifar10_task.py'}:Cifar10"
    return {"task": {"path": path, "options": options, "files": files}, **common}


def originals(bench: Bench) -> Iterator[File]:
    """The user's model in float, in each runtime."""
    for plan in bench.space.plain():
        job = bench.job(plan)
        _, artifact = exported_file(job, FloatModel(job, original(job, job.model)))
        yield File(FP32, f"fp32 ({job.recipe.target.runtime.name})", job.recipe.target, artifact)


def peers(bench: Bench, folder: Path) -> Iterator[File]:
    """Other programs' int8 of the same float files, calibrated with the same batches."""
    batches = calibration(bench.loaded.task)
    for file in list(originals(bench)):
        try:
            made = []
            if file.target.runtime.name == "onnxruntime":
                made = list(onnxruntime_peers(file.artifact.path, batches, folder))
            elif file.target.runtime.name == "litert":
                made = [litert_peer(file.artifact.path, batches, folder)]
        except Exception as error:
            # Whatever another program stumbles over is a line of the table.
            print(f"{file.target.name}, peer: {type(error).__name__}: {str(error)[:200]}")
            continue
        for peer in made:
            yield File(PEER, peer.name, file.target, describe_file(peer.file))


def front(bench: Bench, place: Place) -> Iterator[File]:
    """The search's, as its trials made it."""
    name, seed = study_name(bench), bench.space.base.seed
    study = Study(place, name, seed, maximises=bench.higher_is_better)
    for one, _ in front_of(study.trials(), bench.aims):
        target = bench.space.target(one.plan.target)
        yield File(OURS, f"trial {one.label}", target, bench.file(one.plan))
    study.close()


def measured(bench: Bench, files: Sequence[File], rounds: int) -> Iterator[tuple[File, float]]:
    """Median over rounds in which all files run side by side."""
    job = bench.job(bench.space.plain()[0])
    with on_device(job, bench.device) as connected:
        lanes = {}
        for number, file in enumerate(files):
            there = connected.on(file.target)
            loaded = there.prepare(file.target, file.artifact, original=file.kind == FP32)
            lanes[str(number)] = lane_of(file.target, loaded, there, job.measured_inputs)
        costs: dict[str, list[float]] = {name: [] for name in lanes}
        with inputs_of({n: lane.file for n, lane in lanes.items()}, job.measured_inputs) as inputs:
            for number in range(rounds):
                order = list(lanes) if number % 2 else list(lanes)[::-1]
                turns = measure_turns({name: lanes[name] for name in order}, inputs, beside=True)
                for name, cost_ms in costs_of_round(turns).items():
                    costs[name].append(cost_ms)
    for name, file in zip(lanes, files, strict=True):
        yield file, float(np.median(costs[name]))


def scored(file: File, config: Path) -> float:
    """The metric on the evaluation data, by the file's own runtime."""
    with tempfile.TemporaryDirectory() as name:
        # What lies in the store has no suffix to know its format by.
        path = Path(name) / f"model{Path(file.artifact.path).suffix or _suffix(file)}"
        path.write_bytes(Path(file.artifact.path).read_bytes())
        try:
            return float(evaluate_file(path, config, SilentProgress()).value)
        except EdgecompressError as error:
            print(f"{file.name}: {error}")
            return float("nan")


def _suffix(file: File) -> str:
    from edgecompress.runtimes import formats

    return formats()[file.artifact.format][0].suffix


def show(rows: Sequence[Row], net: str, bench: Bench) -> None:
    """The table, and what docs/benchmarks.md quotes of it."""
    fp32 = max(row.metric for row in rows if row.file.kind == FP32)
    others = [row for row in rows if row.file.kind == PEER]
    best_peer = min((row.latency_ms for row in others), default=float("nan"))
    features = ", ".join(native_cpu().features)
    print(f"\n{net} on {bench.probe.cpu_model} ({features}); fp32 {fp32:.2%}")
    for row in sorted(rows, key=lambda row: row.latency_ms):
        beaten = [other.file.name for other in others if dominates(other.point, row.point)]
        print(
            f"{row.latency_ms:8.4f} ms  {best_peer / row.latency_ms:5.2f}x best peer"
            f"  {row.metric:.2%} ({100 * (row.metric - fp32):+.2f})  {row.file.kind:5}"
            f" {row.file.name} ({row.file.target.runtime.name})"
            f"{'  beaten by ' + beaten[0] if row.file.kind == OURS and beaten else ''}"
        )
    ours = [row for row in rows if row.file.kind == OURS]
    unbeaten = [row for row in ours if not any(dominates(o.point, row.point) for o in others)]
    print(f"points that no peer dominates: {len(unbeaten)} of {len(ours)}")
    ahead = [row for row in others if not any(dominates(o.point, row.point) for o in ours)]
    print(
        f"peers that nothing of ours dominates: {', '.join(r.file.name for r in ahead) or 'none'}"
    )
    for points in (0.3, 1.0):
        kept = [row for row in ours if row.metric >= fp32 - points / 100 - 1e-9]
        fastest = min(kept, key=lambda row: row.latency_ms, default=None)
        told = "none" if fastest is None else f"{best_peer / fastest.latency_ms:.2f}x the best peer"
        print(f"no more than {points} point under fp32: {told}")


if __name__ == "__main__":
    main()
