"""What the tasks of benchmarks/trained.py share: packages' own files, photographs, recordings."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Data = tuple[tuple[Tensor, ...], Tensor]
"""Inputs, each [N, ..], and the target, [N, ..]."""

SPEECH_HZ = 16_000
_PHOTOGRAPHS = (
    "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "ihc.png",
    "retina.jpg", "hubble_deep_field.jpg", "camera.png", "brick.png", "grass.png", "gravel.png",
    "coins.png", "logo.png", "color.png", "motorcycle_right.png",
)  # fmt: skip


def folder_of(package: str) -> Path:
    """The folder of an installed package, without importing it: some import what does not fit."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"install {package}: see benchmarks/trained.py")
    return Path(spec.origin).parent


def module_from(name: str, path: Path, source: str) -> ModuleType:
    """One module of an installed package, without the package round it, as `source` has it: what
    needs other packages is cut out there, which no importer can do.
    """
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - an installed package
    return module


def batches(data: Data, size: int) -> Iterator[tuple[Any, Tensor]]:
    """(inputs, target) of `size` samples at most; one input is given as a tensor."""
    inputs, target = data
    for start in range(0, len(target), size):
        parts = tuple(tensor[start : start + size] for tensor in inputs)
        yield (parts if len(parts) > 1 else parts[0]), target[start : start + size]


@cache
def photographs() -> list[NDArray[np.uint8]]:
    """RGB images [H, W, 3] that scikit-image and scikit-learn come with."""
    image = importlib.import_module("PIL.Image")
    datasets = importlib.import_module("sklearn.datasets")
    folder = folder_of("skimage") / "data"
    own = [np.asarray(image.open(folder / name).convert("RGB")) for name in _PHOTOGRAPHS]
    return [*own, *map(np.asarray, datasets.load_sample_images().images)]


def crops(count: int, seed: int, size: int) -> Tensor:
    """Random square parts of the photographs, half of them mirrored: [N, 3, size, size], 0..1."""
    image = importlib.import_module("PIL.Image")
    generator = np.random.default_rng(seed)
    cut = []
    for index in range(count):
        photograph = photographs()[index % len(photographs())]
        height, width = photograph.shape[:2]
        side = int(min(height, width) * generator.uniform(0.6, 1.0))
        top = int(generator.integers(0, height - side + 1))
        left = int(generator.integers(0, width - side + 1))
        part = image.fromarray(photograph[top : top + side, left : left + side])
        if generator.random() < 0.5:
            part = part.transpose(image.Transpose.FLIP_LEFT_RIGHT)
        resized = part.resize((size, size), image.Resampling.BICUBIC)
        cut.append(np.asarray(resized, np.float32) / 255)
    return torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).contiguous()


def spoken(data: Path, *, test: bool) -> Iterator[NDArray[np.float32]]:
    """Recordings of the free spoken digits at 16 kHz, -1..1, in a fixed random order."""
    signal = importlib.import_module("scipy.signal")
    with np.load(data, allow_pickle=False) as arrays:
        audio, offsets, is_test = arrays["audio"], arrays["offsets"], arrays["is_test"]
    rows = np.flatnonzero(is_test.astype(bool) == test)
    np.random.default_rng(0).shuffle(rows)
    for row in rows:
        clip = audio[offsets[row] : offsets[row + 1]].astype(np.float32) / 32768
        yield signal.resample_poly(clip, 2, 1).astype(np.float32)
