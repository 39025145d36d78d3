"""Files that trtexec writes (--exportTimes, --exportProfile), and NVIDIA's summary of its log."""

from collections.abc import Iterator, Sequence

from pydantic import JsonValue

from edgecompress.spec.base import Spec
from edgecompress.vendor.text import VendorText, json_document, json_number, unread
from edgecompress.vendor.trtexec import LayerTime, PerformanceSummary, Times

QUERY_KEYS = ("h2dMs", "d2hMs", "startEnqMs", "endEnqMs")
SUMMARY_KEYS = (
    "Throughput",
    "Latency",
    "Enqueue Time",
    "H2D Latency",
    "GPU Compute Time",
    "D2H Latency",
    "Total Host Walltime",
    "Total GPU Compute Time",
)


class Query(Spec):
    """One inference; times since the start of the run in host and device clocks of trtexec."""

    latency_ms: float
    """Copy in, compute, copy out."""
    compute_ms: float
    h2d_ms: float | None
    d2h_ms: float | None
    enqueue_start_ms: float | None
    enqueue_end_ms: float | None


class ExportedTimes(VendorText):
    failure: str | None
    queries: tuple[Query, ...]
    """In order; empty beside a failure."""

    @property
    def passed(self) -> bool:
        return self.failure is None


class ExportedProfile(VendorText):
    failure: str | None
    iterations: int | None
    layers: tuple[LayerTime, ...]
    """In order of execution; empty beside a failure."""

    @property
    def passed(self) -> bool:
        return self.failure is None


class TrexMetadata(VendorText):
    """NVIDIA's `trt-engine-explorer` reads a trtexec log into such a file."""

    failure: str | None
    summary: PerformanceSummary | None
    device: str | None
    data_transfers: bool | None

    @property
    def passed(self) -> bool:
        return self.failure is None


def parse_export_times(text: str) -> ExportedTimes:
    """Read --exportTimes; a file with one broken query is a failure."""
    records = _records(text)
    if records is None:
        return ExportedTimes(failure="not a whole JSON list: cut off?", queries=())
    queries = []
    for index, record in enumerate(records):
        query = _query(record)
        if query is None:
            return ExportedTimes(
                failure=f"query {index}: latencyMs and computeMs must be numbers", queries=()
            )
        queries.append(query)
    if not queries:
        return ExportedTimes(failure="holds no query", queries=())
    return ExportedTimes(
        failure=None, queries=tuple(queries), unread=_no_numbers(records, "query", QUERY_KEYS)
    )


def parse_export_profile(text: str) -> ExportedProfile:
    """Read --exportProfile; a file with one broken layer is a failure."""
    records = _records(text)
    if not records or set(records[0]) != {"count"}:
        return ExportedProfile(
            failure="not a whole JSON list that begins with a count: cut off?",
            iterations=None,
            layers=(),
        )
    count = records[0]["count"]
    iterations = count if isinstance(count, int) and not isinstance(count, bool) else None
    layers = []
    for index, record in enumerate(records[1:], start=1):
        layer = _layer(record)
        if layer is None:
            return ExportedProfile(
                failure=f"entry {index}: needs name, timeMs, averageMs and percentage",
                iterations=None,
                layers=(),
            )
        layers.append(layer)
    return ExportedProfile(
        failure=None,
        iterations=iterations,
        layers=tuple(layers),
        unread=(
            *(() if iterations is not None else unread([f"count: {count}"])),
            *_no_numbers(records[1:], "layer", ("medianMs",)),
        ),
    )


def parse_trex_metadata(text: str) -> TrexMetadata:
    """Read a *.profile.metadata.json; its lists are [min, max, mean, median, p99]."""
    document = json_document(text)
    performance = document.get("performance_summary") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(performance, dict):
        return TrexMetadata(
            failure="not a whole JSON object with a performance_summary: cut off?",
            summary=None,
            device=None,
            data_transfers=None,
        )
    transfers = _text(document, "inference_options", "Data transfers")
    known = {"Enabled": True, "Disabled": False}
    return TrexMetadata(
        failure=None,
        summary=PerformanceSummary(
            throughput_qps=json_number(performance.get("Throughput")),
            latency=_times(performance.get("Latency")),
            enqueue=_times(performance.get("Enqueue Time")),
            h2d=_times(performance.get("H2D Latency")),
            gpu_compute=_times(performance.get("GPU Compute Time")),
            d2h=_times(performance.get("D2H Latency")),
            host_walltime_s=json_number(performance.get("Total Host Walltime")),
            gpu_compute_s=json_number(performance.get("Total GPU Compute Time")),
        ),
        device=_text(document, "device_information", "Selected Device"),
        data_transfers=known.get(transfers or ""),
        unread=unread(_no_summary(performance)),
    )


def _records(text: str) -> list[dict[str, JsonValue]] | None:
    document = json_document(text)
    if not isinstance(document, list):
        return None
    records = [record for record in document if isinstance(record, dict)]
    return records if len(records) == len(document) else None


def _query(record: dict[str, JsonValue]) -> Query | None:
    latency, compute = (json_number(record.get(key)) for key in ("latencyMs", "computeMs"))
    if latency is None or compute is None:
        return None
    return Query(
        latency_ms=latency,
        compute_ms=compute,
        h2d_ms=json_number(record.get("h2dMs")),
        d2h_ms=json_number(record.get("d2hMs")),
        enqueue_start_ms=json_number(record.get("startEnqMs")),
        enqueue_end_ms=json_number(record.get("endEnqMs")),
    )


def _layer(record: dict[str, JsonValue]) -> LayerTime | None:
    name = record.get("name")
    total, mean, percent = (
        json_number(record.get(key)) for key in ("timeMs", "averageMs", "percentage")
    )
    if not isinstance(name, str) or total is None or mean is None or percent is None:
        return None
    return LayerTime(
        name=name,
        total_ms=total,
        mean_ms=mean,
        median_ms=json_number(record.get("medianMs")),
        percent=percent,
    )


def _no_numbers(
    records: Sequence[dict[str, JsonValue]], what: str, keys: Sequence[str]
) -> tuple[str, ...]:
    """What is wrong with keys that may be missing: one is there and holds no number."""
    return unread(
        f"{what} {index}: {key}: {record[key]}"
        for index, record in enumerate(records)
        for key in keys
        if record.get(key) is not None and json_number(record[key]) is None
    )


def _no_summary(performance: dict[str, JsonValue]) -> Iterator[str]:
    for key, value in performance.items():
        is_known = value is None or json_number(value) is not None or _times(value) is not None
        if key in SUMMARY_KEYS and not is_known:
            yield f"{key}: {value}"


def _times(value: JsonValue) -> Times | None:
    if not isinstance(value, list) or len(value) != 5:
        return None
    low, high, mean, median, p99 = map(json_number, value)
    return Times(ms_min=low, ms_max=high, ms_mean=mean, ms_p50=median, ms_p99=p99)


def _text(document: dict[str, JsonValue], section: str, key: str) -> str | None:
    found = document.get(section)
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, str) else None
