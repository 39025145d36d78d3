"""Five disturbances of a real turn, and whether each is found and named."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from measuring_files import chain, inputs_for

from edgecompress.measure.agent import Agent
from edgecompress.measure.agent_file import PACKAGE, build_agent
from edgecompress.measure.inputs import inputs_of
from edgecompress.measure.loaded import Loaded
from edgecompress.measure.turns import Session, measure_turn
from edgecompress.measure.validity import Rules, validity_of
from edgecompress.spec.base import parse
from edgecompress.spec.measurement import Turn
from edgecompress.spec.protocol import Standard
from edgecompress.transport import Completed, LocalTransport

PROTOCOL = Standard(turns=1, min_iterations=50, min_duration_s=1.0, max_warmup_s=0.5)
CLOCK = "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"
STEADY_S = 3.0
"""How long inferences are measured while a clock falls."""
IN_PROCESS = f"""
import json, sys, pathlib
sys.path.insert(0, sys.argv[1])
from {PACKAGE}.measure import run
from {PACKAGE}.request import Request
answer = run(Request(sys.stdin.buffer.read()), pathlib.Path(sys.argv[2]), lambda _: None)
json.dump(answer, sys.stdout)
"""
"""The agent's own code in a process of its own, on a board whose sensors are files elsewhere."""


class Watched(LocalTransport):
    """Tells `meanwhile` when a program is about to start."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    def run(self, argv: Sequence[str], stdin: bytes = b"", *, timeout_s: float) -> Completed:
        self.meanwhile()
        return super().run(argv, stdin, timeout_s=timeout_s)


class Bench:
    """One small file, and turns of it."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.folder = folder
        self.file: Loaded = chain(folder / "file.onnx", 20)
        self.transport = Watched(folder / "device")
        self.agent = Agent(self.transport, sys.executable)
        self.threads = threads

    def turn(self) -> Turn:
        inputs = inputs_for(self.file)
        session = Session(self.agent, PROTOCOL, self.threads, inputs)
        with inputs_of({"file": self.file}, inputs) as paths:
            return measure_turn(session, self.file, paths["file"])


def noise(rounds: int) -> None:
    """Print how often each was found, by the kind of a reason or a flag."""
    generator = random.Random(0)
    for name, (expected, disturbed) in DISTURBED.items():
        found = invalid = 0
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
                turn = disturbed(Bench(Path(folder)), generator)
            validity = validity_of([turn], Rules(PROTOCOL, len(os.sched_getaffinity(0))))
            kinds = {each.kind for each in (*validity.reasons, *validity.flags)}
            found += bool(kinds & expected)
            invalid += bool({each.kind for each in validity.reasons} & expected)
        print(
            f"{name:26} found {found} of {rounds}, and invalid by it {invalid}"
            f" ({' or '.join(sorted(expected))})",
            flush=True,
        )


def _nothing(bench: Bench, _: random.Random) -> Turn:
    return bench.turn()


def _busy(bench: Bench, _: random.Random) -> Turn:
    """A loop on each core that the agent may use."""
    with _loops(sorted(os.sched_getaffinity(0))):
        return bench.turn()


@contextmanager
def _loops(cores: list[int]) -> Iterator[None]:
    context = multiprocessing.get_context("fork")
    loops = [context.Process(target=_loop, args=(core,), daemon=True) for core in cores]
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.join()


def _loop(core: int) -> None:
    os.sched_setaffinity(0, {core})
    while True:
        pass


def _stopped(bench: Bench, generator: random.Random) -> Turn:
    """SIGSTOP for a fifth of a second, at some moment after the runtime was loaded."""

    def stop() -> None:
        agent = _child_that_measures()
        time.sleep(generator.uniform(0.1, 0.8))
        os.kill(agent, signal.SIGSTOP)
        time.sleep(0.2)
        os.kill(agent, signal.SIGCONT)

    bench.transport.meanwhile = lambda: threading.Thread(target=stop, daemon=True).start()
    return bench.turn()


def _child_that_measures() -> int:
    """The agent, once it has begun to measure."""
    for _ in range(3000):
        for task in Path("/proc/self/task").iterdir():
            # A thread may end meanwhile.
            with suppress(OSError):
                for child in (task / "children").read_text().split():
                    if _measures(int(child)):
                        return int(child)
        time.sleep(0.01)
    raise TimeoutError("no agent")


def _measures(process: int) -> bool:
    """Whether it catches SIGCONT, as the agent does from loading the file on."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return False
    caught = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt")), 0)
    return bool(caught >> (signal.SIGCONT - 1) & 1)


def _cold(bench: Bench, _: random.Random) -> Turn:
    """The file leaves the page cache after it was sent and before it is loaded."""

    def evict() -> None:
        for file in Path(bench.transport.workdir).glob("*.onnx"):
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)

    bench.file = chain(bench.folder / "large.onnx", 2, channels=128)
    bench.transport.meanwhile = evict
    return bench.turn()


def _other_clock(bench: Bench, generator: random.Random) -> Turn:
    """A clock that falls, in the files of a board elsewhere, while the agent measures."""
    root, pyz = bench.folder / "root", bench.folder / "agent.pyz"
    (root / CLOCK).parent.mkdir(parents=True)
    (root / CLOCK).write_text("2400000")
    pyz.write_bytes(build_agent())
    with inputs_of({"file": bench.file}, inputs_for(bench.file)) as paths:
        request = {
            "schema_version": 1,
            "model": str(bench.file.file),
            "runtime": "onnxruntime",
            "threads": 1,
            "inputs": str(paths["file"]),
            **PROTOCOL.request(),
            "min_duration_s": STEADY_S,
        }
        process = subprocess.Popen(
            [sys.executable, "-c", IN_PROCESS, str(pyz), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(request).encode())
        process.stdin.close()
        _wait_for(process.pid)
        # By then it has warmed up, and it is not at its end.
        time.sleep(2.0 + generator.uniform(0.0, 0.5))
        (root / CLOCK).write_text(generator.choice(["600000", "1500000", "1800000"]))
        assert process.stdout is not None
        answer = process.stdout.read()
        process.wait()
    return parse(Turn, json.loads(answer), "agent measure")


def _wait_for(process: int) -> None:
    for _ in range(3000):
        if _measures(process):
            return
        time.sleep(0.01)
    raise TimeoutError("no agent")


def _fewer_cores(bench: Bench, _: random.Random) -> Turn:
    """As taskset does; two threads are asked for."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        bench.threads = 2
        return bench.turn()
    finally:
        os.sched_setaffinity(0, before)


DISTURBED: dict[str, tuple[set[str], Callable[[Bench, random.Random], Turn]]] = {
    "nothing (for comparison)": ({"waiting", "stopped", "clock", "cold_cache"}, _nothing),
    "busy loop on its cores": ({"waiting"}, _busy),
    "stopped and continued": ({"stopped"}, _stopped),
    "cold page cache": ({"cold_cache"}, _cold),
    "clock falls": ({"clock"}, _other_clock),
    "fewer cores than threads": ({"fewer_cores"}, _fewer_cores),
}
