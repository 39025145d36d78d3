"""Android, which has no Python: ExecuTorch's executor_runner there, driven from here."""

import math
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from edgecompress.artifact import Artifact, TensorInfo, sha256_of
from edgecompress.errors import AgentError, ArtifactError, RuntimeMissing, TimedOut
from edgecompress.measure.agent import Inference
from edgecompress.measure.agent_answer import run_again_if_killed
from edgecompress.measure.android_board import read_probe, read_state
from edgecompress.measure.loaded import Loaded, Preparation
from edgecompress.measure.tensors import Array, read_npz, write_npz
from edgecompress.runtimes.executorch.android_log import BUILD, Log, read_log
from edgecompress.spec.measurement import Probe, Turn
from edgecompress.spec.target import MeasurementProtocol
from edgecompress.transport import Completed, Transport
from edgecompress.transport.base import STALL_S

RUNS_AT_ONCE = 100
"""Inferences of one call, so that no log and no time-out grows with the evaluation set."""
MOST = 20_000
"""Inferences of a turn, each of which is a line of the log."""
MAX_S = 600.0
INFER = """
cd "$1" || exit 1
sizes=$2 outputs=$3
shift 3
at=0
for size in $sizes; do
    split -b $size -a 3 all$at all$at. || exit 1
    at=$((at + 1))
done
for part in all0.*; do
    at=0
    for size in $sizes; do
        mv -f all$at.${part##*.} in$at || exit 1
        at=$((at + 1))
    done
    rm -f out-*.bin
    "$@" > log 2>&1 || { code=$?; cat log; exit $code; }
    at=0
    while [ $at -lt $outputs ]; do
        cat out-$at.bin >> outs || exit 92
        at=$((at + 1))
    done
done
"""
"""Arguments: folder, bytes of each input, number of outputs, and the tool's own. Its inputs are cut
out of files all0, all1, .. and its outputs added to outs: one call of adb for many runs."""
MEASURE = """
"$@" &
while grep VmHWM /proc/$!/status 2>/dev/null; do sleep 0.05; done
wait $!
"""
"""Arguments: the tool's. The most memory that the process had is told while there is one."""


class AndroidAgent:
    """Probes, measures and infers as the Agent does; every inference for its outputs is a process.

    All methods raise RuntimeMissing (no executor_runner), ArtifactError (the arrays do not fit the
    file) and AgentError (executor_runner failed, or did not say), besides what the transport
    raises.
    """

    def __init__(self, transport: Transport, tool: str | None, deadline_s: float = 900.0) -> None:
        """`tool`: path of executor_runner there, or of a file here, which is sent once."""
        self.transport = transport
        self.deadline_s = deadline_s
        self._stall_s = min(deadline_s, STALL_S)
        self.retried: list[str] = []
        self._given = tool
        self._found: tuple[str, str] | None = None
        self._placed: dict[str, str] = {}

    @property
    def graph_writer(self) -> None:
        """A .pte is run as it stands."""
        return None

    def place(self, sha256: str, remote: str) -> None:
        """A file of this content lies at `remote`: it is used there, and not sent."""
        self._placed[sha256] = remote

    def probe(self) -> Probe:
        """What the device is; needs no executor_runner."""
        versions = {} if self._given is None else {"executor_runner": self.tool()[1]}
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

        A short run before it tells how many inferences take as long as the protocol asks for. The
        memory is that of the whole process.
        """
        artifact = _checked(loaded)
        where = f"{self.transport.name}: executor_runner {artifact.path}"
        arrays = {name: array[:1] for name, array in read_npz(inputs).items()}
        warmups = 1 + protocol.warmup_iterations
        with self._folder() as folder:
            self._put_inputs(artifact, arrays, folder, "in")
            argv = self._argv(artifact, folder, threads)
            short = self._log([*argv, f"--num_executions={warmups}"], where, 0.0)
            count = max(
                protocol.min_iterations,
                math.ceil(protocol.min_duration_s * 1000 / max(min(short.latency_ms), 1e-3)),
            )
            before = read_state(self.transport)
            count = min(count, MOST)
            whole = [*argv, f"--num_executions={warmups + count}"]
            log = self._log(whole, where, MAX_S + protocol.min_duration_s)
            after = read_state(self.transport)
        if log.init_time_ms is None or log.peak_rss_bytes is None:
            raise AgentError(f"{where}: its log lacks load time or memory; {BUILD}")
        return Turn(
            init_time_ms=log.init_time_ms,
            first_inference_ms=log.latency_ms[0],
            warmup_ms=log.latency_ms[:warmups],
            latency_ms=log.latency_ms[warmups:],
            peak_rss_bytes=log.peak_rss_bytes,
            runtime_rss_bytes=None,
            model_sha256=artifact.sha256,
            threads=threads,
            before=before,
            after=after,
            versions={"executor_runner": self.tool()[1]},
        )

    def infer(self, loaded: Loaded, inference: Inference) -> None:
        """Run the samples and write their outputs."""
        artifact = _checked(loaded)
        if inference.kernels != "default":
            raise AgentError(
                f"{self.transport.name}: executor_runner has no {inference.kernels} kernels"
            )
        arrays = read_npz(inference.inputs)
        samples = _samples(artifact, arrays)
        parts: list[list[Array]] = []
        for start in range(0, samples, RUNS_AT_ONCE):
            chunk = {name: array[start : start + RUNS_AT_ONCE] for name, array in arrays.items()}
            parts.append(self._infer_chunk(artifact, chunk, inference.threads))
        stacked = {
            info.name: np.concatenate([part[at] for part in parts])
            for at, info in enumerate(artifact.outputs)
        }
        write_npz(inference.outputs, stacked)

    def tool(self) -> tuple[str, str]:
        """Its path on the device, and the start of its hash, since it does not print what it is.

        Raises:
            RuntimeMissing: it is neither there nor here, or nothing is given.

        """
        if self._found is None:
            self._found = self._find_tool()
        return self._found

    def _find_tool(self) -> tuple[str, str]:
        given, name = self._given, self.transport.name
        if given is None:
            raise RuntimeMissing(
                f"{name}: Android needs ExecuTorch's executor_runner; {BUILD}, and name it as the"
                " device's tool in the inventory"
            )
        if Path(given).is_file():
            digest: str | None = sha256_of(Path(given))
            path = self.transport.cached(f"executor_runner-{digest}")
            self.transport.put_once(Path(given), path, timeout_s=self._stall_s)
            self.transport.run(["chmod", "755", path], timeout_s=self.deadline_s)
        else:
            path = given
            there = given.startswith("/")
            files = self.transport.files
            digest = files.sha256(given, timeout_s=self.deadline_s) if there else None
        if digest is None:
            raise RuntimeMissing(
                f"{name}: executor_runner '{given}' is neither a file here nor one there; {BUILD}"
            )
        return path, f"sha256 {digest[:12]}"

    def _infer_chunk(
        self, artifact: Artifact, arrays: Mapping[str, Array], threads: int
    ) -> list[Array]:
        where = f"{self.transport.name}: executor_runner {artifact.path}"
        runs = _samples(artifact, arrays)
        sizes = [_size_bytes(info) for info in artifact.outputs]
        with self._folder() as folder, tempfile.TemporaryDirectory(prefix="edgecompress-") as here:
            self._put_inputs(artifact, arrays, folder, "all")
            cuts = " ".join(str(_size_bytes(info)) for info in artifact.inputs)
            script = ["sh", "-c", INFER, "sh", folder, cuts, str(len(sizes))]
            argv = [*self._argv(artifact, folder, threads), f"--output_file={folder}/out"]
            done = self._run([*script, *argv], where, 0.0)
            if done.returncode:
                read_log(_text(done), done.returncode, where)
            file = Path(here) / "outs"
            limit = sum(sizes) * runs
            self.transport.get(f"{folder}/outs", file, timeout_s=self._stall_s, limit_bytes=limit)
            content = file.read_bytes()
        if len(content) != limit:
            raise AgentError(f"{where}: wrote {len(content)} bytes of outputs, not {limit}")
        table = np.frombuffer(content, np.uint8).reshape(runs, sum(sizes))
        pieces = np.split(table, np.cumsum(sizes)[:-1], axis=1)
        return [
            np.ascontiguousarray(piece).view(np.dtype(info.dtype)).reshape(runs, *_rest(info))
            for info, piece in zip(artifact.outputs, pieces, strict=True)
        ]

    def _argv(self, artifact: Artifact, folder: str, threads: int) -> list[str]:
        inputs = ",".join(f"{folder}/in{at}" for at in range(len(artifact.inputs)))
        return [
            self.tool()[0],
            f"--model_path={self._model(artifact)}",
            f"--inputs={inputs}",
            "--print_output=none",
            f"--cpu_threads={threads}",
        ]

    def _log(self, argv: list[str], where: str, extra_s: float) -> Log:
        done = self._run(["sh", "-c", MEASURE, "sh", *argv], where, extra_s)
        return read_log(_text(done), done.returncode, where)

    def _model(self, artifact: Artifact) -> str:
        """Path on the device, sent when it is not there; what lies there is hashed every time."""
        remote = self._placed.get(artifact.sha256)
        if remote is None:
            remote = self.transport.path(f"{artifact.sha256}.pte")
            self.transport.put_once(artifact.path, remote, timeout_s=self._stall_s)
        there = self.transport.files.sha256(remote, timeout_s=self.deadline_s)
        if there != artifact.sha256:
            raise AgentError(
                f"{self.transport.name}: {remote} is not {artifact.path}, but of sha256"
                f" {str(there)[:12]}..; remove it there and try again"
            )
        return remote

    def _put_inputs(
        self, artifact: Artifact, arrays: Mapping[str, Array], folder: str, name: str
    ) -> None:
        """Each input's bytes, as files `name`0, `name`1, .. in the folder."""
        _samples(artifact, arrays)
        with tempfile.TemporaryDirectory(prefix="edgecompress-") as here:
            for at, info in enumerate(artifact.inputs):
                file = Path(here) / f"{name}{at}"
                file.write_bytes(np.ascontiguousarray(arrays[info.name]).tobytes())
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


def _checked(loaded: Loaded) -> Artifact:
    if loaded.artifact.path.suffix != ".pte":
        raise ArtifactError(f"{loaded.name}: executor_runner on Android runs .pte files")
    return loaded.artifact


def _samples(artifact: Artifact, arrays: Mapping[str, Array]) -> int:
    """How many there are, [N, ...] by name, of a file that takes one at a time."""
    for info in artifact.inputs:
        array = arrays.get(info.name)
        if array is None or array.dtype.name != info.dtype or array.shape[1:] != _rest(info):
            given = "nothing" if array is None else f"{array.dtype.name} {list(array.shape)}"
            raise ArtifactError(
                f"{artifact.path}: input '{info.name}' takes {info.dtype} {list(info.shape)}, not"
                f" {given}"
            )
    counts = {len(arrays[info.name]) for info in artifact.inputs}
    ones = [info for info in (*artifact.inputs, *artifact.outputs) if info.shape[:1] != (1,)]
    if len(counts) != 1 or not min(counts) or ones:
        raise ArtifactError(
            f"{artifact.path}: inputs must hold the same number of samples, not 0, and the file"
            " must take and give one at a time"
        )
    return counts.pop()


def _rest(info: TensorInfo) -> tuple[int, ...]:
    """Without the batch."""
    return tuple(size for size in info.shape[1:] if isinstance(size, int))


def _size_bytes(info: TensorInfo) -> int:
    return math.prod(_rest(info)) * np.dtype(info.dtype).itemsize


def _text(done: Completed) -> str:
    return (done.stdout + done.stderr).decode(errors="replace")
