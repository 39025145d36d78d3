"""Every generator that a task may draw from, so that runs repeat."""

import random

import numpy as np
import torch


def seed_everything(seed: int, epoch: int) -> None:
    """Python's, NumPy's and torch's global generators, as a function of (seed, epoch) alone."""
    value = seed * 100_003 + epoch
    random.seed(value)
    # NumPy's own global generator, because it is the one that a task's augmentation uses.
    np.random.seed(value % 2**32)
    torch.manual_seed(value)
