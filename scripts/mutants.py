"""Mutation tests: breaks modules in one place at a time, and says which breaks no test notices.

    pip install --target build/cosmic-ray cosmic-ray
    PYTHONPATH=build/cosmic-ray .venv/bin/python scripts/mutants.py --sample 20 \
        edgecompress/report/verdict.py --tests tests/report/test_verdict.py

Works in a copy of the tracked files. Each mutant is tried in a fork of this process, which has
imported what the tests import from elsewhere, torch above all; pytest stops at the first test that
fails, so name the narrow tests first. A mutant that takes five times as long as the whole counts as
noticed. docs/mutants.md says what was found.
"""

import argparse
import ast
import contextlib
import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

ROOT = Path(__file__).parents[1]
LEAST_TIMEOUT_S = 30.0
Place = tuple[int, int]
"""Line, from 1, and column, from 0."""


@dataclass(frozen=True)
class Mutant:
    """The n-th replacement that an operator of cosmic-ray knows in a file."""

    path: str
    operator: str
    occurrence: int
    place: Place

    def broken(self, source: str) -> str:
        return str(mutate_code(source, plugins.get_operator(self.operator)(), self.occurrence))


def mutants_of(path: str) -> list[list[Mutant]]:
    """Those of each place and kind of replacement."""
    source = (ROOT / path).read_text()
    nodes, skipped = list(ast_nodes(get_ast(source))), list(_annotations(ast.parse(source)))
    found: dict[tuple[Place, str], list[Mutant]] = {}
    for name in plugins.operator_names():
        operator = plugins.get_operator(name)
        # `is None` and `== None` are the same but for arrays, which are never compared so.
        if operator.arguments() or name.endswith(("_Is_Eq", "_IsNot_NotEq")):
            continue
        places = [place for node in nodes for place, _ in operator().mutation_positions(node)]
        for occurrence, place in enumerate(places):
            if not any(start <= place < end for start, end in skipped):
                several = found.setdefault((place, name.split("_")[0]), [])
                several.append(Mutant(path, name, occurrence, place))
    return [several for _, several in sorted(found.items())]


def drawn(path: str, seed: int, sample: int | None) -> list[Mutant]:
    """One of each place and kind, or of that many of them."""
    places = mutants_of(path)
    draw = random.Random(f"{seed} {path}")
    found = [draw.choice(several) for several in places]
    print(f"{len(found)} mutants of {path}", flush=True)
    if sample is None or sample >= len(found):
        return found
    return random.Random(seed).sample(found, sample)


def again(path: str, lines: str) -> list[Mutant]:
    """Those that the lines of an earlier run name; where they are may have changed."""
    named = {line.partition(": ")[2] for line in lines.splitlines() if f" {path}:" in line}
    source = (ROOT / path).read_text()
    known = (each for several in mutants_of(path) for each in several)
    return [each for each in known if words(each, source) in named]


def _annotations(tree: ast.Module) -> Iterator[tuple[Place, Place]]:
    """From where to where they are: what is broken in them breaks nothing."""
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            found = getattr(node, field, None)
            if isinstance(found, ast.expr):
                end = (
                    found.end_lineno or found.lineno,
                    0 if found.end_col_offset is None else found.end_col_offset,
                )
                yield (found.lineno, found.col_offset), end


def run(tree: Path, tests: Sequence[str], timeout_s: float = 3600.0) -> int:
    """The exit code of pytest in a fork; -1 where it takes longer."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.chdir(tree)
        for stream in (1, 2):
            os.dup2(os.open("mutants.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
        sys.path.insert(0, str(tree))
        os.environ["PYTHONPATH"] = str(tree)
        code = pytest.main(["-x", "-q", "-n0", "-p", "no:cacheprovider", *tests])
        (tree / "mutants.json").write_text(json.dumps(sorted(sys.modules)))
        os._exit(int(code))
    end, done, status = time.monotonic() + timeout_s, 0, 0
    while not done and time.monotonic() < end:
        time.sleep(0.02)
        done, status = os.waitpid(pid, os.WNOHANG)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)  # and what the tests had started
    if not done:
        os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) if done else -1


def preload(tree: Path) -> None:
    """Import, once for all forks, what the tests imported from elsewhere."""
    for name in json.loads((tree / "mutants.json").read_text()):
        with contextlib.suppress(Exception):
            # To look for a module imports its packages.
            spec = None if name.startswith("edgecompress") else importlib.util.find_spec(name)
            if spec is not None and "site-packages" in str(spec.origin):
                importlib.import_module(name)


def words(mutant: Mutant, source: str) -> str:
    """What a mutant does: the first line that it changes."""
    pairs = zip(source.splitlines(), mutant.broken(source).splitlines(), strict=False)
    changed = (f"{a.strip()}  ->  {b.strip()}" for a, b in pairs if a != b)
    return next(changed, mutant.operator)


def outcome_of(tree: Path, mutant: Mutant, tests: Sequence[str], timeout_s: float) -> str:
    file = tree / mutant.path
    source, times = file.read_text(), (file.stat().st_atime, file.stat().st_mtime)
    file.write_text(mutant.broken(source))
    # Python knows compiled modules by seconds and size.
    os.utime(file, (times[0], times[1] + random.randrange(1 << 24)))
    outcome = {0: "survived", -1: "timeout"}.get(run(tree, tests, timeout_s), "killed")
    file.write_text(source)
    os.utime(file, times)
    return f"{outcome:8} {mutant.path}:{mutant.place[0]}: {words(mutant, source)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", help="modules to break")
    parser.add_argument("--tests", nargs="+", required=True, help="files, the narrow ones first")
    parser.add_argument("--sample", type=int, help="how many of each module; all without it")
    parser.add_argument("--retry", type=Path, help="lines of an earlier run: those mutants only")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    lines = asked.retry.read_text() if asked.retry else None
    mutants: list[Mutant] = []
    for path in asked.paths:
        if lines is None:
            mutants += drawn(path, asked.seed, asked.sample)
        else:
            mutants += again(path, lines)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder)
        listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)  # noqa: S607
        for name in listed.split("\0")[:-1]:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
        if run(tree, asked.tests) != 0:
            sys.exit((tree / "mutants.log").read_text()[-2000:])
        preload(tree)
        start = time.monotonic()
        run(tree, asked.tests)
        timeout_s = max(LEAST_TIMEOUT_S, 5 * (time.monotonic() - start))
        for mutant in sorted(mutants, key=lambda each: (each.path, each.place)):
            print(outcome_of(tree, mutant, asked.tests, timeout_s), flush=True)


if __name__ == "__main__":
    main()
