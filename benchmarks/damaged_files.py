"""What the commands that take a model file say of damaged ones: a right answer or a line, in bounds.

    python benchmarks/damaged_files.py --count 100000 [--seed 0] [--only KIND] [FILE.onnx FILE.tflite]

Small files of many kinds are damaged, each by a seed (`damaged_bytes.py`), and given to the real
command line: mostly to `inspect`, some to `compare` and `measure`, by the rules of several targets.
Every command runs in a forked copy of this process, and so does the agent that it starts, whose
work is the real one. A tenth of a percent run as processes of their own, as a user starts them.

A line is one that begins with 'error: ', is short, shows no control character, names the file, and
is no defect. Time and memory are of the command and of its agent, above what they begin with.
"""

import argparse
import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import damaged_models
from damaged_bytes import damaged

LIMIT_S = 2.0
"""Of one command, beyond what the process takes to start."""
LIMIT_BYTES = 500 << 20
ADDRESSES = 4 << 30
"""More than that is refused to the process, so that this machine survives what goes wrong."""
KILLED_S = 20.0
LINE_CHARACTERS = 2000
WHOLE = 1000
"""One command in so many is a process of its own."""
COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    ".onnx": (
        *(("inspect", "FILE"),) * 6,
        ("inspect", "FILE", "--target", "jetson-xavier-nx"),
        ("inspect", "FILE", "--target", "jetson-orin-nano"),
        ("compare", "FILE", "GOOD"),
        ("compare", "GOOD", "FILE"),
        ("measure", "FILE"),
    ),
    ".tflite": (
        *(("inspect", "FILE"),) * 5,
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


class Ran(NamedTuple):
    status: int
    """As wait gives it."""
    said: str
    """On stderr."""
    seconds: float
    peak_bytes: int
    """Above the process that it was forked from."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="run this one only and print what it says")
    parser.add_argument("--only", default="", help="kinds whose name has this in it")
    parser.add_argument("files", nargs="*", type=Path, help="damage these too")
    wanted = parser.parse_args()
    prepare()
    with tempfile.TemporaryDirectory(prefix="damaged-") as name:
        os.chdir(name)
        os.environ["TMPDIR"] = tempfile.tempdir = name
        contents = damaged_models.make(Path(name))
        contents |= {path.name: path.read_bytes() for path in wanted.files}
        contents = {kind: found for kind, found in contents.items() if wanted.only in kind}
        if wanted.case is not None:
            print(run(case_of(contents, wanted.seed + wanted.case), contents).said)
            return
        counts = Counter[str]()
        begin = time.monotonic()
        for number in range(wanted.seed, wanted.seed + wanted.count):
            case = case_of(contents, number)
            ran = run(case, contents)
            verdict = verdict_of(case, ran)
            counts[verdict] += 1
            if verdict not in ("right answer", "one line"):
                print(f"{verdict}: {case}: {ran.said.strip()[-600:]}", flush=True)
            if (number + 1) % 5000 == 0:
                print(dict(counts), f"{time.monotonic() - begin:.0f} s", flush=True)
        print(*(f"{count:7} {verdict}" for verdict, count in counts.most_common()), sep="\n")


def case_of(contents: dict[str, bytes], number: int) -> Case:
    """Damages the file for it."""
    kinds = list(contents)
    kind = kinds[number % len(kinds)]
    suffix = Path(kind).suffix
    mutation, content = damaged(contents[kind], suffix, number)
    Path(f"damaged{suffix}").write_bytes(content)
    Path(f"good{suffix}").write_bytes(contents[kind])
    commands = COMMANDS[suffix]
    names = {"FILE": f"damaged{suffix}", "GOOD": f"good{suffix}"}
    command = tuple(names.get(word, word) for word in commands[number // len(kinds) % len(commands)])
    return Case(number, kind, mutation, command)


def run(case: Case, contents: dict[str, bytes]) -> Ran:
    if case.number % WHOLE == WHOLE - 1:
        return whole(case.command)
    begin, before = time.monotonic(), rss()
    child = os.fork()
    if not child:
        become(case.command)
    status, peak = waited(child, KILLED_S)
    said = Path("stderr").read_text(errors="replace")
    agent = Path("agent-peak")
    peaks = [peak - before]
    if agent.exists():
        peaks.append(int(agent.read_text()) - before)
        agent.unlink()
    return Ran(status, said, time.monotonic() - begin, max(peaks))


def whole(command: Sequence[str]) -> Ran:
    begin = time.monotonic()
    argv = [sys.executable, "-m", "edgecompress", *command]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
    # Starting two interpreters and importing is not the file's fault.
    return Ran(done.returncode << 8, done.stderr, (time.monotonic() - begin) / 5, 0)


def prepare() -> None:
    """Import once what every command imports, and put a fork in the place of the agent's start."""
    sys.path.insert(0, str(damaged_models.ROOT))
    import onnxruntime
    import ai_edge_litert.interpreter  # noqa: F401
    import onnx.reference  # noqa: F401

    import devices.agent.__main__
    import devices.agent.infer
    import devices.agent.measure
    import devices.agent.optimise
    import devices.agent.runner_litert
    import devices.agent.runner_onnxruntime  # noqa: F401
    from edgecompress import cli, pipeline  # noqa: F401
    from edgecompress.cli import tables  # noqa: F401
    from edgecompress.pipeline import files, layers, single  # noqa: F401
    from edgecompress.spec.load import load_target
    from edgecompress.transport.base import Completed
    from edgecompress.transport.local import LocalTransport

    onnxruntime.set_default_logger_severity(4)

    def forked(_: LocalTransport, argv: Sequence[str], stdin: bytes, *, timeout_s: float) -> Completed:
        Path("request").write_bytes(stdin)
        child = os.fork()
        if not child:
            redirect("request", "answer", "agent-stderr")
            sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
            with contextlib.suppress(SystemExit):
                devices.agent.__main__.main()
            os._exit(0)
        status, peak = waited(child, min(timeout_s, KILLED_S))
        Path("agent-peak").write_text(str(peak))
        answer, said = Path("answer").read_bytes(), Path("agent-stderr").read_bytes()
        return Completed(os.waitstatus_to_exitcode(status), answer, said)

    def quick(name: str, folder: Path | None = None):
        target = load_target(name, folder)
        short = {"warmup_iterations": 1, "min_iterations": 1, "min_duration_s": 0.0, "turns": 1}
        protocol = target.measurement.model_copy(update=short)
        return target.model_copy(update={"measurement": protocol})

    LocalTransport.run = forked  # type: ignore[method-assign, assignment]
    single.load_target = quick  # type: ignore[attr-defined]


def become(command: Sequence[str]) -> None:
    from edgecompress.cli import main as command_line

    redirect(os.devnull, "stdout", "stderr")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.argv = ["edgecompress", *command]
    code: object = 70
    try:
        command_line()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 71)


def redirect(stdin: str, stdout: str, stderr: str) -> None:
    for number, path, flags in (
        (0, stdin, os.O_RDONLY),
        (1, stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        os.dup2(os.open(path, flags, 0o600), number)


def waited(child: int, timeout_s: float) -> tuple[int, int]:
    """Status and peak of the process, which is killed after that time."""
    previous = signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        _, status, usage = os.wait4(child, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    return status, usage.ru_maxrss << 10


def rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def verdict_of(case: Case, ran: Ran) -> str:
    if os.WIFSIGNALED(ran.status):
        return f"died of {signal.Signals(os.WTERMSIG(ran.status)).name}"
    if ran.seconds > LIMIT_S:
        return f"over {LIMIT_S:g} s"
    if ran.peak_bytes > LIMIT_BYTES:
        return f"over {LIMIT_BYTES >> 20} MB"
    code = os.WEXITSTATUS(ran.status)
    lines = [line for line in ran.said.splitlines() if line.startswith("error: ")]
    if code == 0 and not lines:
        return "right answer"
    if code in (2, 3, 4) and len(lines) == 1 and len(lines[0]) <= LINE_CHARACTERS:
        named = any(word in lines[0] for word in case.command if "." in word)
        if not lines[0].isprintable():
            return "a line with control characters"
        return "one line" if named else "a line that does not name the file"
    return "a defect" if code == 1 else f"exit code {code}, {len(lines)} lines"


if __name__ == "__main__":
    main()
