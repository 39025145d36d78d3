"""The exit code of a deploy: of several targets the worst."""

from pathlib import Path

import pytest
from synthetic import make_report, pushed

from edgecompress.cli.deployed import Deployed, worst
from edgecompress.cli.failure import Failure
from edgecompress.spec.report import Report


def judged(decision: str, sent: str | None = None) -> Deployed:
    report = make_report()
    changes: dict[str, object] = {
        "verdict": report.verdict.model_copy(update={"decision": decision}),
        "pushed": None if sent is None else pushed(sent),  # type: ignore[arg-type]
    }
    changed: Report = report.model_copy(update=changes)
    return Deployed("board", changed, Path("report.html"))


def failed(exit_code: int) -> Deployed:
    return Deployed("board", failure=Failure("why", "Kind", exit_code))


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([judged("ship")], 0),
        ([judged("ship"), judged("unmeasured")], 5),
        ([judged("unmeasured"), judged("ship", "rolled_back")], 4),
        ([judged("unmeasured", "inconsistent")], 4),
        ([judged("ship", "success")], 0),
        ([judged("refuse", "rolled_back")], 3),
        ([judged("unmeasured"), failed(4), judged("refuse")], 3),
        ([failed(4), judged("ship")], 4),
        ([judged("refuse"), failed(2), judged("ship")], 2),
        ([failed(2), failed(1), failed(4)], 1),
    ],
)
def test_the_worst_decides(results: list[Deployed], code: int) -> None:
    assert worst(results) == code
    assert worst(results[::-1]) == code
