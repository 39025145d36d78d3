"""What only forward() in training mode shows: paths that are not there in eval mode, such as a
second head whose loss is added. No traced graph has them, so what was changed is tried there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from edgecompress.compress.duplicate import duplicate
from edgecompress.compress.hooks import hooked
from edgecompress.compress.macs import evaluating
from edgecompress.compress.probe import Inputs


def trains_otherwise(model: nn.Module, inputs: Inputs) -> bool:
    """Whether forward() calls other modules in training mode than in eval mode; not where it cannot
    be run in training mode.
    """
    twin = duplicate(model)
    try:
        with _calls(twin) as evaluated, evaluating(twin), torch.no_grad():
            twin(*inputs)
        with _calls(twin) as trained:
            _train(twin, inputs)
    except Exception:
        # Any kind, as of a batch norm in training mode that is given a single number.
        return False
    return evaluated != trained


def failure_in_training(model: nn.Module, inputs: Inputs) -> str | None:
    """What forward() of a copy raises in training mode; None where it runs."""
    try:
        _train(duplicate(model), inputs)
    except Exception as error:
        line = " ".join(str(error).split())
        return f"forward() in training mode fails ({type(error).__name__}: {line[:120]})"
    return None


def _train(model: nn.Module, inputs: Inputs) -> None:
    for module in model.modules():
        module.training = True
    # What it drops out must not change what is drawn elsewhere.
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(0)
        model(*inputs)


@contextmanager
def _calls(model: nn.Module) -> Iterator[set[str]]:
    """The names of the modules that are called inside."""
    found: set[str] = set()

    def note(name: str) -> Callable[[nn.Module, object], None]:
        return lambda *_: found.add(name)

    with hooked(each.register_forward_pre_hook(note(name)) for name, each in model.named_modules()):
        yield found
