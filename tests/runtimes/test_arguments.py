"""Every argument of every operator that has a rule: a value other than the default is honoured."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from quantizing import Built, Inputs, batch, built
from tensorrt_files import File, exported, quantised
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.nn import functional

from edgecompress.compress.canonical import _REWRITES, _SCALAR
from edgecompress.compress.operators import CONCATENATING, ELEMENTWISE, SHARING, SPLITTING, WEIGHTED
from edgecompress.errors import ModelError
from edgecompress.spec.runtime import Edges

ATEN = torch.ops.aten
Use = Callable[[Tensor], Tensor]
NEAR_DB = 18.0
FLOAT = Edges(dtype="float32", layout="nchw")

USES: dict[str, tuple[str, list[Use]]] = {
    # Operator -> its arguments that the uses below set. `t` is [N, 8, 8, 8].
    "hardtanh": ("min_val max_val", [lambda t: functional.hardtanh(t.exp(), 0.5, 0.75)]),
    "add.Tensor": ("alpha", [lambda t: torch.add(t, t.abs(), alpha=-0.5)]),
    "sub.Tensor": (
        "alpha",
        [
            lambda t: torch.sub(t, t.abs(), alpha=2),
            lambda t: t - 0.5,
            lambda t: (t[:, 0] - t[:, 1]).unsqueeze(1),
        ],
    ),
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
            lambda t: functional.interpolate(t, scale_factor=2.1, mode="bilinear"),
            lambda t: functional.interpolate(t, (5, 5), mode="bilinear"),
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
            lambda t: functional.interpolate(t, (5, 3)),
        ],
    ),
    "upsample_bicubic2d.vec": (
        "output_size align_corners scale_factors",
        [
            lambda t: functional.interpolate(t, (12, 16), mode="bicubic"),
            lambda t: functional.interpolate(t, scale_factor=2.1, mode="bicubic"),
            lambda t: functional.interpolate(t, (5, 9), mode="bicubic", align_corners=True),
        ],
    ),
    "_upsample_bilinear2d_aa": (
        "output_size align_corners scale_factors",
        [lambda t: functional.interpolate(t, (5, 6), mode="bilinear", antialias=True)],
    ),
    "index_select": ("dim index", [lambda t: t.index_select(1, torch.tensor([2, 1, 0, 5]))]),
    "index": ("indices", [lambda t: t[:, [2, 1, 0, 5]], lambda t: t[:, :, 2:5, [0, 3]]]),
    "pad": (
        "pad mode value",
        [
            lambda t: functional.pad(t, (1, 0, 2, 1), value=9.0),
            lambda t: functional.pad(t, (1, 2, 0, 1), mode="reflect"),
            lambda t: functional.pad(t, (1, 1, 1, 1), mode="circular"),
            lambda t: functional.pad(t.flatten(2), (3, 5), mode="reflect"),
            lambda t: functional.pad(t[:, 0], (2, 1), mode="replicate"),
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
    "expand": (
        "size implicit",
        [
            lambda t: t[:, :1].expand(-1, 3, -1, 8),
            lambda t: t.mean((2, 3))[:, :, None, None].expand(-1, -1, 4, 6),
        ],
    ),
    "expand_as": (
        "",
        [
            lambda t: t.relu() * t.mean(-1, keepdim=True).expand_as(t),
            lambda t: torch.cat([t, t.mean(-2, keepdim=True).expand_as(t)], 1),
            lambda t: t.mean(2, keepdim=True).expand_as(t) + t.mean(3, keepdim=True).expand_as(t),
        ],
    ),
    "broadcast_to": ("size", [lambda t: t[:, :, :1].broadcast_to((-1, 8, 5, 8))]),
    "repeat": ("repeats", [lambda t: t.repeat(1, 2, 1, 3), lambda t: t.mean(1).repeat(1, 2, 1)]),
    "repeat_interleave.self_int": (
        "repeats dim output_size",
        [lambda t: t.repeat_interleave(2, 1), lambda t: t.repeat_interleave(3, -1, output_size=24)],
    ),
    "roll": ("shifts dims", [lambda t: t.roll((1, -2), (2, 3)), lambda t: t.roll(2, 1)]),
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


IN_TFLITE = [
    "add.Tensor",
    "sub.Tensor",
    "slice.Tensor",
    "index",
    "pad",
    "expand",
    "expand_as",
    "broadcast_to",
    "repeat",
    "upsample_nearest2d.vec",
    "upsample_bilinear2d.vec",
    "upsample_bicubic2d.vec",
    "_upsample_bilinear2d_aa",
]
"""What litert-torch once wrote otherwise, or without an argument; all of `USES` takes minutes."""
NO_KERNEL = {
    # TFLite has none, and the exporter says so by name.
    "avg_pool1d": "a padded average pool with ceil_mode",
    "max_pool1d": "a dilated max pool",
    "max_pool2d": "a dilated max pool",
}


def network(names: list[str]) -> tuple[nn.Module, Inputs]:
    torch.manual_seed(0)
    model = Uses([use for name in names for use in USES[name][1]]).eval()
    return model, (torch.randn(1, 3, 8, 8),)


def lost(names: list[str], found: list[NDArray[np.float32]], expected: list[Tensor]) -> set[str]:
    """The operators whose outputs in a file are not what torch computes."""
    used = [name for name in names for _ in USES[name][1]]
    return {
        name
        for name, ours, theirs in zip(used, found, expected, strict=True)
        if not decibels(ours, theirs.numpy()) > NEAR_DB
    }


def decibels(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    noise = np.square(ours - theirs).sum()
    return float(10 * np.log10(np.square(theirs).sum() / max(noise, 1e-12)))


def for_tensorrt(model: nn.Module, inputs: Inputs, folder: Path) -> File:
    return exported(quantised(model, inputs), folder)


@pytest.mark.parametrize("export", [built, for_tensorrt], ids=["onnxruntime", "tensorrt"])
def test_every_argument_is_honoured(
    export: Callable[[nn.Module, Inputs, Path], Built | File], tmp_path: Path
) -> None:
    names = list(USES)
    model, inputs = network(names)
    file = export(model, inputs, tmp_path)
    x = batch(inputs, 2, seed=7)
    with torch.no_grad():
        assert lost(names, file.run(x), model(*x)) == set()


@pytest.mark.slow
@pytest.mark.parametrize("names", [IN_TFLITE, ["avg_pool2d"]], ids=["many", "avg_pool2d"])
def test_arguments_are_honoured_in_tflite(names: list[str], tmp_path: Path) -> None:
    litert_files = pytest.importorskip("litert_files", reason="litert-torch is not installed")
    model, inputs = network(names)
    file = litert_files.quantised(model, inputs, tmp_path, edges=FLOAT)
    x = batch(inputs, 1, seed=7)
    with torch.no_grad():
        assert lost(names, file.run(x), model(*x)) == set()


@pytest.mark.parametrize("factor", [1.5, 2.1])
def test_nearest_neighbours_by_a_factor(factor: float, tmp_path: Path) -> None:
    """Where the size is rounded ONNX takes other pixels, and LiteRT the right ones."""
    model = Uses([lambda t: functional.interpolate(t, scale_factor=factor)]).eval()
    inputs = (torch.randn(1, 3, 8, 8),)
    if factor == 1.5:
        assert built(model, inputs, tmp_path).steps_apart(inputs) < 1
    else:
        with pytest.raises(ModelError, match=r"makes \[16, 16\] of \[8, 8\]"):
            built(model, inputs, tmp_path)
    litert_files = pytest.importorskip("litert_files", reason="litert-torch is not installed")
    assert litert_files.quantised(model, inputs, tmp_path).steps_apart() < 1


@pytest.mark.parametrize("name", NO_KERNEL)
def test_what_tflite_has_no_kernel_for_is_named(name: str, tmp_path: Path) -> None:
    litert_files = pytest.importorskip("litert_files", reason="litert-torch is not installed")
    with pytest.raises(ModelError, match=NO_KERNEL[name]):
        litert_files.quantised(*network([name]), tmp_path, edges=FLOAT)
