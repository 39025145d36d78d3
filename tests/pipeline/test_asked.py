"""What is wrong with the files themselves is said before torch takes seconds to load."""

import subprocess
import sys
from pathlib import Path

import deploying
import pytest

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
