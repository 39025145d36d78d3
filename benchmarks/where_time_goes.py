"""Where the time of a network goes, by each runtime's own counters, against its latency without.

python benchmarks/where_time_goes.py [FOLDER]      FOLDER keeps the files
"""

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from edgecompress.errors import EdgecompressError
from edgecompress.formats.exportable import Exportable
from edgecompress.measure.compare import measure_file
from edgecompress.measure.inputs import Inputs
from edgecompress.measure.turns import Session
from edgecompress.pipeline.formats import describe_file, inspect_for
from edgecompress.pipeline.profiling import profiled
from edgecompress.pipeline.single import HERE, agent_on, loaded_here
from edgecompress.runtimes import runtime
from edgecompress.spec.load import load_target
from edgecompress.spec.profile import Profile
from edgecompress.spec.protocol import Quick

RUNTIMES = ("onnxruntime", "openvino", "executorch", "litert")
SAMPLES = 4


class Residual(nn.Module):
    """Sixteen blocks of a ResNet, 32 channels of 56 x 56."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 1), nn.ReLU()
            )
            for _ in range(16)
        )
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        y: Tensor = self.head(x.mean((2, 3)))
        return y


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    given = parser.parse_args().folder
    torch.manual_seed(0)
    net, x = Residual().eval(), torch.randn(SAMPLES, 1, 3, 112, 112)
    print(
        "| runtime | p50 | while counted | operators | sum of them | joined | the most expensive |"
    )
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = given or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for each in RUNTIMES:
            try:
                print(row(each, profile(each, net, x, folder)), flush=True)
            except EdgecompressError as error:
                print(f"{each}: {error}", file=sys.stderr)


def profile(name: str, net: nn.Module, x: Tensor, folder: Path) -> Profile:
    target = load_target(f"local-{name}")
    path = folder / f"residual-{name}{runtime(name).format.suffix}"
    if not path.exists():
        runtime(name).export(
            Exportable(
                module=net,
                example_inputs=(x[0],),
                free_batch=False,
                input_names=("x",),
                output_names=("y",),
                lineage={},
                target=target,
            ),
            path,
        )
    artifact = describe_file(path)
    with tempfile.TemporaryDirectory() as work:
        agent = agent_on(HERE, Path(work))
        inputs = Inputs(tuple((each.numpy(),) for each in x), "random")
        session = Session(agent, Quick(), 1, inputs, memory=False)
        file = loaded_here(artifact, target)
        inspection = inspect_for(artifact, target, agent, Path(work))
        return profiled(session, file, inspection, measure_file(session, file).latency_ms_p50)[1]


def row(name: str, found: Profile) -> str:
    told = (found.latency_us_p50, found.inference_us, found.sum_us, found.found_share)
    latency_us, inference_us, sum_us, found_share = told
    if latency_us is None or inference_us is None or sum_us is None or found_share is None:
        return f"| {name} | | | | | | {found.why_none} |"
    worst = found.operators[0]
    return (
        f"| {found.runtime} | {latency_us:.0f} us | {inference_us:.0f} us"
        f" | {found.operators_in_all} | {sum_us:.0f} us, {sum_us / inference_us:.1%} of that"
        f" | {found_share:.1%} | {worst.op_type}, module {worst.module}: {worst.share:.1%} |"
    )


if __name__ == "__main__":
    main()
