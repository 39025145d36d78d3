"""Android, which has no Python: TFLite's benchmark_model there, driven from here."""

import uuid
from pathlib import Path

import numpy as np

from edgecompress.artifact import Artifact
from edgecompress.errors import AgentError
from edgecompress.formats.tflite import Tflite
from edgecompress.measure import DEADLINE_S
from edgecompress.measure.agent import Inference
from edgecompress.measure.android_board import read_state
from edgecompress.measure.loaded import Loaded
from edgecompress.measure.phone import (
    NO_OUTPUTS,
    RUNS_AT_ONCE,
    PhoneAgent,
    for_each_inference,
    text_of,
)
from edgecompress.measure.phone_io import (
    Named,
    OneInference,
    filled,
    fixed_batch,
    inference_of,
    outputs_of_runs,
    samples_in,
)
from edgecompress.measure.phone_tool import Wanted
from edgecompress.measure.tensors import Array, read_npz, write_npz
from edgecompress.runtimes.litert.android_log import (
    MAX_S,
    MEBIBYTE,
    delegation_notes,
    read_run,
    run_flags,
    summary_of,
    unread_notes,
)
from edgecompress.runtimes.litert.target import DelegateName
from edgecompress.spec.measurement import Turn
from edgecompress.spec.protocol import MeasurementProtocol
from edgecompress.transport import Completed, Transport
from edgecompress.vendor.text import integer

DOWNLOAD = (
    "https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/"
    "nightly/latest/android_aarch64_benchmark_model"
)
INFER = for_each_inference(f"""
    rm -f out
    "$@" > log 2>&1
    echo "$extra$?"
    cat log
    cat out >> outs || exit {NO_OUTPUTS}
""")
"""`extra` begins a log; the outputs are added to outs."""


class AndroidAgent(PhoneAgent):
    """Probes, measures and infers as the Agent does; every inference for its outputs is a process.

    All methods raise RuntimeMissing (no benchmark_model), ArtifactError (the arrays do not fit the
    file) and AgentError (benchmark_model failed, did not run what was asked for, or did not say),
    besides what the transport raises.
    """

    wanted = Wanted("benchmark_model", "TFLite", f"download {DOWNLOAD}")
    format = Tflite.name

    def __init__(
        self,
        transport: Transport,
        tool: str | None,
        delegate: DelegateName | None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """`delegate`: who shall run the operators; None: the runtime's own kernels."""
        super().__init__(transport, tool, deadline_s)
        self.delegate = delegate

    def measure(
        self, loaded: Loaded, threads: int, inputs: Path, protocol: MeasurementProtocol
    ) -> Turn:
        """One turn; `inputs` is an .npz of `write_feeds`, of which the first is run.

        The tool keeps its samples to itself, so the turn has their summary in their place.
        """
        self._check_protocol(protocol)
        artifact = self._artifact(loaded)
        arrays, cut = self._first(artifact, inputs)
        one = inference_of(artifact, arrays, samples_in(artifact, arrays))
        where = self._where(artifact)
        tool = self.tool()
        graph = self._model(artifact)
        with self._folder() as folder:
            self._put_inputs(artifact, arrays, folder, "in")
            argv = [tool.path, *_io_flags(one, graph, folder)]
            argv += run_flags(self.delegate, threads, protocol)
            before = read_state(self.transport)
            done = self._run(argv, where, MAX_S + protocol.min_duration_s)
            after = read_state(self.transport)
        log = read_run(text_of(done), done.returncode, where)
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
            distinct_inputs=1,
            before=before,
            after=after,
            versions={"benchmark_model": log.version or tool.version},
            notes=(*cut, *delegation_notes(log, self.delegate, where), *unread_notes(log, where)),
        )

    def infer(self, loaded: Loaded, inference: Inference) -> None:
        """Run the samples and write their outputs."""
        artifact = self._artifact(loaded)
        self._check_kernels(inference)
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
        where = self._where(artifact)
        tool = self.tool()
        graph = self._model(artifact)
        rows = one.inputs[0][0]
        runs = samples_in(artifact, arrays) // rows
        mark = f"{uuid.uuid4().hex} "
        with self._folder() as folder:
            self._put_inputs(artifact, arrays, folder, "all")
            argv = [tool.path, *_io_flags(one, graph, folder), f"--output_filepath={folder}/out"]
            argv += run_flags(self.delegate, threads, None)
            sizes = " ".join(map(str, one.input_bytes))
            script = ["sh", "-c", INFER, "sh", folder, sizes, mark]
            done = self._run([*script, *argv], where, 0.0)
            logs = text_of(done).split(mark)[1:]
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
            content = self._get_outputs(folder, sum(one.output_bytes) * runs)
        return outputs_of_runs(artifact, one, content, runs)


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


def _last_words(done: Completed) -> str:
    words = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    return words[0] if words else f"exit code {done.returncode}"
