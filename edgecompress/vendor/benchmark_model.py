"""TFLite's `benchmark_model`: with and without INFO:, on a terminal and in logcat.

Formats: tensorflow/lite/tools/benchmark (benchmark_model.cc, benchmark_tflite_model.cc) and
tensorflow/core/util/stats_calculator.h.
"""

import math
import re
from typing import Literal, NamedTuple

from edgecompress.spec.base import Spec
from edgecompress.vendor.text import (
    LABELLED,
    MS_PER_US,
    NUMBER,
    VendorText,
    integer,
    left_over,
    matches,
    messages,
    number,
    only,
    scaled,
)

ROUNDING = 1e-5
"""The tool prints six digits."""

COUNT = re.compile(
    rf"count=(?P<count>[0-9]+)"
    rf"(?P<stats>(?: [a-z0-9]+={NUMBER}(?:\(all same\)| \(all same\))?)+)"
)
STAT = re.compile(rf"([a-z0-9]+)=({NUMBER})")
SUMMARY = re.compile(
    rf"Inference timings in us: Init: (?P<init>{NUMBER}), First inference: (?P<first>{NUMBER}), "
    rf"Warmup \(avg\): (?P<warmup>{NUMBER}), Inference \(avg\): (?P<mean>{NUMBER})"
)
MEMORY = re.compile(
    rf"(?:Memory footprint delta from the start of the tool|Peak memory footprint) \(MB\): "
    rf"init=(?P<init>{NUMBER}) overall=(?P<overall>{NUMBER})"
)
PEAK = re.compile(
    rf"Overall peak memory footprint \(MB\) via periodic monitoring: (?P<peak>{NUMBER})"
)
SIZE = re.compile(rf"The input model file size \(MB\): (?P<size>{NUMBER})")
VERSION = re.compile(r"Tensorflow Version : (?P<version>\S+)", re.IGNORECASE)
THREADS = re.compile(r"(?:Num threads|#threads used for CPU inference): \[(?P<threads>[0-9]+)\]")
GRAPH = re.compile(r"Graph: \[(?P<graph>.+)\]")
REPLACING = re.compile(
    r"Replacing (?P<nodes>[0-9]{1,9})(?: out of (?P<of>[0-9]+))? node\(s\) with delegate "
    r"\((?P<delegate>[^()]+)\) node, yielding (?P<partitions>[0-9]{1,9}) partitions?\b[^=]*"
)
APPLIED = re.compile(
    r"Explicitly applied (?P<delegate>\S+) delegate, and the model graph will be "
    r"(?:(?P<all>completely) executed by the delegate"
    r"|partially executed by the delegate w/ (?P<kernels>[0-9]+) delegate kernels?)\.?"
)
NOT_APPLIED = re.compile(
    r"Though (?P<delegate>\S+) delegate is (?:ex|im)plicitly applied, the model graph will not be"
    r" executed by the delegate\.?"
)
BEGIN = "STARTING!"
FAILED = (
    re.compile(r"Failed to apply \S+ delegate\.?|Disallowed CPU fallback detected\.?"),
    re.compile(r"Benchmarking failed\.?"),
    re.compile(r"Restored original execution plan after delegate application failure\.?"),
)
"""Those first that say more."""
SESSION = re.compile(rf"Initialized session in {NUMBER}ms\.?")
"""The same as Init, with fewer digits."""
DATA = re.compile(
    r"\bcount=[^ ]|Inference timings in us|\bReplacing \d+.*node|\bdelegate is (?:ex|im)plicitly"
    r"|Explicitly applied|Initialized session in"
    r"|(?:footprint|file size|timings?|latency|throughput)\b[^:=]*[:=].*\d|" + LABELLED,
    re.ASCII | re.IGNORECASE,
)
"""Words of a line that holds a figure or says what a delegate runs, whatever the release."""


class Timings(Spec):
    """One `count=` line; older tools print no percentiles, a count of 1 only the last."""

    count: int
    latency_ms_first: float | None = None
    latency_ms_last: float | None = None
    latency_ms_min: float | None = None
    latency_ms_max: float | None = None
    latency_ms_mean: float | None = None
    latency_ms_std: float | None = None
    latency_ms_p5: float | None = None
    latency_ms_p50: float | None = None
    latency_ms_p95: float | None = None


class Delegation(Spec):
    """How many nodes of the graph a delegate took."""

    delegate: str
    """The runtime's: 'TfLiteNnapiDelegate', 'TfLiteGpuDelegateV2', 'TfLiteXNNPackDelegate'."""
    nodes: int
    of_nodes: int | None
    """How many the whole graph has; older runtimes do not print it."""
    partitions: int


class Applied(Spec):
    """What the tool says of a delegate that was asked for."""

    delegate: str
    """The tool's name for it: 'NNAPI', 'GPU'."""
    executed: Literal["completely", "partially", "not"]
    """How much of the graph it executes."""
    kernels: int | None
    """Where it is partially: into how many pieces."""


class BenchmarkModel(VendorText):
    """A run of benchmark_model; only one whose `failure` is None succeeded."""

    failure: str | None
    version: str | None
    graph: str | None
    threads: int | None
    model_size_mb: float | None
    """1 MB = 10^6 bytes."""
    init_time_ms: float | None
    first_inference_ms: float | None
    warmup_ms_mean: float | None
    latency_ms_mean: float | None
    """As the tool's summary says; the percentiles are in `run`."""
    warmup: Timings | None
    run: Timings | None
    memory_growth_mib_init: float | None
    """Since the start of the tool; it writes MB and means 2^20 bytes."""
    memory_growth_mib_overall: float | None
    memory_peak_mib: float | None
    """With --report_peak_memory_footprint."""
    delegations: tuple[Delegation, ...]
    """In order; a line that says 'delegate created' is none."""
    applied: tuple[Applied, ...]

    @property
    def passed(self) -> bool:
        return self.failure is None


class _Line(NamedTuple):
    level: str | None
    text: str


def parse_benchmark_model(text: str) -> BenchmarkModel:
    """Read what one run printed, stdout and stderr together or either of them.

    A success has its summary and the `count=` line of the run, which agree on the mean. A log of
    several runs is a failure, since figures of one could pass for those of another.
    """
    lines = [_Line(*line) for line in messages(text)]
    said = [line.text for line in lines]
    summaries = matches(SUMMARY, said)
    counts = [timings for timings in map(_timings, matches(COUNT, said)) if timings is not None]
    warmup_ms, mean_ms = (
        only(scaled(found[key], MS_PER_US) for found in summaries) for key in ("warmup", "mean")
    )
    run = _of_mean(counts, mean_ms)
    memory = matches(MEMORY, said)
    return BenchmarkModel(
        failure=_failure(lines, summaries, run),
        version=only(found["version"] for found in matches(VERSION, said)),
        graph=only(found["graph"] for found in matches(GRAPH, said)),
        threads=only(integer(found["threads"]) for found in matches(THREADS, said)),
        model_size_mb=only(number(found["size"]) for found in matches(SIZE, said)),
        init_time_ms=only(scaled(found["init"], MS_PER_US) for found in summaries),
        first_inference_ms=only(scaled(found["first"], MS_PER_US) for found in summaries),
        warmup_ms_mean=warmup_ms,
        latency_ms_mean=mean_ms,
        warmup=_of_mean([timings for timings in counts if timings is not run], warmup_ms),
        run=run,
        memory_growth_mib_init=only(number(found["init"]) for found in memory),
        memory_growth_mib_overall=only(number(found["overall"]) for found in memory),
        memory_peak_mib=only(number(found["peak"]) for found in matches(PEAK, said)),
        delegations=tuple(map(_delegation, matches(REPLACING, said))),
        applied=tuple(applied for applied in map(_applied, said) if applied is not None),
        unread=left_over(
            said,
            DATA,
            (COUNT, SUMMARY, MEMORY, PEAK, SIZE, SESSION, REPLACING, APPLIED, NOT_APPLIED),
        ),
    )


def _timings(found: re.Match[str]) -> Timings | None:
    count = integer(found["count"])
    if not count:
        return None
    stats = {name: scaled(value, MS_PER_US) for name, value in STAT.findall(found["stats"])}
    return Timings(
        count=count,
        latency_ms_first=stats.get("first"),
        latency_ms_last=stats.get("curr"),
        latency_ms_min=stats.get("min"),
        latency_ms_max=stats.get("max"),
        latency_ms_mean=stats.get("avg"),
        latency_ms_std=stats.get("std"),
        latency_ms_p5=stats.get("p5"),
        latency_ms_p50=stats.get("median"),
        latency_ms_p95=stats.get("p95"),
    )


def _of_mean(counts: list[Timings], mean_ms: float | None) -> Timings | None:
    """The last line with that mean: where it stands may tell a warm-up from a run, or may not."""
    if mean_ms is None:
        return None
    for timings in reversed(counts):
        # Samples that are all the same have no mean printed, and are it.
        own = timings.latency_ms_mean
        own = timings.latency_ms_last if own is None else own
        if own is not None and math.isclose(own, mean_ms, rel_tol=ROUNDING):
            return timings
    return None


def _delegation(found: re.Match[str]) -> Delegation:
    return Delegation(
        delegate=found["delegate"],
        nodes=int(found["nodes"]),
        of_nodes=integer(found["of"]),
        partitions=int(found["partitions"]),
    )


def _applied(line: str) -> Applied | None:
    found = APPLIED.fullmatch(line)
    if found is not None:
        executed: Literal["completely", "partially"] = "completely" if found["all"] else "partially"
        return Applied(
            delegate=found["delegate"], executed=executed, kernels=integer(found["kernels"])
        )
    found = NOT_APPLIED.fullmatch(line)
    if found is not None:
        return Applied(delegate=found["delegate"], executed="not", kernels=None)
    return None


def _failure(lines: list[_Line], summaries: list[re.Match[str]], run: Timings | None) -> str | None:
    said = [line.text for line in lines]
    failed = [found.group() for pattern in FAILED for found in matches(pattern, said)]
    if failed:
        errors = [line.text for line in lines if line.level in ("ERROR", "E", "FATAL", "F")]
        return ": ".join(dict.fromkeys([failed[0].rstrip("."), *errors[:1]]))
    if len(summaries) > 1 or said.count(BEGIN) > 1:
        return "the log holds several runs"
    if not summaries:
        return "the log is not complete: it has no line 'Inference timings in us: ..'"
    if run is None:
        return "no line 'count=.. avg=..' agrees with the mean of 'Inference timings in us: ..'"
    return None
