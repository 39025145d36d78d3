"""What benchmark_model was asked for, and what its log says of it."""

from edgecompress.errors import AgentError
from edgecompress.runtimes.litert.target import DelegateName
from edgecompress.spec.measurement import LatencySummary
from edgecompress.spec.protocol import MeasurementProtocol
from edgecompress.vendor.benchmark_model import BenchmarkModel, Timings, parse_benchmark_model
from edgecompress.vendor.text import VendorText

MAX_S = 600.0
"""The tool's own limit of a run, 150 s, could end one before it has its iterations."""
DELEGATE_FLAGS: dict[DelegateName | None, tuple[str, ...]] = {
    None: ("--use_xnnpack=false",),
    "xnnpack": ("--use_xnnpack=true",),
    "gpu": ("--use_gpu=true",),
    # NNAPI's own CPU is a reference that no application would want.
    "nnapi": ("--use_nnapi=true", "--disable_nnapi_cpu=true"),
}
MEBIBYTE = 1 << 20


def run_flags(
    delegate: DelegateName | None, threads: int, protocol: MeasurementProtocol | None
) -> list[str]:
    """`protocol`: how long to measure; None: as short as can be, for the outputs alone."""
    if protocol is None:
        # Without a warm-up the tool divides by zero and prints no summary.
        length = (1, 1, 0.0)
    else:
        # The first inference is the first warm-up.
        warmups = 1 + protocol.warmup_iterations
        length = (warmups, protocol.min_iterations, protocol.min_duration_s)
    warmup_runs, runs, seconds = length
    return [
        f"--num_threads={threads}",
        f"--warmup_runs={warmup_runs}",
        "--warmup_min_secs=0",
        f"--num_runs={runs}",
        f"--min_secs={seconds}",
        f"--max_secs={MAX_S + seconds}",
        *DELEGATE_FLAGS[delegate],
    ]


def read_run(text: str, returncode: int, where: str) -> BenchmarkModel:
    """Raises AgentError when it was not a success from end to end."""
    log = parse_benchmark_model(text)
    if log.failure is not None or returncode:
        words = text.strip().splitlines()[-1:]
        said = log.failure or f"exit code {returncode}; it last said: {''.join(words)}"
        raise AgentError(f"{where}: {said}")
    return log


def delegation_notes(
    log: BenchmarkModel, delegate: DelegateName | None, where: str
) -> tuple[str, ...]:
    """What to say, by the nodes that the delegate took; that one was created says nothing.

    Raises:
        AgentError: the delegate that was asked for runs nothing, or the log does not tell.

    """
    if delegate is None:
        return ()
    taken = [found for found in log.delegations if delegate in found.delegate.lower()]
    words = {found.executed for found in log.applied if found.delegate.lower() == delegate}
    nodes = sum(found.nodes for found in taken)
    totals = [found.of_nodes for found in taken]
    known = [count for count in totals if count is not None]
    total = sum(known) if len(known) == len(totals) else None
    if "not" in words or (taken and not nodes):
        raise AgentError(f"{where}: {delegate} was asked for and runs no node of the graph")
    if not taken and not words:
        raise AgentError(
            f"{where}: {delegate} was asked for, and the log does not say that it runs anything;"
            " is this benchmark_model built with it?"
        )
    if taken and total is not None:
        whole = nodes >= total and "partially" not in words
        share = f"{nodes} of {total} nodes"
    else:
        whole = "completely" in words
        share = "a part of the graph"
    return () if whole else (f"{delegate} runs {share}; the CPU runs the rest",)


def unread_notes(log: VendorText, where: str) -> tuple[str, ...]:
    """What the tool printed that looks like data and was not understood."""
    return tuple(
        f"{where} says what is not understood, and not used: {line}" for line in log.unread
    )


def summary_of(run: Timings) -> LatencySummary:
    """What is known of the samples; the tool prints the only one of a run of one inference."""
    last = run.latency_ms_last
    mean, low, high = (
        last if value is None else value
        for value in (run.latency_ms_mean, run.latency_ms_min, run.latency_ms_max)
    )
    if mean is None or low is None or high is None:
        raise AgentError("benchmark_model: its line 'count=..' has no avg, min or max")
    return LatencySummary(
        count=run.count,
        latency_ms_mean=mean,
        latency_ms_min=low,
        latency_ms_max=high,
        latency_ms_std=run.latency_ms_std,
        latency_ms_p5=run.latency_ms_p5,
        latency_ms_p50=run.latency_ms_p50,
        latency_ms_p95=run.latency_ms_p95,
    )
