"""What a report says of the device: the push, its validation there, and what its sensors saw."""

import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console
from synthetic import make_report, pushed
from turns import FOUR

from edgecompress.measure.compare import summarise
from edgecompress.report.html import render_html
from edgecompress.report.table import print_report
from edgecompress.spec.measurement import Measurement, TelemetrySample
from edgecompress.spec.pushed import Pushed
from edgecompress.spec.report import Report

VALIDATED = (
    "accuracy 0.9694 (95 % interval 0.9463 to 0.9828) there, 0.9722 here, on 360 samples",
    "golden outputs within 1 step of those here, on 8 samples",
    "all outputs within 2 steps of those here, on 360 samples, 99.7 % of the answers the same",
    "latency p50 0.530 ms, emulated: it says nothing about the board",
)
THROTTLED = "during the run the board was held back in 1 of 2 readings"
ENERGY = "mJ per inference, from the mean power of VDD_IN while it ran: idle power is in it"


def terminal(report: Report) -> str:
    """Its words, in one line."""
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=200))
    return " ".join(stream.getvalue().split())


def page(report: Report) -> str:
    """Its words, in one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", render_html(report)).split())


def with_pushed(found: Pushed) -> Report:
    return make_report().model_copy(update={"pushed": found})


@pytest.mark.parametrize("show", [terminal, page])
def test_what_the_device_computed_is_told(show: Callable[[Report], str]) -> None:
    text = show(make_report(sent=True, emulated=True, name="kitchen-pi"))
    told = text[text.index("On kitchen-pi release 0123456789abcdef, active") :]
    assert [words for words in VALIDATED if words not in told] == []


def test_a_latency_is_called_emulated_only_where_it_is() -> None:
    assert "0.530 ms, emulated" not in terminal(make_report(sent=True))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            pushed("rolled_back").model_copy(update={"active": "fedcba9876543210"}),
            "release 0123456789abcdef, rolled back; active is fedcba9876543210",
        ),
        (
            pushed("inconsistent", name="shelf"),
            "release 0123456789abcdef, inconsistent; what is active there: edgecompress status"
            " shelf",
        ),
    ],
)
def test_a_push_that_did_not_end_well_says_why(found: Pushed, words: str) -> None:
    text = terminal(with_pushed(found))
    assert words in text
    assert f"why {found.reasons[0]}" in text


def test_a_push_that_was_not_validated_has_no_figures() -> None:
    found = pushed("rolled_back").model_copy(update={"validation": None})
    for text in (terminal(with_pushed(found)), page(with_pushed(found))):
        assert "golden" not in text
        assert "why digits: synthetic reason" in text


def test_without_a_push_there_is_no_section() -> None:
    assert 'id="pushed"' not in render_html(make_report())
    assert "On synthetic" not in terminal(make_report())


def test_brackets_in_a_device_s_words_are_not_markup() -> None:
    found = pushed("inconsistent", name="[/red]")
    assert "why [/red]: synthetic reason" in terminal(with_pushed(found))


def with_sensors(measured: Measurement, energy_mj: float) -> Measurement:
    """The same turns on a board that tells of heat and power, as the agent reports them."""
    readings = tuple(
        TelemetrySample(
            at_s=at_s, temperature_c=80.5, clock_mhz=1500.0, throttled=word, power_mw=power_mw
        )
        for at_s, word, power_mw in ((0.5, "0x0", 4100.0), (1.5, "0x4", 5200.0))
    )
    sensed = {
        "telemetry": readings,
        "power_of": "VDD_IN",
        "energy_mj_per_inference": energy_mj,
    }
    return summarise([turn.model_copy(update=sensed) for turn in measured.turns], FOUR)


def test_throttling_and_energy_are_told() -> None:
    report = make_report()
    assert report.comparison is not None
    comparison = report.comparison.model_copy(
        update={
            "baseline": with_sensors(report.comparison.baseline, 6.6),
            "candidate": with_sensors(report.comparison.candidate, 2.4),
        }
    )
    sensed = report.model_copy(update={"comparison": comparison})
    told = page(sensed)
    for text in (told, terminal(sensed)):
        assert "energy 6.60 mJ 2.40 mJ 2.8x less" in text
        assert f"candidate: energy: 2.4 {ENERGY}" in text
    # It is of both files, so it is said once; the page also says why nothing is valid.
    assert terminal(sensed).count(THROTTLED) == 1
    assert told.count(THROTTLED) == 2
    for words in (
        "power 4100 to 5200 mW, of VDD_IN",
        "temperature 48.5 to 80.5 °C",
        "clock 1500 to 1800 MHz",
        "throttled 0x0, 0x4",
    ):
        assert words in told


def test_without_power_there_is_no_row_of_energy() -> None:
    assert " energy " not in terminal(make_report())
