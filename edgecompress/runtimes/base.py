"""What a runtime is to the rest of edgecompress."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from packaging.specifiers import SpecifierSet

from edgecompress.artifact import Artifact
from edgecompress.errors import SpecError
from edgecompress.formats.base import Format
from edgecompress.measure.loaded import Loaded, Preparation
from edgecompress.spec.health import Problem, Row, missing, ok
from edgecompress.spec.runtime import Capabilities, RuntimeSection

if TYPE_CHECKING:
    from edgecompress.formats.exportable import Exportable
    from edgecompress.measure.agent import Agent, DeviceAgent
    from edgecompress.measure.profile import Pairs
    from edgecompress.spec.device import Device
    from edgecompress.spec.measurement import Inspection, Op, Probe
    from edgecompress.spec.profile import CountedOperator
    from edgecompress.spec.target import Target
    from edgecompress.transport import Transport


@dataclass(frozen=True)
class Package:
    """One that runs a runtime's files."""

    name: str
    """What pip installs."""
    module: str
    """What the agent imports of it."""


@dataclass(frozen=True)
class Needs:
    """What a runtime asks of a machine."""

    packages: tuple[Package, ...]
    """Any one of them runs its files, the best first; `runtime.version` speaks of them."""
    extra: str | None = None
    """That of edgecompress which brings what exports and runs its files here; None: the core."""
    exports_with: tuple[str, ...] = ()
    """Packages that decide what an export writes and that no source of ours imports by name."""


class Runtime(ABC):
    """One runtime. Methods import what they need: few commands load torch, or a runtime."""

    section: ClassVar[type[RuntimeSection]]
    format: ClassVar[Format]
    """The format of the files that it runs."""
    needs: ClassVar[Needs]
    runner_here: ClassVar[str]
    """The agent's runner that stands in for it on this machine: its own, where it runs here."""

    @property
    def name(self) -> str:
        return self.__class__.__module__.rpartition(".")[2]

    @property
    def capabilities(self) -> Capabilities:
        return self.section.capabilities

    @abstractmethod
    def export(self, model: "Exportable", path: Path) -> Artifact:
        """Write `path`, whole or not at all; the same model gives the same bytes.

        Raises:
            ModelError: an operator has no counterpart in the format.
            RuntimeMissing: what exports is not installed.

        """

    @abstractmethod
    def inspect(
        self, artifact: Artifact, target: "Target | None", agent: "Agent", folder: Path
    ) -> "Inspection":
        """What the runtime makes of a file, operator by operator.

        Args:
            artifact: the file.
            target: whose delegate and release decide; None: the agent's machine.
            agent: optimises the graph where the runtime does so.
            folder: for files on their way.

        Raises:
            SpecError: nothing can be said without a target.
            ArtifactError: the file is damaged, or its MACs cannot be counted.
            DeviceError: the runtime is not installed where the agent runs.

        """

    def inspect_there(
        self, loaded: Loaded, target: "Target", agent: "Agent", folder: Path
    ) -> "Inspection":
        """What the runtime of a device makes of a file that it got ready; as `inspect` here."""
        return self.inspect(loaded.artifact, target, agent, folder)

    def counted(self, operators: "Sequence[CountedOperator]", ops: "Sequence[Op]") -> "Pairs":
        """Which operators of an inspection those are that the runtime counted the time of.

        Args:
            operators: what it counted, in order of execution.
            ops: the inspection's.

        """
        from edgecompress.measure.profile import by_name

        return by_name(operators, ops)

    def phone_agent(
        self, transport: "Transport", device: "Device", target: "Target", deadline_s: float
    ) -> "DeviceAgent":
        """What measures and infers on a phone, which has no Python.

        Raises:
            SpecError: nothing runs its files there.

        """
        raise SpecError(f"device '{device.id}': runtime {self.name} has no tool for Android")

    def phone_rows(
        self, transport: "Transport", device: "Device", target: "Target", api_level: int | None
    ) -> list[Row]:
        """Whether a phone has what runs its files; `api_level`: None where it does not say."""
        return [missing("runtime", f"runtime {self.name} has no tool for Android")]

    def preparation(self, target: "Target", *, original: bool) -> Preparation:
        """How a device gets a file of ours ready; `original`: that of the user's own model."""
        return Preparation(self.name, options=self.options(target))

    def options(self, target: "Target") -> dict[str, str]:
        """What a target asks of the runtime, in the words of its runner in the agent."""
        return {}

    def here(self, target: "Target | None") -> Preparation:
        """How this machine gets a file ready, where it may only stand in for the target's board."""
        is_board = target is not None and target.cpu == "native" and self.runner_here == self.name
        options = self.options(target) if target is not None and is_board else {}
        return Preparation(self.runner_here, options=options)

    def installed(self, versions: Mapping[str, str]) -> str | None:
        """The package that runs its files, of those in `versions` (name to version)."""
        names = (package.name for package in self.needs.packages)
        return next((name for name in names if name in versions), None)

    def problem(
        self, section: RuntimeSection, versions: Mapping[str, str], pip: str
    ) -> Problem | None:
        """What is wrong with the packages of a machine; `pip` is how it is called there."""
        found = self.installed(versions)
        package = found or self.needs.packages[0].name
        if found is None:
            text = f"{package} is missing"
        elif SpecifierSet(section.version).contains(versions[found], prereleases=True):
            return None
        else:
            text = (
                f"{package} {versions[found]} is not {section.version}, which the target asks for"
            )
        return Problem(text=text, fix=f"{pip} install '{package}{section.version}'")

    def board_rows(self, target: "Target", probe: "Probe", pip: str) -> list[Row]:
        """Whether a board has what runs its files."""
        problem = self.problem(target.runtime, probe.versions, pip)
        if problem is not None:
            return [missing("runtime", problem.text, problem.fix)]
        package = str(self.installed(probe.versions))
        return [ok("runtime", f"{package} {probe.versions[package]}")]
