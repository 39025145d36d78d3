"""docs/models.md, written from the rows."""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from zoo_rows import LEAST_SQNR_DB, WAYS, Row

TITLES = {
    "onnxruntime": "ONNX Runtime",
    "litert": "LiteRT",
    "tensorrt": "TensorRT's file",
    "pruned": "Pruned, an epoch of QAT",
}
RUNTIMES = ("onnxruntime", "litert", "tensorrt")
INTRODUCTION = """\
# Models

Published architectures with random weights and small inputs, each quantised for three runtimes by
the stages of `deploy`: what is shown is what the tool makes of their structure, not how good a
trained one is.
`python benchmarks/zoo.py` makes the rows and writes this page.

A cell says: the share of multiplications that run in int8; SQNR, how far the outputs of the file
as it runs are from the float model's (10 log10(signal / noise), the worst output); the largest
difference between the file and what was quantised in torch, in steps of the output; what the
verdict says without a device, whose budget is {least:g} dB here; CPU seconds for all of it.
TensorRT's file is checked against TensorRT's rules and run by ONNX Runtime's reference kernels.

Calibrated by `minmax` on 32 samples, scored on 16 others. Inputs are blots of colour, tones and
random tokens. Batch norms have the statistics of such inputs, norms shift and scale, and no
residual branch is switched off, as after training (`enliven` and `settle` in
`benchmarks/zoo_inputs.py`): a fresh network as it comes makes every rounding error larger layer by
layer, and SQNR would say nothing of the tool.
"""


def write_page(page: Path, rows: Sequence[Row], code: str) -> None:
    """Everything, in the order of the catalogue."""
    # Imports torch.
    from zoo_catalogue import CATALOGUE

    places = {name: number for number, name in enumerate(CATALOGUE)}
    known = sorted((row for row in rows if row.name in places), key=lambda row: places[row.name])
    packages = {name: net.package for name, net in CATALOGUE.items()}
    lines = [
        INTRODUCTION.format(least=LEAST_SQNR_DB),
        *_totals(known, code),
        *_table(known, packages, RUNTIMES),
        "",
        "## Pruned and trained again",
        "",
        "A quarter of the channels removed, then one epoch of quantisation-aware training on 32",
        "samples, for ONNX Runtime: what is shown is that it works, not what it costs.",
        "",
        *_pruned(known),
        "",
        "## What gives no file",
        "",
        *_listed(_problems(known)),
        "",
        "## What the verdict refuses",
        "",
        *_listed(_refused(known)),
        "",
        f"## Under {LEAST_SQNR_DB:g} dB",
        "",
        *_listed(_noisy(known)),
        "",
        "## What stays float, and why",
        "",
        "The first reason of each type of operator; models that have the same are together.",
        "",
        *_listed(_float_ops(known)),
    ]
    page.write_text("\n".join(lines).rstrip() + "\n")


def _totals(rows: Sequence[Row], code: str) -> Iterator[str]:
    yield "| | rows | files | rule-clean | median SQNR, dB | under 10 dB | median int8 | pass |"
    yield "|---|---|---|---|---|---|---|---|"
    for way in WAYS:
        mine = [row for row in rows if row.way == way and row.outcome != "absent"]
        files = [row for row in mine if row.outcome == "file"]
        if not files:
            continue
        clean = sum(not row.violations for row in files)
        median = statistics.median(row.sqnr_db for row in files)
        low = sum(row.sqnr_db < LEAST_SQNR_DB for row in files)
        int8 = statistics.median(row.int8 for row in files)
        passed = sum(row.decision != "refuse" for row in files)
        cells = (len(mine), len(files), clean, f"{median:.1f}", low, f"{int8:.0%}", passed)
        yield f"| {TITLES[way]} | {' | '.join(map(str, cells))} |"
    yield ""
    older = sum(row.code != code for row in rows)
    if older:
        yield f"{older} of {len(rows)} rows were made by older code than this page."
        yield ""


def _table(rows: Sequence[Row], packages: dict[str, str], ways: Sequence[str]) -> Iterator[str]:
    yield f"| architecture | package | {' | '.join(TITLES[way] for way in ways)} |"
    yield "|---|---|" + "---|" * len(ways)
    by_key = {(row.name, row.way): row for row in rows}
    for name in packages:
        cells = [_cell(by_key.get((name, way))) for way in ways]
        yield f"| {name} | {packages[name]} | {' | '.join(cells)} |"


def _cell(row: Row | None) -> str:
    if row is None or row.outcome == "absent":
        return "not run"
    if row.outcome != "file":
        return f"no file: {row.outcome}"
    verdict = "refused" if row.decision == "refuse" else "passes"
    rules = f", {len(row.violations)} rules broken" if row.violations else ""
    return (
        f"{row.int8:.0%}, {row.sqnr_db:.0f} dB, {row.steps:.2g} steps,"
        f" {verdict}{rules}, {row.cpu_seconds:.0f} s"
    )


def _pruned(rows: Sequence[Row]) -> Iterator[str]:
    yield "| architecture | MACs left | int8 | SQNR, dB | steps | verdict |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        if row.way == "pruned" and row.outcome == "file":
            before, after = row.macs
            left = after / before if before else 1.0
            verdict = "refused" if row.decision == "refuse" else "passes"
            cells = (f"{left:.0%}", f"{row.int8:.0%}", f"{row.sqnr_db:.0f}", f"{row.steps:.2g}")
            yield f"| {row.name} | {' | '.join(cells)} | {verdict} |"


def _problems(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    for row in rows:
        if row.outcome not in ("file", "absent"):
            yield f"{row.name}, {TITLES[row.way]}", f"{row.outcome}: {row.error}"
        for violation in row.violations:
            yield f"{row.name}, {TITLES[row.way]}", violation


def _refused(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    for row in rows:
        if row.outcome == "file" and row.way in RUNTIMES and row.decision == "refuse":
            yield f"{row.name}, {TITLES[row.way]}", "; ".join(row.failed)


def _noisy(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    for row in rows:
        if row.outcome == "file" and row.way != "pruned" and row.sqnr_db < LEAST_SQNR_DB:
            yield f"{row.name}, {TITLES[row.way]}", f"{row.sqnr_db:.1f} dB: {row.worst}"


def _float_ops(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Runtime and what is said -> the models of which it is true."""
    models: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.outcome == "file" and row.way in RUNTIMES and row.int8 < 1:
            for op in row.float_ops:
                if op.macs:
                    said = f"{op.op_type}: {op.reason}"
                    models.setdefault((TITLES[row.way], said), []).append(row.name)
    for (title, said), names in models.items():
        yield f"{title}, {', '.join(names)}", said


def _listed(pairs: Iterator[tuple[str, str]]) -> list[str]:
    lines = [f"- {subject}: {_plain(text)}" for subject, text in pairs]
    return lines or ["None."]


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
