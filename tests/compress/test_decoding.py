"""A decoder behind a model and behind a quantised graph."""

from typing import Any, NamedTuple

import pytest
import torch
from quantizing import batch, calibrated
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.utils._pytree import tree_leaves

from edgecompress.compress.decoding import decoded_module
from edgecompress.compress.fx import module_path
from edgecompress.compress.quantize import convert
from edgecompress.compress.splice import decoded_graph
from edgecompress.errors import ModelError
from edgecompress.spec.measurement import DECODER

X = (torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)),)


class Boxes(NamedTuple):
    boxes: Tensor
    scores: Tensor


class Heads(nn.Module):
    """Raw boxes and logits, in a structure of any kind and with something that is no tensor."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.boxes, self.scores = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 5, 1)

    def forward(self, images: Tensor) -> Any:
        seen = self.body(images)
        boxes, scores = self.boxes(seen), self.scores(seen)
        if self.form == "dictionary":
            return {"loss": None, "scores": scores, "boxes": boxes}
        return (boxes, scores) if self.form == "tuple" else torch.cat([boxes, scores], 1)


class Decode(nn.Module):
    def __init__(self, *, fixed: bool = False) -> None:
        super().__init__()
        self.register_buffer("middles", torch.arange(64.0)[:, None])
        self.fixed = fixed

    def forward(self, outputs: Any) -> Boxes:
        if isinstance(outputs, dict):
            assert outputs["loss"] is None
            outputs = outputs["boxes"], outputs["scores"]
        elif isinstance(outputs, Tensor):
            outputs = outputs.split([4, 5], 1)
        boxes, scores = (x.flatten(2).transpose(1, 2) for x in outputs)
        if self.fixed:
            scores = scores.reshape(1, 64, 5)
        return Boxes(self.middles + boxes.exp() * 8, scores.sigmoid())


def _is_inside(node: Node) -> bool:
    return module_path(node).startswith(DECODER)


def read_by(graph: GraphModule) -> set[str]:
    """The weights and scales that a graph reads."""
    return {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}


@pytest.mark.parametrize("form", ["tuple", "dictionary", "tensor"])
def test_what_comes_out_is_what_the_decoder_makes_of_the_graph(form: str) -> None:
    torch.manual_seed(0)
    model, decoder = Heads(form).eval(), Decode().eval()
    graph = convert(calibrated(model, X)).graph
    nodes, read = len(graph.graph.nodes), read_by(graph)
    whole, is_free = decoded_graph(graph, decoder, X)
    assert is_free
    images = batch(X, 3, seed=1)
    with torch.no_grad():
        raw, found = graph(*images), whole(*images)
        wanted = decoder(raw)
    assert type(found) is Boxes
    for ours, theirs in zip(found, wanted, strict=True):
        assert torch.equal(ours, theirs)
    # The graph stays as it is, and the names of its weights too.
    assert len(graph.graph.nodes) == nodes
    assert type(raw) is type(model(*images))
    assert read <= read_by(whole)
    inside = {str(node.target) for node in whole.graph.nodes if _is_inside(node)}
    assert {"aten.exp.default", "aten.sigmoid.default"} <= inside

    with torch.no_grad():
        twin = decoded_module(model, decoder)
        for ours, theirs in zip(twin(*images), decoder(model(*images)), strict=True):
            assert torch.equal(ours, theirs)
    assert {name for name, _ in model.named_modules()} <= {name for name, _ in twin.named_modules()}
    assert not hasattr(model, DECODER)
    assert len(tree_leaves(model(*images))) == {"tuple": 2, "dictionary": 3, "tensor": 1}[form]


def test_a_decoder_for_one_sample_alone_fixes_the_batch() -> None:
    torch.manual_seed(0)
    model, decoder = Heads("tuple").eval(), Decode(fixed=True).eval()
    whole, is_free = decoded_graph(convert(calibrated(model, X)).graph, decoder, X)
    assert not is_free
    with torch.no_grad():
        assert torch.equal(whole(*X).scores, decoder(convert(calibrated(model, X)).graph(*X))[1])


def test_a_decoder_that_cannot_be_traced_is_named() -> None:
    class Chooses(nn.Module):
        def forward(self, outputs: Any) -> Tensor:
            boxes, scores = outputs
            return boxes if float(scores.sum()) > 0 else scores

    model = Heads("tuple").eval()
    with pytest.raises(ModelError, match=r"^decoder\(\): .*cannot trace.*control flow"):
        decoded_graph(convert(calibrated(model, X)).graph, Chooses().eval(), X)
