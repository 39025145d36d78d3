"""What is seen in one turn that may make its latencies wrong, each with its figure."""

from collections.abc import Callable, Iterator

from edgecompress.measure.limits import Seen
from edgecompress.measure.statistics import drift, outliers
from edgecompress.measure.telemetry import held_back
from edgecompress.spec.measurement import Turn
from edgecompress.spec.protocol import MeasurementProtocol
from edgecompress.spec.validity import Conditions

TICK_S = 0.01
"""What the kernel counts others' time in."""
PAGE_BYTES = 4096
BETWEEN = 2.0
"""A tool's run takes so many times its inferences at most."""


def seen_in(turn: Turn, protocol: MeasurementProtocol, cores: int) -> list[Seen]:
    """All figures that the turn tells, on a board with so many cores; limits say what matters."""
    found = [*_minima(turn, protocol), *_latencies(turn), *held_back(turn), *_cores(turn)]
    if turn.running is not None:
        for look in _OF_CONDITIONS:
            found += look(turn, turn.running)
    else:
        found += _load(turn, cores)
    if turn.loading is not None:
        found += _cold(turn.loading)
    return found


def clocks_mhz(turn: Turn) -> list[float]:
    """While the steady inferences ran. What a phone says before and after is of an idle one."""
    if turn.running is None:
        return []
    readings = [
        turn.running.clock_mhz_first,
        *(sample.clock_mhz for sample in turn.telemetry),
        turn.running.clock_mhz_last,
    ]
    return [mhz for mhz in readings if mhz is not None and mhz > 0]


def clock_seen(readings: list[float]) -> list[Seen]:
    if len(readings) < 2:
        return []
    low, high = min(readings), max(readings)
    text = f"the clock was between {low:,.0f} and {high:,.0f} MHz"
    return [Seen("clock", "clock_change", 1 - low / high, text)]


def spins_us(turn: Turn) -> list[float]:
    """The loop of additions, before and after the steady inferences."""
    running = turn.running
    known = () if running is None else (running.spin_us_first, running.spin_us_last)
    return [spin for spin in known if spin is not None]


def processor_seen(readings: list[float]) -> list[Seen]:
    if len(readings) < 2:
        return []
    low, high = min(readings), max(readings)
    text = (
        f"the processor itself was up to {high / low:.2f} times as slow at times: other machines"
        " share it, or its clock changes"
    )
    return [Seen("processor", "processor_change", 1 - low / high, text)]


def _minima(turn: Turn, protocol: MeasurementProtocol) -> Iterator[Seen]:
    count, least = turn.samples, protocol.min_iterations
    text = f"{count:,} inferences were measured, of at least {least:,}"
    yield Seen("count", "iterations_missing", max(0.0, 1 - count / least), text)
    lasted_s = _lasted_s(turn)
    text = f"they took {lasted_s:.3g} s, of at least {protocol.min_duration_s:g} s"
    missing = max(0.0, 1 - lasted_s / protocol.min_duration_s)
    yield Seen("duration", "duration_missing", missing, text)


def _lasted_s(turn: Turn) -> float:
    if turn.running is not None:
        return turn.running.wall_s
    # A tool tells of inferences and not of what lies between two; of small ones that is as much.
    inferring_ms = sum(turn.latency_ms)
    if turn.summary is not None:
        inferring_ms = turn.summary.count * turn.summary.latency_ms_mean
    return BETWEEN * inferring_ms / 1000


def _latencies(turn: Turn) -> Iterator[Seen]:
    if turn.warmup_spread is not None:
        text = (
            f"no steady state: the last windows of the warm-up were {turn.warmup_spread:.0%} apart"
        )
        yield Seen("warmup", "warmup_spread", turn.warmup_spread, text)
    if turn.latency_ms:
        change = drift(turn.latency_ms)
        text = f"latency drifted by {change:+.0%} from the first to the last third of the samples"
        yield Seen("drift", "drift", abs(change), text)
        count, of = outliers(turn.latency_ms), len(turn.latency_ms)
        text = f"{count:,} of {of:,} samples are far out"
        yield Seen("outliers", "outlier_share", count / of, text)
    if turn.late is not None:
        text = (
            f"{turn.late:,} of {turn.samples:,} inferences began late: the one before took too long"
        )
        yield Seen("late", "late_share", turn.late / max(1, turn.samples), text)


def _cores(turn: Turn) -> Iterator[Seen]:
    wanted = turn.threads if turn.threads_wanted is None else turn.threads_wanted
    text = (
        f"only {turn.threads} of the {wanted} threads asked for were used, because the process may"
        " use no more cores"
    )
    yield Seen("fewer_cores", "threads_missing", float(wanted - turn.threads), text)


def _stops(_: Turn, running: Conditions) -> Iterator[Seen]:
    if running.stops is not None:
        text = f"the agent was stopped and continued {running.stops} times"
        yield Seen("stopped", "stops", float(running.stops), text)
    if running.suspended_s is not None:
        text = f"the machine slept for {running.suspended_s:.2g} s"
        yield Seen("suspended", "suspended_s", running.suspended_s, text)


def _idle(turn: Turn, running: Conditions) -> Iterator[Seen]:
    """One thread, on the CPU, has nothing to wait for."""
    waited_s = running.waited_s
    alone = turn.threads * turn.streams == 1 and turn.latency_ms_without_copies is None
    if not alone or waited_s is None or running.wall_s <= 0:
        return
    known_s = running.cpu_s + waited_s + running.slept_s
    for other_s in (running.stolen_s, running.quota_s):
        known_s += 0.0 if other_s is None else other_s
    share = max(0.0, 1 - known_s / running.wall_s)
    text = f"for {share:.0%} of the time the model's thread neither ran nor waited for a core"
    yield Seen("idle", "idle_share", share, text)


def _waiting(turn: Turn, running: Conditions) -> Iterator[Seen]:
    if running.wall_s <= 0:
        return
    threads = turn.threads * turn.streams
    if running.waited_s is not None and threads <= running.cores:
        waited_s = running.waited_s
        if running.others_s is not None:
            # Beyond what others used, threads of the runtime's own wait for one another.
            waited_s = min(waited_s, running.others_s + TICK_S)
        share = waited_s / running.wall_s
    elif running.others_s is not None:
        # What others used beyond what the model leaves free. Sessions that are more than there are
        # cores wait for one another too, which is nobody else's doing.
        left_s = max(0, running.cores - threads) * running.wall_s
        wanted_s = min(threads, running.cores) * running.wall_s
        share = max(0.0, running.others_s - left_s - TICK_S) / wanted_s
    else:
        return
    text = f"for {share:.0%} of the time other programs had the core that the model was to run on"
    yield Seen("waiting", "waiting_share", share, text)


def _others(_: Turn, running: Conditions) -> Iterator[Seen]:
    if running.wall_s <= 0:
        return
    if running.stolen_s is not None:
        share = max(0.0, running.stolen_s - TICK_S) / running.wall_s
        text = f"a hypervisor took {share:.0%} of the time for other machines"
        yield Seen("stolen", "stolen_share", share, text)
    if running.others_s is not None:
        share = max(0.0, running.others_s - TICK_S) / (running.wall_s * running.cores)
        text = f"other programs used {share:.0%} of its {running.cores} cores"
        yield Seen("other_load", "other_load_share", share, text)
    if running.quota_s is not None:
        share = running.quota_s / running.wall_s
        cores = "" if running.quota_cores is None else f" ({running.quota_cores:.3g} cores)"
        text = f"its CPU quota{cores} held it back for {share:.0%} of the time"
        yield Seen("quota", "quota_share", share, text)


def _memory(turn: Turn, running: Conditions) -> Iterator[Seen]:
    if running.major_faults is not None:
        share = running.major_faults / max(1, turn.samples)
        text = f"{running.major_faults:,} times it waited for memory that lay on a disk"
        yield Seen("page_faults", "major_faults_per_inference", share, text)
    if running.swapped_pages is not None:
        text = f"the machine swapped {running.swapped_pages:,} pages meanwhile"
        yield Seen("swapping", "swapped_pages", float(running.swapped_pages), text)


def _clock(turn: Turn, _: Conditions) -> Iterator[Seen]:
    yield from clock_seen(clocks_mhz(turn))
    yield from processor_seen(spins_us(turn))


def _cold(loading: Conditions) -> Iterator[Seen]:
    faults, read_bytes = loading.major_faults, loading.read_bytes
    known = [
        *([] if faults is None else [faults * PAGE_BYTES]),
        *([] if read_bytes is None else [read_bytes]),
    ]
    if known:
        text = (
            f"the load time has reading {max(known) / (1 << 20):.1f} MiB from the disk in it: the"
            " page cache was cold"
        )
        yield Seen("cold_cache", "read_bytes", float(max(known)), text)


def _load(turn: Turn, cores: int) -> Iterator[Seen]:
    """Where no more is known."""
    load = turn.before.load_1m
    if load is not None:
        text = f"the machine was busy: load {load:.1f} on {cores} cores"
        yield Seen("load", "load_per_core", load / cores, text)


_OF_CONDITIONS: tuple[Callable[[Turn, Conditions], Iterator[Seen]], ...] = (
    _stops,
    _idle,
    _waiting,
    _others,
    _memory,
    _clock,
)
