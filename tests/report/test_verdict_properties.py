"""Never ship slower or worse, whatever the figures are."""

from hypothesis import given, settings
from hypothesis import strategies as st
from judging import BASELINE, CANDIDATE, COMPARED, with_metric

from edgecompress.report.verdict import judge
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.report import ModelReport

FIGURES = {
    "latency_ms_p50": 1,
    "latency_ms_p90": 1,
    "latency_ms_p99": 1,
    "init_time_ms": 1,
    "peak_rss_bytes": 1,
    "model_size_bytes": 1,
    "int8_op_fraction": -1,
}
"""How each gets worse: the key, and the direction."""
COMPARISON_FIGURES = {"speedup": -1, "speedup_low": -1}
positive = st.floats(min_value=0.01, max_value=100)
sizes = st.integers(min_value=1, max_value=50 << 20)
fractions = st.floats(min_value=0, max_value=1)


@st.composite
def budgets(draw: st.DrawFn) -> Budgets:
    return Budgets(
        max_metric_drop=draw(fractions),
        min_speedup=draw(st.floats(min_value=1, max_value=4)),
        **{
            key: draw(st.none() | positive)
            for key in ("latency_ms_p50", "latency_ms_p90", "latency_ms_p99", "init_time_ms")
        },
        peak_rss_bytes=draw(st.none() | sizes),
        model_size_bytes=draw(st.none() | sizes),
        min_int8_op_fraction=draw(st.none() | fractions),
    )


@st.composite
def models(draw: st.DrawFn, higher_is_better: bool) -> ModelReport:
    times = ("latency_ms_p50", "latency_ms_p90", "latency_ms_p99", "init_time_ms")
    changed = CANDIDATE.model_copy(
        update={
            **{key: draw(positive) for key in times},
            "peak_rss_bytes": draw(sizes),
            "model_size_bytes": draw(sizes),
            "int8_op_fraction": draw(fractions),
        }
    )
    return with_metric(changed, draw(fractions), higher_is_better=higher_is_better)


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    return SMALL.model_copy(
        update={
            "emulated": draw(st.booleans()),
            "speedup": draw(positive),
            "speedup_low": draw(positive),
        }
    )


def small() -> Comparison:
    """Few samples, so that judging a thousand of them takes no time."""
    turn = COMPARED.baseline.turns[0].model_copy(update={"latency_ms": (1.0,)})
    measured = COMPARED.baseline.model_copy(update={"turns": (turn,)})
    return COMPARED.model_copy(update={"baseline": measured, "candidate": measured})


SMALL = small()


@st.composite
def cases(draw: st.DrawFn) -> tuple[Budgets, ModelReport, ModelReport, Comparison | None]:
    higher = draw(st.booleans())
    # Often lenient and good, or else next to nothing would ever ship.
    if draw(st.booleans()):
        limits = Budgets(max_metric_drop=1.0)
        baseline = with_metric(BASELINE, 0.5, higher_is_better=higher)
        candidate = with_metric(CANDIDATE, draw(fractions), higher_is_better=higher)
        return limits, baseline, candidate, draw(st.none() | comparisons())
    limits, baseline = draw(budgets()), draw(models(higher_is_better=higher))
    return limits, baseline, draw(models(higher_is_better=higher)), draw(st.none() | comparisons())


@settings(max_examples=300, deadline=None)
@given(case=cases(), amount=st.floats(min_value=0, max_value=10), data=st.data())
def test_worse_never_turns_anything_into_ship(
    case: tuple[Budgets, ModelReport, ModelReport, Comparison | None],
    amount: float,
    data: st.DataObject,
) -> None:
    limits, baseline, candidate, compared = case
    before = judge(limits, baseline, candidate, compared)
    key = data.draw(st.sampled_from([*FIGURES, *COMPARISON_FIGURES, "metric"]))
    if key == "metric":
        sign = -1 if candidate.metric.higher_is_better else 1
        candidate = with_metric(candidate, candidate.metric.value + sign * amount)
    elif key in FIGURES:
        value = getattr(candidate, key)
        worse = type(value)(value + FIGURES[key] * amount * abs(value))
        candidate = candidate.model_copy(update={key: worse})
    elif compared is not None:
        worse = getattr(compared, key) * (1 - min(amount, 1))
        compared = compared.model_copy(update={key: worse})
    after = judge(limits, baseline, candidate, compared)
    order = {"refuse": 0, "unmeasured": 1, "ship": 2}
    assert order[after.decision] <= order[before.decision]


@settings(max_examples=300, deadline=None)
@given(case=cases())
def test_ship_means_that_every_budget_holds(
    case: tuple[Budgets, ModelReport, ModelReport, Comparison | None],
) -> None:
    limits, baseline, candidate, compared = case
    if judge(limits, baseline, candidate, compared).decision != "ship":
        return
    assert compared is not None
    assert not compared.emulated
    assert compared.speedup >= limits.min_speedup
    assert compared.speedup_low >= 1.0
    drop = baseline.metric.value - candidate.metric.value
    if not candidate.metric.higher_is_better:
        drop = -drop
    assert drop <= limits.max_metric_drop + 1e-6
    assert candidate.model_size_bytes <= baseline.model_size_bytes
    for key in FIGURES:
        if key == "int8_op_fraction":
            assert candidate.int8_op_fraction >= (limits.min_int8_op_fraction or 0)
        elif getattr(limits, key) is not None:
            assert getattr(candidate, key) <= getattr(limits, key)


def test_the_cases_above_do_ship_at_times() -> None:
    shipping = Budgets(max_metric_drop=1.0)
    assert judge(shipping, BASELINE, CANDIDATE, SMALL).decision == "ship"
