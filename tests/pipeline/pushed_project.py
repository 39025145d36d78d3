"""A finished run in a folder of its own, and devices that its model is pushed to."""

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploying import Cli
from pushing import accept, board_on, opened

from edgecompress.artifact import sha256_of
from edgecompress.pipeline.formats import describe_file
from edgecompress.push import Manifest, push
from edgecompress.spec.device import Device
from edgecompress.transport import LocalTransport

INVENTORY = "all.yaml"


@dataclass
class Project:
    """`finished`, copied; commands run in it as a user's."""

    folder: Path
    cli: Cli
    devices: list[Device] = field(default_factory=list)

    @classmethod
    def of(cls, finished: Path, folder: Path, cli: Cli) -> "Project":
        return cls(Path(shutil.copytree(finished, folder)), cli)

    @property
    def run_folder(self) -> Path:
        (report,) = (self.folder / "runs").glob("*/report.json")
        return report.parent

    def add(self, device: Device) -> Device:
        """To the inventory; JSON is YAML."""
        self.devices.append(device)
        rows = [device.model_dump(mode="json", exclude_defaults=True) for device in self.devices]
        (self.folder / INVENTORY).write_text(json.dumps({"devices": rows}))
        return device

    def local(self, name: str, python: str | None = None) -> Path:
        """A device of this machine, and its root, on which an older model is active."""
        root = self.folder / "roots" / name
        self.add(Device(id=name, target="tiny", transport="local", root=str(root), python=python))
        self.old_model(root)
        return root

    def old_model(self, root: Path) -> str:
        """Make the float model the active one there; its id."""
        model = self.run_folder / "baseline.onnx"
        artifact = describe_file(model)
        manifest = Manifest(
            file="model.onnx",
            format="onnx",
            sha256=sha256_of(model),
            size_bytes=artifact.size_bytes,
            target="tiny",
            recipe_digest="0" * 64,
            inputs=artifact.inputs,
            outputs=artifact.outputs,
        )
        board = board_on(LocalTransport(self.folder / "work", root))
        assert push(board, model, manifest, accept).outcome == "success"
        assert opened(root) == manifest.id
        return manifest.id

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """With these devices, and in JSON."""
        return self.cli.run(self.folder, *arguments, "--inventory", INVENTORY, "--json")

    def document(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """The one that stdout holds, of a command that must end so."""
        done = self.run(*arguments)
        assert done.returncode == code, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document
