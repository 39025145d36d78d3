"""What NVIDIA's `trtexec` prints, of TensorRT 8 to 10, and of 7 the host's latency.

Formats: TensorRT/samples/common/sampleReporting.cpp of each release.
"""

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from edgecompress.spec.base import Spec
from edgecompress.vendor.text import (
    NUMBER,
    SEARCHED,
    VendorText,
    complete_lines,
    integer,
    left_over,
    matches,
    number,
    only,
    unread,
)
from edgecompress.vendor.trtexec_lines import BANNER, BANNERS, LINE, reason, version

ONE = rf"[a-z]+(?:\([0-9.]+%\))? = {NUMBER} ms"
TIMES = re.compile(
    r"(?P<what>Latency|Enqueue Time|H2D Latency|GPU Compute Time|D2H Latency): "
    rf"(?P<stats>{ONE}(?:, {ONE})*)"
)
STAT = re.compile(rf"(?P<name>[a-z]+(?:\([0-9.]+%\))?) = (?P<value>{NUMBER}) ms")
LEGACY_STAT = re.compile(
    rf"(?P<name>min|max|mean|median): (?P<value>{NUMBER}) ms \(end to end {NUMBER} ms\)"
)
"""A line of TensorRT 7, below 'Host Latency'; other sections there have no end-to-end time."""
FIGURES = {
    "throughput_qps": re.compile(rf"Throughput: ({NUMBER}) qps"),
    "host_walltime_s": re.compile(rf"Total Host Walltime: ({NUMBER}) s"),
    "gpu_compute_s": re.compile(rf"Total GPU Compute Time: ({NUMBER}) s"),
    "variation": re.compile(
        rf"\* GPU compute time is unstable, with coefficient of variance = ({NUMBER})%\."
    ),
    "load_s": re.compile(rf"Engine loaded in ({NUMBER}) sec\.?"),
    "deserialize_s": re.compile(rf"Engine deserialized in ({NUMBER}) sec\.?"),
    "build_s": re.compile(rf"Engine built in ({NUMBER}) sec\.?"),
    "size_mib": re.compile(rf"Loaded engine size: ({NUMBER}) MiB"),
}
DEVICE = re.compile(r"Selected Device: (.+)")
TRANSFERS = re.compile(r"Data transfers: (Enabled|Disabled)")
BOUND_BY: dict[str, Literal["enqueue", "h2d", "d2h"]] = {
    "* Throughput may be bound by Enqueue Time rather than GPU Compute": "enqueue",
    "* Throughput may be bound by host-to-device transfers": "h2d",
    "* Throughput may be bound by device-to-host transfers": "d2h",
}
ITERATIONS = re.compile(r"=== Profile \(([0-9]+) iterations ?\) ===")
LAYERS = (
    # TensorRT 8.5 and before, the median since 8.4.
    re.compile(
        rf"\s*(?P<name>\S.*?)\s{{2,}}(?P<total>{NUMBER})\s+(?P<mean>{NUMBER})\s+"
        rf"(?:(?P<median>{NUMBER})\s+)?(?P<percent>{NUMBER})"
    ),
    # From 8.6 on.
    re.compile(
        rf"\s+(?P<total>{NUMBER})\s+(?P<mean>{NUMBER})\s+(?P<median>{NUMBER})\s+"
        rf"(?P<percent>{NUMBER})   (?P<name>\S.*)"
    ),
)
TOTAL = "Total"
TACTIC = re.compile(
    r"Tactic Device request: (?P<request>[0-9]+)MB Available: (?P<available>[0-9]+)MB\..*"
)
AVERAGE = re.compile(r"Average on [0-9]+ runs - .+")
"""Some of what the summary counts."""
DATA = re.compile(
    r"^(?:Throughput|Latency|Enqueue Time|H2D Latency|GPU Compute Time|D2H Latency"
    r"|Total (?:Host|GPU) [\w ]*|Engine (?:loaded|deserialized|built) in|Loaded engine size)\b"
    r"|^(?:min|max|mean|median|Data transfers|Selected Device): "
    r"|^=== Profile|^Tactic Device request|coefficient of variance"
    r"|\b(?:min|max|mean|median) ?[=:] ?-?[0-9]",
)
"""Words of a line that holds a figure, whatever the release."""
PROFILE_ROW = re.compile(
    rf"\s*(?:\S.*?\s{{2,}})?{NUMBER}\s+{NUMBER}\s+(?:{NUMBER}\s+)?{NUMBER}(?:\s+\S.*)?"
)


class Times(Spec):
    """Over the timed inferences; older releases print fewer percentiles."""

    ms_min: float | None = None
    ms_max: float | None = None
    ms_mean: float | None = None
    ms_p50: float | None = None
    ms_p90: float | None = None
    ms_p95: float | None = None
    ms_p99: float | None = None


class PerformanceSummary(Spec):
    """None throughout of a build, and where layers were profiled in the same run."""

    throughput_qps: float | None
    latency: Times | None
    """Copy in, compute, copy out."""
    enqueue: Times | None
    """On the CPU; where it is longer than `gpu_compute`, the host is what is measured."""
    h2d: Times | None
    """0 where the copies are left out."""
    gpu_compute: Times | None
    d2h: Times | None
    host_walltime_s: float | None
    gpu_compute_s: float | None


class LayerTime(Spec):
    name: str
    total_ms: float
    """Over all iterations."""
    mean_ms: float
    median_ms: float | None
    percent: float


class SkippedTactic(Spec):
    """A kernel that the builder could not try for lack of memory."""

    request_mb: int
    available_mb: int


class Trtexec(VendorText):
    """A run of trtexec; only one whose `failure` is None succeeded."""

    failure: str | None
    version: str | None
    """Such as '10.3.0'."""
    build: str | None
    """The last part of the version: '35' of 10.13.0.35; older releases do not print it."""
    command: str | None
    device: str | None
    summary: PerformanceSummary
    bound_by: tuple[Literal["enqueue", "h2d", "d2h"], ...]
    """What trtexec warns of as limiting the throughput in place of the GPU."""
    gpu_compute_variation_percent: float | None
    """Standard deviation by mean; printed only where it is large."""
    data_transfers: bool | None
    """Whether copies are part of the figures: never compare unlike."""
    engine_load_s: float | None
    engine_deserialize_s: float | None
    engine_build_s: float | None
    engine_size_mib: float | None
    profile_iterations: int | None
    profile: tuple[LayerTime, ...]
    profile_total: LayerTime | None
    skipped_tactics: tuple[SkippedTactic, ...]
    warnings: tuple[str, ...]
    errors: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return self.failure is None


class _Line(NamedTuple):
    level: str
    text: str


def parse_trtexec(text: str) -> Trtexec:
    """Read what one run printed; its banner '&&&& PASSED' is what makes it a success.

    A log of several runs is a failure, since figures of one could pass for those of another.
    """
    raw = [line.rstrip() for line in complete_lines(text)]
    banners = matches(BANNER, raw)
    lines = [_Line(found["level"], found["text"]) for found in matches(LINE, raw)]
    said = [line.text for line in lines]
    layers = list(_layers(said))
    errors = tuple(line.text for line in lines if line.level in "EF")
    return Trtexec(
        failure=_failure(banners, reason(raw)),
        version=only(version(found["version"]) for found in banners),
        build=only(found["build"] for found in banners),
        command=only(found["command"] for found in banners),
        device=only(found[1] for found in matches(DEVICE, said)),
        summary=_summary(said),
        bound_by=tuple(
            dict.fromkeys(
                by for line in said for begin, by in BOUND_BY.items() if line.startswith(begin)
            )
        ),
        gpu_compute_variation_percent=_figure("variation", said),
        data_transfers=_transfers(banners, said),
        engine_load_s=_figure("load_s", said),
        engine_deserialize_s=_figure("deserialize_s", said),
        engine_build_s=_figure("build_s", said),
        engine_size_mib=_figure("size_mib", said),
        profile_iterations=only(integer(found[1]) for found in matches(ITERATIONS, said)),
        profile=tuple(layer for layer in layers if layer.name != TOTAL),
        profile_total=only(layer for layer in layers if layer.name == TOTAL),
        skipped_tactics=tuple(
            SkippedTactic(request_mb=request, available_mb=available)
            for found in matches(TACTIC, said)
            if (request := integer(found["request"])) is not None
            and (available := integer(found["available"])) is not None
        ),
        warnings=tuple(line.text for line in lines if line.level == "W"),
        errors=errors,
        unread=_unread(raw, said),
    )


def _summary(said: list[str]) -> PerformanceSummary:
    found = matches(TIMES, said)
    latency = only(_times(line["stats"]) for line in found if line["what"] == "Latency")

    def times(what: str) -> Times | None:
        return only(_times(line["stats"]) for line in found if line["what"] == what)

    return PerformanceSummary(
        throughput_qps=_figure("throughput_qps", said),
        latency=latency or _legacy_times(matches(LEGACY_STAT, said)),
        enqueue=times("Enqueue Time"),
        h2d=times("H2D Latency"),
        gpu_compute=times("GPU Compute Time"),
        d2h=times("D2H Latency"),
        host_walltime_s=_figure("host_walltime_s", said),
        gpu_compute_s=_figure("gpu_compute_s", said),
    )


def _times(stats: str) -> Times:
    value = {found["name"]: number(found["value"]) for found in STAT.finditer(stats)}
    return Times(
        ms_min=value.get("min"),
        ms_max=value.get("max"),
        ms_mean=value.get("mean"),
        ms_p50=value.get("median"),
        ms_p90=value.get("percentile(90%)"),
        ms_p95=value.get("percentile(95%)"),
        ms_p99=value.get("percentile(99%)"),
    )


def _legacy_times(lines: list[re.Match[str]]) -> Times | None:
    if not lines:
        return None

    def value(name: str) -> float | None:
        return only(number(line["value"]) for line in lines if line["name"] == name)

    return Times(
        ms_min=value("min"), ms_max=value("max"), ms_mean=value("mean"), ms_p50=value("median")
    )


def _figure(name: str, said: list[str]) -> float | None:
    return only(number(found[1]) for found in matches(FIGURES[name], said))


def _transfers(banners: list[re.Match[str]], said: list[str]) -> bool | None:
    words = {found[1] for found in matches(TRANSFERS, said)}
    if any("--noDataTransfers" in found["command"].split() for found in banners):
        words.add("Disabled")
    word = only(words)
    return None if word is None else word == "Enabled"


def _layers(said: Iterable[str]) -> Iterable[LayerTime]:
    for line in said:
        if len(line) > SEARCHED:
            continue
        both = [found for pattern in LAYERS if (found := pattern.fullmatch(line))]
        if len(both) != 1:
            continue
        total, mean, percent = (number(both[0][key]) for key in ("total", "mean", "percent"))
        if total is not None and mean is not None and percent is not None:
            yield LayerTime(
                name=both[0]["name"],
                total_ms=total,
                mean_ms=mean,
                median_ms=number(both[0]["median"]),
                percent=percent,
            )


def _unread(raw: list[str], said: list[str]) -> tuple[str, ...]:
    known = (*FIGURES.values(), TIMES, LEGACY_STAT, AVERAGE, DEVICE, TRANSFERS, ITERATIONS, TACTIC)
    rows = (
        line
        for line in said
        if PROFILE_ROW.fullmatch(line[:SEARCHED]) and not list(_layers([line]))
    )
    return unread((*left_over(raw, BANNERS, (BANNER,)), *left_over(said, DATA, known), *rows))


def _failure(banners: list[re.Match[str]], why: str | None) -> str | None:
    ends = [found["state"] for found in banners if found["state"] != "RUNNING"]
    because = f": {why}" if why else ""
    if len(ends) > 1 or len(banners) - len(ends) > 1:
        return "the log holds several runs"
    if not ends:
        return f"the log has no line '&&&& PASSED TensorRT.trtexec'{because}"
    if ends != ["PASSED"]:
        return f"trtexec says {ends[0]}{because}"
    return None
