"""AdjustedFakeQuantize: the numbers that it makes."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.compress.fake_quantize import AdjustedFakeQuantize
from edgecompress.compress.observers import RangeObserver


@given(
    st.floats(1e-6, 1e3),
    st.integers(-128, 255),
    st.booleans(),
    st.integers(0, 2**31),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_without_a_gradient_the_numbers_are_those_of_torchs_kernels(
    scale: float, zero_point: int, signed: bool, seed: int, per_channel: bool
) -> None:
    low, high = (-128, 127) if signed else (0, 255)
    zero_point = 0 if per_channel else min(max(zero_point, low), high)
    random = torch.Generator().manual_seed(seed)
    steps = torch.randint(-600, 600, (4, 64), generator=random) / 2  # half of them are ties
    x = torch.cat([steps, 80 * torch.randn(4, 64, generator=random)], dim=1) * scale
    if per_channel:  # weights are finite, and of what is not torch's kernel makes anything
        x = x * torch.logspace(-2, 2, 4).reshape(4, 1)
    else:
        x[:, -4:] = torch.tensor([float("inf"), -float("inf"), 1e30, 0.0])
    module = AdjustedFakeQuantize(
        observer=RangeObserver,
        dtype=torch.int8 if signed else torch.uint8,
        qscheme=torch.per_channel_symmetric if per_channel else torch.per_tensor_affine,
        quant_min=low,
        quant_max=high,
        ch_axis=0 if per_channel else -1,
    )
    module.enable_observer(False)
    scales = scale * torch.logspace(-2, 2, 4) if per_channel else torch.tensor([scale])
    module.scale.resize_(scales.shape).copy_(scales)
    module.zero_point.resize_(scales.shape).fill_(zero_point)
    expected = (
        torch.fake_quantize_per_channel_affine(x, scales, module.zero_point, 0, low, high)
        if per_channel
        else torch.fake_quantize_per_tensor_affine(x, scales, module.zero_point, low, high)
    )
    with torch.no_grad():
        assert torch.equal(module(x), expected)
    given_gradient = module(x.clone().requires_grad_())
    assert torch.equal(given_gradient, expected)
    given_gradient[:, :-4].sum().backward()
