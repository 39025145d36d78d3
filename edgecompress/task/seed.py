"""Every generator that a task may draw from, so that runs repeat."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
import torch


def seed_everything(seed: int, epoch: int) -> None:
    """Python's, NumPy's and torch's global generators, as a function of (seed, epoch) alone."""
    value = seed * 100_003 + epoch
    random.seed(value)
    # NumPy's own global generator, because it is the one that a task's augmentation uses.
    np.random.seed(value % 2**32)
    torch.manual_seed(value)


@contextmanager
def generators_kept(owner: object) -> Iterator[None]:
    """What is drawn while it is open changes nothing that is drawn later: neither from the global
    generators nor from those that `owner`, or a DataLoader of its, has as attributes.
    """
    held = list(vars(owner).values())
    held += [getattr(value, "generator", None) for value in held]
    with ExitStack() as stack:
        stack.callback(random.setstate, random.getstate())
        stack.callback(np.random.set_state, np.random.get_state())
        stack.callback(torch.set_rng_state, torch.get_rng_state())
        for restore in filter(None, map(_restorer, held)):
            stack.callback(restore)
        yield


def _restorer(generator: object) -> Callable[[], object] | None:
    """What sets a generator back to how it is now; None for anything else."""
    if isinstance(generator, torch.Generator):
        return partial(generator.set_state, generator.get_state())
    if isinstance(generator, random.Random):
        return partial(generator.setstate, generator.getstate())
    if isinstance(generator, np.random.Generator):
        return partial(setattr, generator.bit_generator, "state", generator.bit_generator.state)
    return None
