"""ONNX Runtime's `onnxruntime_perf_test`, old wordings and new.

Formats: onnxruntime/test/perftest (performance_runner.cc and performance_result.cc).
"""

import re

from edgecompress.vendor.text import (
    LABELLED,
    MS_PER_S,
    NUMBER,
    VendorText,
    complete_lines,
    integer,
    left_over,
    matches,
    number,
    only,
    scaled,
)

FIGURES = {
    "iterations": re.compile(r"Total (?:iterations|inference requests): ?([0-9]+)"),
    "mean": re.compile(rf"Average (?:inference )?time cost(?: total)?: ?({NUMBER}) ?ms"),
    "wall": re.compile(rf"Total (?:inference )?run time: ?({NUMBER}) ?s"),
    "init": re.compile(rf"Session creation time cost: ?({NUMBER}) ?s"),
    "first": re.compile(rf"First inference time cost: ?({NUMBER}) ?ms"),
    "peak": re.compile(r"Peak working set size: ?([0-9]+)(?: ?bytes)?"),
}
"""Releases before 1.3 print no space after the colon."""
LATENCY = re.compile(
    rf"(?P<what>Min|Max|P[0-9]+) Latency(?: is ?|: ?)(?P<value>{NUMBER}) ?s(?:ec)?"
)
NOT_KEPT = re.compile(
    rf"(?:Total (?:inference )?time cost|Average inference time cost submission"
    rf"|Number of inferences per second|(?:Avg|Average|Total) CPU usage|Runs): ?"
    rf"{NUMBER} ?(?:s|ms|%)?"
)
"""What follows from other figures, or is of the whole machine."""
DATA = re.compile(
    r"^(?:Total|Average|First|Session|Number of|Avg|Peak|Runs)\b[^:=]*[:=]|^[A-Z]\w* Latency\b|"
    + LABELLED,
    re.ASCII,
)
"""A label that the tool is known to print, or any with a number."""
ERROR = re.compile(r".*\[[EF]:onnxruntime:.*")


class OnnxruntimePerfTest(VendorText):
    """A run of onnxruntime_perf_test; only one whose `failure` is None succeeded."""

    failure: str | None
    iterations: int | None
    init_time_ms: float | None
    """The time to load the session; older releases do not print it."""
    first_inference_ms: float | None
    latency_ms_mean: float | None
    latency_ms_min: float | None
    latency_ms_max: float | None
    latency_ms_p50: float | None
    latency_ms_p90: float | None
    latency_ms_p95: float | None
    latency_ms_p99: float | None
    wall_s: float | None
    peak_rss_bytes: int | None

    @property
    def passed(self) -> bool:
        return self.failure is None


def parse_onnxruntime_perf_test(text: str) -> OnnxruntimePerfTest:
    """Read what one run printed; a success has its count, its mean and its percentiles."""
    lines = [line.strip() for line in complete_lines(text)]
    latencies = matches(LATENCY, lines)

    def said(name: str) -> str | None:
        return only(found[1] for found in matches(FIGURES[name], lines))

    def latency_ms(what: str) -> float | None:
        return only(
            scaled(found["value"], MS_PER_S) for found in latencies if found["what"] == what
        )

    iterations, mean_ms = integer(said("iterations")), number(said("mean"))
    median_ms, last_ms = latency_ms("P50"), latency_ms("P999")
    return OnnxruntimePerfTest(
        failure=_failure(lines, None not in (iterations, mean_ms, median_ms, last_ms)),
        iterations=iterations,
        init_time_ms=scaled(said("init"), MS_PER_S),
        first_inference_ms=number(said("first")),
        latency_ms_mean=mean_ms,
        latency_ms_min=latency_ms("Min"),
        latency_ms_max=latency_ms("Max"),
        latency_ms_p50=median_ms,
        latency_ms_p90=latency_ms("P90"),
        latency_ms_p95=latency_ms("P95"),
        latency_ms_p99=latency_ms("P99"),
        wall_s=number(said("wall")),
        peak_rss_bytes=integer(said("peak")),
        unread=left_over(lines, DATA, (*FIGURES.values(), LATENCY, NOT_KEPT, ERROR)),
    )


def _failure(lines: list[str], is_whole: bool) -> str | None:
    errors = matches(ERROR, lines)
    if errors:
        return errors[0].group()
    if not is_whole:
        return "the log is not complete: it needs the count, the mean, P50 and P999, each once"
    return None
