"""A reference for each kind of declaration."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edgecompress.artifact import TensorInfo
from edgecompress.contract import mistakes, prepare, sound, sound_mistakes
from edgecompress.contract.picture import drawn, read_picture, write_png
from edgecompress.contract.reference import Departure, Numbers, Prepared, Reference
from edgecompress.spec.preprocessing import AudioPreprocessing, ImagePreprocessing


class Pictures(Reference):
    noun = "picture"

    def __init__(self, declared: ImagePreprocessing, info: TensorInfo) -> None:
        self.declared, self.layout = declared, info.layout

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
        return prepare.prepare(read_picture(path), self.declared)

    def departure(self, given: Sequence[Numbers], paths: Sequence[Path]) -> Departure:
        (numbers,), picture = given, drawn(self.declared)
        return mistakes.departure(numbers, picture, self.declared, self.layout)


class Sounds(Reference):
    noun = "sound"

    def __init__(self, declared: AudioPreprocessing, info: TensorInfo) -> None:
        self.declared, self.info = declared, info

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
        return prepared.astype(np.float32).reshape(self._shape)

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


_KINDS: dict[str, Callable[..., Reference]] = {"image": Pictures, "audio": Sounds}


def reference(declared: ImagePreprocessing | AudioPreprocessing, info: TensorInfo) -> Reference:
    """What a declaration comes to for an input of a file."""
    return _KINDS[declared.kind](declared, info)
