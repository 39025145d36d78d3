"""LiteRT, which was TFLite: files whose operators it runs as they stand, by a delegate."""

import platform
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.artifact import Artifact
from edgecompress.errors import RuntimeMissing
from edgecompress.formats.tflite import Tflite
from edgecompress.runtimes.base import Needs, Package, Runtime
from edgecompress.runtimes.litert.target import LitertSection
from edgecompress.spec.health import Row, missing, ok

if TYPE_CHECKING:
    from edgecompress.formats.exportable import Exportable
    from edgecompress.measure.agent import Agent, DeviceAgent
    from edgecompress.spec.device import Device
    from edgecompress.spec.measurement import Inspection
    from edgecompress.spec.target import Target
    from edgecompress.transport import Transport


ANSWER_S = 60.0
"""For a command of a phone that does next to nothing."""


class Litert(Runtime):
    section = LitertSection
    format = Tflite()
    needs = Needs(
        (
            Package("ai-edge-litert", "ai_edge_litert.interpreter"),
            Package("tflite-runtime", "tflite_runtime.interpreter"),
        ),
        extra="litert",
        exports_with=("litert-converter", "ai-edge-litert"),
    )
    runner_here = "litert"

    def export(self, model: "Exportable", path: Path) -> Artifact:
        from edgecompress.runtimes.litert.export import export

        return export(model, path)

    def inspect(
        self, artifact: Artifact, target: "Target | None", agent: "Agent", folder: Path
    ) -> "Inspection":
        """Read the file itself, and ask the rules of the target's delegate."""
        from edgecompress.runtimes.litert.inspect import inspect_tflite

        if target is None:
            return inspect_tflite(artifact.path, self.name, platform.machine())
        section = LitertSection.of(target)
        return inspect_tflite(
            artifact.path,
            section.label,
            platform.machine() if target.cpu == "native" else target.cpu.architecture,
            section.delegate,
            section.api_level,
        )

    def phone_agent(
        self, transport: "Transport", device: "Device", target: "Target", deadline_s: float
    ) -> "DeviceAgent":
        """TFLite's benchmark_model there, driven from here."""
        from edgecompress.runtimes.litert.android import AndroidAgent

        delegate = LitertSection.of(target).delegate
        return AndroidAgent(transport, device.tool, delegate, deadline_s)

    def phone_rows(
        self, transport: "Transport", device: "Device", target: "Target", api_level: int | None
    ) -> list[Row]:
        """The level of NNAPI that the target counts on, and benchmark_model."""
        from edgecompress.runtimes.litert.android import AndroidAgent

        rows = []
        wanted = LitertSection.of(target).api_level
        if wanted is not None and api_level is not None and api_level < wanted:
            text = f"{api_level}, where {target.name} counts on NNAPI of {wanted}"
            fix = "use target android-xnnpack, or a newer phone"
            rows.append(missing("nnapi", text, fix))
        try:
            tool = AndroidAgent(transport, device.tool, None, ANSWER_S).tool()
        except RuntimeMissing as error:
            return [*rows, missing("benchmark_model", str(error))]
        return [*rows, ok("benchmark_model", tool.path)]
