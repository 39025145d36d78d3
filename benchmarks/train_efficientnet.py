"""Train EfficientNet-B0 (timm) on CIFAR-10 for benchmarks/trained.py: a third of an hour.

pip install --no-deps timm
python benchmarks/train_efficientnet.py --data DIR --out DIR/efficientnet_b0.pt
"""

import argparse
from itertools import islice
from pathlib import Path

import torch
from cifar10_task import Cifar10, efficientnet_b0
from torch.nn import functional

STEPS, LEARNING_RATE = 400, 2e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = efficientnet_b0()
    with torch.no_grad():
        model.classifier.weight.mul_(0.05)  # type: ignore[operator, union-attr]
    torch.save(model.state_dict(), arguments.out)  # the task wants weights to begin with
    task = Cifar10(str(arguments.data), str(arguments.out), "efficientnet_b0")
    model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS, pct_start=0.15)
    for step, (images, labels) in enumerate(islice(task.train_data(), STEPS), start=1):
        loss = functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            print(f"step {step} of {STEPS}: loss {loss.item():.3f}", flush=True)
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    torch.save(model.state_dict(), arguments.out)


if __name__ == "__main__":
    main()
