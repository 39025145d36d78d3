"""What the commands on devices print for a person."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console

from edgecompress.cli.printing import line, table
from edgecompress.push import DeviceStatus, History, ReleaseState
from edgecompress.spec.pushed import Pushed, Validation


def pushed(found: Sequence[Pushed], console: Console) -> None:
    rows = [
        (
            one.device,
            one.outcome.replace("_", " "),
            one.active or "-",
            _there(one.validation),
            _latency(one.validation),
            "; ".join((*one.reasons, *one.notes)),
        )
        for one in found
    ]
    headings = ("device", "outcome", "active", "metric there / here", "p50", "why")
    table(console, headings, rows)
    if len(found) > 1:
        counts = Counter(one.outcome.replace("_", " ") for one in found)
        line(console, ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))


def _there(validation: Validation | None) -> str:
    if validation is None:
        return "-"
    return f"{validation.value:.4g} / {validation.value_here:.4g}"


def _latency(validation: Validation | None) -> str:
    if validation is None or validation.latency_ms_p50 is None:
        return "-"
    return f"{validation.latency_ms_p50:.3g} ms{' (emulated)' if validation.emulated else ''}"


def status(found: DeviceStatus, console: Console) -> None:
    names = {found.current: "current", found.previous: "previous"}
    rows = [(names.get(release.id, ""), *_release(release)) for release in found.releases]
    for said in found.in_the_way:
        line(console, said)
    if rows:
        headings = ("", "release", "target", "bytes", "state", "run", "metric", "validated", "by")
        table(console, headings, rows)
    elif not found.in_the_way:
        line(console, f"{found.device}: nothing was pushed there yet")
    if found.holder is not None:
        line(console, f"being pushed to by {found.holder.user}@{found.holder.host}")
    if found.journal is not None and found.journal.state not in ("success", "rolled_back"):
        left = f"a push of {found.journal.release} was left {found.journal.state}"
        line(console, f"{left}; the next push or rollback puts it in order")


def _release(release: ReleaseState) -> tuple[str, ...]:
    manifest, record = release.manifest, release.validated
    what = ("?", "?") if manifest is None else (manifest.target, f"{manifest.size_bytes:,}")
    state = "whole" if release.whole else "damaged: push it again"
    if record is None:
        return (release.id, *what, state, "-", "-", "not on this device", "-")
    found = record.validation
    figure = "-" if found is None else f"{found.metric} {found.value:.4g}"
    return (release.id, *what, state, record.run or "-", figure, record.at, record.by)


def history(found: History, console: Console) -> None:
    rows = [
        (
            entry.at,
            entry.by,
            entry.action,
            entry.release,
            entry.run or "-",
            "-" if entry.value is None else f"{entry.metric} {entry.value:.4g}",
            entry.outcome.replace("_", " "),
            entry.reason or "",
        )
        for entry in found.entries
    ]
    headings = ("at", "by", "what", "release", "run", "metric", "outcome", "why")
    table(console, headings, rows)
