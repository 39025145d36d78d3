"""The front end of sounds is a short-time Fourier transform on the mel scale."""

import pytest
import torch

from edgecompress.task import LogMel


@pytest.mark.parametrize(("window", "hop"), [(64, 32), (50, 20)])
def test_it_is_a_fourier_transform_and_mel_filters(window: int, hop: int) -> None:
    clips = torch.randn(3, 500, generator=torch.Generator().manual_seed(0))
    front = LogMel(8000, bands=12, window=window, hop=hop)
    spectrum = torch.stft(
        clips, window, hop, window=torch.hann_window(window), center=False, return_complex=True
    )
    wanted = (front.filters @ spectrum.abs().square() + 1e-6).log()[:, None]
    found = front(clips)
    assert found.shape == (3, 1, 12, (500 - window) // hop + 1)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_the_bands_share_out_what_lies_between_the_first_and_the_last() -> None:
    filters = LogMel(8000, bands=10, window=512).filters
    middles = filters.argmax(1)
    assert (middles.diff() > 0).all()
    # On the mel scale: further apart where frequencies are higher.
    assert (middles.diff().diff() >= -1).all()
    between = filters[:, middles[0] : middles[-1]].sum(0)
    torch.testing.assert_close(between, torch.ones_like(between))


def test_it_has_no_parameters_and_is_exported_as_a_convolution_and_a_product() -> None:
    front = LogMel(8000, bands=8, window=64, hop=32)
    assert not list(front.parameters())
    program = torch.export.export(front, (torch.zeros(1, 400),))
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not any("fft" in name or "complex" in name for name in called)
    assert "aten.conv1d.default" in called
    assert "aten.matmul.default" in called
