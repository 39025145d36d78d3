"""Whether latencies of this machine can be believed.

    python benchmarks/measuring.py cost|repeat|noise|same|differ [--rounds N] [--record FILE]

cost    the agent's loop against a bare one, in turns in one process
repeat  one file measured N times: how far the medians and the speedups of valid runs are apart
noise   five disturbances, each N times: was it found, and named
same    a file against itself: how often they are called different
differ  a file against one with 5 % more of the same layers: how often that is found

`same` and `differ` measure N real comparisons; then 1,000 more of each are drawn from their rounds
(with replacement, seeded), which is what a machine can afford. On a machine that is shared many
are invalid, which is right: the figures say how many of how many are valid.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measuring_cost import cost
from measuring_files import chain, inputs_for
from measuring_noise import noise

from edgecompress.measure.agent import Agent
from edgecompress.measure.compare import Session, compare, measure_file
from edgecompress.measure.loaded import Loaded
from edgecompress.measure.statistics import cost_ms, ratio_interval
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.device import Device
from edgecompress.spec.protocol import Standard
from edgecompress.transport import LocalTransport

HERE = Device(id="here", target="local", transport="local")
LAYERS = 20
"""5 % of them are one."""
DRAWN = 1000
DIFFERENT = 1 + 1 / LAYERS


class Round(NamedTuple):
    """The medians of two turns next to each other, in ms."""

    baseline: float
    candidate: float


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
        number = 20 if rounds is None else rounds
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
        protocol = Standard(min_duration_s=0.5)
        work(Session(agent, protocol, 1, inputs_for(files["file"])), files)


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
    other = files["file"] if same else files["longer"]
    rounds: list[Round] = []
    different = valid = 0
    for _ in range(number):
        found = compare(session, other, files["file"], HERE)
        rounds += _rounds(found)
        if found.valid:
            valid += 1
            different += not found.speedup_low <= 1 <= found.speedup_high
        print(
            f"  {found.speedup:.3f} ({found.speedup_low:.3f} to {found.speedup_high:.3f}),"
            f" {_word(found)}",
            flush=True,
        )
    print(f"real: {different} of {valid} valid comparisons are different; {number} in all")
    if record is not None:
        record.write_text(json.dumps(rounds))
    if len(rounds) >= session.protocol.turns:
        share = drawn(rounds, session.protocol.turns, same=same)
        print(f"drawn from {len(rounds)} real rounds: {share:.1%} of {DRAWN} are different")


def _rounds(found: Comparison) -> list[Round]:
    """Those of a valid comparison."""
    pairs = zip(found.baseline.turns, found.candidate.turns, strict=True)
    return [Round(cost_ms(a), cost_ms(b)) for a, b in pairs] if found.valid else []


def drawn(rounds: list[Round], turns: int, *, same: bool) -> float:
    """The share of comparisons that call two files different, drawn from real rounds.

    Of a file against itself either turn of a round may have been the other's, so that a coin says
    which is which: no ratio but 1 is in it, whatever the rounds are.
    """
    generator = np.random.default_rng(0)
    different = 0
    for _ in range(DRAWN):
        chosen = [rounds[at] for at in generator.integers(len(rounds), size=turns)]
        if same:
            swaps = generator.integers(2, size=turns)
            chosen = [
                Round(*reversed(one)) if swap else one
                for one, swap in zip(chosen, swaps, strict=True)
            ]
        low, high = ratio_interval(*map(list, zip(*chosen, strict=True)))
        different += not low <= 1 <= high
    return different / DRAWN


def _word(found: Comparison) -> str:
    against = found.against
    return "valid" if against is None else f"invalid: {against.kind}"


if __name__ == "__main__":
    main()
