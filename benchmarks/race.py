"""Whether a race finds what a full grid finds, and what it saves.

    python benchmarks/race.py --arch mobilenetv2
    python benchmarks/race.py --arch resnet8 --data DIR --weights FILE

All that may be made of a net without training it, in every runtime of this machine, runs in a full
grid of rounds, side by side, each turn in a fresh process. Then races are replayed on rounds drawn
from those, as often as asked: the winner of each is held against the grid's, its time against the
grid's time. So are full grids of as many rounds, which tells what is the rule's fault and what the
machine's. The same again with the grid's medians and scatters drawn by chance, as quieter machines
have them.
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

from edgecompress.measure.elimination import leavers
from edgecompress.measure.inputs import inputs_of
from edgecompress.measure.statistics import costs_of_round
from edgecompress.measure.turns import measure_turns
from edgecompress.pipeline.measuring import on_device
from edgecompress.pipeline.orders import Measured, deploy_order
from edgecompress.pipeline.runners import lanes_of, runners_of
from edgecompress.spec.protocol import Standard

PRUNE = {
    "method": "structured",
    "importance": "magnitude",
    "allocation": "uniform",
    "pruning_ratio": 0.5,
    "steps": 1,
}
PTQ = {"mode": "ptq", "ranges": "minmax", "calibration_batches": 2}
ROUNDS = Standard().racing.turns
SCATTERS = (0.02, 0.03, 0.05)
NEAR = 1.03
"""A winner that takes at most so many times as long as the grid's is as good."""
DIGITS = Path(__file__).resolve().parents[1] / "examples" / "digits.py"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """A full grid of turns."""

    names: list[str]
    costs_ms: Floats
    """[rounds, files], as `costs_of_round` has them."""
    seconds: Floats
    """[rounds, files], how long a turn took: of each file its share of the round."""
    originals: list[int]
    """Places of those that nothing was done to: a heat of their own."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    archs = ["demo", "fsdd", "mobilenetv2", "resnet8", "resnet20"]
    parser.add_argument("--arch", choices=archs, required=True)
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--weights", type=Path, default=Path())
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/race"))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of the grid")
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
                going = list(lanes) if number % 2 else list(lanes)[::-1]
                start = time.monotonic()
                turns = measure_turns({name: lanes[name] for name in going}, inputs, beside=True)
                seconds[number] = (time.monotonic() - start) / len(lanes)
                costs_ms = costs_of_round(turns)
                costs[number] = [costs_ms[name] for name in lanes]
    untouched = {one.lane for one in runners if one.entrant.is_original}
    places = [place for place, name in enumerate(lanes) if name in untouched]
    return Grid([words[name] for name in lanes], costs, seconds, places)


def show(grid: Grid, replays: int) -> None:
    medians = np.median(grid.costs_ms, axis=0)
    for place in medians.argsort():
        spread = grid.costs_ms[:, place].std() / medians[place]
        print(f"{medians[place]:8.3f} ms  {spread:5.1%}  {grid.names[place]}")
    print(f"{len(medians)} files, {ROUNDS} rounds at most; the fastest original and the fastest")
    print(f"candidate, or one within {NEAR - 1:.0%}, are found by")
    generator = np.random.default_rng(0)
    rows = len(grid.costs_ms)
    drawn = [generator.integers(rows, size=ROUNDS) for _ in range(replays)]
    tell("rounds of this machine", grid, [grid.costs_ms[at] for at in drawn])
    for scatter in SCATTERS:
        noise = generator.standard_normal((replays, ROUNDS, len(medians)))
        tell(f"drawn, {scatter:.0%} scatter", grid, list(medians * np.exp(scatter * noise)))


def tell(words: str, grid: Grid, costs_ms: list[Floats]) -> None:
    """How often races on these rounds find the winners, and full grids of them."""
    medians, seconds = np.median(grid.costs_ms, axis=0), np.median(grid.seconds, axis=0)
    candidates = [place for place in range(len(medians)) if place not in grid.originals]
    by_race, by_grid, shares = 0, 0, []
    for costs in costs_ms:
        raced, full, taken_s = True, True, 0.0
        for heat in (grid.originals, candidates):
            fast = medians[heat] <= NEAR * medians[heat].min()
            turns_s = np.tile(seconds[heat], (len(costs), 1))
            winner, heat_s = replayed(np.log(costs[:, heat]), turns_s)
            raced &= bool(fast[winner])
            full &= bool(fast[np.median(costs[:, heat], axis=0).argmin()])
            taken_s += heat_s
        by_race, by_grid = by_race + raced, by_grid + full
        shares.append(taken_s / (seconds.sum() * len(costs)))
    print(
        f"{words}: {by_race} of {len(costs_ms)} races, {by_grid} full grids; a race takes"
        f" {np.median(shares):.0%} of a grid's time (at most {np.max(shares):.0%})"
    )


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
