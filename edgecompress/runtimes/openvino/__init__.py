"""OpenVINO: ONNX files, whose graph it lowers to its own and tells as it runs."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.artifact import Artifact
from edgecompress.formats.onnx import Onnx
from edgecompress.measure.loaded import Loaded
from edgecompress.runtimes.base import Needs, Package, Runtime
from edgecompress.runtimes.openvino.target import OpenVinoSection

if TYPE_CHECKING:
    from edgecompress.formats.exportable import Exportable
    from edgecompress.measure.agent import Agent
    from edgecompress.spec.measurement import Inspection
    from edgecompress.spec.target import Target


class OpenVino(Runtime):
    section = OpenVinoSection
    format = Onnx()
    needs = Needs(
        (Package("openvino", "openvino"),), extra="openvino", exports_with=("onnxscript",)
    )
    runner_here = "openvino"

    def export(self, model: "Exportable", path: Path) -> Artifact:
        from edgecompress.runtimes.openvino.export import export

        return export(model, path)

    def inspect(
        self, artifact: Artifact, target: "Target | None", agent: "Agent", folder: Path
    ) -> "Inspection":
        """The graph that OpenVINO compiles on the agent's machine tells."""
        prepared = self.here(target)
        loaded = Loaded(artifact, prepared.runner, options=prepared.options)
        return self._inspect(loaded, agent, folder)

    def inspect_there(
        self, loaded: Loaded, target: "Target", agent: "Agent", folder: Path
    ) -> "Inspection":
        """As `inspect`, on the device and in the types that the target wants."""
        return self._inspect(loaded, agent, folder)

    def options(self, target: "Target") -> dict[str, str]:
        """None for what any machine has: the CPU, in float32."""
        section = OpenVinoSection.of(target)
        if section.device == "cpu" and target.float_dtype == "float32":
            return {}
        return {"device": section.device, "float_dtype": target.float_dtype}

    def _inspect(self, loaded: Loaded, agent: "Agent", folder: Path) -> "Inspection":
        from edgecompress.runtimes.openvino.executed import read_graph
        from edgecompress.runtimes.openvino.inspect import inspect_openvino

        with tempfile.TemporaryDirectory(dir=folder) as name:
            graph = Path(name) / "graph.json"
            runtime, machine = agent.optimise(loaded, graph)
            executed = read_graph(graph, agent.transport.name)
            return inspect_openvino(loaded.file, executed, runtime, machine)
