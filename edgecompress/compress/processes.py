"""The processes of one command, as torch.distributed connects them and accelerate sets them up.

One is the main process: it tells the others what to do, message by message, and they do nothing
else. A message is an object for each of them; tensors of a step go through one flat tensor.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from edgecompress.errors import DeviceError, RuntimeMissing, SpecError
from edgecompress.launched import Launched

_PATIENCE = timedelta(days=30)
"""The others wait as long as the main process exports and measures. One that dies is noticed at
once, for its connection ends.
"""
_OTHER_KINDS = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
}


class ProcessLost(DeviceError):
    """Another process of the command is gone, or does not answer."""


class Group:
    """The processes of a command, connected; `rank` is this one's number."""

    def __init__(self, rank: int, size: int, device: torch.device, commands: Any) -> None:
        self.rank = rank
        self.size = size
        self._device = device
        self.in_step = True
        """Whether every process waits for the same thing; not after one was lost."""
        self.task: object = None
        """The one that the others have loaded too."""
        self._commands = commands

    def tell(self, messages: Sequence[Any]) -> None:
        """From the main process: one message for each, the first for itself."""
        with self._exchange():
            dist.scatter_object_list([None], list(messages), src=0, group=self._commands)

    def listen(self) -> Any:
        """The main process's next message."""
        heard: list[Any] = [None]
        with self._exchange():
            dist.scatter_object_list(heard, None, src=0, group=self._commands)
        return heard[0]

    def hand_out(self, values: Tensor) -> None:
        """The main process's values to all, in place."""
        with self._exchange(), self._there(values) as there:
            dist.broadcast(there, src=0)

    def add_up(self, values: Tensor) -> None:
        """The sum over all processes, to the main process, in place."""
        with self._exchange(), self._there(values) as there:
            dist.reduce(there, dst=0)

    def collect(self, value: Any) -> list[Any]:
        """What each gives, to the main process; empty elsewhere."""
        found: list[Any] = [None] * self.size if self.rank == 0 else []
        with self._exchange():
            dist.gather_object(
                value, found if self.rank == 0 else None, dst=0, group=self._commands
            )
        return found

    def leave(self) -> None:
        """End the connection, where all have come to its end."""
        global _current
        _current = None
        if self.in_step:
            dist.destroy_process_group()

    @contextmanager
    def _there(self, values: Tensor) -> Iterator[Tensor]:
        """The same where the group's backend takes it: a model may train elsewhere after all."""
        there = values.to(self._device)
        yield there
        if there is not values:
            values.copy_(there)

    @contextmanager
    def _exchange(self) -> Iterator[None]:
        in_step, self.in_step = self.in_step, False
        try:
            yield
        except RuntimeError as error:
            raise ProcessLost(
                f"another of the {self.size} training processes is gone; run the same command again"
                " to resume"
            ) from error
        self.in_step = in_step


_current: Group | None = None


def current() -> Group | None:
    """The group that this process belongs to; None: it trains alone."""
    return _current


def connect(launched: Launched) -> Group:
    """Meet the other processes; `current` knows the group from here on.

    Raises:
        RuntimeMissing: accelerate is not installed.
        SpecError: the launcher asks for more than data parallelism.

    """
    global _current
    for name, kind in _OTHER_KINDS.items():
        if os.environ.get(name, "").lower() == "true":
            raise SpecError(
                f"accelerate launch: {kind} is not for models of this size; launch with"
                " --multi_gpu alone"
            )
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise RuntimeMissing(
            "training in several processes needs accelerate:"
            " pip install 'edgecompress[distributed]'"
        ) from error
    on_cpu = not torch.cuda.is_available()
    on_cpu = on_cpu or os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true"
    try:
        device = PartialState(cpu=on_cpu, timeout=_PATIENCE).device
        # The other backends speak of what lies on their devices alone.
        commands = None if on_cpu else dist.new_group(backend="gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise ProcessLost(
            f"process {launched.rank + 1} of {launched.size} cannot meet the others: {error}"
        ) from error
    _current = Group(dist.get_rank(), dist.get_world_size(), device, commands)
    return _current
