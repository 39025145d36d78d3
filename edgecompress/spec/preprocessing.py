"""How an application must prepare what a model is given: declared in the task, kept in the file."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgecompress.spec.base import Spec

Colours = Literal["rgb", "bgr", "gray"]
Resize = Literal["stretch", "crop", "letterbox"]
Interpolation = Literal["nearest", "bilinear", "bicubic"]

_Side = Annotated[int, Field(ge=1, le=1 << 11)]
_Number = Annotated[float, Field(allow_inf_nan=False)]


class ImagePreprocessing(Spec):
    """From a picture of 8 bits a channel to the network's input; see docs/contract.md."""

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
