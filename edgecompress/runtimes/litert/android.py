"""Android, which has no Python: TFLite's benchmark_model there, driven from here."""

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from edgecompress.artifact import Artifact
from edgecompress.errors import AgentError, ArtifactError, StorageError, TimedOut
from edgecompress.formats.tflite import Tflite
from edgecompress.measure.agent import Inference
from edgecompress.measure.agent_answer import run_again_if_killed
from edgecompress.measure.android_board import read_probe, read_state
from edgecompress.measure.loaded import Loaded, Preparation
from edgecompress.measure.tensors import Array, read_npz, write_npz
from edgecompress.runtimes.litert.android_io import (
    Named,
    OneInference,
    filled,
    fixed_batch,
    inference_of,
    outputs_of_runs,
    samples_in,
)
from edgecompress.runtimes.litert.android_log import (
    MAX_S,
    MEBIBYTE,
    delegation_notes,
    read_run,
    run_flags,
    summary_of,
    unread_notes,
)
from edgecompress.runtimes.litert.android_tool import DOWNLOAD, Tool, find_tool
from edgecompress.runtimes.litert.target import DelegateName
from edgecompress.spec.measurement import Probe, Turn
from edgecompress.spec.target import MeasurementProtocol
from edgecompress.transport import Completed, Transport
from edgecompress.transport.base import STALL_S
from edgecompress.vendor.text import integer

RUNS_AT_ONCE = 100
"""Inferences of one call, so that no log and no time-out grows with the evaluation set."""
NO_OUTPUTS = 92
INFER = f"""
cd "$1" || exit 1
sizes=$2 mark=$3
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
    rm -f out
    "$@" > log 2>&1
    echo "$mark$?"
    cat log
    cat out >> outs || exit {NO_OUTPUTS}
done
"""
"""Arguments: folder, bytes of one inference of each input, what begins a log, and the tool's own.
Its inputs are cut out of files all0, all1, .. and its outputs added to outs: one call of adb for
many runs."""


class AndroidAgent:
    """Probes, measures and infers as the Agent does; every inference for its outputs is a process.

    All methods raise RuntimeMissing (no benchmark_model), ArtifactError (the arrays do not fit the
    file) and AgentError (benchmark_model failed, did not run what was asked for, or did not say),
    besides what the transport raises.
    """

    def __init__(
        self,
        transport: Transport,
        benchmark_model: str | None,
        delegate: DelegateName | None,
        deadline_s: float = 900.0,
    ) -> None:
        """The agent on one device.

        Args:
            transport: to the device.
            benchmark_model: its path there, or that of a file here, which is sent once.
            delegate: who shall run the operators; None: the runtime's own kernels.
            deadline_s: for one command, or for nothing of a copy to move.

        """
        self.transport = transport
        self.delegate = delegate
        self.deadline_s = deadline_s
        self._stall_s = min(deadline_s, STALL_S)
        self.retried: list[str] = []
        self._given = benchmark_model
        self._found: Tool | None = None
        self._placed: dict[str, str] = {}

    @property
    def graph_writer(self) -> None:
        """benchmark_model keeps its graph to itself."""
        return None

    def place(self, sha256: str, remote: str) -> None:
        """A file of this content lies at `remote`: it is used there, and not sent."""
        self._placed[sha256] = remote

    def probe(self) -> Probe:
        """What the device is; needs no benchmark_model."""
        versions = {} if self._given is None else {"benchmark_model": self._tool().version}
        return read_probe(self.transport, versions)

    def prepare(self, artifact: Artifact, preparation: Preparation) -> Loaded:
        """The file itself; nothing is built on a phone."""
        if preparation.engine is not None:
            raise AgentError(f"{self.transport.name}: this device has no agent to build engines")
        return Loaded(artifact, preparation.runner)

    def measure(
        self, loaded: Loaded, threads: int, inputs: Path, protocol: MeasurementProtocol
    ) -> Turn:
        """One turn; `inputs` is an .npz with the arrays of one inference by input name.

        The tool keeps its samples to itself, so the turn has their summary in their place.
        """
        artifact = self._file(loaded)
        arrays = read_npz(inputs)
        one = inference_of(artifact, arrays, samples_in(artifact, arrays))
        where = f"{self.transport.name}: benchmark_model {artifact.path}"
        tool = self._tool()
        graph = self._graph(artifact)
        with self._folder() as folder:
            self._put_inputs(artifact, arrays, folder, "in")
            argv = [tool.path, *_io_flags(one, graph, folder)]
            argv += run_flags(self.delegate, threads, protocol)
            before = read_state(self.transport)
            done = self._run(argv, where, MAX_S + protocol.min_duration_s)
            after = read_state(self.transport)
        log = read_run(_text(done), done.returncode, where)
        init, first, growth = (
            log.init_time_ms,
            log.first_inference_ms,
            log.memory_growth_mib_overall,
        )
        if log.run is None or init is None or first is None or growth is None:
            raise AgentError(f"{where}: its log lacks load time, first inference or memory")
        return Turn(
            init_time_ms=init,
            first_inference_ms=first,
            warmup_ms=(),
            latency_ms=(),
            summary=summary_of(log.run),
            peak_rss_bytes=round(growth * MEBIBYTE),
            runtime_rss_bytes=None,
            model_sha256=artifact.sha256,
            threads=threads,
            before=before,
            after=after,
            versions={"benchmark_model": log.version or tool.version},
            notes=(*delegation_notes(log, self.delegate, where), *unread_notes(log, where)),
        )

    def infer(self, loaded: Loaded, inference: Inference) -> None:
        """Run the samples and write their outputs."""
        artifact = self._file(loaded)
        if inference.kernels != "default":
            raise AgentError(
                f"{self.transport.name}: benchmark_model has no {inference.kernels} kernels"
            )
        arrays = read_npz(inference.inputs)
        samples = samples_in(artifact, arrays)
        fixed = fixed_batch(artifact)
        rows = inference.batch if fixed is None else fixed
        one = inference_of(artifact, arrays, rows)
        step = rows * RUNS_AT_ONCE
        parts: list[list[Array]] = []
        for start in range(0, samples, step):
            chunk = filled(arrays, start, min(start + step, samples), rows)
            parts.append(self._infer_chunk(artifact, one, chunk, inference.threads, start))
        stacked = {
            info.name: np.concatenate([part[at] for part in parts])[:samples]
            for at, info in enumerate(artifact.outputs)
        }
        write_npz(inference.outputs, stacked)

    def _infer_chunk(
        self, artifact: Artifact, one: OneInference, arrays: Named, threads: int, first: int
    ) -> list[Array]:
        """Outputs of some whole inferences; `first`: the number of their first sample."""
        where = f"{self.transport.name}: benchmark_model {artifact.path}"
        tool = self._tool()
        graph = self._graph(artifact)
        rows = one.inputs[0][0]
        runs = samples_in(artifact, arrays) // rows
        mark = f"{uuid.uuid4().hex} "
        with self._folder() as folder, tempfile.TemporaryDirectory(prefix="edgecompress-") as here:
            self._put_inputs(artifact, arrays, folder, "all")
            argv = [tool.path, *_io_flags(one, graph, folder), f"--output_filepath={folder}/out"]
            argv += run_flags(self.delegate, threads, None)
            sizes = " ".join(map(str, one.input_bytes))
            script = ["sh", "-c", INFER, "sh", folder, sizes, mark]
            done = self._run([*script, *argv], where, 0.0)
            logs = _text(done).split(mark)[1:]
            for number, log in enumerate(logs):
                code, _, text = log.partition("\n")
                place = f"{where}: sample {first + number * rows}"
                exit_code = integer(code.strip())
                if exit_code is None:
                    raise AgentError(f"{place}: ended with the code {code[:40]!r}")
                read = read_run(text, exit_code, place)
                delegation_notes(read, self.delegate, place)
            if done.returncode == NO_OUTPUTS:
                raise AgentError(
                    f"{where}: wrote no outputs ({_last_words(done)}); is there space, and does it"
                    f" know --output_filepath? The current one: {DOWNLOAD}"
                )
            if done.returncode:
                raise AgentError(f"{where}: its inputs cannot be laid out ({_last_words(done)})")
            if len(logs) != runs:
                raise AgentError(f"{where}: tells of {len(logs)} runs, not of {runs}")
            self.transport.get(
                f"{folder}/outs",
                Path(here) / "outs",
                timeout_s=self._stall_s,
                limit_bytes=sum(one.output_bytes) * runs,
            )
            content = (Path(here) / "outs").read_bytes()
        return outputs_of_runs(artifact, one, content, runs)

    def _file(self, loaded: Loaded) -> Artifact:
        if loaded.artifact.format != Tflite.name:
            raise ArtifactError(
                f"{loaded.name}: benchmark_model on Android runs {Tflite.name}, not"
                f" {loaded.artifact.format}"
            )
        return loaded.artifact

    def _tool(self) -> Tool:
        if self._found is None:
            self._found = find_tool(self.transport, self._given, self.deadline_s)
        return self._found

    def _graph(self, artifact: Artifact) -> str:
        """Path on the device, sent when it is not there; what lies there is hashed every time."""
        remote = self._placed.get(artifact.sha256)
        if remote is None:
            remote = self.transport.path(f"{artifact.sha256}.tflite")
            self.transport.put_once(artifact.path, remote, timeout_s=self._stall_s)
        there = self.transport.files.sha256(remote, timeout_s=self.deadline_s)
        if there != artifact.sha256:
            raise AgentError(
                f"{self.transport.name}: {remote} is not {artifact.path}, but of sha256"
                f" {str(there)[:12]}..; remove it there and try again"
            )
        return remote

    def _put_inputs(self, artifact: Artifact, arrays: Named, folder: str, name: str) -> None:
        """Each input's bytes, as files `name`0, `name`1, .. in the folder."""
        with tempfile.TemporaryDirectory(prefix="edgecompress-") as here:
            for at, info in enumerate(artifact.inputs):
                file = Path(here) / f"{name}{at}"
                _write(file, np.ascontiguousarray(arrays[info.name]).tobytes())
                self.transport.put(file, f"{folder}/{file.name}", timeout_s=self._stall_s)

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


def _io_flags(one: OneInference, graph: str, folder: str) -> list[str]:
    """The tool takes inputs by their order; their names are ours, since some need escapes."""
    names = [f"in{at}" for at in range(len(one.inputs))]
    values = ",".join(f"{name}:{folder}/{name}" for name in names)
    return [
        f"--graph={graph}",
        f"--input_layer={','.join(names)}",
        f"--input_layer_shape={one.shapes_flag}",
        f"--input_layer_value_files={values}",
    ]


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise StorageError(f"{file}: cannot be written: {error.strerror}; make room") from None


def _text(done: Completed) -> str:
    return (done.stdout + done.stderr).decode(errors="replace")


def _last_words(done: Completed) -> str:
    words = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    return words[0] if words else f"exit code {done.returncode}"
