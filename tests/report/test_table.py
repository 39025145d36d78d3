"""The terminal's view of a report."""

import io

import pytest
from rich.console import Console
from synthetic import make_report

from edgecompress.report.figures import apart, count, kibibytes, milliseconds, percent
from edgecompress.report.table import print_report
from edgecompress.report.verdict import judge
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.report import Report


def printed(report: Report, width: int = 80, terminal: bool = False) -> str:
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=width, force_terminal=terminal))
    return stream.getvalue()


def judged(report: Report, **budgets: float) -> Report:
    limits = Budgets(**{"max_metric_drop": 0.01, **budgets})
    found = judge(limits, report.baseline, report.candidate, report.comparison)
    return report.model_copy(update={"verdict": found.verdict(), "checks": found.checks})


def test_it_is_plain_where_there_is_no_terminal() -> None:
    text = printed(judged(make_report(), latency_ms_p90=0.1, peak_rss_bytes=1 << 20))
    assert "\x1b" not in text
    assert "\x1b" in printed(make_report(), terminal=True)
    assert "REFUSE" in text
    assert "\nfail        latency p90 is 0.55" in text


@pytest.mark.parametrize("width", [80, 60])
def test_no_row_of_figures_wraps(width: int) -> None:
    lines = printed(judged(make_report()), width).splitlines()
    assert max(len(line) for line in lines) <= width
    (row,) = [line for line in lines if line.strip().startswith("latency p50")]
    assert row.split() == ["latency", "p50", "1.42", "ms", "0.532", "ms", "2.7x", "faster"]
    (accuracy,) = [line for line in lines if line.strip().startswith("accuracy ") and "." in line][
        :1
    ]
    assert accuracy.split() == ["accuracy", "0.9722", "0.9694", "-0.0028"]


def test_a_reason_that_goes_on_stays_in_its_column() -> None:
    lines = printed(judged(make_report(), latency_ms_p90=0.1)).splitlines()
    start = lines.index(next(line for line in lines if line.startswith("pass ")))
    # What is said begins where it does; before it stands one word, or nothing.
    words = {"pass", "fail", "unmeasured", "warning", "try", "noise", "float", "note", ""}
    assert {line[:12].strip() for line in lines[start:]} <= words
    assert all(line[12:13] != " " for line in lines[start:])


def test_what_was_not_measured_is_a_dash() -> None:
    text = printed(judged(make_report(measured=False)))
    assert "UNMEASURED" in text
    (row,) = [line for line in text.splitlines() if line.strip().startswith("latency p50")]
    assert row.split() == ["latency", "p50", "-", "-"]
    assert "no device at hand" in text


def test_brackets_in_a_name_are_not_markup() -> None:
    assert "task.py:[red]x[/red]" in printed(make_report(name="[red]x[/red]"))


def test_the_three_worst_operators_are_named() -> None:
    text = " ".join(printed(make_report(), 200).split())
    worst = "digits.stem.conv (conv2d) 26.0 dB, stage1.0.conv1 (conv2d) 27.0 dB"
    assert f"quantised alone: {worst}, stage1.0.conv2 (conv2d) 28.0 dB" in text
    assert "(conv2d) 29.0 dB" not in text


@pytest.mark.parametrize(
    ("keeps", "words"),
    [(True, "nothing more had to stay in float"), (False, "no set of operators in float keeps it")],
)
def test_a_search_that_found_nothing_says_so(keeps: bool, words: str) -> None:
    report = make_report()
    assert report.search is not None
    search = report.search.model_copy(update={"sets": (), "keeps_in_int8": keeps})
    assert words in " ".join(printed(report.model_copy(update={"search": search}), 200).split())


def test_emulation_is_said() -> None:
    assert "on synthetic (emulated)" in printed(make_report(emulated=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (milliseconds(0.0123), "0.012 ms"),
        (milliseconds(0.5321), "0.532 ms"),
        (milliseconds(1.5321), "1.53 ms"),
        (milliseconds(15.321), "15.3 ms"),
        (milliseconds(1532.1), "1,532 ms"),
        (milliseconds(float("nan")), "nan ms"),
        (percent(0.95), "95.0 %"),
        (count(999_999), "999,999"),
        (count(12_345_678), "12.3 M"),
        (kibibytes(2048), "2.0 KiB"),
        (kibibytes(3 << 20), "3.00 MiB"),
    ],
)
def test_figures_are_written_for_people(text: str, expected: str) -> None:
    assert text == expected


def test_different_figures_never_look_equal() -> None:
    assert apart(0.94999, 0.95, percent) == ("94.999 %", "95.000 %")
    assert apart(0.95, 0.95, percent) == ("95.0 %", "95.0 %")
