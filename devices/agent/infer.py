"""`infer`: run a stack of samples and write the stacked outputs."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from .arrays import read_arrays, write_arrays
from .failure import Failure
from .files import sha256_of
from .request import Request
from .runner import KERNELS, Runner, Tensor
from .runners import runner


def run(request: Request) -> dict[str, object]:
    """Inputs are [N, ...] by name; so are the outputs, in the file's order."""
    batch = request.integer("batch", 1)
    model = runner(request, request.integer("threads", 1))
    model.kernels = request.choice("kernels", KERNELS)
    stacks = read_arrays(request.text("inputs"))
    samples = _samples(stacks)
    model.activate()
    fixed = _fixed_batch(model.inputs)
    size = batch if fixed is None else fixed
    chunks = [
        _infer_chunk(model, stacks, range(start, min(start + size, samples)))
        for start in range(0, samples, size)
    ]
    outputs = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    write_arrays(request.text("outputs"), outputs)
    model.deactivate()
    return {"samples": samples, "model_sha256": sha256_of(request.text("model"))}


def _samples(stacks: dict[str, np.ndarray]) -> int:
    lengths = {name: array.shape[0] if array.ndim else 0 for name, array in stacks.items()}
    if len(set(lengths.values())) != 1 or not all(lengths.values()):
        raise Failure("input", f"inputs must hold the same number of samples, not 0: {lengths}")
    return next(iter(lengths.values()))


def _fixed_batch(inputs: Sequence[Tensor]) -> int | None:
    sizes = {tensor.shape[0] for tensor in inputs if tensor.shape}
    fixed = {size for size in sizes if isinstance(size, int)}
    if len(fixed) > 1:
        raise Failure("input", f"inputs have different fixed batch sizes: {sorted(fixed)}")
    return next(iter(fixed), None)


def _infer_chunk(
    model: Runner, stacks: dict[str, np.ndarray], rows: range
) -> dict[str, np.ndarray]:
    """Outputs of those rows; a fixed batch is filled up with copies of the last row."""
    feed = {name: stack[rows.start : rows.stop] for name, stack in stacks.items()}
    fixed = _fixed_batch(model.inputs)
    fill = 0 if fixed is None else fixed - len(rows)
    if fill:
        feed = {
            name: np.concatenate([array, np.repeat(array[-1:], fill, axis=0)])
            for name, array in feed.items()
        }
    outputs = model.infer(feed)
    for name, array in outputs.items():
        if not array.ndim or array.shape[0] != len(rows) + fill:
            raise Failure(
                "input",
                f"output '{name}' has shape {list(array.shape)} for {len(rows) + fill} samples;"
                " the first dimension must be the batch",
            )
    return {name: array[: len(rows)] for name, array in outputs.items()}
