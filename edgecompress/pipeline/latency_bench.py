"""Files that are not shipped, made as the recipe would make them and measured on a device."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from edgecompress.compress.layer_shapes import alone
from edgecompress.measure.asked import Rounds
from edgecompress.measure.inputs import Inputs, write_feeds
from edgecompress.measure.latency_table import spread, steady_ms
from edgecompress.measure.loaded import Loaded
from edgecompress.pipeline.circumstances import circumstances
from edgecompress.pipeline.code import code_of, entry
from edgecompress.pipeline.files import agent_digest
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.layer_files import as_it_ships
from edgecompress.pipeline.measuring import Connected
from edgecompress.spec.base import digest, parse
from edgecompress.spec.latency import Entry, LayerShape, Row
from edgecompress.spec.measurement import Probe
from edgecompress.store import StageRecord

ROUNDS, MOST_ROUNDS, MOMENT_S = 40, 240, 0.003
"""Many short moments rather than few long ones: what else runs on a device comes and goes."""
MOST_FILES = 96
"""In one process beside the yardstick."""
_YARDSTICK = "yardstick"
_ROW = "layer latency"
"""Name of the rows in the store."""
_YARDSTICK_OF = Entry(
    shape=LayerShape(
        kind="Conv2d",
        size=(16, 16),
        kernel_size=(3, 3),
        stride=(1, 1),
        padding=(1, 1),
        dilation=(1, 1),
    ),
    inputs=32,
    outputs=32,
)


class Ready(NamedTuple):
    """A file that the device has, and its input."""

    file: Loaded
    inputs: Path


class Taken(NamedTuple):
    """What came of sweeps."""

    ms: dict[str, float]
    """Each file by name, in the clock of the first sweep."""
    yardstick_ms: float


@dataclass
class Bench:
    """A device on which files of one recipe are measured."""

    job: Job
    connected: Connected
    probe: Probe
    folder: Path
    began: float = field(default_factory=time.monotonic)
    spreads: list[float] = field(default_factory=list)
    """One for every file that was measured: see `latency_table.spread`."""
    _made: int = 0
    _yardstick: Ready | None = None

    @property
    def runtime(self) -> str:
        """Name and version there."""
        target = self.job.recipe.target
        package = self.job.runtime.installed(self.probe.versions)
        if package is None:
            return target.runtime.label
        return f"{package} {self.probe.versions[package]}"

    def ready(
        self, model: nn.Module, example: tuple[Tensor, ...], keep_float: tuple[str, ...] = ()
    ) -> Ready:
        """Make a file and get it ready; errors as in `as_it_ships` and `DeviceAgent.prepare`."""
        self._made += 1
        path = self.folder / f"{self._made}{self.job.runtime.format.suffix}"
        artifact = as_it_ships(self.job, model, example, path, keep_float)
        inputs = self.folder / f"{self._made}.npz"
        sample = tuple(tensor.detach().cpu().numpy() for tensor in example)
        write_feeds(inputs, Inputs((sample,), "random").feeds(artifact))
        return Ready(self.connected.prepare(self.job.recipe.target, artifact), inputs)

    def ready_entry(self, entry: Entry) -> Ready:
        """The file of an entry of the table."""
        return self.ready(*alone(entry), ("",) if entry.shape.in_float else ())

    def measured(self, files: Mapping[str, Ready]) -> Taken:
        """All of them, in as few processes as may be."""
        if self._yardstick is None:
            self._yardstick = self.ready_entry(_YARDSTICK_OF)
        names, found, first_ms = list(files), dict[str, float](), 0.0
        for at in range(0, len(names), MOST_FILES):
            part = {name: files[name] for name in names[at : at + MOST_FILES]}
            taken = self._sweep({_YARDSTICK: self._yardstick, **part})
            yardstick_ms = taken.pop(_YARDSTICK)
            first_ms = yardstick_ms if at == 0 else first_ms
            found |= {name: ms * first_ms / yardstick_ms for name, ms in taken.items()}
        return Taken(found, first_ms)

    def _sweep(self, files: Mapping[str, Ready]) -> dict[str, float]:
        self.job.stages.progress.step(0, 0, f"measuring {len(files)} files in rounds")
        self.connected.tick()
        sweep = self.connected.agent.sweep(
            {name: ready.file for name, ready in files.items()},
            {name: ready.inputs for name, ready in files.items()},
            Rounds(self.job.recipe.target.runtime.threads, ROUNDS, MOST_ROUNDS, MOMENT_S),
        )
        self.spreads += [spread(one.rounds_ms) for one in sweep.files]
        return {one.name: steady_ms(one.rounds_ms) for one in sweep.files}

    # What is kept

    def known(self, entry: Entry) -> Row | None:
        """What an earlier run measured of an entry, under the same circumstances."""
        store, key = self.job.stages.store, self._key(entry)
        record = store.stage(key)
        if record is None:
            return None
        store.record_run_stage(self.job.stages.run_id, key)
        return parse(Row, record.result, f"stage {record.name}")

    def keep(self, entry: Entry, row: Row) -> None:
        store, key = self.job.stages.store, self._key(entry)
        store.keep(StageRecord(key, _ROW, 0.0, row.model_dump(mode="json"), {}))
        store.record_run_stage(self.job.stages.run_id, key)

    def _key(self, of: Entry) -> str:
        """All that an entry's latency follows from, hashed."""
        recipe, known = self.job.recipe, self.job.runtime
        quantised = recipe.config.quantize is not None and not of.shape.in_float
        makers = (entry(alone), entry(known.export), *known.needs.exports_with)
        code = code_of(as_it_ships, makers)
        return digest(
            {
                "row": _ROW,
                **circumstances(self.job, self.connected.device, self.probe),
                "scheme": recipe.scheme.model_dump(mode="json") if quantised else None,
                "code": code.describe(),
                "agent": agent_digest(),
                "entry": of.model_dump(mode="json"),
            }
        )
