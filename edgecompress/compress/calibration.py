"""Who says what the observers of a graph do: calibrate, follow in training, stay, or nothing."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from edgecompress.compress.fake_quantize import observers_of
from edgecompress.compress.observers import Phase, Ranges, SharedRun


class CalibrationRun:
    """The phases of one graph. Nothing else changes them, so all of its observers and fake-quantize
    modules are in the same one.
    """

    def __init__(self, graph: nn.Module) -> None:
        """`graph`: one that `share_run` was given, or a copy of such a one."""
        self._modules = observers_of(graph)

    @contextmanager
    def observing(self) -> Iterator[None]:
        """Observers see the float activations of what is run inside; the graph quantises after."""
        self._enter("calibrate")
        yield
        self.freeze()

    @contextmanager
    def in_float(self) -> Iterator[None]:
        """Nothing is quantised or seen inside; the graph quantises after."""
        self._enter("float")
        yield
        self.freeze()

    def follow(self) -> None:
        """Quantise, and let the ranges follow what training sees."""
        self._enter("train")

    def freeze(self) -> None:
        """Quantise with the ranges as they are; weights keep following themselves."""
        self._enter("frozen")
        for module in self._modules:
            if not module.activation_post_process.current:
                # One that follows another's scale may have seen it before that other saw its last
                # tensor of the run. These are in graph order.
                scale, zero_point = module.calculate_qparams()
                module.scale.copy_(scale)
                module.zero_point.copy_(zero_point)

    def choose(self, ranges: Ranges) -> None:
        """Choose from all that was seen in another way, go on so, and quantise."""
        for module in self._modules:
            module.activation_post_process.choose_by(ranges)
        self.freeze()

    def forget(self) -> None:
        """Let what is seen next be the first that is seen; ranges stay until then."""
        for module in self._modules:
            module.activation_post_process.forget()

    def _enter(self, phase: Phase) -> None:
        for module in self._modules:
            observer = module.activation_post_process
            observer.run.phase = phase
            follows_itself = observer.current and phase == "frozen"
            observes = phase in ("calibrate", "train") or follows_itself
            module.enable_observer(observes and not module.held)
            module.enable_fake_quant(phase in ("train", "frozen"))


def share_run(graph: nn.Module) -> None:
    """From here on the graph's observers are in one phase, and know when a new run begins."""
    shared = SharedRun()
    for module in observers_of(graph):
        module.activation_post_process.run = shared
    graph.register_forward_pre_hook(_new_run)


def _new_run(graph: nn.Module, _: object) -> None:
    for module in observers_of(graph)[:1]:
        module.activation_post_process.run.number += 1  # it is all the others' too


def float_copy(graph: nn.Module) -> nn.Module:
    """A copy that has the same weights and quantises nothing, ever."""
    copied = copy.deepcopy(graph)
    CalibrationRun(copied)._enter("float")
    return copied
