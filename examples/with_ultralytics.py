"""The first example of ultralytics, training and validating a YOLO; but from scratch, and on shapes
that are drawn, which need no download. The lines with edgecompress or report in them are added.

    pip install 'edgecompress[ultralytics]'
    python examples/with_ultralytics.py
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from ultralytics import YOLO

import edgecompress

SIDE = 64
DATA = """\
path: {folder}
train: images/train
val: images/val
names: [box, disc]
"""


def draw_shapes(folder, part, count, seed):
    draw = np.random.default_rng(seed)
    images, labels = (folder / kind / part for kind in ("images", "labels"))
    for place in (images, labels):
        place.mkdir(parents=True)
    for i in range(count):
        picture = Image.fromarray(draw.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8))
        lines = []
        for left in (2, 34):
            kind, size = int(draw.integers(2)), int(draw.integers(14, 28))
            x, y = left + draw.integers(28 - size + 1), draw.integers(SIDE - size)
            outline = ImageDraw.Draw(picture)
            shape = outline.rectangle if kind == 0 else outline.ellipse
            shape([x, y, x + size - 1, y + size - 1], tuple(draw.integers(140, 256, 3).tolist()))
            middle = (x + size / 2) / SIDE, (y + size / 2) / SIDE
            lines.append(f"{kind} {middle[0]} {middle[1]} {size / SIDE} {size / SIDE}")
        picture.save(images / f"{i}.png")
        (labels / f"{i}.txt").write_text("\n".join(lines))


if __name__ == "__main__":
    folder = Path("shapes").resolve()
    draw_shapes(folder, "train", 160, seed=1)
    draw_shapes(folder, "val", 64, seed=2)
    (folder / "shapes.yaml").write_text(DATA.format(folder=folder))

    model = YOLO("yolo11n.yaml")
    model.train(
        data=folder / "shapes.yaml", epochs=30, imgsz=SIDE, device="cpu", workers=0, plots=False
    )
    metrics = model.val(rect=False, workers=0, plots=False)
    report = edgecompress.compress(model, target="local")
    print(report)
