"""TensorRT on a Jetson, which builds an engine of an ONNX file; it does not run on this machine."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.artifact import Artifact
from edgecompress.errors import (
    AgentError,
    ArtifactError,
    RuntimeMissing,
    SpecError,
    in_place_of,
)
from edgecompress.formats.onnx import Onnx
from edgecompress.measure.loaded import Loaded, Preparation
from edgecompress.runtimes.base import Needs, Package, Runtime
from edgecompress.runtimes.tensorrt.target import STRONGLY_TYPED_FROM, TensorRtSection
from edgecompress.spec.engine import EngineFlags
from edgecompress.spec.health import Row, missing, ok, warning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgecompress.formats.exportable import Exportable
    from edgecompress.measure.agent import Agent
    from edgecompress.measure.profile import Pairs
    from edgecompress.spec.measurement import Inspection, Op, Probe
    from edgecompress.spec.profile import CountedOperator
    from edgecompress.spec.target import Target

WORKSPACE_BYTES = 1 << 30
"""What TensorRT may use while it builds; the smallest Jetson shares 4 GB with everything else."""
JETPACK = (
    "sudo apt install nvidia-jetpack on the board; a virtual environment sees it when it was made"
    " with --system-site-packages"
)


class TensorRt(Runtime):
    section = TensorRtSection
    format = Onnx()
    needs = Needs((Package("tensorrt", "tensorrt"),), exports_with=("onnxscript",))
    # Q/DQ computed in float, as it is written, which ONNX Runtime's reference kernels do.
    runner_here = "onnxruntime"

    def export(self, model: "Exportable", path: Path) -> Artifact:
        from edgecompress.runtimes.tensorrt.export import export

        return export(model, path)

    def inspect(
        self, artifact: Artifact, target: "Target | None", agent: "Agent", folder: Path
    ) -> "Inspection":
        """Ask the rules of the target's release; only the board knows what it does."""
        from edgecompress.runtimes.tensorrt.inspect import inspect_tensorrt

        if target is None:
            raise SpecError(f"{artifact.path}: TensorRT's rules differ by release; name a target")
        return inspect_tensorrt(artifact.path, TensorRtSection.of(target).release)

    def inspect_there(
        self, loaded: Loaded, target: "Target", agent: "Agent", folder: Path
    ) -> "Inspection":
        """Read the layers of the engine; ask the release's rules where it does not tell them."""
        from edgecompress.runtimes.tensorrt.layers import inspect_engine, read_layers

        with tempfile.TemporaryDirectory(dir=folder) as name:
            told = Path(name) / "layers.json"
            try:
                agent.optimise(loaded, told)
                with in_place_of(loaded.file, told):
                    layers = read_layers(told)
            except (AgentError, ArtifactError, RuntimeMissing) as error:
                ruled = self.inspect(loaded.artifact, target, agent, folder)
                runtime = f"{ruled.runtime}; the engine does not tell its layers: {error}"
                return ruled.model_copy(update={"runtime": runtime})
        return inspect_engine(loaded.file, TensorRtSection.of(target).release, layers)

    def counted(self, operators: "Sequence[CountedOperator]", ops: "Sequence[Op]") -> "Pairs":
        from edgecompress.runtimes.tensorrt.layers import counted

        return counted(operators, ops)

    def preparation(self, target: "Target", *, original: bool) -> Preparation:
        """An engine: of the original in float32, as it was trained."""
        strongly_typed = TensorRtSection.of(target).release >= STRONGLY_TYPED_FROM
        # What stays in float is float16 in the graph; TensorRT 8 must be allowed it as well.
        fp16 = target.float_dtype == "float16" and not strongly_typed
        flags = EngineFlags(
            fp16=fp16 and not original,
            sparse_weights="2:4" in target.sparsity and not original,
            strongly_typed=strongly_typed,
            workspace_bytes=WORKSPACE_BYTES,
        )
        return Preparation(self.name, flags)

    def board_rows(self, target: "Target", probe: "Probe", pip: str) -> list[Row]:
        """JetPack brings what pip does not have."""
        return [self._library_row(target, probe, pip), _trtexec_row(probe)]

    def _library_row(self, target: "Target", probe: "Probe", pip: str) -> Row:
        problem = self.problem(target.runtime, probe.versions, pip)
        if problem is None:
            return ok("runtime", f"{self.name} {probe.versions[self.name]}")
        if self.installed(probe.versions) is None:
            return missing("runtime", "this Python has no tensorrt", JETPACK)
        release = target.runtime.version.removeprefix("==")
        return missing("runtime", problem.text, f"install the JetPack that has TensorRT {release}")


def _trtexec_row(probe: "Probe") -> Row:
    if probe.trtexec is not None:
        return ok("trtexec", probe.trtexec)
    return warning("trtexec", "not there; Python's tensorrt builds engines without it", JETPACK)
