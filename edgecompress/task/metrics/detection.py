"""How many objects are found, how precisely, and how few others."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from edgecompress.errors import TaskError

Found = tuple[Tensor, Tensor, Tensor]
"""What is found in one picture: boxes [m, 4] xyxy, scores [m], labels [m]."""


class MeanAveragePrecision:
    """COCO's: the mean over classes and over overlaps of 50, 55 .. 95 %, of at most 100 boxes a
    picture, by faster-coco-eval.
    """

    higher_is_better: bool | None = True
    is_share = True

    def __init__(self) -> None:
        """Raises TaskError where faster-coco-eval is missing."""
        try:
            import faster_coco_eval
        except ImportError as error:
            raise TaskError(
                f"mean average precision needs faster-coco-eval ({error}); run: pip install"
                " 'edgecompress[detection]'"
            ) from error
        self._library = faster_coco_eval
        self._found: list[dict[str, Any]] = []
        self._wanted: list[dict[str, Any]] = []
        self._pictures = 0

    def update(self, found: Sequence[Found], target: Sequence[Mapping[str, Tensor]]) -> None:
        """Add what was found and what there is: for each picture, boxes [n, 4] xyxy under 'boxes'
        and labels [n] under 'labels'.
        """
        for (boxes, scores, labels), truth in zip(found, target, strict=True):
            self._found += _rows(self._pictures, boxes, labels, {"score": scores.tolist()})
            areas = _areas(truth["boxes"])
            self._wanted += _rows(
                self._pictures, truth["boxes"], truth["labels"], {"area": areas.tolist()}
            )
            self._pictures += 1

    def compute(self) -> float:
        """Between 0 and 1; NaN when there was no object to find."""
        if not self._wanted:
            return float("nan")
        categories = {row["category_id"] for row in (*self._wanted, *self._found)}
        known = {
            "images": [{"id": picture} for picture in range(self._pictures)],
            "categories": [{"id": each, "name": str(each)} for each in sorted(categories)],
            "annotations": [
                {**row, "id": index, "iscrowd": 0} for index, row in enumerate(self._wanted, 1)
            ],
        }
        truth = self._library.COCO(known)
        # Copies, because the library writes into what it is given.
        found = truth.loadRes([dict(row) for row in self._found])
        scored = self._library.COCOeval_faster(truth, found, iouType="bbox")
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
        return float(scored.stats[0])


def _rows(
    picture: int, boxes: Tensor, labels: Tensor, more: dict[str, list[float]]
) -> list[dict[str, Any]]:
    """Entries of COCO's format, whose boxes have a width and a height."""
    flat = boxes.detach().double().cpu()
    sizes = flat[:, 2:] - flat[:, :2]
    corners = zip(flat[:, :2].tolist(), sizes.tolist(), strict=True)
    return [
        {
            "image_id": picture,
            "category_id": label,
            "bbox": [*corner, *size],
            **{name: values[index] for name, values in more.items()},
        }
        for index, ((corner, size), label) in enumerate(zip(corners, labels.tolist(), strict=True))
    ]


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
