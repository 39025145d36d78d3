"""Every argument of every operator that has a rule: a value other than the default is honoured."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from quantizing import batch, built
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.nn import functional

from edgecompress.compress.canonical import _REWRITES, _SCALAR
from edgecompress.compress.folding import WEIGHTED
from edgecompress.compress.operators import CONCATENATING, ELEMENTWISE, SHARING, SPLITTING

ATEN = torch.ops.aten
Use = Callable[[Tensor], Tensor]
NEAR_DB = 18.0

USES: dict[str, tuple[str, list[Use]]] = {
    # Operator -> its arguments that the uses below set. `t` is [N, 8, 8, 8].
    "hardtanh": ("min_val max_val", [lambda t: functional.hardtanh(t.exp(), 0.5, 0.75)]),
    "add.Tensor": ("alpha", [lambda t: torch.add(t, t.abs(), alpha=-0.5)]),
    "sub.Tensor": ("alpha", [lambda t: torch.sub(t, t.abs(), alpha=2), lambda t: t - 0.5]),
    "leaky_relu": ("negative_slope", [lambda t: functional.leaky_relu(t, 0.3)]),
    "softmax.int": (
        "dim dtype",
        [lambda t: t.softmax(1), lambda t: t.softmax(-2, dtype=torch.float32)],
    ),
    "layer_norm": (
        "normalized_shape weight bias eps cudnn_enable",
        [
            lambda t: functional.layer_norm(t, (8, 8), eps=0.5),
            lambda t: functional.layer_norm(t, (8,), torch.linspace(1, 2, 8), torch.arange(8.0)),
        ],
    ),
    "mean.dim": (
        "dim keepdim dtype",
        [lambda t: t.mean(1), lambda t: t.mean((-1, 2), True), lambda t: t.mean((1, 2))],
    ),
    "sum.dim_IntList": ("dim keepdim dtype", [lambda t: t.sum((1, 3), True)]),
    "amax": ("dim keepdim", [lambda t: t.amax((2, 3)), lambda t: t.amax(1, True)]),
    "amin": ("dim keepdim", [lambda t: t.amin((2, 3))]),
    "prod.dim_int": ("dim keepdim dtype", [lambda t: t[:, :, :2].prod(2, True)]),
    "avg_pool1d": (
        "kernel_size stride padding ceil_mode count_include_pad",
        [
            lambda t: functional.avg_pool1d(
                t.flatten(2), 3, 2, 1, ceil_mode=True, count_include_pad=False
            )
        ],
    ),
    "avg_pool2d": (
        "kernel_size stride padding ceil_mode count_include_pad divisor_override",
        [
            lambda t: functional.avg_pool2d(t, (3, 2), (2, 1), (1, 0), count_include_pad=False),
            lambda t: functional.avg_pool2d(t, 3, 2, ceil_mode=True),
            lambda t: functional.avg_pool2d(t, 2, divisor_override=3),
        ],
    ),
    "adaptive_avg_pool1d": (
        "output_size",
        [lambda t: functional.adaptive_avg_pool1d(t.flatten(2), 1)],
    ),
    "adaptive_avg_pool2d": ("output_size", [lambda t: functional.adaptive_avg_pool2d(t, (4, 2))]),
    "adaptive_avg_pool3d": (
        "output_size",
        [lambda t: functional.adaptive_avg_pool3d(t[:, None], 1)],
    ),
    "adaptive_max_pool2d": ("output_size", [lambda t: functional.adaptive_max_pool2d(t, (2, 4))]),
    "max_pool1d": (
        "kernel_size stride padding dilation ceil_mode",
        [lambda t: functional.max_pool1d(t.flatten(2), 3, 2, 1, dilation=2, ceil_mode=True)],
    ),
    "max_pool2d": (
        "kernel_size stride padding dilation ceil_mode",
        [lambda t: functional.max_pool2d(t, (3, 2), 2, (1, 0), 2, ceil_mode=True)],
    ),
    "upsample_bilinear2d.vec": (
        "output_size align_corners scale_factors",
        [
            lambda t: functional.interpolate(t, (5, 11), mode="bilinear", align_corners=True),
            lambda t: functional.interpolate(t, scale_factor=(2, 1.5), mode="bilinear"),
        ],
    ),
    "upsample_nearest1d.vec": (
        "output_size scale_factors",
        [
            lambda t: functional.interpolate(t.flatten(2), 96),
            lambda t: functional.interpolate(t.flatten(2), None, 2),
        ],
    ),
    "upsample_nearest2d.vec": (
        "output_size scale_factors",
        [
            lambda t: functional.interpolate(t, (12, 16)),
            lambda t: functional.interpolate(t, scale_factor=(1, 2)),
        ],
    ),
    "pad": (
        "pad mode value",
        [
            lambda t: functional.pad(t, (1, 0, 2, 1), value=9.0),
            lambda t: functional.pad(t, (1, 2, 0, 1), mode="reflect"),
            lambda t: functional.pad(t, (1, 1, 1, 1), mode="circular"),
        ],
    ),
    "constant_pad_nd": ("pad value", [lambda t: ATEN.constant_pad_nd(t, [1, 0], -7.0)]),
    "slice.Tensor": ("dim start end step", [lambda t: t[:, 1:-1:2, :, -3:]]),
    "select.int": ("dim index", [lambda t: t[:, -2]]),
    "view": ("size", [lambda t: t.view(-1, 4, 128)]),
    "reshape": ("shape", [lambda t: t.transpose(1, 2).reshape(-1, 512)]),
    "flatten.using_ints": ("start_dim end_dim", [lambda t: t.flatten(-3, 2)]),
    "unflatten.int": ("dim sizes", [lambda t: t.unflatten(-3, (2, -1))]),
    "permute": ("dims", [lambda t: t.permute(0, -1, 1, 2)]),
    "transpose.int": ("dim0 dim1", [lambda t: t.transpose(-1, 1)]),
    "squeeze.dim": ("dim", [lambda t: t[:, :1].squeeze(-3)]),
    "squeeze.dims": ("dim", [lambda t: t[:, :1, :, :1].squeeze((1, 3))]),
    "unsqueeze": ("dim", [lambda t: t.unsqueeze(-2)]),
    "expand": ("size implicit", [lambda t: t[:, :1].expand(-1, 3, -1, 8)]),
    "contiguous": (
        "memory_format",
        [lambda t: t.contiguous(memory_format=torch.channels_last)],
    ),
    "clone": ("memory_format", [lambda t: t.clone(memory_format=torch.preserve_format)]),
    "pixel_shuffle": ("upscale_factor", [lambda t: functional.pixel_shuffle(t, 2)]),
    "pixel_unshuffle": ("downscale_factor", [lambda t: functional.pixel_unshuffle(t, 4)]),
    "channel_shuffle": ("groups", [lambda t: functional.channel_shuffle(t, 4)]),
    "flip": ("dims", [lambda t: t.flip(-1, 1)]),
    "narrow": ("dim start length", [lambda t: t.narrow(-1, 2, 3)]),
    "movedim.int": ("source destination", [lambda t: t.movedim(-1, 1)]),
    "dropout": ("p train", [lambda t: functional.dropout(t, 0.7, training=False)]),
    "cat": ("dim", [lambda t: torch.cat([t, t * 3], -2)]),
    "concat": ("dim", [lambda t: torch.concat([t, t.relu()], -1)]),
    "stack": ("dim", [lambda t: torch.stack([t, t.relu()], -1)]),
    "chunk": ("chunks dim", [lambda t: t.chunk(3, -1)[2]]),
    "split.Tensor": ("split_size dim", [lambda t: t.split(3, -2)[2]]),
    "split_with_sizes": ("split_sizes dim", [lambda t: t.split([1, 5, 2], -1)[1]]),
    "unbind.int": ("dim", [lambda t: t.unbind(-1)[3]]),
    "scaled_dot_product_attention": (
        "attn_mask dropout_p is_causal scale enable_gqa",
        [
            lambda t: functional.scaled_dot_product_attention(t, t, t, is_causal=True, scale=1),
            lambda t: functional.scaled_dot_product_attention(t, t, t, torch.eye(8) > 0, scale=0.1),
        ],
    ),
}
CONVOLUTION = "bias stride padding dilation groups"
ELSEWHERE = {
    # Tried with weights of their own by the zoo, test_quantize_folding and test_quantize_biases.
    **dict.fromkeys((op.name() for op in WEIGHTED), f"{CONVOLUTION} output_padding"),
    # No call of torch leads to them but from Python's _C; the vec forms are tried.
    "aten::upsample_bilinear2d": "output_size align_corners scales_h scales_w",
    "aten::upsample_nearest2d": "output_size scales_h scales_w",
}


def with_rules() -> list[OpOverload]:
    tables = (WEIGHTED, ELEMENTWISE, SHARING, CONCATENATING, SPLITTING, _REWRITES, _SCALAR)
    found = {op.name(): op for table in tables for op in table if isinstance(op, OpOverload)}
    return [found[name] for name in sorted(found)]


@pytest.mark.parametrize("op", with_rules(), ids=lambda op: op.name())
def test_no_argument_is_left_out(op: OpOverload) -> None:
    plain = ("Tensor", "List[Tensor]")
    given = {a.name for a in op._schema.arguments if str(a.type) not in plain}
    name = op.name().removeprefix("aten::")
    base, dot, overload = name.partition(".")
    known, _ = USES.get(base.removesuffix("_") + dot + overload, ("", []))
    known = f"{known} {ELSEWHERE.get(op.name(), '')}"
    assert given <= set(known.split())


class Uses(nn.Module):
    """A convolution, and each use of what it puts out."""

    def __init__(self, uses: list[Use]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.uses = uses

    def forward(self, x: Tensor) -> list[Tensor]:
        return [use(self.conv(x)) for use in self.uses]


def test_every_argument_is_honoured(tmp_path: Path) -> None:
    torch.manual_seed(0)
    names = [name for name, (_, uses) in USES.items() for _ in uses]
    model = Uses([use for _, uses in USES.values() for use in uses]).eval()
    inputs = (torch.randn(1, 3, 8, 8),)
    file = built(model, inputs, tmp_path)
    x = batch(inputs, 2, seed=7)
    with torch.no_grad():
        expected = model(*x)
    wrong = {}
    for name, ours, theirs in zip(names, file.run(x), expected, strict=True):
        noise = np.square(ours - theirs.numpy()).sum()
        decibels = 10 * np.log10(np.square(theirs.numpy()).sum() / max(noise, 1e-12))
        if not decibels > NEAR_DB:
            wrong[name] = decibels
    assert wrong == {}
