"""Android, which has no Python: ExecuTorch's executor_runner there, driven from here."""

import math
from pathlib import Path

import numpy as np

from edgecompress.artifact import Artifact
from edgecompress.errors import AgentError
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
from edgecompress.measure.phone_io import Named, inference_of, outputs_of_runs, samples_in
from edgecompress.measure.phone_tool import Wanted
from edgecompress.measure.tensors import Array, read_npz, write_npz
from edgecompress.runtimes.executorch.android_log import BUILD, Log, read_log
from edgecompress.spec.measurement import Turn
from edgecompress.spec.protocol import MeasurementProtocol

MOST = 20_000
"""Inferences of a turn, each of which is a line of the log."""
MAX_S = 600.0
INFER = for_each_inference(f"""
    rm -f out-*.bin
    "$@" > log 2>&1 || {{ code=$?; cat log; exit $code; }}
    at=0
    while [ $at -lt $extra ]; do
        cat out-$at.bin >> outs || exit {NO_OUTPUTS}
        at=$((at + 1))
    done
""")
"""`extra` is the number of outputs, which are added to outs."""
MEASURE = """
"$@" &
while grep VmHWM /proc/$!/status 2>/dev/null; do sleep 0.05; done
wait $!
"""
"""Arguments: the tool's. The most memory that the process had is told while there is one."""


class AndroidAgent(PhoneAgent):
    """Probes, measures and infers as the Agent does; every inference for its outputs is a process.

    All methods raise RuntimeMissing (no executor_runner), ArtifactError (the arrays do not fit the
    file, which takes one sample at a time) and AgentError (executor_runner failed, or did not say),
    besides what the transport raises.
    """

    wanted = Wanted("executor_runner", "ExecuTorch", BUILD)
    format = "pte"

    def measure(
        self, loaded: Loaded, threads: int, inputs: Path, protocol: MeasurementProtocol
    ) -> Turn:
        """One turn; `inputs` is an .npz of `write_feeds`, of which the first is run.

        A short run before it tells how many inferences take as long as the protocol asks for. The
        memory is that of the whole process.
        """
        self._check_protocol(protocol)
        artifact = self._artifact(loaded)
        where = self._where(artifact)
        first, cut = self._first(artifact, inputs)
        arrays = {name: array[:1] for name, array in first.items()}
        inference_of(artifact, arrays, samples_in(artifact, arrays))
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
            distinct_inputs=1,
            before=before,
            after=after,
            versions={"executor_runner": self.tool().version},
            notes=cut,
        )

    def infer(self, loaded: Loaded, inference: Inference) -> None:
        """Run the samples and write their outputs."""
        artifact = self._artifact(loaded)
        self._check_kernels(inference)
        arrays = read_npz(inference.inputs)
        parts: list[list[Array]] = []
        for start in range(0, samples_in(artifact, arrays), RUNS_AT_ONCE):
            chunk = {name: array[start : start + RUNS_AT_ONCE] for name, array in arrays.items()}
            parts.append(self._infer_chunk(artifact, chunk, inference.threads))
        stacked = {
            info.name: np.concatenate([part[at] for part in parts])
            for at, info in enumerate(artifact.outputs)
        }
        write_npz(inference.outputs, stacked)

    def _infer_chunk(self, artifact: Artifact, arrays: Named, threads: int) -> list[Array]:
        where = self._where(artifact)
        one = inference_of(artifact, arrays, 1)
        with self._folder() as folder:
            self._put_inputs(artifact, arrays, folder, "all")
            sizes = " ".join(map(str, one.input_bytes))
            script = ["sh", "-c", INFER, "sh", folder, sizes, str(len(one.outputs))]
            argv = [*self._argv(artifact, folder, threads), f"--output_file={folder}/out"]
            done = self._run([*script, *argv], where, 0.0)
            if done.returncode:
                read_log(text_of(done), done.returncode, where)
            runs = samples_in(artifact, arrays)
            content = self._get_outputs(folder, sum(one.output_bytes) * runs)
        return outputs_of_runs(artifact, one, content, runs)

    def _argv(self, artifact: Artifact, folder: str, threads: int) -> list[str]:
        inputs = ",".join(f"{folder}/in{at}" for at in range(len(artifact.inputs)))
        return [
            self.tool().path,
            f"--model_path={self._model(artifact)}",
            f"--inputs={inputs}",
            "--print_output=none",
            f"--cpu_threads={threads}",
        ]

    def _log(self, argv: list[str], where: str, extra_s: float) -> Log:
        done = self._run(["sh", "-c", MEASURE, "sh", *argv], where, extra_s)
        return read_log(text_of(done), done.returncode, where)
