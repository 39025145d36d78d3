"""A log-mel front end that every runtime computes to the same last bit."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgecompress.formats.exportable import Exportable
from edgecompress.runtimes import runtime
from edgecompress.spec.load import load_target
from edgecompress.task import ExactLogMel, LogMel

RATE_HZ, SAMPLES = 8000, 1500


def sounds() -> Tensor:
    """[6, SAMPLES] of 16 bits: as loud as can be, faint, noise, a chirp, a tone, and silence."""
    random = torch.Generator().manual_seed(0)
    time = torch.arange(SAMPLES) / RATE_HZ
    noise = torch.randn(3, SAMPLES, generator=random)
    clips = [
        torch.where(noise[0] > 0, 1.0, -1.0),
        noise[1] * 4 / 32768,
        noise[2] * 0.1,
        torch.sin(2 * torch.pi * 8000 * time**2),
        torch.where(torch.sin(2 * torch.pi * 500 * time) > 0, 1.0, -1.0),
        torch.zeros(SAMPLES),
    ]
    return (torch.stack(clips) * 32768).round().clamp(-32768, 32767) / 32768


@pytest.mark.parametrize(("bands", "window"), [(8, 64), (32, 256), (40, 512), (20, 100)])
def test_its_sums_are_exact_whatever_their_order(bands: int, window: int) -> None:
    """In double precision they are the same numbers, however loud the sound is."""
    front = ExactLogMel(RATE_HZ, bands, window, hop=window // 2)
    sums: list[tuple[Tensor, Tensor]] = []
    bytes_of = torch.randint(-128, 128, (4, 1, 1200)).float()
    largest = torch.where(front.sines[window // 4] > 0, -128.0, 128.0)
    for samples in (bytes_of, largest.expand(1, 1, window)):
        exact = torch.nn.functional.conv1d(samples.double(), front.sines.double(), stride=7)
        sums.append((torch.nn.functional.conv1d(samples, front.sines, stride=7), exact))
    parts = torch.randint(0, int(front.part), (3, window // 2 + 1, 9)).float()
    for part in (parts, torch.full_like(parts, front.part)):
        sums.append((front.filters @ part, front.filters.double() @ part.double()))
    for found, exact in sums:
        assert torch.equal(found.double(), exact)
        assert exact.abs().max() < 1 << 24
    assert not list(front.parameters())
    # What it cuts a size into is no larger than what those sums were tried with.
    loudest = 32768 * float(front.sines.abs().sum(dim=(1, 2)).max()) / front.waves_in * (45 / 32)
    assert loudest / front.part <= front.part


def test_it_is_nearly_the_logarithm_of_the_energies() -> None:
    clips, usual = sounds()[:5], LogMel(RATE_HZ, bands=24)
    exact = ExactLogMel(RATE_HZ, bands=24)(clips)
    assert exact.shape == usual(clips).shape
    spectrum = torch.stft(
        clips * 32768,
        256,
        128,
        window=torch.hann_window(256),
        center=False,
        return_complex=True,
    )
    sizes = (usual.filters @ spectrum.abs())[:, None]
    # 7 % of a size are a tenth of an octave, and a straight line is 0.09 below the logarithm. What
    # lies far below something louder is where waves are rounded.
    off = (exact - (sizes.log2() - 1))[sizes > sizes.amax(dim=2, keepdim=True).clamp(min=256) / 256]
    assert off.abs().max() < 0.2
    assert ExactLogMel(RATE_HZ)(torch.zeros(1, 300)).abs().max() == 0
    assert exact.max() < 24


@pytest.mark.parametrize("target_name", ["local-onnxruntime", "local-litert"])
def test_every_runtime_gives_the_same_bits(target_name: str, tmp_path: Path) -> None:
    if target_name == "local-litert":
        pytest.importorskip("litert_torch", reason="needs litert-torch: pip install '.[litert]'")
    target, front, clips = load_target(target_name), ExactLogMel(RATE_HZ, 16, 128, 64), sounds()
    writer = runtime(target.runtime.name)
    model = Exportable(front.eval(), (clips[:1],), False, ("x",), ("y",), {}, target)
    path = writer.export(model, tmp_path / f"front{writer.format.suffix}").path
    wanted = front(clips).numpy()
    for optimised in (True, False):
        assert np.array_equal(ran(path, clips.numpy(), optimised), wanted)


def ran(path: Path, clips: NDArray[np.float32], optimised: bool) -> NDArray[np.generic]:
    if path.suffix == ".onnx":
        options = onnxruntime.SessionOptions()
        if not optimised:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return np.concatenate([session.run(None, {"x": each[None]})[0] for each in clips])
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.BUILTIN if optimised else OpResolverType.BUILTIN_REF
    runner = Interpreter(
        str(path), num_threads=1, experimental_op_resolver_type=kernels
    ).get_signature_runner()
    return np.concatenate([runner(x=each[None])["y"] for each in clips])
