"""A report whose figures mean nothing: what carries or shows one only needs it to be whole."""

from edgecompress.spec.measurement import Inspection
from edgecompress.spec.report import Check, MetricValue, ModelReport, Report, VerdictResult


def synthetic_report(run: str, accuracy: float = 0.5, target: str = "synthetic") -> Report:
    model = ModelReport(
        accuracy=accuracy,
        metric=MetricValue(name="accuracy", value=accuracy, higher_is_better=True, samples=10),
        latency_ms_p50=None,
        latency_ms_p90=None,
        latency_ms_p99=None,
        first_inference_ms=None,
        init_time_ms=None,
        peak_rss_bytes=None,
        model_size_bytes=100,
        macs=10,
        params=5,
        int8_op_fraction=0.0,
        inspection=Inspection(runtime="synthetic 1", machine="synthetic", ops=()),
    )
    return Report(
        run=run,
        created="2026-11-22T12:13:14+00:00",
        target=target,
        device=None,
        task="task.py:Task",
        recipe_digest="0" * 64,
        verdict=VerdictResult(decision="unmeasured", reasons=("unmeasured: no device",)),
        checks=(Check(kind="device", outcome="unmeasured", text="no device"),),
        baseline=model,
        candidate=model,
        speedup=None,
        comparison=None,
        artifacts=(),
        stages=(),
        points=(),
        layers=(),
        epochs=(),
    )
