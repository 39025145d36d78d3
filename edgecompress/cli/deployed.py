"""What a deploy of one target or several prints, and the exit code that follows from it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgecompress.cli.failure import Failure, tell
from edgecompress.cli.output import Output
from edgecompress.errors import (
    EXIT_BAD_INPUT,
    EXIT_DEFECT,
    EXIT_DEVICE,
    EXIT_REFUSED,
    EXIT_SHIP,
    EXIT_UNMEASURED,
)

if TYPE_CHECKING:
    from rich.console import Console

    from edgecompress.spec.report import Report

DECISION_CODES = {"refuse": EXIT_REFUSED, "unmeasured": EXIT_UNMEASURED, "ship": EXIT_SHIP}
WORST_FIRST = (
    EXIT_DEFECT,
    EXIT_BAD_INPUT,
    EXIT_REFUSED,
    EXIT_DEVICE,
    EXIT_UNMEASURED,
    EXIT_SHIP,
)
"""The worst of several targets decides."""


class Deployed(NamedTuple):
    """What came of one target: a report and its page, or a failure in their place."""

    target: str
    report: "Report | None" = None
    page: Path | None = None
    failure: Failure | None = None

    @property
    def exit_code(self) -> int:
        if self.report is None:
            return EXIT_DEFECT if self.failure is None else self.failure.exit_code
        code, pushed = DECISION_CODES[self.report.verdict.decision], self.report.pushed
        if code != EXIT_REFUSED and pushed is not None and pushed.outcome != "success":
            return EXIT_DEVICE
        return code


def worst(results: Sequence[Deployed]) -> int:
    """The exit code of a deploy."""
    codes = {result.exit_code for result in results}
    return next(code for code in WORST_FIRST if code in codes)


def show(out: Output, results: Sequence[Deployed]) -> None:
    """The report of a single target; of several a table with a row for each, failed or not."""
    from edgecompress.cli import tables
    from edgecompress.spec.report import to_json

    first = results[0]
    if len(results) == 1 and first.report is not None and first.page is not None:
        report, page = first.report, first.page
        out.result(to_json(report), lambda console: show_report(report, page, console))
        return
    document = {
        "reports": [json.loads(to_json(one.report)) for one in results if one.report is not None],
        "failed": [
            {"target": one.target, "error": one.failure.document()}
            for one in results
            if one.failure is not None
        ],
    }
    out.result(document, lambda console: tables.verdicts(results, console))
    for one in results:
        if one.failure is not None:
            tell(
                replace(one.failure, message=f"{one.target}: {one.failure.message}"), as_json=False
            )


def show_report(report: "Report", page: Path, console: "Console") -> None:
    from edgecompress.cli.printing import line
    from edgecompress.report.table import print_report

    print_report(report, console)
    line(console, f"report: {page}")
