"""What a notebook shows: one line, and a card that is whole, short and escaped."""

from html.parser import HTMLParser

import pytest
from reports import synthetic_report
from synthetic import comparison, make_report

from edgecompress.report.notebook import card, one_line, told
from edgecompress.spec.layers import LayerComparison, LayerDifference
from edgecompress.spec.measurement import Evaluation
from edgecompress.spec.pushed import Pushed
from edgecompress.spec.report import PushedRun

HOSTILE = "<script>alert(1)</script>\" onload='x' {{ 7*7 }} \x1b"


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_report_in_one_line() -> None:
    report = make_report()
    line = one_line(report)
    assert "\n" not in line
    decision = report.verdict.decision.upper()
    assert line.startswith(f"<Report {decision} {report.target}: ")
    assert f"{report.speedup:.1f}x as fast (" in line
    assert f"{100 * report.candidate.metric.value:.1f} %" in line
    assert line.endswith("iB>")


def test_without_a_measurement() -> None:
    line = one_line(synthetic_report("run"))
    assert line == (
        "<Report UNMEASURED synthetic: speed not measured, accuracy 50.0 % (+0.0), 0.1 KiB>"
    )


def test_a_measurement_that_decides_nothing_says_so() -> None:
    report = make_report()
    assert report.comparison is not None
    emulated = report.comparison.model_copy(update={"emulated": True})
    line = one_line(report.model_copy(update={"comparison": emulated}))
    assert ": speed emulated, " in line


def test_the_card_is_whole_and_asks_for_nothing() -> None:
    html = card(make_report(), "runs/a b/report.html")
    tags = Tags(html)
    assert tags.open == []
    assert {tag for tag, _ in tags.seen} <= {
        "div", "p", "b", "table", "tr", "th", "td", "a"
    }  # fmt: skip
    assert "http" not in html
    assert [attributes["href"] for tag, attributes in tags.seen if tag == "a"] == [
        "runs/a b/report.html"
    ]
    assert "latency p50" in html
    assert len(html) < 10_000


def test_all_text_is_escaped() -> None:
    report = make_report().model_copy(update={"target": HOSTILE})
    checks = tuple(
        check.model_copy(update={"text": HOSTILE, "outcome": "fail"}) for check in report.checks
    )
    for html in (card(report.model_copy(update={"checks": checks})), card(layers())):
        tags = Tags(html)
        assert "script" not in {tag for tag, _ in tags.seen}
        assert not any("onload" in attributes for _, attributes in tags.seen)
        assert "{{ 7*7 }}" in html
        assert "\x1b" not in html
    assert "\x1b" not in one_line(report)


def layers() -> LayerComparison:
    difference = LayerDifference(layer=HOSTILE, max_steps=3.0, differing=0.5)
    return LayerComparison(samples=4, layers=(difference,), first_apart=HOSTILE)


def test_the_others() -> None:
    compared = comparison()
    assert one_line(compared).startswith("<Comparison ")
    assert " as fast (" in one_line(compared)
    assert one_line(compared.candidate).startswith("<Measurement p50 ")
    assert one_line(make_report().candidate.inspection).startswith("<Inspection ")
    evaluation = Evaluation(
        metric="MulticlassAccuracy", value=0.983, higher_is_better=True, samples=1360, is_share=True
    )
    assert one_line(evaluation) == "<Evaluation accuracy 98.3 % of 1,360 samples>"
    pushed = Pushed(device="pi", outcome="rolled_back", release="r", active=None, reasons=("why",))
    run = PushedRun(run="r1", verdict=make_report().verdict, devices=(pushed,))
    assert one_line(run) == "<PushedRun r1: pi rolled back>"
    assert "why" in card(run)
    for each in (compared, compared.candidate, evaluation, run, make_report().candidate.inspection):
        assert Tags(card(each)).open == []


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(TypeError, match="int"):
        told(3)
