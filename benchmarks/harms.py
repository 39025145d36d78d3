"""Does a verdict see what the metric hides? Ten candidates, each spoilt in one way, and 20 healthy.

    python benchmarks/harms.py

Digits in three colours: which one, and where its strokes lie. An original is trained, and every
candidate is a file beside the original's, looked at as a deploy does. An alarm is a check that is
not passed. Found must be ten of ten; of the healthy ones, int8 files of several seeds, calibrated
or fine-tuned, one alarm at most is chance.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from harms_spoilt import HARMS
from harms_task import Centred, Coloured
from torch import Tensor, nn

from edgecompress import Task
from edgecompress.artifact import Artifact
from edgecompress.compress.biases import snap_biases
from edgecompress.compress.observers import Ranges
from edgecompress.compress.quantize import calibrate, convert, prepare
from edgecompress.compress.train import Training, train
from edgecompress.formats.exportable import Exportable
from edgecompress.measure.evaluate import Runs, recorded
from edgecompress.measure.looks import Pair, look
from edgecompress.measure.observed import Side
from edgecompress.measure.record import metric_change
from edgecompress.pipeline.single import HERE, agent_on, loaded_here
from edgecompress.progress import SilentProgress
from edgecompress.report.looks import look_checks
from edgecompress.report.metric import metric_checks
from edgecompress.runtimes import runtime
from edgecompress.spec.deploy import Budgets, TrainSpec
from edgecompress.spec.load import load_target
from edgecompress.spec.report import Check, MetricValue
from edgecompress.task.guard import guard
from edgecompress.task.seed import seed_everything

TARGET = load_target("local-onnxruntime")
TRAINING = TrainSpec(optimizer="adamw", weight_decay=0.01, epochs=14, learning_rate=0.004)
AGAIN = TrainSpec(optimizer="adamw", weight_decay=0.01, epochs=2, learning_rate=0.0005)
BUDGETS = {Coloured: Budgets(max_metric_drop=0.03), Centred: Budgets(max_metric_drop=0.2)}
RANGES: tuple[Ranges, ...] = ("minmax", "percentile", "mse")


@dataclass(frozen=True)
class Original:
    """A task with its trained model, and the file of that."""

    task: Task
    model: nn.Module
    folder: Path
    side: Side

    def checks(self, candidate: Artifact) -> list[Check]:
        """What a verdict would say of a candidate's answers."""
        after = side_of(candidate, self.task, self.folder)
        change = metric_change(self.side.record, after.record)
        budgets = BUDGETS[type(self.task)]
        before, now = (
            MetricValue(
                name="metric",
                value=side.record.value,
                higher_is_better=side.record.higher_is_better,
                samples=side.record.samples,
            )
            for side in (self.side, after)
        )
        looks = look(self.task, Pair(self.side, after), spoils=True)
        return [*metric_checks(budgets, before, now, change), *look_checks(budgets, change, looks)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["spoilt", "healthy"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        originals = {kind: original(kind(), Path(name) / kind.__name__) for kind in BUDGETS}
        if arguments.only != "healthy":
            found = [shown(harm.__name__, checks) for harm, checks in spoilt(originals)]
            print(f"found {sum(found)} of {len(found)}", flush=True)
        if arguments.only != "spoilt":
            alarms = [shown(name, checks) for name, checks in healthy(originals)]
            print(f"{sum(alarms)} alarms of {len(alarms)} healthy candidates", flush=True)


def shown(name: str, checks: list[Check]) -> bool:
    """Whether there was an alarm; one line for each."""
    alarms = [each for each in checks if each.outcome in ("fail", "warning", "unmeasured")]
    for each in alarms or checks:
        print(f"{name}: {each.outcome} ({each.kind}): {each.text}", flush=True)
    return bool(alarms)


def original(task: Task, folder: Path) -> Original:
    folder.mkdir(parents=True)
    guard(task)
    seed_everything(0, 0)
    model = task.model()
    train(model, Training("float", task, TRAINING, 0, folder, SilentProgress()))
    file = exported(model.eval(), task, folder / "original.onnx")
    return Original(task, model, folder, side_of(file, task, folder))


def side_of(file: Artifact, task: Task, folder: Path) -> Side:
    runs = Runs(agent_on(HERE, folder), loaded_here(file, TARGET), folder)

    def rebuild(tensors: list[Tensor]) -> Tensor:
        return tensors[0]

    _, record = recorded(runs, task, lambda _: None, rebuild)
    return Side(runs, record, rebuild)


def spoilt(originals: dict[type[Task], Original]) -> Iterator[tuple[type, list[Check]]]:
    for harm, kind in HARMS.items():
        known = originals[kind]
        path = known.folder / f"{harm.__name__}.onnx"
        yield harm, known.checks(exported(harm(known.model).eval(), known.task, path))


def healthy(originals: dict[type[Task], Original]) -> Iterator[tuple[str, list[Check]]]:
    """Sixteen of the one task, four of the other."""
    for seed in range(20):
        known = originals[Centred if seed % 5 == 4 else Coloured]
        tunes = seed % 2 == 1
        file = quantised(known, seed, tunes=tunes)
        yield f"seed {seed}, {'QAT' if tunes else 'PTQ'}", known.checks(file)


def quantised(known: Original, seed: int, *, tunes: bool) -> Artifact:
    seed_everything(seed, 0)
    task = known.task
    prepared = prepare(
        known.model, task.example_inputs(), TARGET.quantization, RANGES[seed % len(RANGES)]
    )
    calibrate(prepared, islice(task.calibration_data(), 4 + seed % 8))
    if tunes:
        folder = known.folder / f"seed-{seed}"
        folder.mkdir()
        train(prepared.graph, Training("qat", task, AGAIN, seed, folder, SilentProgress()))
    snap_biases(prepared)
    return exported(convert(prepared).graph, task, known.folder / f"{seed}.onnx")


def exported(module: nn.Module, task: Task, path: Path) -> Artifact:
    exportable = Exportable(
        module=module,
        example_inputs=task.example_inputs(),
        free_batch=True,
        input_names=("input",),
        output_names=("output",),
        lineage={},
        target=TARGET,
    )
    return runtime("onnxruntime").export(exportable, path)


if __name__ == "__main__":
    main()
