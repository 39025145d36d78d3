"""Models for quantising and exporting: one per operator that the zoo lacks."""

from collections.abc import Callable

import torch
from torch import nn
from zoo.parts import Call, Sample, after_conv, conv, head, image, models_in


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


def softmax_output() -> Sample:
    return nn.Sequential(conv(3, 8), nn.ReLU(), *head(8), nn.Softmax(-1)), image()


def instance_norm() -> Sample:
    return after_conv(nn.InstanceNorm2d(16, affine=True), nn.ReLU())


def group_norm() -> Sample:
    return after_conv(nn.GroupNorm(4, 16), nn.ReLU())


def gelu() -> Sample:
    return after_conv(nn.GELU())


OPERATORS: dict[str, Callable[[], Sample]] = models_in(globals())
