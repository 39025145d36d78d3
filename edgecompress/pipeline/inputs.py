"""Which samples of the task a measurement runs: some of its evaluation data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecompress.measure.inputs import Inputs, enough
from edgecompress.measure.tensors import Array, read_npz, write_npz
from edgecompress.pipeline.stages import Output
from edgecompress.task.base import Batch, inputs_of

if TYPE_CHECKING:
    from edgecompress.pipeline.job import Job

BATCHES = 4
"""How many are read at least, where there are as many: the first may be of one class alone."""


def measured_inputs(job: Job) -> Inputs:
    """The same for every file of a run; kept, because reading data may take long."""

    def work(folder: Path) -> Output:
        path = folder / "inputs.npz"
        stacks = zip(*chosen(job.task.eval_data()).samples, strict=True)
        write_npz(path, {f"input_{at}": np.concatenate(x) for at, x in enumerate(stacks)})
        return Output({}, {"inputs": path})

    record = job.stages.run("choose inputs to measure with", job.depends_on(), work)
    stacks = read_npz(job.stages.store.path(record.blobs["inputs"])).values()
    return Inputs(tuple(_rows(list(stacks))), "evaluation")


def chosen(batches: Iterable[Batch]) -> Inputs:
    """Samples of the first batches of the evaluation data, evenly spaced, as many as `enough`."""
    found: list[tuple[Array, ...]] = []
    wanted = 0
    for number, batch in enumerate(batches, start=1):
        rows = _rows([tensor.detach().cpu().numpy() for tensor in inputs_of(batch)])
        wanted = enough(rows[0])
        # Copies, so that the rest of the batch need not stay in memory.
        found += [tuple(array.copy() for array in row) for row in _spaced(rows, wanted)]
        if number >= BATCHES and len(found) >= wanted:
            break
    return Inputs(tuple(_spaced(found, wanted)), "evaluation")


def _rows(stacks: list[Array]) -> list[tuple[Array, ...]]:
    """One sample each, with a batch dimension of 1."""
    return [tuple(x[row : row + 1] for x in stacks) for row in range(len(stacks[0]))]


def _spaced(rows: list[tuple[Array, ...]], count: int) -> list[tuple[Array, ...]]:
    """At most so many, from the first to the last."""
    if len(rows) <= count:
        return rows
    return [rows[int(at)] for at in np.linspace(0, len(rows) - 1, count)]
