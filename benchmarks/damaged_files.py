"""What the commands that take a model file say of damaged ones: a right answer or a line.

    python benchmarks/damaged_files.py [--count 100000] [--first 0] [--only KIND] [FILE ..]

Small files of many kinds, and those that are named, are damaged, each by a seed
(`damaged_bytes.py`), and given to the real commands: mostly to `inspect`, some to `compare` and
`measure`, by the rules of several targets. The commands run one after another in a worker, the
agent's work among them. Whatever is no right answer and no line there, the worker's death included,
is run again by the real command line in a process of its own, with the agent in another, as it is
for a user: what it says then counts. One command in five thousand is started as a user starts it.

A line begins with 'error: ', is short, shows no control character, names a file of the command, and
is no defect. Time and memory are of the command and of its agent, above what they begin with.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import damaged_models
from damaged_bytes import damaged
from damaged_worker import KILLED_S, WORD, Ran, Worker, forked, prepare, started

LIMIT_S = 2.0
LIMIT_BYTES = 500 << 20
LINE_CHARACTERS = 2100
STARTED = 5000
"""One command in so many is a process that imports everything."""
GOOD = ("right answer", "one line")
COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    ".onnx": (
        *(("inspect", "FILE", "--json"),) * 5,
        ("inspect", "FILE"),
        ("inspect", "FILE", "--target", "jetson-xavier-nx"),
        ("inspect", "FILE", "--target", "jetson-orin-nano"),
        ("compare", "FILE", "GOOD"),
        ("compare", "GOOD", "FILE"),
        ("measure", "FILE"),
    ),
    ".tflite": (
        *(("inspect", "FILE", "--json"),) * 4,
        ("inspect", "FILE"),
        ("inspect", "FILE", "--target", "android-nnapi"),
        ("inspect", "FILE", "--target", "android-xnnpack"),
        ("inspect", "FILE", "--target", "android-gpu"),
        ("compare", "FILE", "GOOD"),
        ("measure", "FILE"),
    ),
}


class Case(NamedTuple):
    number: int
    kind: str
    mutation: str
    command: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.number} {self.kind} {self.mutation} {' '.join(self.command)}"


class Bench:
    """Makes the cases in the working directory, and runs them."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self._contents = contents

    def case(self, number: int) -> Case:
        """Damages the file for it."""
        kinds = list(self._contents)
        kind = kinds[number % len(kinds)]
        suffix = Path(kind).suffix
        mutation, content = damaged(self._contents[kind], suffix, number)
        Path(f"damaged{suffix}").write_bytes(content)
        Path(f"good{suffix}").write_bytes(self._contents[kind])
        commands = COMMANDS[suffix]
        names = {"FILE": f"damaged{suffix}", "GOOD": f"good{suffix}"}
        command = commands[number // len(kinds) % len(commands)]
        return Case(number, kind, mutation, tuple(names.get(word, word) for word in command))

    def verdict(self, worker: Worker, number: int) -> tuple[str, str]:
        """And what is to be shown of it."""
        case = self.case(number)
        if number % STARTED == 0 and case.command[0] != "measure":
            ran = started(case.command)
            return verdict_of(case, ran), f"{case}: {ran.said.strip()[-600:]}"
        first = verdict_of(case, worker.run(case.command))
        if first in GOOD:
            return first, ""
        ran = forked(self.case(number).command)
        return verdict_of(case, ran), f"{case}: {ran.said.strip()[-600:]}{where(ran.said)}"


def where(said: str) -> str:
    """Where in the program a defect showed."""
    found = re.search(r"edgecompress-traceback-\w+\.txt", said)
    if found is None or not Path(found.group()).exists():
        return ""
    frames = re.findall(
        r'File "[^"]*/(\w+)\.py", line (\d+), in (\w+)', Path(found.group()).read_text()
    )
    return " at " + " < ".join(f"{file}:{line} {name}" for file, line, name in frames[:-7:-1])


def verdict_of(case: Case, ran: Ran) -> str:
    if ran.signal is not None:
        return f"over {KILLED_S:g} s" if ran.seconds >= KILLED_S else f"died of {ran.signal}"
    if ran.seconds > LIMIT_S:
        return f"over {LIMIT_S:g} s"
    if ran.peak_bytes > LIMIT_BYTES:
        return f"over {LIMIT_BYTES >> 20} MB"
    lines = [line for line in ran.said.splitlines() if line.startswith(WORD)]
    if ran.code == 0 and not lines:
        return "right answer"
    if ran.code in (2, 3, 4) and len(lines) == 1 and len(lines[0]) <= LINE_CHARACTERS:
        if not lines[0].isprintable():
            return "a line with control characters"
        named = any(word in lines[0] for word in case.command if "." in word)
        return "one line" if named else "a line that does not name the file"
    return "a defect" if ran.code == 1 else f"exit code {ran.code}, {len(lines)} lines"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--only", default="", help="kinds whose name has this in it")
    parser.add_argument("files", nargs="*", type=Path, help="damage these too")
    wanted = parser.parse_args(arguments)
    files = {path.name: path.read_bytes() for path in wanted.files}
    prepare()
    with tempfile.TemporaryDirectory(prefix="damaged-") as name:
        os.chdir(name)
        os.environ["TMPDIR"] = tempfile.tempdir = name
        contents = damaged_models.make(Path(name)) | files
        bench = Bench({kind: found for kind, found in contents.items() if wanted.only in kind})
        worker, counts, begin = Worker(), Counter[str](), time.monotonic()
        for number in range(wanted.first, wanted.first + wanted.count):
            verdict, shown = bench.verdict(worker, number)
            counts[verdict] += 1
            if verdict not in GOOD:
                print(f"{verdict}: {shown}", flush=True)
            if (number + 1) % 5000 == 0:
                print(dict(counts), f"{time.monotonic() - begin:.0f} s", flush=True)
        worker.end()
    print(*(f"{count:7} {verdict}" for verdict, count in counts.most_common()), sep="\n")
    sys.exit(any(verdict not in GOOD for verdict in counts))


if __name__ == "__main__":
    main()
