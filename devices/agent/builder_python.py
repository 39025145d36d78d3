"""Builds engines with TensorRT's Python package: 8.x, 10.x and 11.x.

Releases differ in what they have, so whatever one of them lacks stands behind a `hasattr`. Scales
come from the graph's Q/DQ nodes; no calibrator is ever given.
"""

from __future__ import annotations

from pathlib import Path

import tensorrt as trt

from .builders import Builder, Flags, Job, memory_notes, type_notes
from .failure import Failure
from .files import whole
from .tensorrt_io import values
from .tensorrt_log import Log


class PythonBuilder(Builder):
    how = "python"
    version = trt.__version__

    def build(self, job: Job) -> list[str]:
        log = Log()
        builder = trt.Builder(log)
        typed = _is_typed(job.flags)
        network = builder.create_network(_creation_flags(typed))
        parser = trt.OnnxParser(network, log)
        if not parser.parse_from_file(job.model):
            raise _refusal(parser, log, job.model)
        config = builder.create_builder_config()
        _set_workspace(config, job.flags.workspace_bytes)
        _allow(config, job.flags, typed, job.quantized)
        _set_shapes(builder, config, network, job.shapes)
        notes = type_notes(job.flags, typed, self.version)
        notes += _load_timings(config, job.timing_cache)
        if hasattr(config, "profiling_verbosity"):
            # Costs nothing at run time, and lets `optimise` tell every layer's type.
            config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise Failure(
                "runtime", f"{job.model}: TensorRT {self.version} built no engine: {log.why()}"
            )
        with whole(job.engine) as part, Path(part).open("wb") as file:
            file.write(plan)
        _save_timings(config, job.timing_cache)
        return notes + memory_notes(log.warnings)


def _is_typed(flags: Flags) -> bool:
    """11 always is, and has therefore no flag for a type; 8 cannot."""
    if not hasattr(trt.BuilderFlag, "INT8"):
        return True
    return flags.strongly_typed and hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def _creation_flags(typed: bool) -> int:
    flags = 0
    if hasattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH"):
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    if typed and hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return flags


def _set_workspace(config: trt.IBuilderConfig, size: int) -> None:
    if hasattr(config, "set_memory_pool_limit"):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, size)
    elif hasattr(config, "max_workspace_size"):
        config.max_workspace_size = size


def _allow(config: trt.IBuilderConfig, flags: Flags, typed: bool, quantized: bool) -> None:
    if flags.sparse_weights:
        config.set_flag(trt.BuilderFlag.SPARSE_WEIGHTS)
    if quantized and not typed and hasattr(trt.BuilderFlag, "INT8"):
        config.set_flag(trt.BuilderFlag.INT8)
    if flags.fp16 and not typed and hasattr(trt.BuilderFlag, "FP16"):
        config.set_flag(trt.BuilderFlag.FP16)


def _set_shapes(
    builder: trt.Builder,
    config: trt.IBuilderConfig,
    network: trt.INetworkDefinition,
    shapes: dict[str, list[int]],
) -> None:
    """One optimisation profile with exactly one shape per input, where any dimension is free."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    free = [(tensor.name, values(tensor.shape)) for tensor in inputs if -1 in values(tensor.shape)]
    if not free:
        return
    profile = builder.create_optimization_profile()
    for name, declared in free:
        shape = shapes.get(name)
        if shape is None or not _fits(shape, declared):
            raise Failure(
                "input",
                f"input '{name}' has the free shape {declared}: shapes must fix it, got {shape}",
            )
        dims = trt.Dims(shape)
        profile.set_shape(name, dims, dims, dims)
    config.add_optimization_profile(profile)


def _fits(shape: list[int], declared: list[int]) -> bool:
    return len(shape) == len(declared) and all(
        want in (-1, have) for have, want in zip(shape, declared)
    )


def _load_timings(config: trt.IBuilderConfig, path: str) -> list[str]:
    try:
        saved = Path(path).read_bytes()
    except OSError:
        saved = b""
    cache = config.create_timing_cache(saved)
    if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
        return []
    config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    return ["the timing cache was of another GPU or TensorRT, and begins anew"]


def _save_timings(config: trt.IBuilderConfig, path: str) -> None:
    with whole(path) as part, Path(part).open("wb") as file:
        file.write(config.get_timing_cache().serialize())


def _refusal(parser: trt.OnnxParser, log: Log, model: str) -> Failure:
    """Every parser error with its node: one line."""
    errors = [_told(parser.get_error(index)) for index in range(parser.num_errors)]
    why = "; ".join(errors) or log.why()
    return Failure("input", f"{model}: TensorRT {trt.__version__} cannot parse it: {why}")


def _told(error: trt.ParserError) -> str:
    where = f"node {error.node()}"
    if hasattr(error, "node_name") and hasattr(error, "node_operator"):
        where += f" '{error.node_name()}' ({error.node_operator()})"
    return f"{where}: {error.desc()}"
