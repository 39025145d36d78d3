"""What `status` prints of what a device says, which may be anything."""

import io

from rich.console import Console
from synthetic import pushed

from edgecompress.cli import device_tables, tables
from edgecompress.push import DeviceStatus, ReleaseState
from edgecompress.push.documents import Journal, Owner, ValidationRecord

SAID = "[/red] [bold]x"


def test_a_line_is_one_however_long() -> None:
    page = "runs of mine/" * 50 + "report.html"
    stream = io.StringIO()
    tables.line(Console(file=stream, width=100), page)
    assert stream.getvalue() == page + "\n"


def test_a_device_s_words_are_not_markup() -> None:
    found = DeviceStatus(
        device="kitchen-pi",
        current=None,
        previous=None,
        releases=(),
        journal=Journal(release=SAID, before=None, previous=None, state="activating"),
        holder=Owner(nonce="0", user=SAID, host=SAID, machine="", pid=1, renewed=0, quiet_s=1),
    )
    stream = io.StringIO()
    device_tables.status(found, Console(file=stream, width=200))
    assert stream.getvalue().splitlines() == [
        "kitchen-pi: nothing was pushed there yet",
        f"being pushed to by {SAID}@{SAID}",
        f"a push of {SAID} was left activating; the next push or rollback puts it in order",
    ]


def test_a_release_is_shown_with_its_run_its_metric_and_who_validated_it() -> None:
    record = ValidationRecord(
        release="0" * 16,
        sha256="",
        device="",
        at="2026-11-29T05:00:00+00:00",
        by="ada@host",
        edgecompress="0.1.0",
        run="20261129-abcd",
        validation=pushed().validation,
    )
    seen = ReleaseState(id="0" * 16, manifest=None, whole=True, validated=record)
    planted = ReleaseState(id="1" * 16, manifest=None, whole=True)
    found = DeviceStatus(
        device="kitchen-pi",
        current="0" * 16,
        previous=None,
        releases=(seen, planted),
        journal=None,
        holder=None,
        in_the_way=("kitchen-pi: /device/current is a folder",),
    )
    stream = io.StringIO()
    device_tables.status(found, Console(file=stream, width=200))
    in_the_way, *_, first, second, _ = stream.getvalue().splitlines()
    assert in_the_way == "kitchen-pi: /device/current is a folder"
    shown = ("current", "0" * 16, "whole", record.run, "accuracy 0.9694", record.at, record.by)
    assert all(word in first for word in shown)
    assert "not on this device" in second
