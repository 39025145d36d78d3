"""A refusal for speed says where the time goes."""

import pytest
from judging import BASELINE, CANDIDATE, COMPARED
from synthetic import make_report

from edgecompress.report.time_spent import time_spent
from edgecompress.report.verdict import judge
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.profile import KindTime, Profile
from edgecompress.spec.report import ModelReport, from_json, to_json

BUDGETS = Budgets(max_metric_drop=0.01)
SLOW = COMPARED.model_copy(update={"speedup": 0.9, "speedup_low": 0.8, "speedup_high": 0.95})


def kind(op_type: str, dtype: str, time_us: float, macs: int = 0, reason: str = "") -> KindTime:
    return KindTime(
        op_type=op_type,
        dtype=dtype,
        operators=4,
        time_us=time_us,
        macs=macs,
        reason=None if reason == "" else reason,
    )


def counted(report: ModelReport, *kinds: KindTime) -> ModelReport:
    profile = Profile(
        runtime="onnxruntime 1.31.1",
        kinds=kinds,
        sum_us=sum(one.time_us for one in kinds),
    )
    return report.model_copy(update={"profile": profile})


FLOAT = counted(
    BASELINE, kind("FusedMatMul", "float32", 620, BASELINE.macs), kind("Gelu", "float32", 80)
)
INT8 = counted(
    CANDIDATE,
    kind("QGemm", "int8", 610, CANDIDATE.macs),
    kind("Gelu", "float32", 190, reason="ONNX Runtime has no int8 kernel for Gelu"),
    kind("QuantizeLinear", "float32", 60, reason="quantises what Gelu wrote"),
    kind("DequantizeLinear", "float32", 60, reason="feeds Gelu"),
    kind("Reshape", "int8", 40),
    kind("Transpose", "int8", 40),
)
LINE = (
    "its time goes into QGemm in int8 (61 %), Gelu in float32: ONNX Runtime has no int8 kernel for"
    " Gelu (19 %), conversions between int8 and float (12 %), 2 more kinds (8 %); layers and"
    " products take 0.610 ms of it, the original's 0.620 ms"
)


def test_the_line_has_the_most_expensive_kinds_and_what_products_took_before() -> None:
    assert time_spent(FLOAT, INT8) == LINE


@pytest.mark.parametrize(
    "baseline", [BASELINE, counted(BASELINE, kind("MatMul", "float32", 1, BASELINE.macs // 2))]
)
def test_products_are_not_compared_where_some_were_not_counted(baseline: ModelReport) -> None:
    assert time_spent(baseline, INT8) == LINE.partition("; layers")[0]


def test_the_first_refusal_by_the_clock_says_it_and_nothing_else_does() -> None:
    found = judge(BUDGETS, FLOAT, INT8, SLOW)
    first, second = (each for each in found.checks if each.outcome == "fail")
    assert first.kind == second.kind == "speed"
    assert first.text.endswith(f"asked; {LINE}")
    assert LINE not in second.text
    limit = Budgets(max_metric_drop=0.01, latency_ms_p50=0.01)
    over = judge(limit, FLOAT, INT8, COMPARED).checks[0]
    assert (over.kind, over.text.endswith(LINE)) == ("budget", True)
    shipped = judge(BUDGETS, FLOAT, INT8, COMPARED)
    assert LINE not in "".join(shipped.reasons)


def test_without_counters_it_says_what_the_operators_compute_in() -> None:
    profile = Profile(why_none="litert: its Python package has no profiler")
    line = time_spent(BASELINE, CANDIDATE.model_copy(update={"profile": profile}))
    assert line.startswith("where the time goes is not told: litert: its Python package has no")
    assert f"of its {len(CANDIDATE.inspection.ops)} operators " in line
    assert "compute in int8" in line


def test_a_report_of_an_earlier_version_has_no_kinds() -> None:
    assert time_spent(BASELINE, CANDIDATE) == ""
    assert time_spent(BASELINE, counted(CANDIDATE)) == ""
    report = make_report().model_copy(update={"candidate": INT8})
    assert from_json(to_json(report), "here") == report
