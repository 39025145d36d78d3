"""A captured graph as the converter is given it: constants are numbers, each reader has its DQ."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

pytest.importorskip("litert_torch", reason="litert-torch is not installed")

from litert_files import export, quantised, random_inputs, scheme
from writing import decibels
from zoo.catalogue import build
from zoo.parts import Call, conv, image

from edgecompress.compress.quantize import calibrate, convert, prepare
from edgecompress.spec.runtime import Edges

FLOAT = Edges(dtype="float32", layout="nchw")


def test_constants_and_channels_first_norms_beside_images(tmp_path: Path) -> None:
    """The layout pass turns images to NHWC and must turn what meets them too."""

    def forward(m: Call, x: Tensor) -> Tensor:
        y = m.stem(x)
        centred = y - y.mean(1, keepdim=True)  # one DQ with readers in both layouts
        normed = m.scale.weight[:, :1, None] * centred + m.scale.bias[:, None, None]
        both = torch.cat([m.left(normed), m.right(x), y], 1)
        return m.head(both) @ torch.eye(8) + torch.arange(8.0)

    torch.manual_seed(0)
    model = Call(
        forward,
        stem=conv(3, 6),
        scale=nn.Linear(6, 6),
        left=conv(6, 4),
        right=conv(3, 4),
        head=conv(14, 4),
    ).eval()
    file = quantised(model, image(), tmp_path)
    assert file.float_kinds <= {"SUB"}
    assert not {"BROADCAST_TO", "RANGE"} & set(file.kinds)
    assert file.steps_apart() < 2.5
    assert file.steps_apart("BUILTIN_REF") < 2.5


def test_a_mean_over_one_position(tmp_path: Path) -> None:
    def forward(m: Call, x: Tensor) -> Tensor:
        return m.conv(x).sigmoid().squeeze(1).mean(1, keepdim=True)

    torch.manual_seed(0)
    model = Call(forward, conv=nn.Conv1d(4, 1, 1)).eval()
    file = quantised(model, (torch.randn(1, 4, 1),), tmp_path)
    assert dict(file.kinds) == {"CONV_2D": 1, "LOGISTIC": 1, "RESHAPE": 2}
    assert file.steps_apart() == file.steps_apart("BUILTIN_REF") == 0


def test_reductions_over_any_dimensions(tmp_path: Path) -> None:
    def forward(m: Call, x: Tensor) -> tuple[Tensor, ...]:
        y = m.conv(x)  # [1, 3, 8, 8]
        tokens = m.fc(y.flatten(2))  # [1, 3, 5]
        return (
            y.sigmoid().mean(1),
            y.mean((-1, 1), keepdim=True),
            y.view(1, 3, 2, 4, 8).mean((2, 3)),
            tokens.mean(1),
            tokens.mean(-1, keepdim=True),
            y.sum((2, 3)),
            y.amax(1, keepdim=True),
            y.amin((1, 2, 3)),
            tokens.var(-1),
            tokens.prod(1),
        )

    torch.manual_seed(0)
    model = Call(forward, conv=conv(3, 3), fc=nn.Linear(64, 5)).eval()
    file = quantised(model, image(), tmp_path)
    inputs = random_inputs(file.example_inputs, 1, 7)
    # An output that is computed in float still comes from integers that may be a step off.
    for kernels in ("BUILTIN", "BUILTIN_REF"):
        pairs = zip(file.run(inputs, kernels), file.torch(inputs), strict=True)
        for info, (ours, theirs) in zip(file.artifact.outputs, pairs, strict=True):
            step = 0.02 * float(theirs.abs().max()) if info.scale is None else info.scale
            assert ours.shape == theirs.shape, info.name
            assert np.abs(ours - theirs.numpy()).max() <= 2.5 * step, (info.name, kernels)


class Embedded(nn.Module):
    """Tokens, their places, and a kind that depends on the batch until that is one sample."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.places, self.kinds = (nn.Embedding(20, 16) for _ in range(3))
        self.linear = nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        words = self.words(x) + self.places(torch.arange(8))
        return self.linear(words + self.kinds(torch.zeros(x.shape, dtype=torch.long)))


def test_a_constant_of_the_first_capture_is_not_overwritten_by_the_second(tmp_path: Path) -> None:
    model, tokens = Embedded().eval(), (torch.randint(0, 20, (1, 8)),)
    prepared = prepare(model, tokens, scheme("affine"), "minmax")
    calibrate(prepared, [((torch.randint(0, 20, (16, 8)),), None)])
    quantized = convert(prepared, integers=False)
    file = export(quantized.graph, tokens, tmp_path, FLOAT, layers=quantized.layers)
    (ours,), (theirs,) = file.run(tokens), file.torch(tokens)
    assert np.abs(ours - theirs.numpy()).max() < 1.5 * theirs.abs().max() / 255


MET: dict[str, Callable[[Tensor], Tensor]] = {
    "two places": lambda h: h[:, 0] + h[:, -1],
    "their product": lambda h: h[:, 0] * h[:, 1],
    "views": lambda h: h.reshape(-1, 96) + h.flatten(1),
    "views of parts": lambda h: h[:, :2].reshape(-1, 32) + h[:, 2:4].flatten(1),
    "one is clipped": lambda h: h[:, 0].relu() + h[:, 1],
    "both are clipped": lambda h: h[:, 0].relu() * functional.relu6(h[:, 1]),
    "parts of all": lambda h: h[:, 0].relu() + h.unbind(1)[1] * h.unbind(1)[2],
}


@pytest.mark.parametrize("kind", MET)
def test_a_sum_of_reshaped_tensors_keeps_its_scale(kind: str, tmp_path: Path) -> None:
    """The converter reshapes the sum instead, and gave it the scale of what is added."""
    torch.manual_seed(0)
    tried = MET[kind]
    model = Call(lambda m, x: m.last(tried(m.first(x))), first=nn.Linear(16, 16), last=nn.ReLU())
    file = quantised(model.eval(), (torch.randn(1, 6, 16),), tmp_path)
    assert not file.float_kinds
    assert file.steps_apart() < 2.5


def test_the_bias_of_a_channel_that_is_nearly_dead(tmp_path: Path) -> None:
    """In the scale that its weights alone would have, it is beyond int32."""
    model, inputs = build("nearly_dead")
    file = quantised(model, inputs, tmp_path)
    assert file.steps_apart() < 1.5
    x = random_inputs(inputs, 1, seed=0)
    with torch.no_grad():
        (snr,) = decibels([model(*x)], [torch.as_tensor(y) for y in file.run(x)])
    assert snr > 25
