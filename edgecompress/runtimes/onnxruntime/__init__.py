"""ONNX Runtime on a CPU: ONNX files, whose graph it optimises and writes down again."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.artifact import Artifact
from edgecompress.errors import in_place_of
from edgecompress.formats.onnx import Onnx
from edgecompress.measure.loaded import Loaded
from edgecompress.runtimes.base import Needs, Package, Runtime
from edgecompress.runtimes.onnxruntime.target import OnnxRuntimeSection

if TYPE_CHECKING:
    from edgecompress.formats.exportable import Exportable
    from edgecompress.measure.agent import Agent
    from edgecompress.spec.measurement import Inspection
    from edgecompress.spec.target import Target


class OnnxRuntime(Runtime):
    section = OnnxRuntimeSection
    format = Onnx()
    needs = Needs(
        (Package("onnxruntime", "onnxruntime"), Package("onnxruntime-gpu", "onnxruntime")),
        exports_with=("onnxscript",),
    )
    runner_here = "onnxruntime"

    def export(self, model: "Exportable", path: Path) -> Artifact:
        from edgecompress.runtimes.onnxruntime.export import export

        return export(model, path)

    def inspect(
        self, artifact: Artifact, target: "Target | None", agent: "Agent", folder: Path
    ) -> "Inspection":
        """Read the graph that ONNX Runtime makes on the agent's machine."""
        from edgecompress.runtimes.onnxruntime.inspect import inspect_onnx

        with tempfile.TemporaryDirectory(dir=folder) as name:
            optimised = Path(name) / "optimised.onnx"
            runtime, machine = agent.optimise(Loaded(artifact, self.name), optimised)
            with in_place_of(artifact.path, optimised):
                return inspect_onnx(artifact.path, optimised, runtime, machine)
