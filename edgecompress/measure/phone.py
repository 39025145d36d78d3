"""What all agents of phones do alike: Android has no Python, so that a tool of the runtime's is
driven from here.
"""

import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from edgecompress.artifact import Artifact
from edgecompress.errors import AgentError, ArtifactError, SpecError, StorageError, TimedOut
from edgecompress.measure import DEADLINE_S
from edgecompress.measure.agent import Inference
from edgecompress.measure.agent_answer import run_again_if_killed
from edgecompress.measure.android_board import read_probe
from edgecompress.measure.asked import Rounds
from edgecompress.measure.inputs import read_feeds
from edgecompress.measure.loaded import Loaded, Preparation
from edgecompress.measure.phone_io import Named
from edgecompress.measure.phone_tool import Tool, Wanted, find_tool
from edgecompress.spec.latency import Sweep, SweepFile
from edgecompress.spec.measurement import Probe, Turn
from edgecompress.spec.memory import MemoryUse
from edgecompress.spec.profile import Counting
from edgecompress.spec.protocol import MeasurementProtocol, Quick
from edgecompress.transport import Completed, Transport
from edgecompress.transport.base import STALL_S

RUNS_AT_ONCE = 100
"""Inferences of one call, so that no log and no time-out grows with the evaluation set."""
MOMENT_S, MOST_ROUNDS = 0.2, 5
"""How long a file runs in a round of a sweep, and how many rounds that has."""
NO_OUTPUTS = 92
"""Exit code of a script that found no outputs of the tool's."""


def for_each_inference(commands: str) -> str:
    """A script that cuts the inputs of many inferences apart and runs `commands` for each: one call
    of adb for many runs.

    Its arguments are a folder, the bytes of one inference of each input, one for the commands
    (`$extra`), and the tool's own (`"$@"`). The inputs are cut out of files all0, all1, .. into
    in0, in1, ..
    """
    return f"""
cd "$1" || exit 1
sizes=$2 extra=$3
shift 3
at=0
for size in $sizes; do
    split -b $size -a 3 all$at all$at. || exit 1
    at=$((at + 1))
done
for part in all0.*; do
    at=0
    for size in $sizes; do
        mv -f all$at.${{part##*.}} in$at || exit 1
        at=$((at + 1))
    done
{commands}
done
"""


class PhoneAgent(ABC):
    """Probes and prepares as the Agent does; a runtime's own class measures and infers.

    All methods raise RuntimeMissing (the tool is not there), besides what the transport raises.
    """

    wanted: ClassVar[Wanted]
    """The tool."""
    format: ClassVar[str]
    """The name of the format that it runs, which is the suffix of its files too."""

    def __init__(
        self, transport: Transport, tool: str | None, deadline_s: float = DEADLINE_S
    ) -> None:
        """The agent on one device.

        Args:
            transport: to the device.
            tool: its path there, or that of a file here, which is sent once.
            deadline_s: for one command, or for nothing of a copy to move.

        """
        self.transport = transport
        self.deadline_s = deadline_s
        self._stall_s = min(deadline_s, STALL_S)
        self.retried: list[str] = []
        self._given = tool
        self._found: Tool | None = None
        self._placed: dict[str, str] = {}

    @property
    def python_agent(self) -> None:
        """No tool writes down the graph that it executes."""
        return None

    def place(self, sha256: str, remote: str) -> None:
        """A file of this content lies at `remote`: it is used there, and not sent."""
        self._placed[sha256] = remote

    def probe(self) -> Probe:
        """What the device is; needs no tool."""
        versions = {} if self._given is None else {self.wanted.name: self.tool().version}
        return read_probe(self.transport, versions)

    def prepare(self, artifact: Artifact, preparation: Preparation) -> Loaded:
        """The file itself; nothing is built on a phone."""
        if preparation.engine is not None:
            raise AgentError(f"{self.transport.name}: this device has no agent to build engines")
        return Loaded(artifact, preparation.runner)

    def profile(self, loaded: Loaded, threads: int, inputs: Path) -> Counting:
        """Nothing: the tools are run without counters."""
        return Counting(
            runtime=self.wanted.name, why_none=f"{self.wanted.name} is run without counters"
        )

    @abstractmethod
    def measure(
        self, loaded: Loaded, threads: int, inputs: Path, protocol: MeasurementProtocol
    ) -> Turn:
        """One turn."""

    def sweep(
        self, files: Mapping[str, Loaded], inputs: Mapping[str, Path], rounds: Rounds
    ) -> Sweep:
        """As the Agent's, with a process of the tool for every file in every round, of which there
        are few: starting one takes longer than the file does.
        """
        moment = Quick(min_iterations=1, min_duration_s=MOMENT_S, turns=1)
        taken: dict[str, list[float]] = {name: [] for name in files}
        turns: list[Turn] = []
        for number in range(min(rounds.least, MOST_ROUNDS)):
            for name in list(files) if number % 2 else reversed(list(files)):
                turns.append(self.measure(files[name], rounds.threads, inputs[name], moment))
                taken[name].append(float(np.median(turns[-1].central_ms)))
        return Sweep(
            files=tuple(
                SweepFile(
                    name=name, model_sha256=file.artifact.sha256, rounds_ms=tuple(taken[name])
                )
                for name, file in files.items()
            ),
            threads=rounds.threads,
            versions=turns[0].versions,
        )

    def usage(self, loaded: Loaded, threads: int, inputs: Path) -> MemoryUse | None:
        """Nothing beside what a turn has: no tool tells more."""
        return None

    def tool(self) -> Tool:
        """Where it is on the device. Raises RuntimeMissing: neither there nor here."""
        if self._found is None:
            self._found = find_tool(self.transport, self.wanted, self._given, self.deadline_s)
        return self._found

    def _artifact(self, loaded: Loaded) -> Artifact:
        """Raises ArtifactError: of a format that the tool does not run."""
        if loaded.artifact.format != self.format:
            raise ArtifactError(
                f"{loaded.name}: {self.wanted.name} on Android runs {self.format}, not"
                f" {loaded.artifact.format}"
            )
        return loaded.artifact

    def _check_protocol(self, protocol: MeasurementProtocol) -> None:
        """Raises SpecError: the tool cannot follow it."""
        if not protocol.one_by_one:
            raise SpecError(
                f"{self.transport.name}: {self.wanted.name} runs one inference right after the"
                f" other, so that it cannot follow the protocol '{protocol.protocol}'; use"
                " quick, standard or sustained"
            )

    def _check_kernels(self, inference: Inference) -> None:
        if inference.kernels != "default":
            raise AgentError(
                f"{self.transport.name}: {self.wanted.name} has no {inference.kernels} kernels"
            )

    def _where(self, artifact: Artifact) -> str:
        return f"{self.transport.name}: {self.wanted.name} {artifact.path}"

    def _model(self, artifact: Artifact) -> str:
        """Path on the device, sent when it is not there; what lies there is hashed every time."""
        remote = self._placed.get(artifact.sha256)
        if remote is None:
            remote = self.transport.path(f"{artifact.sha256}.{self.format}")
            self.transport.put_once(artifact.path, remote, timeout_s=self._stall_s)
        there = self.transport.files.sha256(remote, timeout_s=self.deadline_s)
        if there != artifact.sha256:
            raise AgentError(
                f"{self.transport.name}: {remote} is not {artifact.path}, but of sha256"
                f" {str(there)[:12]}..; remove it there and try again"
            )
        return remote

    def _first(self, artifact: Artifact, inputs: Path) -> tuple[Named, tuple[str, ...]]:
        """The arrays of the inference that the tool repeats, and a note where there are more."""
        feeds = read_feeds(inputs, artifact)
        if len(feeds) == 1:
            return feeds[0], ()
        said = f"{self.wanted.name} takes the inputs of one inference: the first of {len(feeds)}"
        return feeds[0], (f"{said} samples, again and again",)

    def _put_inputs(self, artifact: Artifact, arrays: Named, folder: str, name: str) -> None:
        """Each input's bytes, as files `name`0, `name`1, .. in the folder."""
        with tempfile.TemporaryDirectory(prefix="edgecompress-") as here:
            for at, info in enumerate(artifact.inputs):
                file = Path(here) / f"{name}{at}"
                _write(file, np.ascontiguousarray(arrays[info.name]).tobytes())
                self.transport.put(file, f"{folder}/{file.name}", timeout_s=self._stall_s)

    def _get_outputs(self, folder: str, limit_bytes: int) -> bytes:
        """What the tool's runs put out, one after the other."""
        with tempfile.TemporaryDirectory(prefix="edgecompress-") as here:
            file = Path(here) / "outs"
            remote = f"{folder}/outs"
            self.transport.get(remote, file, timeout_s=self._stall_s, limit_bytes=limit_bytes)
            return file.read_bytes()

    @contextmanager
    def _folder(self) -> Iterator[str]:
        """A folder on the device for one command."""
        remote = self.transport.path(uuid.uuid4().hex)
        try:
            yield remote
        finally:
            self.transport.files.remove(remote)

    def _run(self, argv: list[str], where: str, extra_s: float) -> Completed:
        run = partial(self.transport.run, argv, timeout_s=self.deadline_s + extra_s)
        try:
            return run_again_if_killed(run, where, self.retried)
        except TimedOut as error:
            raise AgentError(f"{where}: {error}") from None


def text_of(done: Completed) -> str:
    """All that a program printed."""
    return (done.stdout + done.stderr).decode(errors="replace")


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise StorageError(f"{file}: cannot be written: {error.strerror}; make room") from None
