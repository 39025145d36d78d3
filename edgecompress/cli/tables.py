"""What commands other than deploy and report print for a person."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from edgecompress.cli.printing import fields, line, table
from edgecompress.cli.run_tables import speedup
from edgecompress.report.figures import metric_name, ratio_in_words
from edgecompress.runtimes import modules
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.device import Device
from edgecompress.spec.health import UNMEASURED, Health, Problem, TargetHealth, TrainingHealth
from edgecompress.spec.layers import LayerComparison
from edgecompress.spec.measurement import Evaluation, Inspection, Measurement, Op
from edgecompress.spec.report import Check
from edgecompress.spec.validity import Finding

if TYPE_CHECKING:
    from edgecompress.cli.deployed import Deployed
    from edgecompress.devices import Checked
    from edgecompress.init import Started

MIB = 2**20


def devices(found: Sequence[Device], console: Console) -> None:
    rows = [
        (
            device.id,
            device.target,
            device.transport + " (emulated)" * device.emulated,
            str(device.place or device.address or ""),
            ", ".join(device.tags),
        )
        for device in found
    ]
    table(console, ("device", "target", "transport", "address", "tags"), rows)


def devices_checked(found: "Sequence[Checked]", console: Console) -> None:
    for one in found:
        verdict = "usable" if one.usable else "not usable"
        rows = [(row.name, row.state, row.text) for row in one.rows]
        table(console, (one.device, verdict, f"for {one.target}"), rows)
        for row in one.rows:
            if row.fix is not None:
                line(console, f"{row.name}: {row.text}")
                line(console, f"  fix: {row.fix}")


def inspection(found: Inspection, console: Console) -> None:
    header = ["op", "type", "computes in", "MACs", "why not int8"]
    rows = [[op.name, op.op_type, op.dtype, _count(op.macs), op.reason or ""] for op in found.ops]
    if any(op.time_us is not None for op in found.ops):
        header.insert(4, "us")
        for row, op in zip(rows, found.ops, strict=True):
            row.insert(4, "" if op.time_us is None else f"{op.time_us:.0f}")
    if any(op.delegated is not None for op in found.ops):
        header.append("delegated")
        for row, op in zip(rows, found.ops, strict=True):
            row.append(_delegated(op))
    table(console, header, rows)
    share = f"{found.int8_op_fraction:.1%} of {_count(found.macs)} MACs in int8 kernels"
    line(console, f"{share}, by {found.runtime} on {found.machine}")
    for violation in found.violations:
        line(console, f"refused: {violation}")


def _delegated(op: Op) -> str:
    answer = {True: "yes", False: "no", None: "not said"}[op.delegated]
    return f"{answer}: {op.delegate_reason}" if op.delegate_reason else answer


def evaluation(found: Evaluation, console: Console) -> None:
    better = "higher" if found.higher_is_better else "lower"
    value = f"{metric_name(found.metric)} {found.value:.4f}"
    text = f"{value} on {found.samples} samples ({better} is better)"
    line(console, text)


def measured(found: Measurement | Comparison, console: Console) -> None:
    columns = {"file": found} if isinstance(found, Measurement) else {}
    if isinstance(found, Comparison):
        columns = {"against": found.baseline, "file": found.candidate}
    names = ("latency_ms_p50", "latency_ms_p90", "latency_ms_p99", "first_inference_ms")
    rows = [
        (name, *(f"{getattr(m, name):.3f}" for m in columns.values()))
        for name in (*names, "init_time_ms")
    ]
    rows.append(("peak_rss", *(f"{m.peak_rss_bytes / MIB:.1f} MiB" for m in columns.values())))
    rows.append(("valid", *(_validity(m) for m in columns.values())))
    table(console, ("", *columns), rows)
    for name, measurement in columns.items():
        for reason in _reasons(measurement):
            line(console, f"{name} is invalid: {reason.text}; {reason.remedy}")
    if isinstance(found, Comparison):
        interval = f"95 % interval {found.speedup_low:.2f} to {found.speedup_high:.2f}"
        words = ratio_in_words(found.speedup, 1.0, ("faster", "slower"))
        line(console, f"{words} ({interval}), on {found.device}")
    said = {reason.text for m in columns.values() for reason in _reasons(m)}
    notes = dict.fromkeys(note for m in columns.values() for note in m.notes)
    for note in notes:
        if note not in said:
            line(console, f"note: {note}")


def _reasons(found: Measurement) -> tuple[Finding, ...]:
    return () if found.validity is None else found.validity.reasons


def _validity(found: Measurement) -> str:
    if found.validity is None:
        return "not looked at"
    return "yes" if found.validity.valid else "no"


def verdicts(found: Sequence["Deployed"], console: Console) -> None:
    """A line for each target, with what decided where it does not ship."""
    columns = ("target", "verdict", "metric", "speedup", "int8 MACs", "decided by", "report")
    table(console, columns, [_deployed(one) for one in found])


def _deployed(one: "Deployed") -> tuple[str, ...]:
    report = one.report
    if report is None:
        return (one.target, "failed", "", "", "", one.failure.message if one.failure else "", "")
    metric, compared = report.candidate.metric, report.comparison
    return (
        report.target,
        report.verdict.decision,
        f"{metric.value:.4f}",
        "" if compared is None else speedup(compared.speedup, compared.emulated),
        f"{report.candidate.int8_op_fraction:.0%}",
        _decided_by(report.checks[0]),
        str(one.page),
    )


def _decided_by(check: Check) -> str:
    return "" if check.outcome == "pass" else f"{check.outcome}: {check.text}"


def layers(found: LayerComparison, each: bool, console: Console) -> None:
    if each:
        rows = [(row.layer, f"{row.max_steps:g}", f"{row.differing:.2%}") for row in found.layers]
        table(console, ("layer", "steps apart", "values that differ"), rows)
        alone = [(one.layer, f"of {one.file.upper()}", one.reason) for one in found.unpaired]
        if alone:
            table(console, ("not compared", "", "why"), alone)
    where = f"they part at {found.first_apart}" if found.first_apart else "they stay together"
    line(console, f"{where}, on {found.samples} samples")
    if found.unpaired:
        compared, more = len(found.layers), "" if each else "; --layers names them"
        line(
            console,
            f"{compared} activations were compared; {len(found.unpaired)} are not proven to have a"
            f" counterpart{more}",
        )


def started(result: "Started", console: Console) -> None:
    for path in result.written:
        line(console, f"wrote {path}")
    line(console, f"next: {result.next}")


def health(found: Health, console: Console) -> None:
    features = ", ".join(found.int8_features) or "none"
    fields(
        console,
        "this machine",
        {
            "python": found.python,
            "cpu": f"{found.cpu_model or 'unknown'} ({found.machine})",
            "int8 instructions": features,
            "governor": found.governor or "unknown",
            "torch": f"{found.packages.get('torch')}",
            "training": _training(found.training),
            "runtimes": ", ".join(_installed(found.packages, modules())) or "none",
        },
    )
    boards: dict[str, list[TargetHealth]] = {}
    for item in found.targets:
        boards.setdefault(item.board, []).append(item)
    table(console, ("board", "targets", "notes"), [_board(*each) for each in boards.items()])
    if any(UNMEASURED in item.notes for item in found.targets):
        line(
            console,
            f"{UNMEASURED}: files are made and evaluated here, and not measured; add one:"
            " edgecompress devices add",
        )
    missing: dict[Problem, list[str]] = {}
    for item in found.targets:
        for problem in item.problems:
            missing.setdefault(problem, []).append(item.name)
    for problem, names in missing.items():
        whom = "every target" if len(names) == len(found.targets) else ", ".join(names)
        line(console, f"{problem.text} (for {whom})")
        line(console, f"  fix: {problem.fix}")


def _training(found: TrainingHealth | None) -> str:
    """'on cpu, float32, in one process; several: pip install 'edgecompress[distributed]''"""
    if found is None:
        return "unknown"
    if found.accelerate is None:
        several = "; several: pip install 'edgecompress[distributed]'"
    else:
        several = "; several: accelerate launch" if found.processes == 1 else ""
    count = "one process" if found.processes == 1 else f"{found.processes} processes"
    return f"on {found.hardware}, in {count}{several}"


def _board(name: str, targets: list[TargetHealth]) -> tuple[str, str, str]:
    """What can be deployed for a board from here, and what there is to say of it."""
    lines = [f"{each.name} (not usable here)" if each.problems else each.name for each in targets]
    notes = dict.fromkeys(note for each in targets for note in each.notes)
    return name, ", ".join(lines), "; ".join(notes)


def _installed(packages: Mapping[str, str | None], names: Iterable[str]) -> list[str]:
    found = ((name, packages.get(name)) for name in names if name != "numpy")
    return [f"{name} {version}" for name, version in found if version is not None]


def _count(macs: int) -> str:
    return f"{macs / 1e6:.2f} M" if macs >= 10_000 else str(macs)
