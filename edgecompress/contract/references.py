"""A reference for each kind of declaration."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edgecompress.artifact import TensorInfo
from edgecompress.contract import mistakes, prepare, sound, sound_mistakes, text
from edgecompress.contract.picture import drawn, read_picture, write_png
from edgecompress.contract.reference import Departure, Numbers, Prepared, Reference
from edgecompress.spec.preprocessing import (
    AnyPreprocessing,
    AudioPreprocessing,
    ImagePreprocessing,
    TextPreprocessing,
)


class Pictures(Reference):
    noun = "picture"

    def __init__(self, declared: ImagePreprocessing, infos: Sequence[TensorInfo]) -> None:
        self.declared, self.layout = declared, infos[0].layout

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        sides = self.declared.size
        if self.layout == "nhwc":
            return ((*sides, self.declared.channels),)
        return ((self.declared.channels, *sides),)

    def draw(self, folder: Path) -> list[Path]:
        path = folder / "picture.png"
        write_png(drawn(self.declared), path)
        return [path]

    def prepare(self, path: Path) -> Prepared:
        return (prepare.prepare(read_picture(path), self.declared),)

    def departure(self, given: Sequence[Numbers], paths: Sequence[Path]) -> Departure:
        (numbers,), picture = given, drawn(self.declared)
        return mistakes.departure(numbers, picture, self.declared, self.layout)


class Sounds(Reference):
    noun = "sound"

    def __init__(self, declared: AudioPreprocessing, infos: Sequence[TensorInfo]) -> None:
        self.declared, self.info = declared, infos[0]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        whole = (self.declared.channels, self.declared.samples)
        return (whole, whole[1:]) if self.declared.channels == 1 else (whole,)

    def draw(self, folder: Path) -> list[Path]:
        names = "longer.wav", "shorter.wav"
        paths = [folder / name for name in names]
        for drawn_sound, path in zip(sound.drawn(self.declared), paths, strict=True):
            sound.write_sound(drawn_sound, path)
        return paths

    def prepare(self, path: Path) -> Prepared:
        prepared = sound.prepare(*sound.read_sound(path), self.declared)
        return (prepared.astype(np.float32).reshape(self._shape),)

    def departure(self, given: Sequence[Numbers], paths: Sequence[Path]) -> Departure:
        sounds = sound.drawn(self.declared)
        step = self.info.scale if self.info.scale is not None else 0.0
        for numbers in given:
            if numbers.shape != self._shape:
                told = f"its shape is {list(numbers.shape)}, and the file takes {list(self._shape)}"
                return Departure(False, (), None, told)
        return sound_mistakes.departure(given, sounds, self.declared, step)

    @property
    def _shape(self) -> tuple[int, ...]:
        """The file says whether its channels are a dimension of their own."""
        whole = self.shapes[0]
        return (1, *(whole if len(self.info.shape) > len(whole) else whole[1:]))


class Texts(Reference):
    noun = "text"

    def __init__(self, declared: TextPreprocessing, infos: Sequence[TensorInfo]) -> None:
        self.declared, self.infos = declared, infos
        self.inputs = len(declared.inputs)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.declared.length,),)

    def draw(self, folder: Path) -> list[Path]:
        return text.written(self.declared, folder)

    def prepare(self, path: Path) -> Prepared:
        """Raises SpecError, too, where it is none of the texts that the file came with."""
        rows = text.rows(text.tokens_in(path, self.declared), self.declared)
        return tuple(
            # Tokens are int64 in a task, and become as wide as the file has them.
            np.array([row], np.int64 if "int" in info.dtype else info.dtype)
            for row, info in zip(rows, self.infos, strict=True)
        )

    def departure(self, given: Sequence[Numbers], paths: Sequence[Path]) -> Departure:
        return text.departure(given, self.declared)


_KINDS: dict[str, Callable[..., Reference]] = {"image": Pictures, "audio": Sounds, "text": Texts}


def reference(declared: AnyPreprocessing, infos: Sequence[TensorInfo]) -> Reference:
    """What a declaration comes to for the inputs of a file."""
    return _KINDS[declared.kind](declared, infos)
