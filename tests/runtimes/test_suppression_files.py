"""One suppression of boxes in the files of all runtimes: the same boxes in the same order."""

from dataclasses import replace
from pathlib import Path

import pytest
import tensorrt_files
import torch
from boxes import scenes
from torch import Tensor, nn

from edgecompress.compress.splice import decoded_graph
from edgecompress.formats.exportable import Exportable
from edgecompress.measure.agent import Inference
from edgecompress.measure.loaded import Loaded
from edgecompress.measure.tensors import feed, outputs_of, write_npz
from edgecompress.pipeline.single import HERE, agent_on
from edgecompress.runtimes import runtime
from edgecompress.runtimes.tensorrt.rules import tensorrt_violations
from edgecompress.spec.load import load_target
from edgecompress.task import NonMaximumSuppression

PICTURES, ROWS, CLASSES = 4, 40, 3
NEEDS = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "tensorrt": "onnxruntime",
    "litert": "litert_torch",
    "executorch": "executorch",
}
"""What must be installed to write a file and to run it here."""
SLOW = ("litert", "executorch")


class Ends(nn.Module):
    """A network that puts out boxes and scores as they came, and their suppression."""

    def __init__(self) -> None:
        super().__init__()
        # Both choices of candidates leave some out, and none that could stay.
        self.suppress = NonMaximumSuppression(count=30, iou=0.4, score=0.7, candidates=39, steps=2)

    def forward(self, boxes: Tensor, scores: Tensor) -> tuple[Tensor, ...]:
        return self.suppress(boxes, scores)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in NEEDS]
)
def test_a_file_suppresses_as_torch_does(name: str, tmp_path: Path) -> None:
    pytest.importorskip(NEEDS[name])
    given = scenes(PICTURES, ROWS, CLASSES, seed=3)
    model = Ends().eval()
    wanted = model(*given)
    assert 0 < int((wanted[1] == 0).sum()) < wanted[1].numel()
    assert int((given[1] > 0.7).flatten(1).sum(1).max()) <= 39
    target = load_target("jetson-orin-nano" if name == "tensorrt" else f"local-{name}")
    writer = runtime(name)
    artifact = writer.export(
        Exportable(
            module=model,
            example_inputs=tuple(x[:1] for x in given),
            free_batch=True,
            input_names=("boxes", "scores"),
            output_names=("found", "how_sure", "classes"),
            lineage={},
            target=target,
        ),
        tmp_path / f"model{writer.format.suffix}",
    )
    if name == "tensorrt":
        assert tensorrt_violations(artifact.path, (10, 3)) == ()
    write_npz(tmp_path / "in.npz", feed(artifact, [x.numpy() for x in given]))
    agent = agent_on(HERE, tmp_path / "agent")
    runner = "onnxruntime" if name == "tensorrt" else name
    inference = Inference(tmp_path / "in.npz", tmp_path / "out.npz")
    agent.infer(Loaded(artifact, runner), inference)
    for ours, theirs in zip(outputs_of(artifact, tmp_path / "out.npz"), wanted, strict=True):
        assert ours.dtype == "float32"
        assert torch.equal(torch.from_numpy(ours), theirs)


class Heads(nn.Module):
    """Raw boxes [N, 4, 8, 8] and scores [N, 3, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.boxes, self.scores = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 3, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.body(images)
        return self.boxes(seen), self.scores(seen)


class Decode(nn.Module):
    """Boxes round 600 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.suppress = NonMaximumSuppression(count=16, steps=2)

    def forward(self, outputs: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        raw, scores = (each.flatten(2).transpose(1, 2) for each in outputs)
        start, size = raw.split(2, 2)
        boxes = torch.cat([600 + start, 600 + start + size.exp()], 2)
        return self.suppress(boxes, scores.sigmoid())  # type: ignore[no-any-return]


def test_where_tensorrt_computes_in_float16_a_decoder_does_not(tmp_path: Path) -> None:
    model, images = Heads().eval(), (torch.randn(1, 3, 16, 16),)
    quantized = tensorrt_files.quantised(model, images)
    whole, _ = decoded_graph(quantized.graph, Decode().eval(), images)
    file = tensorrt_files.exported(replace(quantized, graph=whole), tmp_path)
    boxes, scores, classes = (torch.from_numpy(each) for each in file.run(images))
    with torch.no_grad():
        wanted = whole(*images)
    assert torch.allclose(scores, wanted[1], atol=1e-5)
    assert torch.allclose(boxes, wanted[0], atol=1e-3)
    assert torch.equal(classes, wanted[2])
    assert len(scores.unique()) < scores.numel()


@pytest.mark.slow
def test_an_int8_network_ahead_leaves_whole_numbers_whole_in_litert(tmp_path: Path) -> None:
    litert_files = pytest.importorskip("litert_files", reason="litert-torch is not installed")
    model, images = Heads().eval(), (torch.randn(1, 3, 16, 16),)
    wanted_scheme = litert_files.scheme("affine")
    quantized = tensorrt_files.quantised(model, images, wanted_scheme)
    whole, _ = decoded_graph(quantized.graph, Decode().eval(), images)
    edges = litert_files.INT8.model_copy(update={"dtype": "float32"})
    file = litert_files.export(
        whole, images, tmp_path, edges, layers=quantized.layers, scheme=wanted_scheme
    )
    boxes, scores, classes = (torch.from_numpy(each) for each in file.run(images))
    with torch.no_grad():
        wanted = whole(*images)
    assert torch.equal(classes, wanted[2])
    assert torch.allclose(scores, wanted[1], atol=1e-5)
    assert torch.allclose(boxes, wanted[0], atol=1e-3)
