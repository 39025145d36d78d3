"""A whole deploy without a residual block, without heads of attention and with narrower streams."""

from pathlib import Path

import deploying
import pytest

NET = '''

class Reaching(nn.Module):
    """A block that is written out, a padded shortcut, and attention over rows."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = unit(1, 8)
        self.one, self.two = unit(8, 12), nn.Conv2d(12, 8, 1)
        self.down = unit(8, 16, stride=2)
        self.pad = Pad()
        self.attend = nn.MultiheadAttention(16, 4, batch_first=True)
        self.head = nn.Linear(16, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        x = x + self.two(self.one(x))
        x = self.down(x) + self.pad(x)
        x = x.flatten(2).transpose(1, 2)
        return self.head(self.attend(x, x, x, need_weights=False)[0].mean(1))


class Pad(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4))
'''
PRUNE = """\
prune:
  method: structured
  importance: fisher
  allocation: global
  macs_reduction: 3.5
  reach: operators
  remove_blocks: 1
  steps: 2
  epochs_between: 1
  ignored_layers: [head]
"""


@pytest.mark.slow
def test_blocks_heads_and_streams_go_all_the_way_to_the_file(
    tmp_path: Path, cli: deploying.Cli
) -> None:
    folder = deploying.unmeasured(tmp_path / "tiny")
    task = folder / "task.py"
    # What goes is chosen by what one epoch has taught: a longer one than other tests need.
    text = task.read_text().replace("return TinyNet(", "return Reaching(") + NET
    task.write_text(text.replace("1536", "3072"))
    config = folder / "deploy.yaml"
    head, _, rest = config.read_text().partition("prune:\n")
    text = head + PRUNE + "\nfinetune:" + rest.partition("finetune:")[2]
    config.write_text(text.replace("epochs: 2", "epochs: 1"))
    target = folder / "targets" / "tiny.yaml"
    target.write_text(target.read_text().replace("round_to: 8", "round_to: 2"))
    first = deploying.deploy(folder, cli)
    after = {row["name"]: row["channels_after"] for row in first["layers"]}
    assert after["one.0"] == after["two"] == 0
    assert after["stem.0"] + after["down.0"] < 8 + 16
    assert after["attend"] < 16
    assert first["baseline"]["macs"] >= 3.5 * first["candidate"]["macs"]
