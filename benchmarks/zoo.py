"""Real architectures, each quantised for three runtimes as a user would; writes docs/models.md.

    pip install -e '.[zoo,litert]'
    python benchmarks/zoo.py                       # what is not there yet, then the page
    python benchmarks/zoo.py --only resnet8 ds_cnn --way onnxruntime
    python benchmarks/zoo.py --failed              # again what gave no file
    python benchmarks/zoo.py --page                # the page only

A row is one architecture on one way. Each architecture has a process, with limits of time and
memory; a row that is killed is a row too. Rows lie in --out, one JSON each, and hold a digest of
the code that made them: what other code made is made again. Weights are random: what is shown is
the tool's, not the network's, merit.
"""

import argparse
import hashlib
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

from zoo_page import write_page
from zoo_rows import WAYS, Row, load, store
from zoo_run import Limits, rows

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "models.md"
HERE = Path(__file__).resolve().parent
SERVER = multiprocessing.get_context("forkserver")
LAST_WORDS = 300
"""Characters of a killed process's stderr that its row keeps."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "benchmarks" / "zoo")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="architectures; default: all")
    parser.add_argument("--way", nargs="+", choices=sorted(WAYS), default=list(WAYS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--failed", action="store_true", help="what gave no file, and nothing else")
    parser.add_argument("--keep", action="store_true", help="rows of older code count as done")
    parser.add_argument("--timeout", type=int, default=900, help="seconds for a row")
    parser.add_argument("--memory", type=int, default=16, help="GiB of address space for a row")
    parser.add_argument("--page", action="store_true", help="write the page from what is there")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    # The server of processes, and they, find the modules beside this one so.
    os.environ["PYTHONPATH"] = f"{HERE}:{os.environ.get('PYTHONPATH', '')}"
    os.environ.update(OMP_NUM_THREADS="1", PYTHONWARNINGS="ignore")
    SERVER.set_forkserver_preload(["zoo_preload"])
    if not arguments.page:
        with ThreadPoolExecutor(arguments.jobs) as pool:
            due = wanted(arguments)
            list(pool.map(run, due, due.values(), [arguments] * len(due)))
    if not arguments.only:  # a page of a few rows would lose the others
        write_page(PAGE, load(arguments.out), digest())


def wanted(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """The ways that are to be gone now, by architecture."""
    # Imports torch.
    from zoo_catalogue import CATALOGUE

    unknown = sorted(set(arguments.only or ()) - set(CATALOGUE))
    if unknown:
        sys.exit(f"--only: {', '.join(unknown)}: unknown; known: {', '.join(CATALOGUE)}")
    there = {(row.name, row.way): row for row in load(arguments.out)}
    found = {}
    for name in arguments.only or CATALOGUE:
        ways = [way for way in arguments.way if way != "pruned" or CATALOGUE[name].pruned]
        due = [way for way in ways if _is_due(there.get((name, way)), arguments)]
        if due:
            found[name] = due
    return found


def _is_due(row: Row | None, arguments: argparse.Namespace) -> bool:
    if arguments.failed:
        return row is not None and row.outcome != "file"
    return row is None or (row.code != digest() and not arguments.keep)


def run(name: str, ways: list[str], arguments: argparse.Namespace) -> None:
    """Make the rows of one architecture; what is killed goes on after it."""

    def keep(row: Row) -> None:
        store(arguments.out, row.model_copy(update={"code": digest()}))
        print(f"{name:28} {row.way:12} {row.cpu_seconds:6.1f} s  {row.in_words()}", flush=True)

    while ways:
        done, end = _process(name, ways, arguments, keep)
        if done < len(ways):
            keep(Row(name=name, way=ways[done], outcome="killed", error=end))
        ways = ways[done + 1 :]


def _process(
    name: str, ways: list[str], arguments: argparse.Namespace, keep: Callable[[Row], None]
) -> tuple[int, str]:
    """How many rows it made, and how it ended."""
    limits = Limits(arguments.timeout, arguments.memory << 30)
    ours, theirs = SERVER.Pipe(duplex=False)
    done = 0
    with tempfile.NamedTemporaryFile("r", prefix="zoo-", errors="replace") as log:
        process = SERVER.Process(target=rows, args=(name, ways, limits, theirs, log.name))
        process.start()
        theirs.close()
        assert process.pid is not None
        try:
            with suppress(EOFError):
                while True:
                    keep(Row.model_validate_json(ours.recv()))
                    done += 1
            process.join()
        finally:
            # The process, where this one is interrupted, and programs that it left behind.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        assert process.exitcode is not None
        return done, _end(process.exitcode, log.read(), arguments.timeout)


def _end(code: int, stderr: str, timeout: int) -> str:
    if code == -signal.SIGALRM:
        return f"after {timeout} s"
    how = signal.Signals(-code).name if code < 0 else f"exit {code}"
    return f"{how}: {' '.join(stderr.split())[-LAST_WORDS:]}"


@cache
def digest() -> str:
    """sha256, shortened, of all code that a row comes from."""
    files = [
        *(ROOT / "edgecompress").rglob("*.py"),
        *(ROOT / "devices" / "agent").rglob("*.py"),
        *(ROOT / "targets").glob("*.yaml"),
        *(path for path in HERE.glob("zoo_*.py") if path.name != "zoo_page.py"),
    ]
    hasher = hashlib.sha256()
    for file in sorted(files):
        hasher.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return hasher.hexdigest()[:12]


if __name__ == "__main__":
    main()
