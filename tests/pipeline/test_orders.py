"""What is wrong with the files themselves is said before torch takes seconds to load."""

import subprocess
import sys
from pathlib import Path

import deploying
import pytest

from edgecompress.errors import SpecError
from edgecompress.pipeline.orders import Measured, PushOrder, deploy_order
from edgecompress.runtimes import RUNTIMES

SCRIPT = """\
import sys
from edgecompress import deploy
from edgecompress.errors import SpecError
try: deploy("deploy.yaml", sys.argv[1], inventory="inventory.yaml")
except SpecError as error: print(error)
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize(
    ("old", "new", "target", "words"),
    [
        ("seed: 0", "sead: 0", "tiny", "deploy.yaml: unknown key 'sead'"),
        ("seed: 0", "seed: 1", "tinny", "target 'tinny' is unknown"),
        ("pruning_ratio: 0.5", "pruning_ratio: 1.5", "tiny", "deploy.yaml: prune"),
    ],
)
def test_without_torch(tmp_path: Path, old: str, new: str, target: str, words: str) -> None:
    folder = deploying.fresh(tmp_path / "project")
    config = folder / "deploy.yaml"
    config.write_text(config.read_text().replace(old, new))
    command = [sys.executable, "-c", SCRIPT, target]
    printed = subprocess.check_output(command, cwd=folder, text=True)
    assert printed.startswith(words)
    assert printed.count("\n") == 1


INVENTORY = """\
devices:
  - {id: first, target: tiny, transport: local}
  - {id: second, target: tiny, transport: local}
  - {id: other, target: local, transport: local}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = deploying.fresh(tmp_path / "project")
    (folder / "inventory.yaml").write_text(INVENTORY)
    return folder


def test_each_target_has_the_device_that_is_named_or_else_the_first(project: Path) -> None:
    config, inventory = project / "deploy.yaml", project / "inventory.yaml"
    names = ["tiny", "raspberry-pi-5", "local", "local-litert"]
    asked = deploy_order(config, names, Measured(inventory, ["second"]))
    found = {
        order.name: (order.device and order.device.id, order.pushes) for order in asked.targets
    }
    assert found == {
        "tiny": ("second", True),
        "raspberry-pi-5": (None, False),
        "local": ("other", False),
        "local-litert": ("other", False),
    }
    (nobody,) = deploy_order(config, ["tiny"], Measured(inventory)).targets
    assert (nobody.pushes, nobody.device and nobody.device.id) == (False, "first")


def test_a_board_is_all_its_targets_that_the_device_serves(project: Path) -> None:
    config, inventory = project / "deploy.yaml", project / "inventory.yaml"
    (board,) = deploy_order(config, ["local"], Measured(inventory)).targets
    names = [recipe.target.name for recipe in board.recipes]
    assert names == [f"local-{name}" for name in RUNTIMES if name != "tensorrt"]
    only = INVENTORY + "  - {id: pi, target: raspberry-pi-5-litert, transport: ssh, address: pi}\n"
    inventory.write_text(only)
    (board,) = deploy_order(config, ["raspberry-pi-5"], Measured(inventory, ["pi"])).targets
    assert [recipe.target.name for recipe in board.recipes] == ["raspberry-pi-5-litert"]
    assert board.pushes


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        (["other"], "'local', which is not deployed for; add it: edgecompress deploy local"),
        (["first", "second"], "--device second: first is of the same target; deploy to one"),
        (["third"], "device 'third' is unknown; known: first, second, other"),
    ],
)
def test_a_device_that_cannot_be_sent_to_is_named(
    project: Path, devices: list[str], message: str
) -> None:
    measured = Measured(project / "inventory.yaml", devices)
    with pytest.raises(SpecError, match=message):
        deploy_order(project / "deploy.yaml", ["tiny"], measured)


def test_what_is_pushed_is_used_there_unless_it_is_asked_for_less() -> None:
    order = PushOrder(run="latest", devices=("first",), config=Path("deploy.yaml"))
    assert order.activates
    assert (order.inventory, order.deadline_s) == (None, 900.0)
