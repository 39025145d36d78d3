"""The documents of a run, `runs/<run id>/report.json` and report.html, and their checksums.

`runs/sums/<run id>` has them as sha256sum writes them, so that `sha256sum -c sums/*` in `runs/`
looks at all.
"""

import hashlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgecompress.errors import BadInput
from edgecompress.store.files import atomic_write, read_whole
from edgecompress.store.layout import Layout

if TYPE_CHECKING:
    from edgecompress.spec.report import Report

REPORT, PAGE = "report.json", "report.html"


def write_documents(layout: Layout, report: "Report", page: str) -> None:
    """Write report.json and report.html, and their sums.

    Raises:
        StorageError: as `atomic_write` does.

    """
    from edgecompress.spec.report import to_json

    documents = {REPORT: to_json(report).encode(), PAGE: page.encode()}
    for name, data in documents.items():
        atomic_write(layout.root / report.run / name, data)
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in documents.items()}
    lines = [f"{sha256}  {report.run}/{name}\n" for name, sha256 in sums.items()]
    atomic_write(layout.sums / report.run, "".join(lines).encode())


def is_whole(layout: Layout, run_id: str, name: str) -> bool:
    """Whether a document of a run is there, as it was written."""
    return _whole(layout, run_id, name) is not None


def kept_reports(layout: Layout) -> "Iterator[Report]":
    """The report of every run whose report.json is as it was written."""
    from edgecompress.spec.report import from_json

    for path in layout.sums.glob("[!.]*"):
        text = _whole(layout, path.name, REPORT)
        if text is None:
            continue
        try:
            report = from_json(text.decode(), str(layout.root / path.name / REPORT))
        except BadInput:
            continue  # another version's
        if report.run == path.name:
            yield report


def written_ns(layout: Layout, run_id: str) -> float:
    """When the documents of a run were written; infinite where it has none."""
    try:
        return (layout.sums / run_id).stat().st_mtime_ns
    except OSError:
        return math.inf


def _whole(layout: Layout, run_id: str, name: str) -> bytes | None:
    """A document's content; None where it is not what its sum says."""
    try:
        lines = read_whole(layout.sums / run_id).decode().splitlines()
        data = read_whole(layout.root / run_id / name)
    except (BadInput, ValueError):
        return None
    line = f"{hashlib.sha256(data).hexdigest()}  {run_id}/{name}"
    return data if line in lines else None
