"""Whether latencies of this machine can be believed.

    python benchmarks/measuring.py cost|repeat|noise|same|differ [--rounds N] [--record FILE]

cost    the agent's loop against a bare one, in turns in one process
repeat  one file measured N times: how far the medians and the speedups of valid runs are apart
noise   five disturbances, each N times: was it found, and named
same    a file against itself: how often they are called different
differ  a file against one with 5 % more of the same layers: how often that is found

`same` and `differ` measure N real rounds, a turn of each file side by side; five in a row are a
comparison, as by the protocol `standard`.
1,000 more are drawn from them (with replacement, seeded), which is what a machine can afford. On a
machine that is shared many are invalid, which is right: the figures say how many of how many.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measuring_cost import cost
from measuring_files import chain, inputs_for
from measuring_noise import noise

from edgecompress.measure.agent import Agent
from edgecompress.measure.compare import compare, measure_file
from edgecompress.measure.inputs import inputs_of
from edgecompress.measure.loaded import Loaded
from edgecompress.measure.statistics import ratio_interval, turn_ratio
from edgecompress.measure.turns import Lane, Session, measure_turns
from edgecompress.measure.validity import Rules, turn_fault
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.device import Device
from edgecompress.spec.protocol import Standard
from edgecompress.transport import LocalTransport

HERE = Device(id="here", target="local", transport="local")
LAYERS = 20
"""5 % of them are one."""
DRAWN = 1000


class Round(NamedTuple):
    """A turn of each file, side by side."""

    ratio: float
    """How many times as long the baseline took."""
    valid: bool
    """Whether nothing befell either."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["cost", "repeat", "noise", "same", "differ"])
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--record", type=Path, help="Where the rounds of turns are kept as JSON.")
    arguments = parser.parse_args()
    rounds: int | None = arguments.rounds
    if arguments.what == "cost":
        cost(30 if rounds is None else rounds)
    elif arguments.what == "noise":
        noise(20 if rounds is None else rounds)
    elif arguments.what == "repeat":
        _with_files(
            lambda session, files: _repeat(session, files, 10 if rounds is None else rounds)
        )
    else:
        number = 50 if rounds is None else rounds
        same = arguments.what == "same"
        _with_files(lambda session, files: _compare(session, files, number, same, arguments.record))


def _with_files(work: Callable[[Session, dict[str, Loaded]], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as name:
        folder = Path(name)
        files = {
            "file": chain(folder / "file.onnx", LAYERS),
            "longer": chain(folder / "longer.onnx", LAYERS + 1),
            "half": chain(folder / "half.onnx", LAYERS // 2),
        }
        agent = Agent(LocalTransport(folder / "device"), sys.executable)
        work(Session(agent, Standard(), 1, inputs_for(files["file"])), files)


def _repeat(session: Session, files: dict[str, Loaded], rounds: int) -> None:
    p50s, speedups = [], []
    for number in range(rounds):
        found = measure_file(session, files["file"])
        valid = found.validity is not None and found.validity.valid
        compared = compare(session, files["file"], files["half"], HERE)
        print(
            f"{number}: p50 {found.latency_ms_p50:.4f} ms, {'valid' if valid else 'invalid'};"
            f" speedup {compared.speedup:.3f} ({compared.speedup_low:.3f} to"
            f" {compared.speedup_high:.3f}), {_word(compared)}",
            flush=True,
        )
        if valid:
            p50s.append(found.latency_ms_p50)
        if compared.valid:
            speedups.append(compared.speedup)
    for name, values in (("p50", p50s), ("speedup", speedups)):
        apart = f"{max(values) / min(values) - 1:.1%} apart" if values else "none"
        print(f"{name}: {len(values)} of {rounds} valid, {apart}")


def _compare(
    session: Session, files: dict[str, Loaded], number: int, same: bool, record: Path | None
) -> None:
    """`same`: a file against itself; else against one with 5 % more layers."""
    pair = {"baseline": files["file" if same else "longer"], "candidate": files["file"]}
    rounds = list(_rounds(session, pair, number))
    if record is not None:
        record.write_text(json.dumps(rounds))
    turns = session.protocol.turns
    valid = [each for each in rounds if each.valid]
    print(f"{len(valid)} of {number} rounds are valid")
    for name, chosen in (("valid rounds", valid), ("all rounds, disturbed or not", rounds)):
        if len(chosen) < turns:
            continue
        groups = [chosen[at : at + turns] for at in range(0, len(chosen) - turns + 1, turns)]
        real = sum(map(different, groups))
        ratio = statistics.median(each.ratio for each in chosen)
        print(
            f"{name}: the median ratio is {ratio:.3f}; different are {real} of {len(groups)} real"
            f" comparisons, and {drawn(chosen, turns, same=same):.1%} of {DRAWN} drawn ones"
        )


def _rounds(session: Session, pair: dict[str, Loaded], number: int) -> Iterator[Round]:
    """Turns of both, who goes first alternates; as `compare` does, but none is put away."""
    rules = Rules(session.protocol, len(os.sched_getaffinity(0)))
    lanes = {name: Lane(session, file) for name, file in pair.items()}
    with inputs_of(pair, session.inputs) as inputs:
        for at in range(number):
            order = list(lanes) if at % 2 else list(reversed(list(lanes)))
            turns = measure_turns({name: lanes[name] for name in order}, inputs, beside=True)
            faults = [turn_fault(turn, rules) for turn in turns.values()]
            yield Round(turn_ratio(turns["baseline"], turns["candidate"]), valid=not any(faults))


def different(rounds: list[Round]) -> bool:
    """Whether an interval of these leaves 1 out."""
    low, high = ratio_interval([each.ratio for each in rounds], [1.0] * len(rounds))
    return not low <= 1 <= high


def drawn(rounds: list[Round], turns: int, *, same: bool) -> float:
    """The share of comparisons that call two files different, drawn from real rounds.

    Of a file against itself either turn of a round may have been the other's, so that a coin says
    which is which: no ratio but 1 is in it, whatever the rounds are.
    """
    generator = np.random.default_rng(0)
    found = 0
    for _ in range(DRAWN):
        chosen = [rounds[at] for at in generator.integers(len(rounds), size=turns)]
        if same:
            chosen = [
                one._replace(ratio=1 / one.ratio) if generator.integers(2) else one
                for one in chosen
            ]
        found += different(chosen)
    return found / DRAWN


def _word(found: Comparison) -> str:
    against = found.against
    return "valid" if against is None else f"invalid: {against.kind}"


if __name__ == "__main__":
    main()
