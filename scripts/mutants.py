"""Mutation tests: breaks modules in one place at a time, and says which breaks no test notices.

    pip install --target /tmp/cosmic-ray cosmic-ray
    PYTHONPATH=/tmp/cosmic-ray .venv/bin/python scripts/mutants.py --sample 20 \
        edgecompress/report/verdict.py --tests tests/report/test_verdict.py

Works in a copy of the tracked files. Each mutant is tried in a fork of this process, which has
imported torch and all else that the tests import, edgecompress aside; pytest stops at the first
test that fails, so name the narrow tests first. A mutant that runs for longer than five times what
the tests take is killed and counts as noticed. docs/mutants.md has what was found.
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
from dataclasses import asdict, dataclass
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
    """One replacement in one place: the n-th that an operator of cosmic-ray knows in the file."""

    path: str
    operator: str
    occurrence: int
    place: Place


def mutants_of(path: str, seed: int) -> list[Mutant]:
    """One mutant for each place and kind of replacement, drawn from those that there are."""
    source = (ROOT / path).read_text()
    nodes = list(ast_nodes(get_ast(source)))
    skipped = list(_typing(ast.parse(source)))
    found: dict[tuple[Place, str], list[Mutant]] = {}
    for name in plugins.operator_names():
        operator = plugins.get_operator(name)
        if operator.arguments():
            continue
        places = [place for node in nodes for place, _ in operator().mutation_positions(node)]
        for occurrence, place in enumerate(places):
            # `is None` and `== None` are the same but for tensors, which are never compared so.
            same = name.endswith(("_Is_Eq", "_IsNot_NotEq"))
            if not same and not any(start <= place < end for start, end in skipped):
                kind = name.split("_")[0]
                found.setdefault((place, kind), []).append(Mutant(path, name, occurrence, place))
    draw = random.Random(f"{seed} {path}")  # noqa: S311
    return [draw.choice(several) for _, several in sorted(found.items())]


def _typing(tree: ast.Module) -> Iterator[tuple[Place, Place]]:
    """From where to where annotations are: what is broken in them breaks nothing."""
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            found = getattr(node, field, None)
            if isinstance(found, ast.expr):
                end = (found.end_lineno or found.lineno, found.end_col_offset or 0)
                yield (found.lineno, found.col_offset), end


def run_tests(tree: Path, tests: Sequence[str], timeout_s: float) -> tuple[int, set[str]]:
    """The exit code of pytest in a fork, -1 after `timeout_s`; and the modules that it imported."""
    says = tree / "mutants-imported.json"
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.chdir(tree)
        nowhere = os.open(tree / "mutants.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        sys.path.insert(0, str(tree))
        os.environ["PYTHONPATH"] = str(tree)
        code = pytest.main(["-x", "-q", "-n0", "-p", "no:cacheprovider", *tests])
        says.write_text(json.dumps(sorted(sys.modules)))
        os._exit(int(code))
    end, code = time.monotonic() + timeout_s, -1
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            break
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)  # and what the tests had started
    if code == -1:
        os.waitpid(pid, 0)
    return code, set(json.loads(says.read_text())) if code == 0 else set()


def preload(modules: set[str]) -> None:
    """Import, once for all forks, what tests import from elsewhere."""
    for name in sorted(modules):
        spec = None
        if name.partition(".")[0] == "edgecompress":
            continue
        with contextlib.suppress(Exception):
            spec = importlib.util.find_spec(name)
        if spec is not None and "site-packages" in str(spec.origin):
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def try_one(tree: Path, mutant: Mutant, tests: Sequence[str], timeout_s: float) -> tuple[str, str]:
    """'killed', 'timeout' or 'survived', and the line as it was broken."""
    file = tree / mutant.path
    source, stat = file.read_text(), file.stat()
    broken = mutate_code(source, plugins.get_operator(mutant.operator)(), mutant.occurrence)
    assert broken is not None
    file.write_text(broken)
    # Python knows compiled modules by seconds and size.
    os.utime(file, (time.time(), stat.st_mtime + random.randrange(1 << 24)))  # noqa: S311
    code, _ = run_tests(tree, tests, timeout_s)
    file.write_text(source)
    os.utime(file, (stat.st_atime, stat.st_mtime))
    outcome = {0: "survived", -1: "timeout"}.get(code, "killed")
    pairs = zip(source.splitlines(), broken.splitlines(), strict=False)
    changed = [f"{was.strip()}  ->  {now.strip()}" for was, now in pairs if was != now]
    return outcome, changed[0] if changed else mutant.operator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", help="modules to break")
    parser.add_argument("--tests", nargs="+", required=True, help="files, the narrow ones first")
    parser.add_argument("--sample", type=int, help="how many of the mutants; all without it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a JSON line for each mutant is added here")
    asked = parser.parse_args()
    mutants = [mutant for path in asked.paths for mutant in mutants_of(path, asked.seed)]
    print(f"{len(mutants)} mutants")
    if asked.sample is not None and asked.sample < len(mutants):
        mutants = random.Random(asked.seed).sample(mutants, asked.sample)  # noqa: S311
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder)
        listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)  # noqa: S607
        for name in filter(None, listed.split("\0")):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
        code, modules = run_tests(tree, asked.tests, 3600)
        if code != 0:
            sys.exit((tree / "mutants.log").read_text()[-2000:])
        preload(modules)
        start = time.monotonic()
        run_tests(tree, asked.tests, 3600)
        timeout_s = max(LEAST_TIMEOUT_S, 5 * (time.monotonic() - start))
        print(f"unbroken: {time.monotonic() - start:.1f} s", flush=True)
        for mutant in sorted(mutants, key=lambda each: (each.path, each.place)):
            outcome, line = try_one(tree, mutant, asked.tests, timeout_s)
            print(f"{outcome:8} {mutant.path}:{mutant.place[0]}: {line}", flush=True)
            if asked.out is not None:
                with asked.out.open("a") as out:
                    print(
                        json.dumps({**asdict(mutant), "outcome": outcome, "line": line}), file=out
                    )


if __name__ == "__main__":
    main()
