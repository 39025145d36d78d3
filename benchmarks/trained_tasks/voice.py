"""Silero VAD (16 kHz) from its weights: one step with its state; is anybody speaking?"""

import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from packaged import Data, batches, folder_of, spoken
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import BinaryAccuracy

from edgecompress import Task
from edgecompress.task import Metric

STEP, CONTEXT, STATE = 512, 64, 128


class Vad(nn.Module):
    """The network of silero-vad 6, 16 kHz, under the names of its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm_cell = nn.LSTMCell(128, STATE)
        self.final_conv = nn.Conv1d(STATE, 1, 1)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = functional.pad(x.unsqueeze(1), (0, 64), mode="reflect")
        x = self.stft_conv(x)
        x = (x[:, :129] ** 2 + x[:, 129:] ** 2).sqrt()
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = functional.relu(layer(x))
        h, c = self.lstm_cell(x.squeeze(-1), (h, c))
        y = self.final_conv(functional.relu(h.unsqueeze(-1))).sigmoid()
        return y.squeeze(1).mean(1, keepdim=True), h, c


def network() -> nn.Module:
    load = importlib.import_module("safetensors.torch").load_file
    model = Vad()
    model.load_state_dict(load(folder_of("silero_vad") / "data" / "silero_vad_16k.safetensors"))
    return model.eval()


class Voice(Task):
    """Agreement with the float network, step by step on speech with pauses, each with its state."""

    def __init__(self, data: str) -> None:
        self.path = Path(data)

    def model(self) -> nn.Module:
        return network()

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (torch.zeros(1, STEP + CONTEXT), torch.zeros(1, STATE), torch.zeros(1, STATE))

    def train_data(self) -> Iterator[tuple[Any, Tensor]]:
        return batches(_data(self.path, test=False, count=512), 32)

    def eval_data(self) -> Iterator[tuple[Any, Tensor]]:
        return batches(_data(self.path, test=True, count=512), 32)

    def loss(self, outputs: Any, target: Tensor) -> Tensor:
        return functional.binary_cross_entropy(outputs[0][:, 0], target.float())

    def metric(self) -> Metric:
        return BinaryAccuracy()

    def update(self, metric: Any, outputs: Any, target: Tensor) -> None:
        metric.update((outputs[0][:, 0] > 0.5).long(), target)


@cache
def _data(path: Path, *, test: bool, count: int) -> Data:
    generator = np.random.default_rng(0)
    parts = []
    for index, clip in enumerate(spoken(path, test=test)):
        parts += [clip, generator.normal(0, 0.002, 6000).astype(np.float32)]
        if index == 59:
            break
    wave = torch.from_numpy(np.concatenate(parts))
    model, context = network(), torch.zeros(CONTEXT)
    h = c = torch.zeros(1, STATE)
    rows: list[tuple[Tensor, ...]] = []
    with torch.no_grad():
        for start in range(0, min(len(wave) - STEP, count * STEP), STEP):
            x = torch.cat([context, wave[start : start + STEP]])[None]
            context = wave[start + STEP - CONTEXT : start + STEP]
            y, after_h, after_c = model(x, h, c)
            rows.append((x, h, c, (y[:, 0] > 0.5).long()))
            h, c = after_h, after_c
    *inputs, target = (torch.cat(column) for column in zip(*rows, strict=True))
    return tuple(inputs), target
