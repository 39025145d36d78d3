"""Whether a race finds what a full grid finds, and what it saves.

    python benchmarks/race.py --arch mobilenetv2
    python benchmarks/race.py --arch resnet8 --data DIR --weights FILE

All that may be made of a net without training it, in every runtime of this machine, runs in a full
grid of rounds, each turn in a fresh process. Then races are replayed on rounds drawn from those, as
often as asked: the winner of each is held against the grid's, its time against the grid's time.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from cifar10 import recipe
from formats import spoken
from mobilenetv2 import TASK as MOBILENETV2
from numpy.typing import NDArray
from zoo_run import jobs_of

from edgecompress.measure.compare import measure_turn
from edgecompress.measure.elimination import leavers
from edgecompress.measure.inputs import inputs_of
from edgecompress.measure.statistics import cost_ms
from edgecompress.pipeline.measuring import on_device
from edgecompress.pipeline.orders import Measured, deploy_order
from edgecompress.pipeline.runners import lanes_of, runners_of

PRUNE = {
    "method": "structured",
    "importance": "magnitude",
    "allocation": "uniform",
    "pruning_ratio": 0.5,
    "steps": 1,
}
PTQ = {"mode": "ptq", "ranges": "minmax", "calibration_batches": 2}
NEAR = 1.03
"""A winner that takes at most so many times as long as the grid's is as good."""
DIGITS = Path(__file__).resolve().parents[1] / "examples" / "digits.py"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """A full grid of turns."""

    names: list[str]
    costs_ms: Floats
    """[rounds, files], the median latency of a turn."""
    seconds: Floats
    """[rounds, files], how long a turn took."""
    originals: list[int]
    """Places of those that nothing was done to: a heat of their own."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    archs = ["demo", "fsdd", "mobilenetv2", "resnet8", "resnet20"]
    parser.add_argument("--arch", choices=archs, required=True)
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--weights", type=Path, default=Path())
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/race"))
    parser.add_argument("--rounds", type=int, default=8, help="of the grid")
    parser.add_argument("--replays", type=int, default=200)
    parser.set_defaults(ptq=True)
    arguments = parser.parse_args()
    folder = arguments.out / arguments.arch
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "deploy.yaml"
    config.write_text(yaml.safe_dump(document(arguments)))
    show(measured(config, arguments.rounds), arguments.replays)


def document(arguments: argparse.Namespace) -> dict[str, object]:
    """A deploy.yaml with the task of that net, and nothing that trains."""
    tasks: dict[str, object] = {
        "demo": {"path": f"{DIGITS}:Digits"},
        "mobilenetv2": {"path": f"{MOBILENETV2}:RandomImages"},
    }
    if arguments.arch == "fsdd":
        task = spoken(arguments.data)["task"]
    elif arguments.arch in tasks:
        task = tasks[arguments.arch]
    else:
        task = recipe(arguments)["task"]
    budgets = {"max_metric_drop": 1.0}
    return {"task": task, "seed": 0, "prune": PRUNE, "quantize": PTQ, "budgets": budgets}


def measured(config: Path, rounds: int) -> Grid:
    order = deploy_order(config, ["local"], Measured())
    jobs = jobs_of(order, config.parent)
    runners = [runner for job in jobs for runner in runners_of(job)]
    device = order.targets[0].device
    assert device is not None, "the inventory has this machine"
    with on_device(jobs[0], device) as connected:
        lanes = dict(lanes_of(jobs[0], runners, connected))
        words = {one.lane: one.name for one in reversed(runners)}
        costs, seconds = np.zeros((rounds, len(lanes))), np.zeros((rounds, len(lanes)))
        files = {name: lane.file for name, lane in lanes.items()}
        with inputs_of(files, jobs[0].measured_inputs) as inputs:
            for number in range(rounds):
                for place, (name, lane) in enumerate(lanes.items()):
                    start = time.monotonic()
                    turn = measure_turn(lane.session, lane.file, inputs[name])
                    seconds[number, place] = time.monotonic() - start
                    costs[number, place] = cost_ms(turn)
    untouched = {one.lane for one in runners if one.entrant.is_original}
    places = [place for place, name in enumerate(lanes) if name in untouched]
    return Grid([words[name] for name in lanes], costs, seconds, places)


def show(grid: Grid, replays: int) -> None:
    medians = np.median(grid.costs_ms, axis=0)
    candidates = [place for place in range(len(medians)) if place not in grid.originals]
    for place in medians.argsort():
        spread = grid.costs_ms[:, place].std() / medians[place]
        print(f"{medians[place]:8.3f} ms  {spread:5.1%}  {grid.names[place]}")
    generator = np.random.default_rng(0)
    rounds = 4
    good, saved = 0, []
    for _ in range(replays):
        drawn = generator.integers(len(grid.costs_ms), size=rounds)
        found, seconds = True, 0.0
        for heat in (grid.originals, candidates):
            logs, times = np.log(grid.costs_ms[drawn][:, heat]), grid.seconds[drawn][:, heat]
            winner, taken = replayed(logs, times)
            found &= bool(medians[heat[winner]] <= NEAR * medians[heat].min())
            seconds += taken
        good += found
        saved.append(seconds / grid.seconds[drawn].sum())
    print(f"{len(medians)} files; {good} of {replays} races find both winners")
    print(f"(the fastest original and the fastest candidate, or one within {NEAR - 1:.0%}),")
    print(f"in {np.median(saved):.0%} of its time (at most {np.max(saved):.0%})")


def replayed(logs: Floats, seconds: Floats) -> tuple[int, float]:
    """Who wins [rounds, files], and how long that takes."""
    rounds, files = logs.shape
    running, taken = list(range(files)), 0.0
    for done in range(1, rounds + 1):
        taken += float(seconds[done - 1, running].sum())
        if done < rounds and len(running) > 1:
            gone = leavers(logs[:done, running], rounds, files)
            running = [one for place, one in enumerate(running) if place not in gone]
        elif len(running) == 1:
            break
    return running[int(np.median(logs[:done, running], axis=0).argmin())], taken


if __name__ == "__main__":
    main()
