"""A refusal ends with what to try, whatever failed, from the figures that were seen."""

import math
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st
from judging import BASELINE, CANDIDATE, COMPARED, with_metric
from synthetic import make_report, pushed

from edgecompress.report.advice import MOST_LINES, Facts, Seen, advise
from edgecompress.report.checks import check
from edgecompress.report.html import render_html
from edgecompress.report.verdict import judge
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.measurement import Op
from edgecompress.spec.report import CheckKind, ModelReport

BUDGETS = Budgets(max_metric_drop=0.01)
REPORT = make_report()
SEEN = Seen(REPORT.noise, None)
FACTS = Facts(BUDGETS, BASELINE, CANDIDATE, COMPARED, SEEN)
KINDS: tuple[CheckKind, ...] = get_args(CheckKind)
figures = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, 1.0, 1e-9])


@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=8),
    status=st.sampled_from(["fail", "unmeasured"]),
    speedup=figures,
    fraction=figures,
    metric=figures,
    sizes=st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)),
    macs=st.integers(0, 10**9),
    seen=st.sampled_from([SEEN, Seen(), Seen(REPORT.noise, REPORT.search)]),
    measured=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_no_check_leaves_one_alone(
    kinds, status, speedup, fraction, metric, sizes, macs, seen, measured
) -> None:
    """Whatever failed and whatever the figures are: one to three lines, each a line."""
    candidate = with_metric(CANDIDATE, metric).model_copy(
        update={
            "int8_op_fraction": fraction,
            "model_size_bytes": sizes[0],
            "peak_rss_bytes": sizes[1],
            "macs": macs,
        }
    )
    compared = COMPARED.model_copy(update={"speedup": speedup}) if measured else None
    budgets = Budgets(max_metric_drop=0.01, latency_ms_p50=0.1, peak_rss_bytes=1, min_speedup=2)
    checks = [check(kind, status, "") for kind in kinds]
    lines = advise(checks, Facts(budgets, BASELINE, candidate, compared, seen))
    assert 1 <= len(lines) <= MOST_LINES
    assert len(set(lines)) == len(lines)
    assert all(line.strip() and "\n" not in line and len(line) < 600 for line in lines)
    assert all("traceback" not in line and "nan" not in line.split() for line in lines)


def test_what_ships_is_given_none() -> None:
    assert judge(BUDGETS, BASELINE, CANDIDATE, COMPARED).advice == ()
    assert advise([check("metric", "pass", ""), check("metric", "warning", "")], FACTS) == ()


def advice(candidate: ModelReport, budgets: Budgets = BUDGETS, seen: Seen = SEEN) -> str:
    result = judge(budgets, BASELINE, candidate, COMPARED, seen=seen)
    assert result.decision == "refuse"
    return result.advice[0]


def test_a_lost_metric_names_the_operators_and_the_key_that_keeps_it() -> None:
    lost = with_metric(CANDIDATE, 0.90)
    line = advice(lost)
    assert "set quantize.max_metric_drop: 0.0100" in line
    assert "worst alone are digits.stem.conv (conv2d) 26.0 dB, stage1.0.conv1 (conv2d)" in line
    assert REPORT.noise is not None
    assert REPORT.search is not None
    clean = REPORT.noise.model_copy(update={"outputs_db": 44.0})
    assert "prune less" in advice(lost, seen=Seen(clean))
    assert "nothing was quantised" in advice(lost, seen=Seen())
    hopeless = REPORT.search.model_copy(update={"sets": ()})
    assert "mode: qat" in advice(lost, seen=Seen(REPORT.noise, hopeless))


def test_what_is_not_faster_names_what_breaks_the_chain() -> None:
    op = Op(name="n", op_type="Softmax", dtype="float32", macs=0, reason="no kernel", module="head")
    ops = (*CANDIDATE.inspection.ops[:3], op)
    broken = CANDIDATE.model_copy(
        update={
            "inspection": CANDIDATE.inspection.model_copy(update={"ops": ops}),
            "int8_op_fraction": 0.5,
        }
    )
    slow = COMPARED.model_copy(update={"speedup": 0.9, "speedup_low": 0.8})
    (line,) = judge(BUDGETS, BASELINE, broken, slow, seen=SEEN).advice
    assert line == "int8 kernels run 50.0 % of the MACs; in float are Softmax 'head' (no kernel)"
    whole = CANDIDATE.model_copy(
        update={"inspection": CANDIDATE.inspection.model_copy(update={"ops": ops[:3]})}
    )
    probe = slow.probe.model_copy(update={"machine": "x86_64", "cpu_features": ("avx2",)})
    here = slow.model_copy(update={"probe": probe})
    (line,) = judge(BUDGETS, BASELINE, whole, here, seen=SEEN).advice
    assert "no VNNI" in line
    small = here.model_copy(
        update={"baseline": here.baseline.model_copy(update={"latency_ms_p50": 0.05})}
    )
    (line,) = judge(BUDGETS, BASELINE, whole, small, seen=SEEN).advice
    assert "between operators" in line
    close = COMPARED.model_copy(update={"speedup": 1.02, "speedup_low": 0.97})
    (line,) = judge(BUDGETS, BASELINE, whole, close, seen=SEEN).advice
    assert "idle machine" in line


def test_budgets_come_with_a_figure() -> None:
    assert CANDIDATE.latency_ms_p50 is not None
    half = Budgets(max_metric_drop=0.01, latency_ms_p50=CANDIDATE.latency_ms_p50 / 2)
    pruned = BASELINE.macs / CANDIDATE.macs
    assert f"macs_reduction: {2 * 1.1 * pruned:.1f}" in advice(CANDIDATE, half)
    small = Budgets(max_metric_drop=0.01, model_size_bytes=CANDIDATE.model_size_bytes // 4)
    assert advice(CANDIDATE, small).endswith("pruning_ratio: 0.50")


def test_without_a_device_the_way_to_one_is_told() -> None:
    result = judge(BUDGETS, BASELINE, CANDIDATE, None, seen=SEEN)
    assert result.decision == "unmeasured"
    assert "edgecompress devices add" in result.advice[0]
    nan = with_metric(CANDIDATE, math.nan)
    assert any("NaN" in line for line in judge(BUDGETS, BASELINE, nan, COMPARED).advice)
    sent = judge(BUDGETS, BASELINE, CANDIDATE, COMPARED, Seen(pushed=pushed("rolled_back")))
    assert "devices check" in sent.advice[0]


def test_it_is_shown_and_escaped() -> None:
    verdict = replace_advice("use <b>this</b>")
    html = render_html(REPORT.model_copy(update={"verdict": verdict}))
    assert "use &lt;b&gt;this&lt;/b&gt;" in html


def replace_advice(line: str):  # type: ignore[no-untyped-def]
    return REPORT.verdict.model_copy(update={"advice": (line,)})
