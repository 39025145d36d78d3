"""Pushes that a power cut ends, and what is found afterwards."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from power_cut_boards import (
    MOUNTED,
    ROOT,
    CutAt,
    FileSystem,
    Here,
    InGuest,
    Pusher,
    Pushing,
    Release,
    Scenario,
    Side,
    copy,
    make_disk,
    mount,
)
from power_cut_checks import Expected, Tree, after_cut, after_push
from power_cut_machine import Guest, Machine, machine
from power_cut_states import Disk, State, read_log, states

from edgecompress.errors import EdgecompressError
from edgecompress.transport import Transport
from edgecompress.transport.faulty import Faults

SLOWEST_PUSH_S = 100.0
"""Emulated it takes 2 to 20 s; a lock that nobody gives up blocks for two minutes."""
COMMIT_S = 7.0
"""What nobody has synced ext4 commits after 5 s."""
WAYS = ("gone", "back", "both")
BUSY = "(while :; do sync; sleep 0.02; done) > /dev/null 2>&1 < /dev/null &"


@dataclass
class Counts:
    checked: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, row: str, where: str, found: list[str]) -> None:
        self.checked[row] += 1
        for violation in found:
            line = f"VIOLATION {row}, {where}: {violation}"
            self.violations.append(line)
            print(line, flush=True)


@dataclass(frozen=True)
class Bench:
    """What all runs share."""

    guest: Guest
    tools: dict[str, str]
    folder: Path
    made: dict[str, Release]
    counts: Counts
    rng: random.Random
    syncs: bool
    """Whether the disturbed pushes sync folders."""


@dataclass(frozen=True)
class Case:
    """A scenario on a file system."""

    bench: Bench
    file_system: FileSystem
    scenario: Scenario

    @property
    def name(self) -> str:
        return f"{self.file_system.name}, {self.scenario}"

    @property
    def disk(self) -> Path:
        """What the device has when it begins."""
        used = "new" if self.scenario == "first push" else "used"
        return self.bench.folder / f"{self.file_system.name}-{used}"

    @property
    def new(self) -> Release:
        return self.bench.made["C" if self.scenario == "upgrade" else "A"]

    def expected(self, *, promised: bool) -> Expected:
        old = None if self.scenario == "first push" else self.bench.made["B"].manifest.id
        return Expected(old, self.new.manifest.id, promised)

    @property
    def disturbed(self) -> Pushing:
        """The scenario itself."""
        release = None if self.scenario == "rollback" else self.new
        return Pushing(self.file_system.symlinks, release, self.bench.syncs)

    @property
    def mending(self) -> Pushing:
        """One more push, which must put all in order."""
        return Pushing(self.file_system.symlinks, self.new)

    def switch_on(self, on: Machine, log: Path | None = None, *, whole: bool = False) -> None:
        on.boot(log, whole=whole)
        mount(on, self.file_system)


def prepare(bench: Bench, file_system: FileSystem) -> None:
    """Make the disks that the scenarios begin with: an empty one, and one with two releases."""
    empty = Case(bench, file_system, "first push")
    used = Case(bench, file_system, "upgrade")
    make_disk(file_system, empty.disk, bench.tools)
    copy(empty.disk, used.disk)
    with machine(bench.guest, used.disk) as on:
        used.switch_on(on)
        for name in "AB":
            done = Pushing(file_system.symlinks, bench.made[name]).run(on.device(ROOT))
            assert done.outcome == "success", done.reasons
        on.run("umount", MOUNTED)


def real_cuts(case: Case, wanted: int) -> None:
    """Cut the power so many times, spread over the whole scenario."""
    bench, disk = case.bench, case.bench.folder / "disk"
    copy(case.disk, disk)
    with machine(bench.guest, disk) as on:
        case.switch_on(on)
        undisturbed = Faults(seed=0, rate=0.0)
        began = time.monotonic()
        case.disturbed.run(on.device(ROOT), undisturbed)
        took_s = time.monotonic() - began
        on.cut()
        for number in range(wanted):
            on.boot()
            copy(case.disk, disk)
            mount(on, case.file_system)
            way = WAYS[number % len(WAYS)]
            if way == "both":
                where, said = _cut_both(case, on, bench.rng.random() * took_s)
            else:
                # One more than there are: right after it has said how it went.
                at = 1 + int((number + bench.rng.random()) * (undisturbed.operations + 1) / wanted)
                where, said = _cut_at(case, on, at, way)
            on.cut()
            # Once on each file system from the first instruction of the kernel on.
            on.boot(whole=number == 0 and case.scenario == "upgrade")
            with closing(InGuest(on, case.file_system)) as side:
                found = _checked(case, side, promised=said == "success", fsck=number % 2 == 0)
            on.cut()
            said = said or "nothing"
            bench.counts.said[said] += 1
            print(f"{case.name}: cut {where}; it said {said}", flush=True)
            bench.counts.add(f"{case.name}, real cuts", where, found)


def _cut_at(case: Case, on: Machine, at: int, way: str) -> tuple[str, str | None]:
    """At an operation; the board stays away, or is back at once and the same push goes on."""
    back = way == "back"

    def cut() -> None:
        on.cut()
        if back:
            case.switch_on(on)

    faults = CutAt(at, cut, after=case.bench.rng.random() < 0.5)
    said = None
    with suppress(EdgecompressError):
        said = case.disturbed.run(
            on.device(ROOT), faults, time.sleep if back else lambda _: None
        ).outcome
    where = faults.cut_at or "after all"
    return f"{where} ({at}), {'the board is back' if back else 'the board is gone'}", said


def _cut_both(case: Case, on: Machine, after_s: float) -> tuple[str, str | None]:
    pusher = Pusher(case.disturbed, on.device(ROOT))
    time.sleep(after_s)
    on.cut()
    return f"after {after_s:.2f} s, together with the pusher", pusher.kill()


def _checked(case: Case, side: Side, *, promised: bool, fsck: bool) -> list[str]:
    """What does not hold of a disk, before and after one more push."""
    try:
        side.mount(fsck=fsck)
    except EdgecompressError as error:
        return [f"the file system itself: {error}"]
    try:
        return _mounted(case, side.transport, promised=promised)
    except EdgecompressError as error:
        return [f"what lies there cannot be read: {error}"]
    finally:
        side.umount()


def _mounted(case: Case, transport: Transport, *, promised: bool) -> list[str]:
    before = Tree.read(transport.files, transport.root)
    found = after_cut(before, case.expected(promised=promised))
    began = time.monotonic()
    done = case.mending.over(transport)
    took_s = time.monotonic() - began
    if done.outcome != "success":
        return [*found, f"one more push: {done.outcome}: {'; '.join(done.reasons)}"]
    if took_s > SLOWEST_PUSH_S:
        found.append(f"one more push took {took_s:.0f} s")
    after = Tree.read(transport.files, transport.root)
    return found + after_push(after, case.new.manifest.id)


def disk_states(case: Case, each: int, wanted: int, *, busy: bool) -> None:
    """Record the scenario once, and check what a disk with a cache may hold afterwards.

    Args:
        case: a scenario on a file system.
        each: how many selections of writes between two flushes are made.
        wanted: how many states are checked.
        busy: whether other programs sync all the time, so that what the push has not synced is
            written before and between what it has.

    """
    bench = case.bench
    disk, log = bench.folder / "disk", bench.folder / "log"
    promise = _record(case, disk, log, busy=busy)
    epochs = read_log(log)
    made = list(states(epochs, promise, bench.rng, each))
    drawn = _drawn(made, wanted, bench.rng)
    row = f"{case.name}, states{', busy' if busy else ''}"
    writes = sum(len(epoch.writes) for epoch in epochs)
    print(f"{row}: {writes} writes, {len(epochs) - 1} flushes, {len(made)} states", flush=True)
    image = Disk(case.disk, log, epochs, disk)
    with _side(case, disk) as side:
        for number in drawn:
            image.become(made[number])
            found = _checked(case, side, promised=made[number].promised, fsck=number % 2 == 0)
            bench.counts.add(row, _words(made[number], len(epochs)), found)


def _drawn(made: list[State], wanted: int, rng: random.Random) -> list[int]:
    """A third of them after the push had said success, when most is asked; the others are any."""
    promised = [number for number, state in enumerate(made) if state.promised]
    chosen = set(rng.sample(promised, min(1 + wanted // 3, len(promised))))
    rest = [number for number in range(len(made)) if number not in chosen]
    return sorted(chosen | set(rng.sample(rest, min(wanted - len(chosen), len(rest)))))


@contextmanager
def _side(case: Case, disk: Path) -> Iterator[Side]:
    """Here, if this kernel knows the file system, else in a machine."""
    if Here.can(case.file_system):
        checker = case.bench.guest.checkers[case.file_system.name]
        with closing(Here(disk, case.file_system, checker)) as here:
            yield here
        return
    with machine(case.bench.guest, disk) as on:
        on.boot()
        with closing(InGuest(on, case.file_system)) as there:
            yield there


def _record(case: Case, disk: Path, log: Path, *, busy: bool) -> int:
    """How long the log was when the push had said success."""
    log.unlink(missing_ok=True)
    copy(case.disk, disk)
    with machine(case.bench.guest, disk) as on:
        case.switch_on(on, log)
        if busy:
            on.run("sh", "-c", BUSY)
        done = case.disturbed.run(on.device(ROOT))
        assert done.outcome == "success", done.reasons
        promise = log.stat().st_size
        time.sleep(COMMIT_S)
        on.cut()
    return promise


def _words(state: State, epochs: int) -> str:
    promised = ", after it had said success" if state.promised else ""
    return f"flush {state.whole} of {epochs - 1} and {len(state.some)} writes more{promised}"
