"""`build`: an engine for this board from an ONNX file, or the one that it already has."""

from __future__ import annotations

import time
from pathlib import Path

from .builders import Flags, Job, has_quantization
from .cuda import Cuda
from .engines import BuiltEngine, Origin, find_current, write_sidecar
from .files import sha256_of
from .find_builder import find_builder
from .request import Request


def run(request: Request) -> dict[str, object]:
    """An Engine; its key is made of the ONNX file, TensorRT, the GPU and what was asked."""
    model, cache = request.text("model"), request.text("cache")
    timing_cache = request.text("timing_cache")
    shapes, flags = request.shapes("shapes"), _flags(request)
    onnx_sha256 = sha256_of(model)
    builder = find_builder()
    gpu = Cuda().gpu()
    asked: dict[str, object] = {**flags._asdict(), "shapes": shapes}
    origin = Origin(onnx_sha256, builder.version, gpu, asked)
    engine = str(Path(cache) / f"{origin.key()}.engine")
    for folder in (Path(cache), Path(timing_cache).parent):
        folder.mkdir(parents=True, exist_ok=True)

    start = time.perf_counter()
    found = find_current(engine, origin)
    if found is None:
        job = Job(model, has_quantization(model), shapes, flags, engine, timing_cache)
        made = BuiltEngine(builder.how, builder.build(job))
        write_sidecar(engine, origin, made)
    else:
        made = found
    return {
        "engine": engine,
        "key": origin.key(),
        "built_with": builder.version,
        **gpu._asdict(),
        "seconds": time.perf_counter() - start,
        "reused": found is not None,
        **made._asdict(),
    }


def _flags(request: Request) -> Flags:
    return Flags(
        fp16=request.flag("fp16"),
        sparse_weights=request.flag("sparse_weights"),
        strongly_typed=request.flag("strongly_typed"),
        workspace_bytes=request.integer("workspace_bytes", 1),
    )
