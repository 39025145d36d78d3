"""Residual blocks that can go whole: found in the traced graph, and each tried alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgecompress.compress.capture import capture, without_fast_paths
from edgecompress.compress.groups import reused_layers
from edgecompress.compress.hooks import hooked
from edgecompress.compress.in_training import failure_in_training, trains_otherwise
from edgecompress.compress.macs import evaluating
from edgecompress.compress.probe import (
    Inputs,
    cast_floats,
    distance,
    probes,
    run_all,
    shapes,
    stir,
)
from edgecompress.compress.residual import Branch, Masked, branches
from edgecompress.compress.shorter import Removal, Stand, shorter
from edgecompress.compress.verify import is_rounding, matters
from edgecompress.errors import ModelError
from edgecompress.task.base import tensors_of

_MODEL = "(model)"


@dataclass(frozen=True)
class Block:
    name: str
    """The module that goes, or those of a branch, joined by '+'."""
    removal: Removal
    layers: frozenset[str]
    """All modules that go with it, those that something takes the place of included."""
    branches: tuple[Branch, ...]
    """Its residual branches in the traced graph."""


@dataclass(frozen=True)
class Blocks:
    found: list[Block]
    """In the order of the model; each can go whole, alone."""
    refused: dict[str, str]
    """Why a block stays, by the name of its module; of what stands in the model's own forward(),
    '(model)'.
    """


class BlockFinder:
    """Proposes blocks to take out of a model, and compares what is left with the traced graph in
    which their residual branches add zeros: on stirred parameters, in float64 where it runs so.

    Args (of its constructor):
        model: in eval mode; it is left as it is.
        example_inputs: what it is traced and run on.
        ignored: names of modules that must stay.

    Raises (by its constructor):
        ModelError: the model cannot be traced or copied.

    """

    def __init__(self, model: nn.Module, example_inputs: Inputs, ignored: set[str]) -> None:
        examples = probes(model, example_inputs)
        self._model, self._dtype = stir(model, examples)
        example = cast_floats(example_inputs, self._dtype)
        self._graph, free_batch = capture(self._model, example)
        # A graph with a batch size of its own takes no other.
        self._probes = examples if free_batch else examples[:1]
        self._reference = run_all(self._model, self._probes, self._dtype)
        self._batch = cast_floats(self._probes[-1], self._dtype)
        self._trains_otherwise = trains_otherwise(self._model, self._batch)
        self._shapes = _sample_shapes(self._model, example)
        self._names = [name for name, _ in self._model.named_modules()]
        self._reused = reused_layers(self._model, example)
        self._ignored = ignored

    def find(self) -> Blocks:
        """Every block that can go, each tried alone."""
        found: list[Block] = []
        refused: dict[str, str] = {}
        for module, parts in self._by_module().items():
            whole = [self._whole(module, parts)] if module else []
            reasons: dict[str, str] = {}
            for block in (*whole, *(way for part in parts for way in self._written_out(part))):
                if any(set(block.branches) <= set(other.branches) for other in found):
                    continue
                reason = self._failure(block)
                if reason is None:
                    found.append(block)
                else:
                    reasons[block.name or _MODEL] = reason
            if not {part for block in found for part in block.branches} & set(parts):
                refused.update(reasons)
        return Blocks(_innermost(found), refused)

    def confirm(self, chosen: Sequence[Block]) -> None:
        """Raises ModelError when the model without all of these is not the one whose branches, all
        together, add zeros.
        """
        wrong = self._difference(chosen, must_matter=False)
        if wrong:
            names = ", ".join(block.name for block in chosen)
            raise ModelError(
                f"prune.remove_blocks: without {names} together {wrong}, although each alone can"
                " go; name one of them in prune.ignored_layers"
            )

    def _by_module(self) -> dict[str, tuple[Branch, ...]]:
        """Branches by the module that has them: all of one go together, or one by one."""
        result: dict[str, tuple[Branch, ...]] = {}
        for branch in branches(self._graph):
            result[branch.module] = (*result.get(branch.module, ()), branch)
        return result

    def _whole(self, module: str, parts: tuple[Branch, ...]) -> Block:
        return Block(module, {module: None}, self._inside([module]), parts)

    def _written_out(self, part: Branch) -> tuple[Block, Block]:
        """With a zero for each module; and with its shape, where forward() looks at that: then the
        channels that it is added to can no longer be cut.
        """
        modules = part.modules(self._graph)
        name, inside = "+".join(modules), self._inside(modules)
        one: Removal = dict.fromkeys(modules, "zero")
        shaped = {module: self._shapes[module] for module in modules if module in self._shapes}
        return Block(name, one, inside, (part,)), Block(name, shaped, inside, (part,))

    def _inside(self, modules: Sequence[str]) -> frozenset[str]:
        return frozenset(
            name for name in self._names if any(f"{name}.".startswith(f"{m}.") for m in modules)
        )

    def _failure(self, block: Block) -> str | None:
        if not block.removal or block.name != "+".join(block.removal):
            return "its residual branch is no module, or several, of its own"
        for names, text in (
            (self._ignored, "is in prune.ignored_layers"),
            (self._reused, "is used more than once, or shares its weights"),
        ):
            for name in sorted(block.layers & names):
                return f"'{name}' {text}"
        return self._difference([block], must_matter=True)

    def _difference(self, taken: Sequence[Block], must_matter: bool) -> str | None:
        """What is wrong with a model without these blocks; None when nothing is."""
        try:
            smaller = shorter(self._model, [block.removal for block in taken])
            found = run_all(smaller, self._probes, self._dtype)
        except Exception as error:
            # Raised by the user's forward(), which may want anything of a module that is gone.
            line = " ".join(str(error).split())
            return f"forward() fails ({type(error).__name__}: {line[:120]})"
        masked = Masked(self._graph, [part for block in taken for part in block.branches])
        with torch.no_grad():
            wanted = [
                tensors_of(masked.run(*cast_floats(inputs, self._dtype))) for inputs in self._probes
            ]
        if [shapes(outputs) for outputs in found] != [shapes(outputs) for outputs in wanted]:
            return "the outputs have other shapes"
        effect = distance(self._reference, wanted)
        if must_matter and not matters(effect, self._dtype):
            return "no output changes, so that its removal cannot be checked"
        error_size = distance(found, wanted)
        if is_rounding(error_size, effect, self._dtype):
            return failure_in_training(smaller, self._batch) if self._trains_otherwise else None
        return (
            "the model is not the one whose residual branch adds zeros: something beside the branch"
            f" goes with it (outputs differ by {error_size:.2g} of their size)"
        )


def _sample_shapes(model: nn.Module, example: Inputs) -> dict[str, Stand]:
    """What each module gives for one sample, where that is a tensor, or a tuple of those."""
    found: dict[str, Stand] = {}

    def note(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_: nn.Module, __: object, output: object) -> None:
            parts = output if isinstance(output, tuple) else (output,)
            if all(part is None or (isinstance(part, Tensor) and part.dim()) for part in parts):
                sizes = tuple(None if part is None else tuple(part.shape[1:]) for part in parts)
                found[name] = sizes if isinstance(output, tuple) else sizes[0]

        return hook

    hooks = (module.register_forward_hook(note(name)) for name, module in model.named_modules())
    with hooked(hooks), evaluating(model), torch.no_grad(), without_fast_paths():
        model(*example)
    return found


def _innermost(blocks: list[Block]) -> list[Block]:
    """Without those that others are a part of."""
    return [
        block
        for block in blocks
        if not any(other.layers < block.layers for other in blocks if other is not block)
    ]
