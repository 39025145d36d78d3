"""The stages that work on files: export, inspect, evaluate."""

import hashlib
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from pydantic import JsonValue
from torch import nn
from torch.fx import GraphModule, Node

from edgecompress.artifact import Artifact
from edgecompress.compress.fx import stored
from edgecompress.compress.macs import count
from edgecompress.formats.exportable import Exportable
from edgecompress.measure.agent import Agent, Kernels
from edgecompress.measure.agent_file import build_agent
from edgecompress.measure.evaluate import Runs, infer_all, recorded, scored, value_of
from edgecompress.measure.record import metric_change, read_record, write_record
from edgecompress.measure.tensors import Array
from edgecompress.packages import version_of
from edgecompress.pipeline.code import entry
from edgecompress.pipeline.executable import Executable, executions
from edgecompress.pipeline.formats import inspect_for
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.outputs import input_names, output_names, rebuilder_for
from edgecompress.pipeline.single import loaded_here, reference_kernels
from edgecompress.pipeline.stages import Output
from edgecompress.progress import Labelled
from edgecompress.runtimes import runtime
from edgecompress.spec.accuracy import MetricChange
from edgecompress.spec.base import Spec, parse
from edgecompress.spec.measurement import Evaluation, Inspection
from edgecompress.task.base import Batch


class Exported(Spec):
    """What the store keeps of an export, beside the file."""

    macs: int
    params: int
    file: Artifact
    """What the file says of itself; `path` is its name alone."""
    keep_float: tuple[str, ...] = ()


@dataclass(frozen=True)
class Built:
    """A file, and all that is known of it without a device."""

    key: str
    artifact: Artifact
    macs: int
    params: int
    inspection: Inspection
    evaluation: Evaluation
    record: Path
    """Its answers, as `read_record` reads them."""


@cache
def agent_digest() -> str:
    """sha256 of the agent, whose code decides what it finds."""
    return hashlib.sha256(build_agent()).hexdigest()


def build(job: Job, model: Executable, agent: Agent) -> Built:
    """Export, then inspect and evaluate the file with the agent here."""
    key, artifact, exported = _export(job, model)
    # Which of the files it is.
    progress = Labelled(job.stages.progress, model.name)
    job = replace(job, stages=replace(job.stages, progress=progress))
    inspection = _inspect(job, key, artifact, agent)
    evaluation, record = _evaluate(job, model, key, artifact, agent)
    return Built(key, artifact, exported.macs, exported.params, inspection, evaluation, record)


def change_between(before: Built, after: Built) -> MetricChange | None:
    """What the metric loses from one file to another; None where they were not scored alike."""
    old, new = read_record(before.record), read_record(after.record)
    if before.artifact.sha256 != after.artifact.sha256:
        return metric_change(old, new, after.artifact.labels)
    return MetricChange(
        method="same", drop=0.0, low=0.0, high=0.0, samples=new.samples, deviation=0.0
    )


def exported_file(job: Job, model: Executable) -> tuple[str, Artifact]:
    """The file alone, and the key of the stage that wrote it."""
    key, artifact, _ = _export(job, model)
    return key, artifact


def _export(job: Job, model: Executable) -> tuple[str, Artifact, Exported]:
    target = job.recipe.target
    format = job.runtime.format

    def work(work_dir: Path) -> Output:
        module = model.module
        cost = count(module, job.example_inputs)
        path = work_dir / f"model{format.suffix}"
        job.runtime.export(_exportable(job, model, module), path)
        params = _parameters(module) if isinstance(module, GraphModule) else cost.params
        # Looked at here, so that a deploy that has it in the store needs no reader of the format.
        file = format.describe(path).model_copy(update={"path": Path(path.name)})
        exported = Exported(macs=cost.macs, params=params, file=file, keep_float=model.keep_float)
        return Output(exported.model_dump(mode="json"), {"file": path})

    depends_on = job.depends_on(
        # What an exporter reads of it; how it is measured changes no file.
        target=target.model_dump(
            mode="json",
            include={"runtime", "edges", "outputs", "float_dtype", "quantization", "gpu"},
            exclude={"runtime": {"threads"}},
        ),
        parent=model.key,
        model=model.name,
    )
    does = (entry(job.runtime.export), entry(format.describe), model.maker)
    also = (*does, *job.runtime.needs.exports_with)
    record = job.stages.run(f"export {model.name}", depends_on, work, also)
    exported = parse(Exported, record.result, f"stage {record.name}")
    where = job.stages.store.path(record.blobs["file"])
    return record.key, exported.file.model_copy(update={"path": where}), exported


def _exportable(job: Job, model: Executable, module: nn.Module) -> Exportable:
    with torch.no_grad():
        outputs = module(*job.example_inputs)
    inputs = input_names(job.model, job.example_inputs)
    dense = (name for name, _ in job.model.named_modules() if name not in model.two_four)
    return Exportable(
        module=module,
        example_inputs=job.example_inputs,
        free_batch=model.free_batch,
        input_names=inputs,
        output_names=output_names(outputs, inputs),
        target=job.recipe.target,
        lineage={
            "model": model.name,
            "recipe": job.recipe.digest(),
            "task": job.fingerprint,
            **{f"version.{name}": version for name, version in job.stages.versions.items()},
        },
        labels=job.task.labels(),
        preprocessing=job.task.preprocessing(),
        decoded=job.decoder is not None,
        layers=dict(model.layers),
        keep_float=model.keep_float,
        float32_only=tuple(float32_only(job.model)),
        kept_because=dict(model.kept_because),
        dense=tuple(dense) if model.two_four else None,
        scheme=None if model.fake_quantized is None else job.recipe.scheme,
    )


def float32_only(model: nn.Module) -> Iterator[str]:
    """Paths of modules that say so of themselves, as log-mel front ends do (docs/task.md)."""
    for name, module in model.named_modules():
        if getattr(module, "float32_only", False) is True:
            yield name


def _parameters(graph: GraphModule) -> int:
    """Weights and biases that a converted graph reads. The float originals of its integers are
    still in its state, and scales and zero points are no parameters.
    """
    read = {
        str(node.target): stored(graph, node).numel()
        for node in graph.graph.nodes
        if node.op == "get_attr" and any(_reads_value(user, node) for user in node.users)
    }
    return sum(read.values())


def _reads_value(user: Node, node: Node) -> bool:
    """Whether `node` is what `user` works on, rather than a scale or zero point of its Q or DQ."""
    return "quantize_per_" not in str(user.target) or user.args[0] is node


def _inspect(job: Job, key: str, artifact: Artifact, agent: Agent) -> Inspection:
    target = job.recipe.target

    def work(work_dir: Path) -> Output:
        inspection = inspect_for(artifact, target, agent, work_dir)
        return Output(inspection.model_dump(mode="json"))

    depends_on: dict[str, JsonValue] = {
        "parent": key,
        "cpu": job.here.model_dump(mode="json"),
        "target": target.model_dump(mode="json", include={"cpu", "runtime"}),
        "agent": agent_digest(),
    }
    also = (entry(job.runtime.inspect), *packages_here(job))
    record = job.stages.run("inspect", depends_on, work, also)
    return parse(Inspection, record.result, "stage inspect")


def _evaluate(
    job: Job, model: Executable, key: str, artifact: Artifact, agent: Agent
) -> tuple[Evaluation, Path]:
    def work(work_dir: Path) -> Output:
        def reference(batches: Iterable[Batch]) -> Iterator[list[Array]]:
            for outputs, _ in infer_all(replace(runs, kernels="reference"), batches):
                yield outputs

        runs = runs_here(job, agent, artifact, work_dir)
        # Where the file already runs by them, or there are none, they explain nothing.
        explains = not elsewhere and reference_kernels(job.recipe.target) == "reference"
        evaluation, answers = recorded(
            runs,
            job.task,
            lambda done: job.stages.progress.step(done, 0, f"{done} samples"),
            rebuilder_for(job.task, job.model, job.example_inputs, artifact),
            executions(job, model, reference if explains else None),
        )
        module = model.module
        if model.fake_quantized is not None and isinstance(module, GraphModule):
            # Imports torch.export.
            from edgecompress.formats.readback import read_back

            held = format.numbers_of(artifact)
            found = read_back(held, module, model.layers)
            evaluation = evaluation.model_copy(update={"readback": found})
        kept = write_record(answers, work_dir / "answers.npz")
        return Output(evaluation.model_dump(mode="json"), {"answers": kept})

    elsewhere, format = _runs_elsewhere(job), job.runtime.format
    depends_on = job.depends_on(
        parent=key,
        original=model.original_key,
        cpu=job.here.model_dump(mode="json"),
        agent=agent_digest(),
        # Which kernels run depends on it, and how many threads; neither changes the file.
        elsewhere=elsewhere,
        threads=job.recipe.target.runtime.threads,
    )
    also = (model.maker, entry(format.numbers_of), *packages_here(job))
    record = job.stages.run("evaluate", depends_on, work, also)
    found = parse(Evaluation, record.result, "stage evaluate")
    return found, job.stages.store.path(record.blobs["answers"])


def validated(job: Job, model: Executable, agent: Agent) -> float:
    """The metric of the exported file on the validation data, here."""
    key, artifact = exported_file(job, model)
    elsewhere, threads = _runs_elsewhere(job), job.recipe.target.runtime.threads

    def work(work_dir: Path) -> Output:
        metric = job.task.metric()
        rebuild = rebuilder_for(job.task, job.model, job.example_inputs, artifact)
        data = job.task.validation_data()
        inferred = infer_all(runs_here(job, agent, artifact, work_dir), data)
        samples = 0
        for batch in scored(inferred, artifact, job.task, metric, rebuild):
            samples += batch.samples
            job.stages.progress.step(samples, 0, f"{samples} samples")
        return Output({"metric": value_of(metric)})

    depends_on = job.depends_on(
        parent=key,
        cpu=job.here.model_dump(mode="json"),
        agent=agent_digest(),
        elsewhere=elsewhere,
        threads=threads,
    )
    record = job.stages.run("validate file", depends_on, work, packages_here(job))
    return float(str(record.result["metric"]))


def runs_here(job: Job, agent: Agent, artifact: Artifact, folder: Path) -> Runs:
    """A file as this machine runs it, by what stands in for the board where that is another."""
    target = job.recipe.target
    kernels: Kernels = reference_kernels(target) if _runs_elsewhere(job) else "default"
    return Runs(agent, loaded_here(artifact, target), folder, target.runtime.threads, kernels)


def packages_here(job: Job) -> tuple[str, ...]:
    """Packages that run the file here, in the agent's process, as far as they are installed."""
    packages = runtime(job.runtime.runner_here).needs.packages
    return tuple(each.name for each in packages if version_of(each.name) is not None)


def _runs_elsewhere(job: Job) -> bool:
    """Here the definition of the operators stands in for kernels that this machine lacks: a runtime
    may not run here at all, and what another architecture computes exactly may overflow in int8
    kernels of x86.
    """
    target = job.recipe.target
    foreign = target.cpu != "native" and target.cpu.architecture != platform.machine()
    return foreign or not target.runtime.capabilities.runs_here
