"""What a search found, as a page and on a terminal."""

import io

import pytest
from rich.console import Console

from edgecompress.report.search import print_search, render_search
from edgecompress.spec.search import Contribution, SearchReport, TrialRow

HOSTILE = "<script>x</script>\x1b[2J"


def row(number: int, **more: object) -> TrialRow:
    known: dict[str, object] = {
        "number": number,
        "target": "local-here",
        "what": "pruned 2x",
        "methods": ("pruning",),
        "rung": "full",
        "epochs": 30,
        "state": "complete",
        "metric": 0.9 - 0.01 * number,
        "exact": True,
        "latency_ms_p50": 1.0 / number,
        "model_size_bytes": 2048,
        "seconds": 61.0,
        "on_front": True,
    }
    return TrialRow.model_validate({**known, **more})


def found(**more: object) -> SearchReport:
    trials = (
        row(1, is_plain=True, what="int8"),
        row(2),
        row(3, on_front=False, exact=False, metric=0.2, rung="proxy"),
        row(4, state="failed", why=HOSTILE, on_front=False, metric=None, latency_ms_p50=None),
    )
    known: dict[str, object] = {
        "search": "0123456789ab",
        "created": "2026-01-02T03:04:05+00:00",
        "task": "task.py:Task",
        "board": "local",
        "device": "this-machine",
        "study": "runs/search.sqlite",
        "seed": 7,
        "metric": "MulticlassAccuracy",
        "is_share": True,
        "higher_is_better": True,
        "original_metric": 0.91,
        "max_metric_drop": 0.01,
        "trials": trials,
        "contributions": (
            Contribution(method="pruning", trials=1, with_ms=0.5, without_ms=None, front_share=0.4),
        ),
        "best": 2,
        "recipe": "best.yaml",
        "run": "a-run",
        "decision": "ship",
    }
    return SearchReport.model_validate({**known, **more})


def test_the_page_has_every_trial_and_obeys_nobody() -> None:
    page = render_search(found())
    assert page == render_search(found())
    assert "<script>" not in page
    assert "\x1b" not in page
    assert page.count("<svg") == 1
    for text in ("2 *", "0.500 ms", "2.00x", "(proxy)", "best.yaml", "a-run: ship", "seed 7"):
        assert text in page
    assert SearchReport.model_validate_json(found().model_dump_json()) == found()


def test_a_search_that_was_interrupted_before_anything_has_a_page_too() -> None:
    page = render_search(found(trials=(), contributions=(), best=None, recipe=None, run=None))
    assert "<svg" not in page
    assert "The front of 0 trials" in page


def test_the_terminal_has_the_front_the_fastest_first() -> None:
    stream = io.StringIO()
    print_search(found(), Console(file=stream, width=200))
    text = stream.getvalue()
    lines = [line for line in text.splitlines() if "local-here" in line]
    assert [line.split()[0] for line in lines] == ["2", "1"]
    assert "pruning: 0.500 ms with it, none within the budgets without; 40 % of the front" in text


@pytest.mark.parametrize(
    ("more", "known"),
    [
        ({"evaluated_metric": 0.82, "evaluated_samples": 5000}, True),
        ({"evaluated_metric": 0.90, "evaluated_samples": 5000}, False),
        # So few samples cannot tell.
        ({"evaluated_metric": 0.82, "evaluated_samples": 50}, False),
        ({"evaluated_metric": 1.0, "evaluated_samples": 5000}, False),
        ({"evaluated_metric": 0.82, "evaluated_samples": 5000, "is_share": False}, False),
        ({}, False),
    ],
)
def test_validation_data_that_the_original_was_trained_on_are_told(
    more: dict[str, object], known: bool
) -> None:
    report, stream = found(**more), io.StringIO()
    print_search(report, Console(file=stream, width=400))
    for text in (stream.getvalue(), render_search(report)):
        assert ("probably trained on the former" in text) == known
