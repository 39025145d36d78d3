"""Runner: load a model file, run it, let it go. One implementation per runtime."""

from __future__ import annotations

import functools
import itertools
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Iterator, Mapping, NamedTuple, Sequence

from .failure import Failure

if TYPE_CHECKING:
    import numpy as np

    from .counts import Counts

KERNELS = ("default", "reference")
"""Those that the runtime chooses, or the plain ones that it defines its operators by."""


class Tensor(NamedTuple):
    name: str
    dtype: str
    """As numpy spells it."""
    shape: tuple[int | str | None, ...]
    """Only an integer is fixed."""


class Arena(NamedTuple):
    """Memory that a runtime keeps for tensors, by its own word."""

    of: str
    """What that is."""
    held: int
    """Bytes that it took of the system."""
    used: int | None = None
    """The most of them that were in use at once; None: it does not say."""


class Runner(ABC):
    """Public methods check, private ones work; every failure is a Failure."""

    inputs: Sequence[Tensor] = ()
    """Known once activated."""
    kernels = "default"
    """One of KERNELS, set before `activate`."""
    uncounted: str | None = "the runtime tells no time of its operators"
    """Why it cannot count; None: it can."""
    counting = False
    """Whether it counts the time of its operators, set before `activate`."""

    copies_outputs = True
    """False: outputs may lie in the runtime's memory, and hold until the next inference only."""

    option_names: Sequence[str] = ()
    """What a target may ask of the runtime."""

    def __init__(self, model: str, threads: int, options: Mapping[str, str]) -> None:
        self.model = model
        self.threads = threads
        self.options = options

    @classmethod
    def check(cls, options: Mapping[str, str]) -> None:
        """Raise Failure where this machine does not have what the options ask for."""
        unknown = sorted(set(options) - set(cls.option_names))
        if unknown:
            known = ", ".join(cls.option_names) or "none"
            raise Failure("input", f"options {', '.join(unknown)} are unknown; known: {known}")

    def activate(self) -> None:
        """Load the model; this is what `init_time_ms` times."""
        self._find()
        self.inputs = self._activate()

    def infer(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name, in the file's order."""
        return self.checked(feed)()

    def checked(self, feed: dict[str, np.ndarray]) -> Callable[[], dict[str, np.ndarray]]:
        """Check names, dtypes and shapes once; the result runs without checks."""
        self._check_feed(feed)
        return functools.partial(self._infer, feed)

    def _check_feed(self, feed: dict[str, np.ndarray]) -> None:
        expected = {tensor.name: tensor for tensor in self.inputs}
        if set(feed) != set(expected):
            given, known = ", ".join(sorted(feed)), ", ".join(sorted(expected))
            raise Failure("input", f"inputs given: {given or 'none'}; the model takes: {known}")
        for name, array in feed.items():
            _check(expected[name], array)

    def cycled(self, feeds: Sequence[dict[str, np.ndarray]]) -> Iterator[Callable[[], object]]:
        """One after the other and round again, to be timed, each checked once."""
        for feed in feeds:
            self._check_feed(feed)
        return itertools.cycle([self._timed(feed) for feed in feeds])

    def optimised_graph(self, output: str) -> None:
        """Write the graph that the runtime will really execute to `output`."""
        self._find()
        self._optimised_graph(output)

    def notes(self) -> list[str]:
        """What the runtime does otherwise than one would expect; known once activated."""
        return []

    def note_counts(self) -> None:
        """Called after each inference, for runtimes that keep what they counted of the last one."""
        return

    def counted(self) -> Counts:
        """The operators of all inferences so far; counting ends."""
        raise Failure("runtime", f"{self.uncounted}")

    def set_up(self) -> object | None:
        """Run a model of one operator, so that what the runtime makes once for all models is there
        for as long as what is returned is kept; None: it makes nothing worth that.
        """
        return None

    def arena(self, feeds: Sequence[dict[str, np.ndarray]]) -> Arena | None:
        """What the runtime tells of its memory; the model may be loaded again for it."""
        return None

    def _find(self) -> None:
        if not Path(self.model).is_file():
            raise Failure("input", f"{self.model}: no such file")

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """The runtime's first, then of what it builds on."""

    @abstractmethod
    def deactivate(self) -> None:
        """Let the model go; safe to call twice."""

    @abstractmethod
    def _activate(self) -> Sequence[Tensor]: ...

    @abstractmethod
    def _infer(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]: ...

    def _timed(self, feed: dict[str, np.ndarray]) -> Callable[[], object]:
        """One inference with as little around it as there can be. Where `_infer` itself adds more
        than a few hundred ns, this is the runtime's own call; what that raises is not explained, so
        the first inference of a measurement is one of `checked`.
        """
        return functools.partial(self._infer, feed)

    @abstractmethod
    def _optimised_graph(self, output: str) -> None: ...


def _check(expected: Tensor, array: np.ndarray) -> None:
    if array.dtype.name != expected.dtype:
        raise Failure(
            "input",
            f"input '{expected.name}' takes {expected.dtype}, got {array.dtype.name}",
        )
    fits = len(array.shape) == len(expected.shape) and all(
        not isinstance(want, int) or want == have for want, have in zip(expected.shape, array.shape)
    )
    if not fits:
        raise Failure(
            "input",
            f"input '{expected.name}' takes shape {list(expected.shape)}, got {list(array.shape)}",
        )
