"""ExecuTorch, PyTorch's own runtime: .pte files, of which XNNPACK runs what it takes."""

import platform
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.artifact import Artifact
from edgecompress.errors import RuntimeMissing
from edgecompress.formats.base import Format
from edgecompress.runtimes.base import Needs, Package, Runtime
from edgecompress.runtimes.executorch.target import ExecuTorchSection
from edgecompress.spec.health import Row, missing, ok

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgecompress.formats.constants import Numbers
    from edgecompress.formats.exportable import Exportable
    from edgecompress.measure.agent import Agent, DeviceAgent
    from edgecompress.measure.profile import Pairs
    from edgecompress.spec.device import Device
    from edgecompress.spec.measurement import Inspection, Op
    from edgecompress.spec.profile import CountedOperator
    from edgecompress.spec.target import Target
    from edgecompress.transport import Transport

ANSWER_S = 60.0
"""For a command of a phone that does next to nothing."""


class Pte(Format):
    name = "pte"
    suffix = ".pte"

    def describe(self, path: Path) -> Artifact:
        from edgecompress.runtimes.executorch.file import describe

        return describe(path)

    def numbers_of(self, artifact: Artifact) -> "Numbers | None":
        from edgecompress.runtimes.executorch.constants import numbers_of

        return numbers_of(artifact)


class ExecuTorch(Runtime):
    section = ExecuTorchSection
    format = Pte()
    needs = Needs(
        (Package("executorch", "executorch.extension.pybindings._C"),),
        extra="executorch",
        exports_with=("executorch",),
    )
    runner_here = "executorch"

    def export(self, model: "Exportable", path: Path) -> Artifact:
        from edgecompress.runtimes.executorch.export import export

        return export(model, path)

    def inspect(
        self, artifact: Artifact, target: "Target | None", agent: "Agent", folder: Path
    ) -> "Inspection":
        """Read the file itself: what it was lowered to is what runs."""
        from edgecompress.runtimes.executorch.inspect import inspect_pte

        if target is None:
            return inspect_pte(artifact.path, self.name, platform.machine())
        machine = platform.machine() if target.cpu == "native" else target.cpu.architecture
        return inspect_pte(artifact.path, target.runtime.label, machine)

    def counted(self, operators: "Sequence[CountedOperator]", ops: "Sequence[Op]") -> "Pairs":
        from edgecompress.runtimes.executorch.counted import counted

        return counted(operators, ops)

    def phone_agent(
        self, transport: "Transport", device: "Device", target: "Target", deadline_s: float
    ) -> "DeviceAgent":
        """ExecuTorch's executor_runner there, driven from here."""
        from edgecompress.runtimes.executorch.android import AndroidAgent

        return AndroidAgent(transport, device.tool, deadline_s)

    def phone_rows(
        self, transport: "Transport", device: "Device", target: "Target", api_level: int | None
    ) -> list[Row]:
        """Whether executor_runner is there."""
        from edgecompress.runtimes.executorch.android import AndroidAgent

        try:
            tool = AndroidAgent(transport, device.tool, ANSWER_S).tool()
        except RuntimeMissing as error:
            return [missing("executor_runner", str(error))]
        return [ok("executor_runner", tool.path)]
