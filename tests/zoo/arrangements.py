"""Models for quantising and exporting: how operators are put together."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from zoo.parts import Call, Sample, TwoTensors, after_conv, conv, head, image, models_in


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


def unet() -> Sample:
    def forward(m: Call, x: Tensor) -> Tensor:
        fine = m.down(x).relu()  # type: ignore[operator]
        coarse = m.deep(functional.max_pool2d(fine, 2)).relu()  # type: ignore[operator]
        wide = functional.interpolate(coarse, scale_factor=2, mode="nearest")
        return m.out(torch.cat([fine, wide], 1))  # type: ignore[operator, no-any-return]

    return Call(forward, down=conv(3, 8), deep=conv(8, 8), out=conv(16, 2)), image()


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


def nearly_dead() -> Sample:
    """A channel without weights and one nearly so, whose biases are as large as ever."""
    first = conv(3, 16)
    with torch.no_grad():
        first.weight[2] *= 1e-6
        first.weight[5] = 0
        first.bias = nn.Parameter(torch.linspace(-3, 3, 16))
    return nn.Sequential(first, nn.Conv2d(16, 8, 1)), image()


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


ARRANGEMENTS: dict[str, Callable[[], Sample]] = models_in(globals())
