"""How well a table of single layers predicts whole nets, and what pruning by it gains.

    python benchmarks/latency_table.py --arch sensor --target local-onnxruntime
    python benchmarks/latency_table.py --arch resnet20 --data DIR --weights FILE

1. Random shapes: channel counts drawn for every group of the net. Each is predicted from the
   table, made into the int8 file that would ship, and all are measured in one sweep. Rank
   correlation (Spearman) and the median of |predicted / measured - 1|.
2. Against MAC-uniform: shapes of both allocations over a range of goals, measured in one sweep,
   fine-tuned for --epochs in float, --seeds times, and scored on the evaluation data: by accuracy,
   and by the loss, which also tells apart what the accuracy of a few hundred samples cannot. Where
   their curves of latency over either overlap: how many times faster.
"""

import argparse
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import yaml
from ablation import SENSOR
from cifar10 import recipe
from formats import spoken
from numpy.typing import NDArray
from race import DIGITS
from torch import nn
from zoo_run import jobs_of

from edgecompress.compress import importance
from edgecompress.compress.allocate import (
    Bound,
    Kept,
    Sensitivity,
    Space,
    cheapest,
    scan,
    uniform_within,
)
from edgecompress.compress.allocate_latency import Asked, counts, spans
from edgecompress.compress.duplicate import duplicate
from edgecompress.compress.groups import merge
from edgecompress.compress.macs import count, evaluating
from edgecompress.compress.prunable import prunable, some
from edgecompress.compress.surgery import cut
from edgecompress.compress.train import train
from edgecompress.pipeline.job import Job, Point
from edgecompress.pipeline.latency import DeviceSpeed, speeds_on
from edgecompress.pipeline.models import original
from edgecompress.pipeline.orders import Measured, deploy_order
from edgecompress.pipeline.recovery import score_after
from edgecompress.pipeline.training import training_of
from edgecompress.spec.deploy import TrainSpec
from edgecompress.task.base import inputs_of

GOALS = 8
"""Shapes of each allocation, evenly from the whole net to nearly the smallest that it has."""
NEAR = 0.05
"""Nobody asks how fast a model is that has lost more."""
TRAIN = {"optimizer": "adamw", "learning_rate": 3e-3}
FINETUNE = {"optimizer": "adamw", "learning_rate": 1e-3}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Net:
    """A model whose channels may go."""

    job: Job
    start: Point
    space: Space
    ranking: Sequence[torch.Tensor]
    speed: DeviceSpeed

    def smaller(self, kept: Kept) -> nn.Module:
        return narrowed(self.start.model, self.space, self.ranking, kept)

    def predicted_ms(self, kept: Kept) -> float:
        return self.speed.predicted_ms(counts(self.space, kept))


def narrowed(
    model: nn.Module, space: Space, ranking: Sequence[torch.Tensor], kept: Kept
) -> nn.Module:
    removed = []
    for group, score, keep in zip(space.groups, ranking, kept, strict=True):
        order = score.argsort(stable=True).tolist()
        removed += [group.units[unit] for unit in order[: len(order) - keep]]
    return cut(model, merge(removed)) if removed else model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    archs = ["demo", "sensor", "fsdd", "resnet8", "resnet20"]
    parser.add_argument("--arch", choices=archs, required=True)
    parser.add_argument("--target", default="local-onnxruntime")
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--weights", type=Path, default=Path())
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/latency_table"))
    parser.add_argument("--shapes", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=0, help="of fine-tuning of each shape")
    parser.add_argument("--seeds", type=int, default=1, help="fine-tunings of each shape")
    parser.set_defaults(ptq=True)
    arguments = parser.parse_args()
    folder = arguments.out / arguments.arch
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "deploy.yaml"
    config.write_text(yaml.safe_dump(document(arguments)))
    order = deploy_order(config, [arguments.target], Measured())
    job = replace(jobs_of(order, folder)[0], device=order.targets[0].device)
    start = original(job, job.model)
    space, ranking = spaced(job, start.model)
    began = time.monotonic()
    with speeds_on(job) as speeds:
        least = narrowed(start.model, space, ranking, space.least())
        speed = speeds(Asked(start.model, start.model, least, spans(space)))
        net = Net(job, start, space, ranking, speed)
        print(f"{arguments.arch}, {arguments.target}: table in {time.monotonic() - began:.0f} s")
        speed.choose(1.0, speed.original_ms, speed.original_ms)
        assert speeds.allocation is not None, "it was just told"
        print(speeds.allocation.line())
        show_predictions(net, arguments.shapes)
        show_gain(net, arguments.epochs, arguments.seeds)


def document(arguments: argparse.Namespace) -> dict[str, object]:
    """A deploy.yaml with the task of that net."""
    if arguments.arch == "demo":
        base = {"task": {"path": f"{DIGITS}:Digits"}, "train": {"epochs": 5, **TRAIN}}
    elif arguments.arch == "sensor":
        base = SENSOR
    elif arguments.arch == "fsdd":
        base = spoken(arguments.data)
    else:
        base = {"task": recipe(arguments)["task"]}
    ptq = {"mode": "ptq", "ranges": "minmax", "calibration_batches": 2}
    trained = {"train": base["train"]} if "train" in base else {}
    return {
        "task": base["task"],
        "seed": 0,
        **trained,
        "quantize": ptq,
        "budgets": {"max_metric_drop": 1},
    }


def spaced(job: Job, model: nn.Module) -> tuple[Space, Sequence[torch.Tensor]]:
    """What may go, and in which order within each group."""
    found = prunable(model, job.example_inputs, job.recipe.round_to)
    groups, cost = some(found), count(model, job.example_inputs)
    space = Space.of(model, groups, job.recipe.round_to, cost, cost.macs)
    return space, importance.scores(model, groups, "magnitude", job.loss, lambda _: 1)


def show_predictions(net: Net, shapes: int) -> None:
    chosen = random.Random(0)
    drawn = [
        [chosen.choice(net.space.levels(i)) for i in range(len(net.space.groups))]
        for _ in range(shapes)
    ]
    predicted = np.array([net.predicted_ms(kept) for kept in drawn])
    measured = np.array(net.speed.measured_together([net.smaller(kept) for kept in drawn]))
    macs = np.array([net.space.macs(kept) for kept in drawn], dtype=float)
    errors = np.abs(predicted / measured - 1)
    for kept, by_table, really in zip(drawn, predicted, measured, strict=True):
        print(f"  predicted {by_table:.4f} ms, measured {really:.4f} ms  {kept}")
    print(
        f"{shapes} random shapes of {measured.min():.3f} to {measured.max():.3f} ms: rank"
        f" correlation {spearman(predicted, measured):.3f} (of MACs"
        f" {spearman(macs, measured):.3f}), median error {np.median(errors):.1%}, largest"
        f" {errors.max():.1%}"
    )


def spearman(a: Floats, b: Floats) -> float:
    one, other = (np.argsort(np.argsort(values)) for values in (a, b))
    return float(np.corrcoef(one, other)[0, 1])


def show_gain(net: Net, epochs: int, seeds: int) -> None:
    space, whole = net.space, net.speed.original_ms
    began, spec = time.monotonic(), TrainSpec.model_validate({"epochs": 1, **FINETUNE})
    with evaluating(net.start.model):
        sensitivity: Sensitivity = scan(
            net.start.model,
            space,
            net.ranking,
            lambda models: score_after(net.job, spec, models),
            lambda *_: None,
        )
    print(f"what cuts cost was found in {time.monotonic() - began:.0f} s")
    fastest = whole / net.predicted_ms(space.least())
    fewest = space.cost.macs / space.macs(space.least())
    ways = {
        "MAC-uniform": [
            uniform_within(space, Bound(space.macs, space.cost.macs / goal))
            for goal in goals_up_to(fewest)
        ],
        "latency-aware": [
            cheapest(space, sensitivity, Bound(net.predicted_ms, whole / goal))
            for goal in goals_up_to(fastest)
        ],
    }
    shapes = [(way, kept) for way, each in ways.items() for kept in unique(each)]
    models = [net.smaller(kept) for _, kept in shapes]
    measured = net.speed.measured_together(models)
    losses, errors = ({way: list[tuple[float, float]]() for way in ways} for _ in range(2))
    for (way, kept), model, ms in zip(shapes, models, measured, strict=True):
        loss, accuracy = tuned(net, model, epochs, seeds)
        losses[way].append((loss, ms))
        errors[way].append((1 - accuracy, ms))
        print(
            f"  {way:13}  {ms:.4f} ms, loss {loss:.4f}, {accuracy:.2%} right,"
            f" {space.macs(kept):,} MACs  {kept}",
            flush=True,
        )
    ranges = (
        ("accuracy", errors, math.inf),
        (f"accuracy, within {NEAR:.0%} of the best that both reach,", errors, NEAR),
        ("loss", losses, math.inf),
    )
    for what, curves, most in ranges:
        gains = at_the_same(curves["MAC-uniform"], curves["latency-aware"], most)
        if not len(gains):
            print(f"the two curves have no {what} in common")
            continue
        print(
            f"at the same {what} latency-aware is {np.median(gains):.2f} times as fast as"
            f" MAC-uniform (median over all that both reach; {gains.min():.2f} to"
            f" {gains.max():.2f})"
        )


def goals_up_to(most: float) -> list[float]:
    return [most ** (step / (GOALS + 1)) for step in range(1, GOALS + 1)]


def unique(shapes: Sequence[Kept]) -> list[Kept]:
    return [list(kept) for kept in dict.fromkeys(map(tuple, shapes))]


def tuned(net: Net, model: nn.Module, epochs: int, seeds: int) -> tuple[float, float]:
    """Mean loss and accuracy on the evaluation data, over so many fine-tunings."""
    found = []
    for seed in range(seeds if epochs else 1):
        tried = duplicate(model)
        if epochs:
            spec = TrainSpec.model_validate({"epochs": epochs, **FINETUNE})
            folder = net.job.stages.store.work_dir(f"tuned-{time.time_ns()}")
            training = training_of(net.job, "finetune", spec, folder)
            training.seed = seed
            # The last epoch: which one is best on a few hundred samples is chance.
            training.best_from = epochs - 1
            train(tried, training)
        found.append(scored(net, tried))
    loss, accuracy = np.mean(found, axis=0)
    return float(loss), float(accuracy)


def scored(net: Net, model: nn.Module) -> tuple[float, float]:
    """Loss and accuracy on the evaluation data."""
    task = net.job.task
    losses, right, samples = 0.0, 0, 0
    with evaluating(model), torch.no_grad():
        for batch in task.eval_data():
            outputs, target = model(*inputs_of(batch)), batch[1]
            losses += float(task.loss(outputs, target)) * len(target)
            right += int((outputs.argmax(1) == target).sum())
            samples += len(target)
    return losses / samples, right / samples


def at_the_same(
    uniform: Sequence[tuple[float, float]], aware: Sequence[tuple[float, float]], most: float
) -> Floats:
    """How many times faster, where both curves have a point or lie between two, and no more than
    `most` beyond the best that both reach.
    """
    curves = [np.array(sorted(points)) for points in (uniform, aware)]
    low = max(each[0, 0] for each in curves)
    high = min(low + most, *(each[-1, 0] for each in curves))
    if low >= high:
        return np.array([])
    grid = np.linspace(low, high, 21)
    # The fastest of no more: a point that another beats in both is not on a curve.
    fronts = [np.minimum.accumulate(each[:, 1]) for each in curves]
    slow, fast = (np.interp(grid, e[:, 0], f) for e, f in zip(curves, fronts, strict=True))
    return np.asarray(slow / fast)


if __name__ == "__main__":
    main()
