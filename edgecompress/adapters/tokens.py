"""What a Trainer's tokenizer makes of texts, as a declaration that a file carries."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from edgecompress.artifact import sha256_of
from edgecompress.spec.preprocessing import TextPreprocessing, TextSample

_MASK = "attention_mask"
_IDS = "input_ids"
_INPUTS: dict[str, Literal["tokens", "mask", "zeros"]] = {
    _IDS: "tokens",
    _MASK: "mask",
    "token_type_ids": "zeros",
}
_FILE = "tokenizer.json"
_ROWS = 64
"""So many are looked at for samples."""
_MOST_TEXT = 1 << 12
"""Characters, and tokens, that a sample may have."""
_MOST_SPECIAL = 16


def declared_text(
    trainer: Any, names: Sequence[str], length: int | None
) -> TextPreprocessing | None:
    """How an application makes the inputs of a text, where that can be told for certain: the
    tokenizer came from a file, rows are single texts between special tokens, and their tokens come
    out again when their text is tokenized.

    Args:
        trainer: of transformers.
        names: of the model's inputs, in order.
        length: of sequences; None: there are none.

    """
    tokenizer = trainer.processing_class
    file = _file_of(tokenizer)
    if file is None or length is None or not {_IDS} <= set(names) <= set(_INPUTS):
        return None
    found = _samples(tokenizer, trainer.eval_dataset)
    if found is None:
        return None
    begins, ends, samples = found
    on_the_left = getattr(tokenizer, "padding_side", "right") == "left"
    cut_left = getattr(tokenizer, "truncation_side", "right") == "left"
    padding = getattr(tokenizer, "pad_token_id", None)
    return TextPreprocessing(
        tokenizer=str(tokenizer.name_or_path)[-200:],
        sha256=sha256_of(file),
        length=length,
        inputs=tuple(_INPUTS[name] for name in names),
        begins=begins,
        ends=ends,
        cut="end" if cut_left else "start",
        pad="start" if on_the_left else "end",
        padding=0 if padding is None else padding,
        samples=samples,
    )


def _file_of(tokenizer: Any) -> Path | None:
    """The file that it was loaded from; None: it has none, or was made by code."""
    if not hasattr(tokenizer, "all_special_ids"):
        return None  # What prepares pictures or sounds, say.
    given = getattr(tokenizer, "init_kwargs", None)
    told = given.get("tokenizer_file") if isinstance(given, Mapping) else None
    places = [Path(str(getattr(tokenizer, "name_or_path", ""))) / _FILE]
    places += [] if told is None else [Path(str(told))]
    return next((place for place in places if place.is_file()), None)


def _samples(
    tokenizer: Any, data: Any
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[TextSample, ...]] | None:
    """Special tokens at the beginning and at the end, and the shortest and the longest text."""
    special = set(tokenizer.all_special_ids)
    frames, samples = set(), []
    for index in range(min(_ROWS, len(data))):
        row = data[index]
        if not isinstance(row, Mapping) or any(map(int, row.get("token_type_ids", ()))):
            return None
        mask = row.get(_MASK, [1] * len(row[_IDS]))
        ids = [int(each) for each, is_real in zip(row[_IDS], mask, strict=True) if is_real]
        first = next((at for at, each in enumerate(ids) if each not in special), len(ids))
        last = len(ids) - next((at for at, x in enumerate(ids[::-1]) if x not in special), 0)
        tokens = ids[first:last]
        text = tokenizer.decode(tokens)
        again = list(tokenizer.encode(text, add_special_tokens=False))
        if again != tokens or not 0 < len(text) <= _MOST_TEXT or not 0 < len(tokens) <= _MOST_TEXT:
            continue
        if len(ids) - len(tokens) > _MOST_SPECIAL:
            return None
        frames.add((tuple(ids[:first]), tuple(ids[last:])))
        samples.append(TextSample(text=text, tokens=tuple(tokens)))
    if len(frames) != 1:
        return None
    ((begins, ends),) = frames
    samples.sort(key=lambda sample: len(sample.tokens))
    return begins, ends, tuple(dict.fromkeys((samples[0], samples[-1])))
