"""The host's side of the agent: build it, send it, ask it, check what it says."""

import hashlib
import json
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from edgecompress.artifact import Artifact, sha256_of
from edgecompress.errors import (
    AgentError,
    TimedOut,
)
from edgecompress.measure import DEADLINE_S
from edgecompress.measure.agent_answer import (
    Answer,
    Inferred,
    Optimised,
    Together,
    Usable,
    answer_of,
    result_of,
    run_again_if_killed,
)
from edgecompress.measure.agent_file import build_agent
from edgecompress.measure.asked import Inference as Inference
from edgecompress.measure.asked import Kernels as Kernels
from edgecompress.measure.asked import Rounds
from edgecompress.measure.inputs import read_feeds
from edgecompress.measure.loaded import Loaded, Preparation, fixed_shapes
from edgecompress.spec.base import S
from edgecompress.spec.engine import Engine, EngineFlags
from edgecompress.spec.latency import Sweep
from edgecompress.spec.measurement import AGENT_SCHEMA_VERSION, Probe, Turn
from edgecompress.spec.memory import MemoryUse
from edgecompress.spec.profile import Counting
from edgecompress.spec.protocol import MeasurementProtocol
from edgecompress.transport import Transport
from edgecompress.transport.base import STALL_S

ENGINES = "engines"
"""Folder on the device for engines and their timing cache."""
OPTIMISED, OPTIMISED_BYTES = 8, 64 << 20
"""How much larger than its model an optimised graph may be: integers become floats there."""
SWEEP_S = 120.0
"""What a sweep may take for its rounds, beside what files that are fast take."""
BUILD_S = 3600.0
"""Builds try out many kernels: minutes on a small board, rarely more than half an hour."""


class DeviceAgent(Protocol):
    """What measures and infers on one device: the Agent, or on Android the AndroidAgent.

    Methods and their errors are the Agent's.
    """

    transport: Transport
    retried: list[str]
    """A line for the report for each program that a signal ended and that was tried once more."""

    @property
    def python_agent(self) -> "Agent | None":
        """What a Python interpreter there runs. It alone writes down the graph that the device's
        runtime really executes, and measures files side by side. None: a tool is driven instead.
        """

    def place(self, sha256: str, remote: str) -> None: ...

    def probe(self) -> Probe: ...

    def prepare(self, artifact: Artifact, preparation: Preparation) -> Loaded: ...

    def measure(
        self, loaded: Loaded, threads: int, inputs: Path, protocol: MeasurementProtocol
    ) -> Turn: ...

    def sweep(
        self, files: Mapping[str, Loaded], inputs: Mapping[str, Path], rounds: Rounds
    ) -> Sweep: ...

    def profile(self, loaded: Loaded, threads: int, inputs: Path) -> Counting: ...

    def usage(self, loaded: Loaded, threads: int, inputs: Path) -> MemoryUse | None: ...

    def infer(self, loaded: Loaded, inference: Inference) -> None: ...


class Agent:
    """The agent on one device; every method is one fresh process there.

    All methods raise RuntimeMissing (a package is not installed there), ArtifactError (the
    device cannot read the model, or the arrays do not fit it) and AgentError (all other
    failures), besides what the transport raises.
    """

    def __init__(self, transport: Transport, python: str, deadline_s: float = DEADLINE_S) -> None:
        """`python`: interpreter on the device; `deadline_s`: for one command, or for nothing of a
        copy to move.
        """
        self.transport = transport
        self.python = python
        self.deadline_s = deadline_s
        self._stall_s = min(deadline_s, STALL_S)
        self.retried: list[str] = []
        self._pyz: str | None = None
        self._placed: dict[str, str] = {}

    @property
    def python_agent(self) -> "Agent | None":
        return self

    def place(self, sha256: str, remote: str) -> None:
        """A file of this content lies at `remote`: it is used there, and not sent."""
        self._placed[sha256] = remote

    def probe(self) -> Probe:
        """What the board is and has; needs neither numpy nor a runtime there."""
        return self._ask(Probe, "probe", {})

    def prepare(self, artifact: Artifact, preparation: Preparation) -> Loaded:
        """Get a file ready to be run there: built into an engine where `preparation` says so."""
        flags = preparation.engine
        engine = None if flags is None else self.build(artifact, flags)
        self.check(preparation)
        return Loaded(artifact, preparation.runner, engine, preparation.options)

    def check(self, preparation: Preparation) -> None:
        """Check that the device has what is asked of its runtime; other files run as they are.

        Raises:
            AgentError: it lacks that; says what there is.

        """
        if preparation.options:
            request: dict[str, JsonValue] = {
                "runtime": preparation.runner,
                "options": dict(preparation.options),
            }
            self._ask(Usable, "check", request)

    def measure(
        self, loaded: Loaded, threads: int, inputs: Path, protocol: MeasurementProtocol
    ) -> Turn:
        """One turn; `inputs` is an .npz of `write_feeds`, whose samples are cycled."""
        request = self.measuring(loaded, threads, inputs, protocol)
        turn = self._ask(Turn, "measure", request, loaded.name, protocol.longest_s)
        self.check_model(loaded, turn.model_sha256)
        return turn

    def measuring(
        self, loaded: Loaded, threads: int, inputs: Path, protocol: MeasurementProtocol
    ) -> dict[str, JsonValue]:
        """What `measure` asks; the file and its inputs are sent."""
        return {**self._inferring(loaded, threads, inputs), **protocol.request()}

    def together(
        self, requests: Sequence[dict[str, JsonValue]], longest_s: float
    ) -> tuple[Answer, ...]:
        """What `measure` answers to each of these, side by side, which may take `longest_s` beyond
        the deadline of each.
        """
        extra_s = longest_s + (len(requests) - 1) * self.deadline_s
        request: dict[str, JsonValue] = {"turns": list(requests)}
        return self._ask(Together, "together", request, extra_s=extra_s).answers

    def sweep(
        self, files: Mapping[str, Loaded], inputs: Mapping[str, Path], rounds: Rounds
    ) -> Sweep:
        """Many files of one runtime in one process, in rounds, each on the one inference of its
        .npz of `write_feeds`.
        """
        first = next(iter(files.values()))
        longest_s = SWEEP_S + 4 * len(files) * rounds.most * rounds.moment_s
        request: dict[str, JsonValue] = {
            "runtime": first.runner,
            "options": dict(first.options),
            "files": {name: self._send_model(file) for name, file in files.items()},
            "inputs": {name: self._send(inputs[name]) for name in files},
            "threads": rounds.threads,
            "rounds": rounds.least,
            "most_rounds": rounds.most,
            "moment_s": rounds.moment_s,
            "longest_s": longest_s,
        }
        sweep = self._ask(Sweep, "sweep", request, extra_s=longest_s)
        ran = {one.name: one.model_sha256 for one in sweep.files}
        if sorted(files) != sorted(one.name for one in sweep.files):
            raise AgentError(f"{self.transport.name}: the agent measured other files than asked")
        for name, file in files.items():
            self.check_model(file, ran.get(name))
        return sweep

    def profile(self, loaded: Loaded, threads: int, inputs: Path) -> Counting:
        """The time of each operator, where the runtime counts it; `inputs` as for `measure`."""
        request = self._inferring(loaded, threads, inputs)
        counting = self._ask(Counting, "profile", request, loaded.name)
        self.check_model(loaded, counting.model_sha256)
        return counting

    def usage(self, loaded: Loaded, threads: int, inputs: Path) -> MemoryUse | None:
        """The memory that it takes; `inputs` as for `measure`."""
        request = self._inferring(loaded, threads, inputs)
        memory = self._ask(MemoryUse, "usage", request, loaded.name)
        self.check_model(loaded, memory.model_sha256)
        return memory

    def _inferring(self, loaded: Loaded, threads: int, inputs: Path) -> dict[str, JsonValue]:
        """The request to run a model on the samples of an .npz of `write_feeds`."""
        return {
            **self._of(loaded),
            "threads": threads,
            "inputs": self._send(inputs),
            "samples": len(read_feeds(inputs, loaded.artifact)),
        }

    def infer(self, loaded: Loaded, inference: Inference) -> None:
        """Run the samples and write their outputs."""
        with self._scratch("npz") as there, self._scratch("npz") as back:
            self.transport.put(inference.inputs, there, timeout_s=self._stall_s)
            request: dict[str, JsonValue] = {
                **self._of(loaded),
                "threads": inference.threads,
                "inputs": there,
                "outputs": back,
                "batch": inference.batch,
                "kernels": inference.kernels,
            }
            inferred = self._ask(Inferred, "infer", request, loaded.name)
            self.check_model(loaded, inferred.model_sha256)
            self.transport.get(
                back,
                inference.outputs,
                timeout_s=self._stall_s,
                limit_bytes=inference.limit_bytes,
            )

    def build(self, model: Artifact, flags: EngineFlags, batch: int = 1) -> Engine:
        """Make the engine of a file on the device, or find the one it has.

        Every free first dimension becomes `batch`.

        Raises:
            ArtifactError: another dimension is free too, or the builder cannot read the file.
            RuntimeMissing: the device has nothing that builds engines.

        """
        request: dict[str, JsonValue] = {
            "model": self._send(model.path),
            "cache": self.transport.cached(ENGINES),
            "timing_cache": self.transport.cached(f"{ENGINES}/timing.cache"),
            "shapes": fixed_shapes(model, batch),
            **flags.model_dump(),
        }
        return self._ask(Engine, "build", request, str(model.path), BUILD_S)

    def optimise(self, loaded: Loaded, output: Path) -> tuple[str, str]:
        """Write the graph that the device's runtime really executes to `output`.

        Returns:
            The runtime ('onnxruntime 1.31.1') and the machine ('x86_64') that optimised it.

        """
        suffix = output.suffix.removeprefix(".") or "txt"
        with self._scratch(suffix) as there:
            request: dict[str, JsonValue] = {
                **self._of(loaded),
                "output": there,
            }
            answer = self._ask(Optimised, "optimise", request, loaded.name)
            limit_bytes = OPTIMISED * loaded.file.stat().st_size + OPTIMISED_BYTES
            self.transport.get(there, output, timeout_s=self._stall_s, limit_bytes=limit_bytes)
        return answer.runtime, answer.machine

    def _ask(
        self,
        spec: type[S],
        command: str,
        fields: dict[str, JsonValue],
        model: str | None = None,
        extra_s: float = 0.0,
    ) -> S:
        """`model` is named in errors; `extra_s` is added to the deadline."""
        where = f"{self.transport.name}: agent {command}" + (f" {model}" if model else "")
        request = {"schema_version": AGENT_SCHEMA_VERSION, "command": command, **fields}
        try:
            argv, asked = [self.python, self._agent()], json.dumps(request).encode()
            run = partial(self.transport.run, argv, asked, timeout_s=self.deadline_s + extra_s)
            completed = run_again_if_killed(run, where, self.retried)
        except TimedOut as error:
            raise AgentError(f"{where}: {error}") from None
        return result_of(answer_of(completed, where), spec, where, model)

    def _agent(self) -> str:
        """Path on the device of the agent, sent when it is not there yet."""
        if self._pyz is None:
            content = build_agent()
            with tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
                file = Path(folder) / "agent.pyz"
                file.write_bytes(content)
                name = f"agent-{hashlib.sha256(content).hexdigest()}.pyz"
                self._pyz = self.transport.cached(name)
                self.transport.put_once(file, self._pyz, timeout_s=self._stall_s)
        return self._pyz

    def _of(self, loaded: Loaded) -> dict[str, JsonValue]:
        """What a request says of the file that it is about."""
        options: dict[str, JsonValue] = dict(loaded.options)
        return {
            "model": self._send_model(loaded),
            "runtime": loaded.runner,
            **({"options": options} if options else {}),
        }

    def _send_model(self, loaded: Loaded) -> str:
        """Path on the device; engines are there."""
        return self._send(loaded.file) if loaded.engine is None else loaded.engine.engine

    def _send(self, file: Path) -> str:
        """Path on the device, named by content, so that a file travels once."""
        digest = sha256_of(file)
        if digest in self._placed:
            return self._placed[digest]
        remote = self.transport.path(digest + file.suffix)
        self.transport.put_once(file, remote, timeout_s=self._stall_s)
        return remote

    def check_model(self, loaded: Loaded, ran: str | None) -> None:
        """A figure is worth nothing when it is another file's."""
        if loaded.engine is None and ran != sha256_of(loaded.file):
            raise AgentError(
                f"{self.transport.name}: the agent ran a file of sha256 {str(ran)[:12]}.., not"
                f" {loaded.file}; something there changes files or answers: push again, check its"
                " card"
            )

    @contextmanager
    def _scratch(self, suffix: str) -> Iterator[str]:
        """A path on the device for one command."""
        remote = self.transport.path(f"{uuid.uuid4().hex}.{suffix}")
        try:
            yield remote
        finally:
            self.transport.remove(remote, timeout_s=self.deadline_s)
