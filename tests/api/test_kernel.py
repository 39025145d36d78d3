"""A fresh kernel: code that lies in no file, from the first import to the card of a report."""

import subprocess
import sys
from pathlib import Path

import deploying
import pytest

CELLS = """\
import sys
import edgecompress
assert "torch" not in sys.modules

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SCALE = 1.0

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU()
        )
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.layers(x * SCALE).mean(dim=(2, 3)))

torch.manual_seed(0)
labels = torch.arange(256) % 4
images = torch.randn(256, 1, 8, 8) * 0.1 + labels.view(-1, 1, 1, 1)
model = Net()
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
for _ in range(60):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()
data = TensorDataset(images, labels)
loader = DataLoader(data, batch_size=64, shuffle=True)

def call(**more):
    return edgecompress.compress(
        model, train=loader, evaluate=DataLoader(data, batch_size=64), target="tiny",
        inventory="inventory.yaml", **more)

report = call()
print(repr(report))
print(report._repr_html_())

again = call(progress=False)
print("kept", [stage.name for stage in again.stages if stage.cached])

SCALE = 0.5
other = call(progress=False)
print("kept", [stage.name for stage in other.stages if stage.cached])
print(edgecompress.compress.__doc__.splitlines()[0], dir(edgecompress).count("compress"))
"""


@pytest.mark.slow
def test_cells_without_a_file(tmp_path: Path) -> None:
    folder = deploying.fresh(tmp_path / "project")
    done = subprocess.run(
        [sys.executable, "-"],
        input=CELLS,
        cwd=folder,
        env=deploying.environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    line, *card, kept, seen, doc = done.stdout.splitlines()
    # Measured on this machine, in the middle of other tests.
    assert line.startswith(("<Report SHIP tiny: ", "<Report REFUSE tiny: ", "<Report UNMEASURED"))
    assert "x as fast (" in line
    assert "accuracy 100.0 % (" in line
    assert card[0].startswith("<div ")
    assert card[-1] == "</div>"
    assert "latency p50" in "\n".join(card)
    for stage in ("export original", "quantize", "export quantised", "evaluate"):
        assert f"'{stage}'" in kept
    assert seen == "kept []"
    assert doc == "Make the best file of a trained model for a target, and judge it. 1"
    # Progress of the first call alone, and no library's warnings.
    assert "[1, export original] started" in done.stderr
    assert done.stderr.count("load task] started") == 1
    assert "Warning" not in done.stderr
