"""Memory of known size: what the agent says of it, in each runtime that this machine has.

    python benchmarks/memory.py [FOLDER]      FOLDER keeps the files

Two nets: one whose only large tensor is an activation of 64 MiB, which nothing is fused with and
nothing else lives beside; and one that has nothing large but 64 MiB of weights.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from edgecompress.errors import EdgecompressError
from edgecompress.formats.exportable import Exportable
from edgecompress.measure.inputs import Inputs, write_feeds
from edgecompress.pipeline.formats import describe_file
from edgecompress.pipeline.single import HERE, agent_on, loaded_here
from edgecompress.runtimes import runtime
from edgecompress.spec.load import load_target
from edgecompress.spec.memory import MemoryUse

RUNTIMES = ("onnxruntime", "openvino", "litert", "executorch")
CHANNELS, COLUMNS, FEATURES = 16, 1024, 4096


class Broad(nn.Module):
    """x [1, 16, 1, 1024] and a column [1, 16, 1024, 1] add up to [1, 16, 1024, 1024]."""

    def __init__(self) -> None:
        super().__init__()
        self.column = nn.Parameter(torch.randn(1, CHANNELS, COLUMNS, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.column).mean((2, 3))


NETS = {
    "activations": (Broad(), torch.randn(1, CHANNELS, 1, COLUMNS)),
    "weights": (nn.Linear(FEATURES, FEATURES), torch.randn(1, FEATURES)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    given = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as name:
        folder = given or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        print("| net, runtime | loaded | peak RSS | peak PSS | arena, as told | of it in use |")
        print("|---|---|---|---|---|---|")
        for net in NETS:
            for line in rows(net, folder):
                print(line, flush=True)


def rows(net: str, folder: Path) -> Iterator[str]:
    for name in RUNTIMES:
        try:
            used = usage(net, name, folder)
        except EdgecompressError as error:
            print(f"{net}, {name}: {error}", file=sys.stderr)
            continue
        figures = (used.loaded_rss_bytes, used.peak_rss_bytes, used.peak_pss_bytes)
        told = map(mebibytes, (*figures, used.arena_bytes, used.arena_used_bytes))
        yield f"| {net}, {name} | {' | '.join(told)} |"


def usage(net: str, name: str, folder: Path) -> MemoryUse:
    module, x = NETS[net]
    target = load_target(f"local-{name}")
    path = folder / f"{net}-{name}{runtime(name).format.suffix}"
    if not path.exists():
        runtime(name).export(
            Exportable(
                module=module.eval(),
                example_inputs=(x,),
                free_batch=False,
                input_names=("x",),
                output_names=("y",),
                lineage={},
                target=target,
            ),
            path,
        )
    loaded = loaded_here(describe_file(path), target)
    feeds = folder / "feeds.npz"
    write_feeds(feeds, Inputs(((x.numpy(),),), "random").feeds(loaded.artifact))
    with tempfile.TemporaryDirectory() as work:
        used = agent_on(HERE, Path(work)).usage(loaded, 1, feeds)
    assert used is not None, "the agent of this machine watches memory"
    return used


def mebibytes(size: int | None) -> str:
    return "-" if size is None else f"{size / (1 << 20):.1f} MiB"


if __name__ == "__main__":
    main()
