"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Config = Annotated[Path, typer.Option("--config", "-c", help="The deploy.yaml to use.")]
DEPLOY_YAML = Path("deploy.yaml")

InventoryFile = Annotated[
    Path | None,
    typer.Option(
        "--inventory", help="A file with all devices, instead of devices.yaml beside deploy.yaml."
    ),
]

Protocol = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        help="How to measure: quick, standard, sustained, paced or throughput; else as the target"
        " says.",
    ),
]
