"""How an application must prepare what a model is given: declared in the task, kept in the file."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from edgecompress.spec.base import GrowingSpec, Spec

Colours = Literal["rgb", "bgr", "gray"]
Resize = Literal["stretch", "crop", "letterbox"]
Interpolation = Literal["nearest", "bilinear", "bicubic"]

_Side = Annotated[int, Field(ge=1, le=1 << 11)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Token = Annotated[int, Field(ge=0, le=(1 << 31) - 1)]


class ImagePreprocessing(GrowingSpec):
    """From a picture of 8 bits a channel to the network's input; see docs/contract.md."""

    newer: ClassVar[frozenset[str]] = frozenset({"normalised_in", "because"})

    kind: Literal["image"] = "image"
    size: tuple[_Side, _Side]
    """Height and width that the network takes."""
    colours: Colours = "rgb"
    resize: Resize = "stretch"
    shorter: _Side | None = None
    """What the shorter side becomes with `crop`, before the middle is cut out; None: as little as
    covers `size`.
    """
    fill: Annotated[int, Field(ge=0, le=255)] = 114
    """The level around the picture, with `letterbox`."""
    interpolation: Interpolation = "bilinear"
    antialias: bool = True
    """Whether all pixels count where a picture gets smaller, as in Pillow and not in OpenCV."""
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1 / 255
    """A level is multiplied by it; then comes (x - mean) / std."""
    mean: tuple[_Number, ...] = ()
    """One for each channel, in the order of `colours`; none: 0."""
    std: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = ()
    """As `mean`; none: 1."""
    normalised_in: Literal["application", "file"] = "application"
    """Where `scale`, `mean` and `std` are applied. With file, its input is levels, uint8; a runtime
    or a file for which that cannot be done stays with application.
    """
    because: Annotated[str, Field(max_length=500)] = ""
    """In a file: why it stayed, where the task wanted the other."""

    @property
    def channels(self) -> int:
        return 1 if self.colours == "gray" else 3

    @model_validator(mode="after")
    def _fits_together(self) -> "ImagePreprocessing":
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) != self.channels:
                raise ValueError(
                    f"{name} has {len(values)} numbers, and {self.colours} has {self.channels}"
                    " channels"
                )
        if self.shorter is not None:
            if self.resize != "crop":
                raise ValueError(f"shorter is of resize: crop, and not of {self.resize}")
            if self.shorter < max(self.size):
                raise ValueError(
                    f"shorter {self.shorter} is less than the {max(self.size)} that are cut out"
                )
        return self


class AudioPreprocessing(Spec):
    """From a sound of any rate, width and number of channels to the network's input, [1, samples]
    or [1, channels, samples]; see docs/contract.md.
    """

    kind: Literal["audio"] = "audio"
    sampling_rate_hz: Annotated[int, Field(ge=100, le=1 << 20)]
    """Samples a second, to which every sound is brought with all that it has below half of it, and
    nothing above.
    """
    samples: Annotated[int, Field(ge=1, le=1 << 22)]
    """How many the network takes of each channel."""
    channels: Literal[1, 2] = 1
    mix: Literal["mean", "first"] = "mean"
    """What several channels become where the network takes one."""
    cut: Literal["start", "middle", "end"] = "start"
    """The part of a longer sound that is kept."""
    pad: Literal["start", "both", "end"] = "end"
    """Where zeros are put to a shorter one."""
    normalise: Literal["none", "peak", "rms", "standard"] = "none"
    """What of the sound, once it is cut and before it is padded, becomes `full_scale`: with none,
    the largest number that its format can hold; its largest absolute value; its root mean square;
    or its standard deviation, with the mean made 0.
    """
    full_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """With normalise: none, 1 divides 16 bits by 32768, and 32768 leaves them as they are."""


class TextSample(Spec):
    """A text, and what the tokenizer makes of it: applications are tried with it."""

    text: Annotated[str, Field(min_length=1, max_length=1 << 12)]
    tokens: Annotated[tuple[_Token, ...], Field(min_length=1, max_length=1 << 12)]
    """All of its tokens, without special ones."""


class TextPreprocessing(Spec):
    """From a text to the network's inputs, each [1, length]; see docs/contract.md. The file names
    its tokenizer, and does not hold it.
    """

    kind: Literal["text"] = "text"
    tokenizer: Annotated[str, Field(min_length=1, max_length=200)]
    """As its users know it, such as 'bert-base-uncased'."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """The hash of the tokenizer's file, such as tokenizer.json."""
    length: Annotated[int, Field(ge=1, le=1 << 16)]
    """How many tokens the network takes, special ones and padding included."""
    inputs: Annotated[
        tuple[Literal["tokens", "mask", "zeros"], ...], Field(min_length=1, max_length=4)
    ] = ("tokens",)
    """What the network's inputs are, in order: `mask` is 1 for tokens and 0 for padding, and
    `zeros` is the token types of a single text.
    """
    begins: Annotated[tuple[_Token, ...], Field(max_length=16)] = ()
    """Special tokens before all others, such as that of [CLS]."""
    ends: Annotated[tuple[_Token, ...], Field(max_length=16)] = ()
    """Special tokens after all others, such as that of [SEP]."""
    cut: Literal["start", "end"] = "start"
    """The part of a longer text that is kept, before special tokens are added."""
    pad: Literal["start", "end"] = "end"
    """Where a shorter text is padded."""
    padding: _Token = 0
    """The token that it is padded with."""
    samples: Annotated[tuple[TextSample, ...], Field(min_length=1, max_length=16)]
    """Best one that is shorter than the network takes, and one that is longer."""

    @model_validator(mode="after")
    def _fits_together(self) -> "TextPreprocessing":
        if self.inputs.count("tokens") != 1:
            raise ValueError(f"inputs {list(self.inputs)} must have 'tokens' once")
        special = len(self.begins) + len(self.ends)
        if special >= self.length:
            raise ValueError(f"length {self.length} leaves no room beside {special} special tokens")
        return self


AnyPreprocessing = ImagePreprocessing | AudioPreprocessing | TextPreprocessing
Preprocessing = Annotated[AnyPreprocessing, Field(discriminator="kind")]
PREPROCESSINGS: Mapping[str, type[AnyPreprocessing]] = {
    "image": ImagePreprocessing,
    "audio": AudioPreprocessing,
    "text": TextPreprocessing,
}
