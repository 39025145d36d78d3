"""Models for quantising and exporting: one per operator or arrangement that the zoo lacks."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Sample = tuple[nn.Module, tuple[Tensor, ...]]


class Call(nn.Module):
    """The modules of `parts` in an order of one's own: `forward` is a function of them and x."""

    def __init__(self, forward: Callable[..., object], **parts: nn.Module) -> None:
        super().__init__()
        self._forward = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> object:
        return self._forward(self, x)


class TwoTensors(Call):
    def forward(self, a: Tensor, b: Tensor) -> object:  # type: ignore[override]
        return self._forward(self, a, b)


def image(channels: int = 3, size: int = 8) -> tuple[Tensor, ...]:
    return (torch.randn(1, channels, size, size),)


def head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


def conv(inputs: int, outputs: int, kernel: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, **options)  # type: ignore[arg-type]


def after_conv(*layers: nn.Module, size: int = 8) -> Sample:
    """conv, what is under test, conv, head."""
    return nn.Sequential(conv(3, 16), *layers, conv(16, 16), *head(16)), image(size=size)


def relu6() -> Sample:
    return after_conv(nn.BatchNorm2d(16), nn.ReLU6())


def hardtanh() -> Sample:
    return after_conv(nn.Hardtanh(-0.5, 0.75))


def hardswish() -> Sample:
    return after_conv(nn.Hardswish())


def hardsigmoid() -> Sample:
    return after_conv(nn.Hardsigmoid())


def sigmoid() -> Sample:
    return after_conv(nn.Sigmoid())


def silu() -> Sample:
    return after_conv(nn.SiLU())


def leaky_relu() -> Sample:
    return after_conv(nn.LeakyReLU(0.1))


def dilated() -> Sample:
    return after_conv(nn.Conv2d(16, 16, 3, padding=2, dilation=2), nn.ReLU())


def same_padding() -> Sample:
    return after_conv(nn.Conv2d(16, 16, 3, padding="same"), nn.BatchNorm2d(16), nn.ReLU())


def uneven_padding() -> Sample:
    """TensorFlow's 'same' padding of a convolution with stride 2."""
    return after_conv(nn.ReLU(), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(16, 16, 3, 2), nn.ReLU())


def padded_input() -> Sample:
    """The padding comes first of all, and only one of its two readers is a convolution."""
    both = Call(
        lambda m, x: m.head(m.conv(m.pad(x)) + m.other(m.pad(x))),
        pad=nn.ZeroPad2d((1, 2, 1, 2)),
        conv=nn.Conv2d(3, 8, 3, 2),
        other=nn.Conv2d(3, 8, 3, 2),
        head=nn.Sequential(*head(8)),
    )
    return both, image(size=9)


def transposed() -> Sample:
    up = (nn.ConvTranspose2d(16, 16, 2, 2), nn.BatchNorm2d(16), nn.ReLU())
    return after_conv(nn.ReLU(), *up)


def transposed_grouped() -> Sample:
    up = (nn.ConvTranspose2d(16, 16, 3, 2, 1, groups=4), nn.BatchNorm2d(16), nn.ReLU())
    return after_conv(nn.ReLU(), *up)


def transposed_1d() -> Sample:
    model = nn.Sequential(
        nn.Conv1d(4, 8, 3, padding=1),
        nn.ReLU(),
        nn.ConvTranspose1d(8, 8, 4, 2, 1),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Conv1d(8, 4, 3, padding=1),
    )
    return model, (torch.randn(1, 4, 16),)


def conv3d() -> Sample:
    model = nn.Sequential(
        nn.Conv3d(2, 8, 3, padding=1),
        nn.BatchNorm3d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    return model, (torch.randn(1, 2, 4, 6, 6),)


def residual() -> Sample:
    model = Call(
        lambda m, x: m.head((m.b(m.a(x).relu()) + m.a(x).relu()).relu()),
        a=conv(3, 16),
        b=conv(16, 16),
        head=nn.Sequential(*head(16)),
    )
    return model, image()


def residual_relu6() -> Sample:
    model = Call(
        lambda m, x: m.head(functional.relu6(m.b(m.a(x)) + m.c(x))),
        a=conv(3, 16),
        b=conv(16, 16),
        c=conv(3, 16, 1),
        head=nn.Sequential(*head(16)),
    )
    return model, image()


def concat() -> Sample:
    model = Call(
        lambda m, x: m.head(m.mix(torch.cat([m.a(x).relu(), m.b(x).relu(), m.c(x)], 1)).relu()),
        a=conv(3, 8),
        b=conv(3, 8, 1),
        c=conv(3, 8, 5),
        mix=conv(24, 16, 1),
        head=nn.Sequential(*head(16)),
    )
    return model, image()


def split() -> Sample:
    model = Call(
        lambda m, x: m.head(_halves(m, m.stem(x).relu())),
        stem=conv(3, 16),
        a=conv(8, 8),
        head=nn.Sequential(*head(16)),
    )
    return model, image()


def _halves(m: Call, x: Tensor) -> Tensor:
    left, right = x.chunk(2, 1)
    return torch.cat([left, m.a(right).relu()], 1)  # type: ignore[operator]


def max_pool() -> Sample:
    return after_conv(nn.ReLU(), nn.MaxPool2d(2))


def max_pool_ceil() -> Sample:
    return after_conv(nn.ReLU(), nn.MaxPool2d(3, 2, 1, ceil_mode=True))


def average_pool() -> Sample:
    return after_conv(nn.ReLU(), nn.AvgPool2d(3, 2, 1))


def global_mean() -> Sample:
    model = Call(
        lambda m, x: m.fc(m.conv(x).relu().mean((2, 3))), conv=conv(3, 16), fc=nn.Linear(16, 10)
    )
    return model, image()


def global_mean_kept() -> Sample:
    model = Call(
        lambda m, x: m.fc(m.conv(x).relu().mean((-1, -2), keepdim=True).flatten(1)),
        conv=conv(3, 16),
        fc=nn.Linear(16, 10),
    )
    return model, image()


def global_max() -> Sample:
    layers = (nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    return nn.Sequential(conv(3, 16), nn.ReLU(), *layers), image()


def upsample_nearest() -> Sample:
    return after_conv(nn.ReLU(), nn.Upsample(scale_factor=2))


def upsample_bilinear() -> Sample:
    return after_conv(nn.ReLU(), nn.UpsamplingBilinear2d(scale_factor=2))


def pixel_shuffle() -> Sample:
    model = nn.Sequential(conv(3, 16), nn.PixelShuffle(2), conv(4, 16), nn.ReLU(), *head(16))
    return model, image()


def pixel_unshuffle() -> Sample:
    model = nn.Sequential(nn.PixelUnshuffle(2), conv(12, 16), nn.ReLU(), *head(16))
    return model, image()


def linear_stack() -> Sample:
    model = nn.Sequential(
        nn.Linear(12, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(32, 24, bias=False),
        nn.BatchNorm1d(24, eps=1e-3),
        nn.ReLU(),
        nn.Linear(24, 5),
    )
    return model, (torch.randn(1, 12),)


def linear_3d() -> Sample:
    """Linear layers over a sequence: with a bias and without."""
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16, bias=False), nn.ReLU())
    tail = Call(lambda m, x: m.fc(m.body(x).mean(1)), body=model, fc=nn.Linear(16, 4))
    return tail, (torch.randn(1, 6, 8),)


def mlp_mixer() -> Sample:
    """Linear layers along the last axis of a transposed tensor, with residuals."""
    model = Call(
        lambda m, x: m.fc((x + m.tokens(x.transpose(1, 2)).transpose(1, 2)).flatten(1)),
        tokens=nn.Sequential(nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 6)),
        fc=nn.Linear(48, 4),
    )
    return model, (torch.randn(1, 6, 8),)


def multi_head_attention() -> Sample:
    model = Call(
        lambda m, x: m.fc(m.attend(x, x, x, need_weights=False)[0].mean(1)),
        attend=nn.MultiheadAttention(16, 4, batch_first=True),
        fc=nn.Linear(16, 4),
    )
    return model, (torch.randn(1, 6, 16),)


def single_head_attention() -> Sample:
    def forward(m: Call, x: Tensor) -> Tensor:
        query, key, value = m.q(x), m.k(x), m.v(x)  # type: ignore[operator]
        seen = functional.scaled_dot_product_attention(query, key, value)
        return m.fc(seen.mean(1))  # type: ignore[operator, no-any-return]

    layers = {name: nn.Linear(16, 16) for name in ("q", "k", "v")}
    return Call(forward, **layers, fc=nn.Linear(16, 4)), (torch.randn(1, 6, 16),)


def causal_attention() -> Sample:
    def forward(m: Call, x: Tensor) -> Tensor:
        query, key, value = m.qkv(x).chunk(3, -1)  # type: ignore[operator]
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return m.fc(seen)  # type: ignore[operator, no-any-return]

    return Call(forward, qkv=nn.Linear(16, 48), fc=nn.Linear(16, 4)), (torch.randn(1, 6, 16),)


def masked_attention() -> Sample:
    """A mask of -inf, added by hand, as a tensor, and as booleans."""

    def forward(m: Call, x: Tensor) -> Tensor:
        query, key, value = m.qkv(x).chunk(3, -1)  # type: ignore[operator]
        seen = torch.ones(6, 6, dtype=torch.bool).tril()
        scores = (query @ key.transpose(1, 2) / 4).masked_fill(~seen, -torch.inf)
        by_hand = scores.softmax(-1) @ value
        query, key, value = (part.unsqueeze(1) for part in (query, key, value))
        mask = torch.full((6, 6), -1e9).triu(1)
        added = functional.scaled_dot_product_attention(query, key, value, mask)
        chosen = functional.scaled_dot_product_attention(query, key, value, seen, scale=0.3)
        return m.fc(by_hand + (added + chosen).squeeze(1))  # type: ignore[operator, no-any-return]

    return Call(forward, qkv=nn.Linear(16, 48), fc=nn.Linear(16, 4)), (torch.randn(1, 6, 16),)


def class_token() -> Sample:
    """A learnt token before the patches, as in ViT."""

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 16, 4, 4)
            self.token = nn.Parameter(torch.randn(1, 1, 16))
            self.position = nn.Parameter(torch.randn(1, 5, 16))
            self.fc = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
            return self.fc(x[:, 0])  # type: ignore[no-any-return]

    return Tokens(), image()


def unet() -> Sample:
    def forward(m: Call, x: Tensor) -> Tensor:
        fine = m.down(x).relu()  # type: ignore[operator]
        coarse = m.deep(functional.max_pool2d(fine, 2)).relu()  # type: ignore[operator]
        wide = functional.interpolate(coarse, scale_factor=2, mode="nearest")
        return m.out(torch.cat([fine, wide], 1))  # type: ignore[operator, no-any-return]

    return Call(forward, down=conv(3, 8), deep=conv(8, 8), out=conv(16, 2)), image()


def rolled() -> Sample:
    model = Call(lambda m, x: m.b(torch.roll(m.a(x), (2, 2), (2, 3))), a=conv(3, 8), b=conv(8, 4))
    return model, image()


def reflected() -> Sample:
    return after_conv(nn.ReLU(), nn.ReflectionPad2d(1), nn.Conv2d(16, 16, 3))


def padded_with_half() -> Sample:
    """Padding with a number that is not zero is no padding of a convolution."""
    return after_conv(nn.ReLU(), nn.ConstantPad2d(1, 0.5), nn.Conv2d(16, 16, 3))


def adaptive_pools() -> Sample:
    """To a divisor of the size, to the size itself."""
    layers = (nn.AdaptiveAvgPool2d(4), conv(16, 16), nn.AdaptiveAvgPool2d((4, 4)))
    return after_conv(*layers)


def pools_1d() -> Sample:
    model = nn.Sequential(
        nn.Conv1d(4, 8, 3), nn.ReLU(), nn.AvgPool1d(2), nn.Conv1d(8, 4, 3), nn.MaxPool1d(2)
    )
    return model, (torch.randn(1, 4, 32),)


def twice_the_same() -> Sample:
    def forward(m: Call, x: Tensor) -> Tensor:
        x = m.a(x)  # type: ignore[operator]
        return m.b(x + x) * m.b(x)  # type: ignore[operator, no-any-return]

    return Call(forward, a=conv(3, 8), b=conv(8, 8)), image()


def in_place() -> Sample:
    return after_conv(nn.ReLU(inplace=True), nn.Hardswish(inplace=True), nn.SiLU(inplace=True))


def varargs() -> Sample:
    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv(3, 8)

        def forward(self, *images: Tensor) -> Tensor:
            return self.conv(images[0]) + self.conv(images[1])  # type: ignore[no-any-return]

    return Many(), (torch.randn(1, 3, 8, 8), torch.randn(1, 3, 8, 8))


def several_outputs() -> Sample:
    model = Call(
        lambda m, x: (m.fc(m.conv(x).relu().mean((2, 3))), m.conv(x).relu()),
        conv=conv(3, 8),
        fc=nn.Linear(8, 4),
    )
    return model, image()


def dict_output() -> Sample:
    def forward(m: Call, x: Tensor) -> dict[str, Tensor]:
        seen = m.conv(x).relu()  # type: ignore[operator]
        scores = m.fc(seen.mean((2, 3)))  # type: ignore[operator]
        return {"scores": scores, "probabilities": scores.softmax(-1)}

    return Call(forward, conv=conv(3, 8), fc=nn.Linear(8, 4)), image()


def two_branches() -> Sample:
    """Two images of different sizes."""
    model = TwoTensors(
        lambda m, a, b: m.fc(torch.cat([m.a(a).relu().mean((2, 3)), m.b(b).mean((2, 3))], 1)),
        a=conv(3, 8),
        b=conv(1, 8),
        fc=nn.Linear(16, 4),
    )
    return model, (torch.randn(1, 3, 8, 8), torch.randn(1, 1, 6, 6))


def preactivation() -> Sample:
    """Batch norm and relu before the convolution: nothing to fold into."""
    model = Call(
        lambda m, x: m.head(_preactivated(m, m.stem(x))),
        stem=conv(3, 16),
        norm1=nn.BatchNorm2d(16),
        conv1=conv(16, 16),
        norm2=nn.BatchNorm2d(16, eps=1e-3),
        head=nn.Sequential(*head(16)),
    )
    return model, image()


def _preactivated(m: Call, x: Tensor) -> Tensor:
    x = x + m.conv1(m.norm1(x).relu())  # type: ignore[operator]
    return m.norm2(x).relu()  # type: ignore[operator, no-any-return]


def batch_norm_first() -> Sample:
    return nn.Sequential(nn.BatchNorm2d(3), conv(3, 16), nn.ReLU(), *head(16)), image()


def batch_norm_eps() -> Sample:
    return after_conv(nn.BatchNorm2d(16, eps=1e-3), nn.ReLU())


def shared_bias() -> Sample:
    a, b = conv(3, 16), conv(16, 16)
    b.bias = a.bias
    return nn.Sequential(a, nn.ReLU(), b, nn.BatchNorm2d(16), nn.ReLU(), *head(16)), image()


def fixed_batch() -> Sample:
    model = Call(
        lambda m, x: m.fc(m.conv(x).relu().reshape(1, 16 * 64)),
        conv=conv(3, 16),
        fc=nn.Linear(16 * 64, 4),
    )
    return model, image()


def scaled() -> Sample:
    """Numbers and constant tensors in the arithmetic; the user's own normalisation."""
    model = Call(
        lambda m, x: m.head((m.a((x - 0.5) / 0.25) * 2 + m.a(x * 0.5) + 1.0).relu()),
        a=conv(3, 16),
        head=nn.Sequential(*head(16)),
    )
    return model, image()


def softmax_output() -> Sample:
    return nn.Sequential(conv(3, 8), nn.ReLU(), *head(8), nn.Softmax(-1)), image()


def instance_norm() -> Sample:
    return after_conv(nn.InstanceNorm2d(16, affine=True), nn.ReLU())


def group_norm() -> Sample:
    return after_conv(nn.GroupNorm(4, 16), nn.ReLU())


def gelu() -> Sample:
    return after_conv(nn.GELU())


def flattened_view() -> Sample:
    model = Call(
        lambda m, x: m.fc(m.pool(m.conv(x).relu()).view(x.size(0), -1)),
        conv=conv(3, 16),
        pool=nn.MaxPool2d(2),
        fc=nn.Linear(16 * 16, 10),
    )
    return model, image()


def nothing_but_pool() -> Sample:
    """The output is quantised data that was only moved."""
    return nn.Sequential(conv(3, 8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()), image()


OPERATORS: dict[str, Callable[[], Sample]] = {
    name: value
    for name, value in list(globals().items())
    if callable(value)
    and getattr(value, "__annotations__", {}) == {"return": Sample}
    and not name.startswith("_")
}
