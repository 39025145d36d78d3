"""The texts that applications are tried with, what must be given for them, and usual mistakes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

from edgecompress.contract.reference import Departure, Numbers
from edgecompress.errors import SpecError, StorageError
from edgecompress.spec.preprocessing import TextPreprocessing

_MOST_BYTES = 1 << 16
_SHOWN = 12
Side = Literal["start", "end"]


@dataclass(frozen=True)
class _Way:
    """How tokens become the network's inputs."""

    cut: Side
    pad: Side
    padding: int
    begins: bool = True
    ends: bool = True
    cuts_special: bool = False
    """Special tokens are added first, and cut as all others."""
    mask: Literal["tokens", "padding", "all"] = "tokens"
    """Where it is 1."""


def written(declared: TextPreprocessing, folder: Path) -> list[Path]:
    """Write each sample's text there.

    Raises:
        StorageError: it cannot be written.

    """
    paths = [folder / f"text-{number}.txt" for number in range(1, len(declared.samples) + 1)]
    for sample, path in zip(declared.samples, paths, strict=True):
        try:
            path.write_bytes(sample.text.encode())
        except OSError as error:
            raise StorageError(f"{path}: cannot be written: {error.strerror}") from None
    return paths


def tokens_in(path: Path, declared: TextPreprocessing) -> tuple[int, ...]:
    """What the tokenizer makes of a text that the file came with.

    Raises:
        SpecError: it cannot be read, or is another one.

    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    for sample in declared.samples:
        if content.rstrip() == sample.text.encode().rstrip():
            return sample.tokens
    raise SpecError(
        f"{path}: the model names its tokenizer '{declared.tokenizer}' and does not hold it, so"
        " only the texts that it came with can be run; check-contract --vectors DIR writes them"
    )


def rows(tokens: Sequence[int], declared: TextPreprocessing) -> list[list[int]]:
    """The network's inputs for the tokens of a text, each of `length` numbers."""
    return _rows(tokens, declared, _declared_way(declared))


def departure(given: Sequence[Numbers], declared: TextPreprocessing) -> Departure:
    """Which of the usual mistakes an application made.

    Args:
        given: what it would give to the file for each sample, [inputs, length]; a batch of one may
            stand between.
        declared: what the file says.

    """
    shape = len(declared.inputs), declared.length
    for numbers in given:
        if numbers.size != shape[0] * shape[1] or numbers.shape[-1] != declared.length:
            told = f"its shape is {list(numbers.shape)}, and the file's inputs are {list(shape)}"
            return Departure(False, (), None, told)
    have = [numbers.reshape(shape) for numbers in given]
    right = _declared_way(declared)
    explained = [
        tuple(_told(way, right))
        for way in _ways(have, declared)
        if all(
            np.array_equal(numbers, _rows(sample.tokens, declared, way))
            for numbers, sample in zip(have, declared.samples, strict=True)
        )
    ]
    if not explained:
        return Departure(False, (), None, _unexplained(have, declared))
    fewest = min(explained, key=len)
    return Departure(not fewest, fewest, None, "; ".join(fewest) if fewest else "as declared")


def _declared_way(declared: TextPreprocessing) -> _Way:
    return _Way(declared.cut, declared.pad, declared.padding)


def _rows(tokens: Sequence[int], declared: TextPreprocessing, way: _Way) -> list[list[int]]:
    before = declared.begins if way.begins else ()
    after = declared.ends if way.ends else ()
    special = 0 if way.cuts_special else len(before) + len(after)
    whole = [*before, *tokens, *after] if way.cuts_special else [*tokens]
    room = declared.length - special
    whole = whole[:room] if way.cut == "start" else whole[max(len(whole) - room, 0) :]
    if not way.cuts_special:
        whole = [*before, *whole, *after]
    lacking = declared.length - len(whole)
    fill, real = [way.padding] * lacking, [1] * len(whole)
    none = [0] * lacking
    at_end = way.pad == "end"
    mask = [*real, *none] if at_end else [*none, *real]
    masks = {"tokens": mask, "padding": [1 - each for each in mask], "all": [1] * len(mask)}
    found = {
        "tokens": [*whole, *fill] if at_end else [*fill, *whole],
        "mask": masks[way.mask],
        "zeros": [0] * declared.length,
    }
    return [found[name] for name in declared.inputs]


def _ways(given: Sequence[Numbers], declared: TextPreprocessing) -> Iterator[_Way]:
    place = declared.inputs.index("tokens")
    ends = {int(value) for numbers in given for value in numbers[place][[0, -1]]}
    right = _declared_way(declared)
    sides: tuple[Side, Side] = ("start", "end")
    for cut, pad, padding in product(sides, sides, {declared.padding, *ends}):
        for begins, ends_too, special in product((True, False), repeat=3):
            for mask in ("tokens", "padding", "all"):
                yield replace(
                    right,
                    cut=cut,
                    pad=pad,
                    padding=padding,
                    begins=begins,
                    ends=ends_too,
                    cuts_special=not special,
                    mask=mask,
                )


def _told(way: _Way, right: _Way) -> Iterator[str]:
    """A line for each departure."""
    texts = {
        "cut": f"the {way.cut} of a longer text is kept, not the {right.cut}",
        "pad": f"padded at the {way.pad}, not at the {right.pad}",
        "padding": f"padded with token {way.padding}, not with {right.padding}",
        "begins": "the special tokens at the beginning are missing",
        "ends": "the special tokens at the end are missing",
        "cuts_special": "a longer text is cut when its special tokens are there, and loses some",
        "mask": "the mask is 1 for padding and 0 for tokens"
        if way.mask == "padding"
        else "the mask is 1 for padding, too",
    }
    for field in fields(way):
        if getattr(way, field.name) != getattr(right, field.name):
            yield texts[field.name]


def _unexplained(given: Sequence[Numbers], declared: TextPreprocessing) -> str:
    for number, (numbers, sample) in enumerate(zip(given, declared.samples, strict=True), start=1):
        wanted = np.array(rows(sample.tokens, declared))
        apart = np.argwhere(numbers != wanted)
        if len(apart):
            row, place = apart[0]
            name = declared.inputs[row]
            return (
                f"text {number}: its {name} at place {place} is {numbers[row, place]:g}, and must"
                f" be {wanted[row, place]}; is the tokenizer '{declared.tokenizer}', of sha256"
                f" {declared.sha256[:_SHOWN]}...?"
            )
    raise AssertionError("asked where something differs")
