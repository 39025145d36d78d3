"""report.html as a document: complete, escaped, self-contained, and the same every time."""

import json
import math
import re
from html.parser import HTMLParser

import pytest
from synthetic import make_report

from edgecompress.report.html import render_html
from edgecompress.report.verdict import judge
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.protocol import Paced
from edgecompress.spec.report import EpochRow, Report, StagePoint, from_json, to_json
from edgecompress.spec.validity import Finding, Validity

HOSTILE = "<script>alert(1)</script>\" onload='x' $x^2$ \x00 {{ 7*7 }}"


class Page(HTMLParser):
    """Collects what the tests ask about."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def values(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]


def judged(report: Report, **budgets: float) -> Report:
    limits = Budgets(**{"max_metric_drop": 0.01, **budgets})
    found = judge(limits, report.baseline, report.candidate, report.comparison)
    return report.model_copy(update={"verdict": found.verdict(), "checks": found.checks})


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_it_says_the_verdict_its_reasons_and_the_figures() -> None:
    html = render_html(judged(make_report(), min_speedup=2.0))
    text = text_of(html)
    for words in (
        "ship All 6 checks passed. 2.7x faster than the original",
        "latency p50 1.42 ms 0.532 ms 2.7x faster",
        "Synthetic Core A0, 4 cores, aarch64",
        "governor performance",
        "temperature 48.5 to 51 °C",
        "4 each, in alternation",
        "1,600 in all, after 40 for warm-up",
        "onnxruntime has no int8 Softmax worth its conversions",
        "kept in float by name",
        "prune 3.4 this run",
        "baseline 12.3 cache",
        "ef" * 32,
        "synthetic: no figure in here was measured",
        "Does it ship? Yes: all 6 checks passed.",
        "2.7x faster than the original in the same runtime: p50 0.532 ms, it 1.42 ms",
        "What got worse? accuracy 0.9694, the original",
        "What next? take candidate.onnx, or send it: edgecompress push",
    ):
        assert words in text


def test_a_refusal_names_what_failed_first() -> None:
    html = render_html(judged(make_report(), min_speedup=3.0, latency_ms_p90=0.1))
    text = text_of(html)
    assert "refuse 2 of 7 checks failed." in text
    assert text.index("at least 3.00x asked") < text.index("0.0028 worse")


def test_without_a_device_the_tradeoff_is_against_macs() -> None:
    html = render_html(judged(make_report(measured=False)))
    text = text_of(html)
    assert "unmeasured 1 of 4 checks could not be measured." in text
    assert "Accuracy against MACs" in text
    assert "MACs, million" in text
    assert 'id="chart-latency"' not in html
    assert "Conditions of the measurement" not in text


def test_the_cost_of_quantising_is_told_operator_by_operator() -> None:
    report = make_report()
    text = text_of(render_html(report))
    assert "24.9 dB, on 16 samples" in text
    assert "stage1.0.conv1 conv2d 27.0 dB 31.0 dB 28.5 dB" in text
    assert "no signal" in text
    assert "whole blocks, 1 in float: 0.9701, p50 0.530 ms" in text
    assert "digits.head alone in int8 it leaves 9.5 dB" in text
    floating = report.model_copy(update={"noise": None})
    assert "Cost of quantising" not in text_of(render_html(floating))


def test_emulation_is_said() -> None:
    text = text_of(render_html(make_report(emulated=True)))
    assert "emulated: its speed says nothing about the board" in text
    assert "2.7x faster than the original, emulated" in text


def test_names_cannot_break_out() -> None:
    html = render_html(make_report(name=HOSTILE, sent=True))
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    page = Page(html)
    assert [tag for tag, _ in page.tags if tag == "script"] == []
    assert page.values("onload") == []
    assert "{{ 7*7 }}" in html  # a name is not a template


def test_it_asks_nothing_of_the_network() -> None:
    html = render_html(make_report())
    page = Page(html)
    assert page.values("src") == []
    assert all(value.startswith("#") for value in page.values("href"))
    assert set(re.findall(r"url\((.)", html)) <= {"#"}
    assert "@import" not in html
    policy = next(
        value for value in page.values("content") if value.startswith("default-src 'none'")
    )
    assert "script-src" not in policy


def test_ids_are_unique_and_charts_have_titles() -> None:
    page = Page(render_html(make_report()))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    charts = [attrs for tag, attrs in page.tags if tag == "svg" and attrs.get("role") == "img"]
    assert [chart["id"] for chart in charts] == [
        "chart-tradeoff",
        "chart-latency",
        "chart-noise",
        "chart-layers",
        "chart-training",
    ]
    for chart in charts:
        assert chart["aria-labelledby"] in ids
    for reference in page.values("href"):
        assert reference[1:] in ids


def test_chart_text_is_text_in_the_colours_of_the_page() -> None:
    html = render_html(make_report())
    assert ">stage1.0.conv1</text>" in html
    assert "#0000" not in html  # a placeholder that no variable replaced
    for variable in set(re.findall(r"var\((--[a-z0-9]+)\)", html)) - {"--tone"}:
        assert html.count(f"{variable}: #") == 2, f"{variable} needs a light and a dark colour"


def test_the_same_report_gives_the_same_bytes() -> None:
    assert render_html(make_report()) == render_html(make_report())


def test_a_long_name_is_cut_in_the_chart_and_whole_in_the_list() -> None:
    name = "a_rather_long_module_name_for_a_chart"
    html = render_html(make_report(name=name))
    assert ">a_rather_lo…t.stem.conv</text>" in html
    assert f"{name}.stem.conv" in html


def test_figures_that_are_not_finite_do_not_stop_the_report() -> None:
    report = make_report()
    bad = StagePoint(name="bad", metric=math.nan, latency_ms_p50=math.inf, macs=1, params=1)
    epoch = EpochRow(stage="fine-tune", epoch=0, loss=math.nan, metric=0.1, learning_rate=0.1)
    broken = report.model_copy(
        update={"points": (*report.points, bad), "epochs": (epoch, *report.epochs)}
    )
    html = render_html(broken)
    assert 'id="chart-tradeoff"' in html
    assert "inf ms" not in text_of(html)


def test_a_very_slow_sample_makes_the_axis_logarithmic() -> None:
    report = make_report()
    assert report.comparison is not None
    turn = report.comparison.baseline.turns[0]
    slow = turn.model_copy(update={"latency_ms": (*turn.latency_ms, 60.0)})
    baseline = report.comparison.baseline.model_copy(update={"turns": (slow,)})
    comparison = report.comparison.model_copy(update={"baseline": baseline})
    assert "latency, ms (logarithmic)" in render_html(
        report.model_copy(update={"comparison": comparison})
    )
    assert "(logarithmic)" not in render_html(report)


def test_checks_are_typed_and_the_lines_of_the_verdict_follow_from_them() -> None:
    report = judged(make_report(), min_speedup=9.0)
    document = json.loads(to_json(report))
    lines = [f"{check['outcome']}: {check['text']}" for check in document["checks"]]
    assert document["verdict"]["reasons"] == lines
    first = document["checks"][0]
    assert (first["kind"], first["outcome"]) == ("speed", "fail")
    assert report.comparison is not None
    speedup = {"name": "speedup", "value": report.comparison.speedup, "at_most": None}
    assert first["figures"] == [{**speedup, "at_least": 9.0}]


def test_a_report_of_an_earlier_version_has_its_checks_too() -> None:
    report = judged(make_report(), min_speedup=9.0)
    document = json.loads(to_json(report))
    del document["checks"]
    read = from_json(json.dumps(document), "report.json")
    told = [(check.kind, check.outcome, check.text) for check in read.checks]
    assert told == [("other", check.outcome, check.text) for check in report.checks]
    assert "1 of" in text_of(render_html(read))


@pytest.mark.parametrize("measured", [True, False])
def test_json_gives_the_report_back(measured: bool) -> None:
    report = make_report(measured=measured, sent=measured)
    text = to_json(report)
    assert from_json(text, "report.json") == report
    assert to_json(from_json(text, "report.json")) == text
    assert text.index('"verdict"') < text.index('"baseline"') < text.index('"artifacts"')


def test_conditions_say_the_protocol_and_whether_it_is_valid() -> None:
    report = make_report()
    assert report.comparison is not None
    waited = Finding(kind="waiting", text="it waited for 40% of the time", remedy="end that")
    side = report.comparison.candidate
    disturbed = side.model_copy(update={"validity": Validity(valid=False, reasons=(waited,))})
    again = report.comparison.baseline.model_copy(update={"discarded": (waited, waited)})
    changes = {"protocol": Paced(), "candidate": disturbed, "baseline": again}
    comparison = report.comparison.model_copy(update=changes)
    text = text_of(render_html(report.model_copy(update={"comparison": comparison})))
    assert "protocol paced" in text
    assert "valid no: it waited for 40% of the time" in text
    assert "4 each, in alternation; 2 were measured again" in text
    assert "valid yes" in text_of(render_html(report))
