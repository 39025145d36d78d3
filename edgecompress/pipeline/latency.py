"""`prune.allocation: latency`: how fast a smaller model would be on the device of its target.

Files of single layers, as they will ship, run there in one sweep with the whole model. What each
takes is kept in the store under all that it depends on, with what a yardstick took beside it, so
that a later run may have another clock.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from torch import nn

from edgecompress.compress.allocate_latency import Asked, Counts, Span
from edgecompress.compress.layer_shapes import channels_of, layer_shapes
from edgecompress.measure.latency_table import (
    Fit,
    LatencyTable,
    Layer,
    Point,
    edge_entries,
    edges_of,
)
from edgecompress.pipeline.circumstances import probed
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.latency_bench import Bench, Ready
from edgecompress.pipeline.measuring import on_device
from edgecompress.spec.allocation import LatencyAllocation
from edgecompress.spec.latency import Entry, LayerShape, Row

_ORIGINAL, _WHOLE, _LEAST = "original", "whole", "least"


class Speeds:
    """Makes a table for a model; keeps the last."""

    last: "DeviceSpeed | None" = None

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    @property
    def allocation(self) -> LatencyAllocation | None:
        """What was told to the last of them."""
        return None if self.last is None else self.last.allocation

    def __call__(self, asked: Asked) -> "DeviceSpeed":
        self.last = DeviceSpeed(self._bench, asked)
        return self.last


@contextmanager
def speeds_on(job: Job) -> Iterator[Speeds]:
    """What predicts and measures for `prune`; errors as in `probed`."""
    device, probe = probed(job)
    with (
        on_device(job, device) as connected,
        TemporaryDirectory(prefix="edgecompress-") as folder,
    ):
        yield Speeds(Bench(job, connected, probe, Path(folder)))


class DeviceSpeed:
    """The table for one model on one device; a `compress.allocate_latency.Speed`."""

    allocation: LatencyAllocation | None = None
    """What was told by `choose`."""

    def __init__(self, bench: Bench, asked: Asked) -> None:
        self._bench = bench
        self._layers = _layers(bench.job, asked.model, asked.spans)
        self._original = self._ready(asked.original)
        ends = {_WHOLE: self._ready(asked.model), _LEAST: self._ready(asked.least)}
        entries = {
            Entry(shape=layer.shape, inputs=inputs, outputs=outputs)
            for layer in self._layers.values()
            for inputs, outputs in layer.points
        }
        edges = edge_entries(self._layers.values())
        ms = self._measured({*entries, *edges}, ends)
        self._table = LatencyTable(
            self._layers, ms, edges_of({entry: ms[entry] for entry in edges})
        )
        self._points = len(ms)
        most = {name: span.most for name, span in asked.spans.items()}
        least = {name: span.least for name, span in asked.spans.items()}
        self._fit = Fit.of(
            (self._table.sum_ms(most), self._ends_ms[_WHOLE]),
            (self._table.sum_ms(least), self._ends_ms[_LEAST]),
        )

    def predicted_ms(self, counts: Counts) -> float:
        """Latency of the model with so many channels, on the clock of the table."""
        return self._fit.ms(self._table.sum_ms(counts))

    def measured_ms(self, model: nn.Module) -> float:
        """Latency of a smaller model, on the clock of the table."""
        return self.measured_together([model])[0]

    def measured_together(self, models: Sequence[nn.Module]) -> list[float]:
        """The same of several, in the same rounds."""
        names = [f"{_WHOLE} {at}" for at in range(len(models))]
        files = {name: self._ready(model) for name, model in zip(names, models, strict=True)}
        taken = self._bench.measured({_ORIGINAL: self._original, **files})
        return [self.original_ms * taken.ms[name] / taken.ms[_ORIGINAL] for name in names]

    def choose(self, asked: float, predicted_ms: float, measured_ms: float) -> None:
        """Keep it for the report."""
        bench = self._bench
        self.allocation = LatencyAllocation(
            device=bench.connected.device.id,
            runtime=bench.runtime,
            asked=asked,
            original_ms=self.original_ms,
            predicted_ms=predicted_ms,
            measured_ms=measured_ms,
            points=self._points,
            measured_now=self._measured_now,
            seconds=time.monotonic() - bench.began,
            spread=median(bench.spreads),
        )

    def _ready(self, model: nn.Module) -> Ready:
        quantize = self._bench.job.recipe.config.quantize
        keep = () if quantize is None else quantize.keep_float
        return self._bench.ready(model, self._bench.job.example_inputs, keep)

    def _measured(self, wanted: set[Entry], ends: Mapping[str, Ready]) -> dict[Entry, float]:
        """All entries, those of earlier runs among them, on the clock of now."""
        bench, progress = self._bench, self._bench.job.stages.progress
        entries = sorted(wanted, key=Entry.model_dump_json)
        rows = {entry: bench.known(entry) for entry in entries}
        missing = [entry for entry, row in rows.items() if row is None]
        files = {_ORIGINAL: self._original, **ends}
        for at, entry in enumerate(missing):
            progress.step(at, len(missing), "files of single layers")
            files[str(at)] = bench.ready_entry(entry)
        taken = bench.measured(files)
        self.original_ms = taken.ms[_ORIGINAL]
        self._ends_ms = {name: taken.ms[name] for name in ends}
        self._measured_now = len(missing)
        found = {
            entry: row.ms * taken.yardstick_ms / row.yardstick_ms
            for entry, row in rows.items()
            if row is not None
        }
        for at, entry in enumerate(missing):
            found[entry] = taken.ms[str(at)]
            bench.keep(entry, Row(ms=found[entry], yardstick_ms=taken.yardstick_ms))
        return found


def _layers(job: Job, model: nn.Module, spans: Mapping[str, Span]) -> dict[str, Layer]:
    """The layers whose channels may go, and where they are measured."""
    quantize = job.recipe.config.quantize
    tops = () if quantize is None else quantize.keep_float
    in_float = {n for n in spans if any(n == top or n.startswith(f"{top}.") for top in tops)}
    shapes, now = (
        layer_shapes(model, job.example_inputs, spans, in_float),
        channels_of(model, spans),
    )

    def filled(shape: LayerShape, point: Point, name: str) -> Point:
        """With the side that no group touches, which stays as it is."""
        inputs, outputs = (
            given if given else own for given, own in zip(point, now[name], strict=True)
        )
        return (outputs, outputs) if shape.groups == 0 else (inputs, outputs)

    return {
        name: Layer.of(
            shape,
            filled(shape, spans[name].least, name),
            filled(shape, spans[name].most, name),
            job.recipe.round_to,
        )
        for name, shape in shapes.items()
    }
