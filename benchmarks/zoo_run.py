"""The rows of one architecture, made in a process of its own."""

import os
import resource
import signal
import tempfile
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import yaml
from zoo_rows import LEAST_SQNR_DB, WAYS, FloatOp, Hop, Outcome, Row

from edgecompress.compress.macs import count
from edgecompress.errors import EdgecompressError
from edgecompress.pipeline.executable import Int8Model
from edgecompress.pipeline.files import build
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.loading import load
from edgecompress.pipeline.models import noise, original, pruned, quantized
from edgecompress.pipeline.orders import DeployOrder, Measured, deploy_order
from edgecompress.pipeline.reporting import model_report
from edgecompress.pipeline.single import HERE, agent_on
from edgecompress.pipeline.stages import Stages
from edgecompress.progress import SilentProgress
from edgecompress.report.advice import Seen
from edgecompress.report.verdict import Judgement, judge
from edgecompress.spec.measurement import Inspection
from edgecompress.spec.native import native_cpu
from edgecompress.spec.report import ModelReport, QuantizationNoise
from edgecompress.store import Store

TASK = Path(__file__).with_name("zoo_task.py").resolve()
PTQ: dict[str, object] = {"mode": "ptq", "ranges": "minmax", "calibration_batches": 4}
EPOCH = {"epochs": 1, "optimizer": "adamw", "learning_rate": 0.0005}
RECIPES: dict[str, dict[str, object]] = {
    **{way: {"quantize": PTQ} for way in ("onnxruntime", "litert", "tensorrt")},
    "pruned": {
        "prune": {
            "method": "structured",
            "importance": "magnitude",
            "allocation": "uniform",
            "pruning_ratio": 0.25,
            "steps": 1,
        },
        "quantize": {**PTQ, "mode": "qat", "train": EPOCH},
    },
}


WORST = 3
EXPLAINED_DB = 12.0
"""Below it operators are scored one by one, which takes a while."""


class Limits(NamedTuple):
    """For each row."""

    seconds: int
    memory_bytes: int
    """Bytes of address space."""


def row(name: str, way: str, folder: Path) -> Row:
    """What became of one architecture; what a user would read where it is an error."""
    from zoo_catalogue import CATALOGUE
    from zoo_packages import prepared

    package = CATALOGUE[name].package
    try:
        prepared(package)
    except ImportError as error:
        return Row(name=name, way=way, outcome="absent", error=f"{package}: {error}")
    try:
        return compressed(name, way, folder)
    except EdgecompressError as error:
        outcome: Outcome = "defect" if error.exit_code == 1 else "error"
        said = str(error).replace(f"{folder}/", "")
        return Row(name=name, way=way, outcome=outcome, error=f"{said} (exit {error.exit_code})")
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        traceback.print_exc()
        text = f"{type(error).__name__} at {where}: {' '.join(str(error).split())[:400]}"
        return Row(name=name, way=way, outcome="defect", error=text)


def compressed(name: str, way: str, folder: Path) -> Row:
    """The stages of a deploy, but those that need a device and those of the float original's file,
    which would take as long again: its metric here is 0 by definition.
    """
    config, inventory = folder / "deploy.yaml", folder / "none.yaml"
    inventory.write_text("devices: []\n")
    budget = {"max_metric_drop": 10 ** (-LEAST_SQNR_DB / 20)}
    task = {"path": f"{TASK}:Zoo", "options": {"name": name}}
    document = {"task": task, "seed": 0, "budgets": budget, **RECIPES[way]}
    config.write_text(yaml.safe_dump(document))
    job = job_of(deploy_order(config, [WAYS[way]], Measured(inventory)), folder)
    start = original(job, job.model)
    point = quantized(job, pruned(job, start, start), start)
    assert point is not None, "every recipe here quantises"
    candidate = build(job, Int8Model(job, point, start), agent_on(HERE, job.agent_dir))
    report = model_report(candidate, None)
    metric = report.metric.model_copy(update={"value": 0.0})
    baseline = report.model_copy(update={"metric": metric, "parity": None})
    is_engine = job.recipe.target.runtime.name == "tensorrt"
    verdict = judge(
        job.recipe.config.budgets, baseline, report, None, Seen(builds_engine=is_engine)
    )
    found = described(name, way, report, verdict)
    macs = count(job.model, job.example_inputs).macs
    low = found.sqnr_db < EXPLAINED_DB and way != "pruned"
    update = {"macs": (macs, report.macs), "worst": worst(noise(job, point)) if low else ""}
    return found.model_copy(update=update)


def job_of(order: DeployOrder, folder: Path) -> Job:
    """The first of `jobs_of`."""
    return jobs_of(order, folder)[0]


def jobs_of(order: DeployOrder, folder: Path) -> list[Job]:
    """As `edgecompress.pipeline.whole` begins, for the first target or board."""
    wanted, recipes = order.wanted, order.targets[0].recipes
    store = Store(folder / "runs", lambda _: None)
    loaded = load(wanted, folder, store)
    run = store.start_run(recipes[0].target.name, recipes[0].digest())
    stages = Stages(store, run, SilentProgress(), wanted.seed)
    return [
        Job(
            recipe,
            native_cpu(),
            loaded.task,
            loaded.model,
            loaded.fingerprint,
            stages,
            store.work_dir("agent"),
        )
        for recipe in recipes
    ]


def described(name: str, way: str, report: ModelReport, verdict: Judgement) -> Row:
    parity = report.parity
    failed = [f"fail: {check.text}" for check in verdict.checks if check.outcome == "fail"]
    return Row(
        name=name,
        way=way,
        outcome="file",
        int8=report.int8_op_fraction,
        relative_error=report.metric.value,
        top1=None if parity is None else parity.top1_agreement,
        steps=0.0 if parity is None else parity.max_output_steps,
        hops=tuple(
            Hop(kind=hop.kind, top1=hop.parity.top1_agreement, steps=hop.parity.max_output_steps)
            for hop in report.hops
        ),
        decision=verdict.decision,
        failed=tuple(reason.removeprefix("fail: ") for reason in failed),
        violations=report.inspection.violations,
        float_ops=float_ops(report.inspection),
    )


def worst(noise: QuantizationNoise) -> str:
    """The three operators that cost most when they alone are quantised."""
    named = [op for op in noise.operators if op.alone_db is not None][:WORST]
    return ", ".join(f"{op.name} ({op.kind}) {op.alone_db:.1f} dB alone" for op in named)


def float_ops(inspection: Inspection) -> tuple[FloatOp, ...]:
    """Types of operators, those with the most multiplications first."""
    found: dict[str, FloatOp] = {}
    for op in inspection.ops:
        if op.reason is not None:
            new = FloatOp(op_type=op.op_type, reason=op.reason, count=0, macs=0)
            seen = found.get(op.op_type, new)
            update = {"count": seen.count + 1, "macs": seen.macs + op.macs}
            found[op.op_type] = seen.model_copy(update=update)
    return tuple(sorted(found.values(), key=lambda op: (-op.macs, op.op_type)))


def rows(name: str, ways: Sequence[str], limits: Limits, results: Connection, log: str) -> None:
    """Send a row for each way as it is done; the process's whole work.

    Args:
        name: of the architecture.
        ways: in this order.
        limits: which end the process, native code included.
        results: told each row, as JSON.
        log: a file for what is written to stderr.

    """
    os.setsid()
    os.dup2(os.open(log, os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # One folder for all: what targets have in common is made once.
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        for way in ways:
            signal.alarm(limits.seconds)  # nobody handles it
            start = _cpu_seconds()
            done = row(name, way, Path(folder))
            seconds = round(_cpu_seconds() - start, 1)
            results.send(done.model_copy(update={"cpu_seconds": seconds}).model_dump_json())


def _cpu_seconds() -> float:
    """What this process took, and the programs that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
