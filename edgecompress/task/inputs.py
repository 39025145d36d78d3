"""A batch's inputs beside `example_inputs()`, which say what the model takes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from edgecompress.task.words import came, name_of


def wrong_count(inputs: Sequence[Tensor], examples: Sequence[Tensor]) -> str | None:
    """What is wrong with how many there are; None when nothing is."""
    if len(inputs) == len(examples):
        return None
    text = f"{len(inputs)} inputs came; the model takes {len(examples)}, as example_inputs() gives"
    if all(x.shape == examples[0].shape[1:] for x in inputs):
        return f"{text}; these are samples that are not stacked: give torch.stack(inputs)"
    return text


def wrong_kind(name: str, x: Tensor, example: Tensor) -> str | None:
    """What is wrong with the numbers of a batch; None when nothing is."""
    if x.dtype != example.dtype:
        wanted = f"the model takes {name_of(example.dtype)}, as example_inputs() gives"
        return f"{name} is {came(x)}; {wanted}{_way_to(example.dtype, x.dtype)}"
    # Infinity is what a mask adds, where the example's mask has it too.
    return wrong_numbers(name, x, may_be_infinite=bool(example.isinf().any()))


def wrong_example(name: str, x: Tensor) -> str | None:
    """What is wrong with the numbers of an example; None when nothing is."""
    if x.is_floating_point() and x.dtype != torch.float32:
        return f"{name} is {came(x)}; a model takes float32; give .float()"
    return wrong_numbers(name, x, may_be_infinite=True)


def wrong_numbers(name: str, x: Tensor, *, may_be_infinite: bool) -> str | None:
    """What is wrong with where they lie and what they are; None when nothing is."""
    if x.device.type != "cpu":
        return f"{name} is on {x.device}; everything runs on the CPU: give .cpu()"
    if x.requires_grad:
        return f"{name} requires a gradient; data does not: give .detach()"
    for bad, is_bad in (("NaN", x.isnan()), ("infinite", x.isinf())):
        if is_bad.any() and not (may_be_infinite and bad == "infinite"):
            count = f"{int(is_bad.sum())} of its values are {bad}"
            return f"{name} is {came(x)}, and {count}; give finite ones"
    return None


def wrong_shape(name: str, x: Tensor, example: Tensor) -> str | None:
    """What is wrong with an input's shape, of which the batch is free; None when nothing is."""
    if x.shape[1:] == example.shape[1:]:
        return None
    wanted = ", ".join(["N", *map(str, example.shape[1:])])
    way = _way_to_shape(x.shape, example.shape)
    return (
        f"{name} is {came(x)}; the model takes {name_of(example.dtype)} [{wanted}], as"
        f" example_inputs() gives{way}"
    )


def _way_to(wanted: torch.dtype, got: torch.dtype) -> str:
    if wanted.is_floating_point:
        scaled = "" if got.is_floating_point else ", scaled as the model was trained"
        return f"; give .float(){scaled}"
    return f"; give .to(torch.{name_of(wanted)})"


def _way_to_shape(got: torch.Size, wanted: torch.Size) -> str:
    if got == wanted[1:]:
        return "; the batch dimension is missing, which a DataLoader adds"
    if len(got) == len(wanted) - 1 and got[1:] == wanted[2:] and wanted[1] == 1:
        return "; the channels are missing: give .unsqueeze(1)"
    if len(got) == len(wanted) > 2 and got[1:] == (*wanted[2:], wanted[1]):
        order = (0, len(got) - 1, *range(1, len(got) - 1))
        return f"; the channels come last: give .permute{order}"
    return ""
