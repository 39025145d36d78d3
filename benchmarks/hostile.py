"""What comes of a device that sends anything: seeded answers on every channel, really read.

    python benchmarks/hostile.py [--count 100000] [--first SEED]

The channels are those of tests/hostile, each in a process of its own: frames and JSON of the helper
behind SSH, what the agent and Android's tools print and leave, the documents of a push, and adb.
Prints for each how the answers ended, the largest memory above the start and the slowest answer.
Exits with 1 where anything but an EdgecompressError was raised. TMPDIR=/dev/shm makes it faster,
because a push syncs its files.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1] / "tests"
CHANNELS = {
    "helper": "HelperChannel",
    "agent": "AgentChannel",
    "documents": "DocumentsChannel",
    "adb": "AdbChannel",
}
MIB = 1 << 20
MOST_MIB = 100
HEAD = """\
| channel | answers | how they ended | others | memory above start | slowest |
|---|---|---|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=100_000, help="answers of all channels")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--channel", choices=CHANNELS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.channel is not None:
        print(json.dumps(outcome_of(asked.channel, asked.first, asked.count)))
        return
    each = -(-asked.count // len(CHANNELS))
    print(HEAD, flush=True)
    outcomes = []
    for channel in CHANNELS:
        outcomes.append(_in_process(channel, asked.first, each))
        print(_row(outcomes[-1]), flush=True)
    print(f"\n{sum(one['count'] for one in outcomes):,} answers")
    for outcome in outcomes:
        for violation in outcome["violations"][:5]:
            print(f"\n{outcome['name']}: {violation}")
    bad = [one for one in outcomes if one["violations"] or one["grown_mib"] > MOST_MIB]
    sys.exit(1 if bad else 0)


def outcome_of(channel: str, first: int, count: int) -> dict[str, Any]:
    """What comes of one channel, in this process."""
    # In the place of this file's folder, in which `hostile` would be this file.
    sys.path[0] = str(TESTS)
    kind = getattr(import_module(f"hostile.{channel}"), CHANNELS[channel])
    with tempfile.TemporaryDirectory() as folder:
        opened = kind(Path(folder))
        found = import_module("hostile.channel").run(opened, range(first, first + count))
        opened.close()
    return {
        "name": channel,
        "count": found.count,
        "kinds": dict(found.kinds),
        "violations": found.violations,
        "slowest_s": found.slowest_s,
        "slowest_seed": found.slowest_seed,
        "grown_mib": found.grown_bytes / MIB,
    }


def _in_process(channel: str, first: int, count: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--channel", channel]
    command += ["--first", str(first), "--count", str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def _row(one: dict[str, Any]) -> str:
    kinds = Counter(one["kinds"])
    violations = kinds.pop("violation", 0) or len(one["violations"])
    ended = ", ".join(f"{name} {count:,}" for name, count in kinds.most_common())
    return (
        f"| {one['name']} | {one['count']:,} | {ended} | {violations} |"
        f" {one['grown_mib']:.0f} MiB | {one['slowest_s']:.1f} s |"
    )


if __name__ == "__main__":
    main()
