"""Pictures as a file declares them, with numpy and Pillow alone: docs/contract.md has the keys.

The examples beside this file read the declaration from their files; what is done with it is here.
"""

import json

import numpy as np
from PIL import Image, ImageOps


def declared_in(notes):
    """The declaration among the notes of a file, texts by their names."""
    if "edgecompress.preprocessing" not in notes:
        raise SystemExit("the file does not say how its input is prepared: deploy it again")
    declared = json.loads(notes["edgecompress.preprocessing"])
    if declared["kind"] != "image":
        raise SystemExit(f"the file takes {declared['kind']}, and this is an example for pictures")
    return declared


def prepared(path, declared):
    """What the network takes, [1, channels, height, width]: float32; or uint8, where the file
    normalises it itself.
    """
    with Image.open(path) as opened:
        picture = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    if declared["colours"] == "gray":
        picture = np.rint(picture @ [[0.299], [0.587], [0.114]])
    elif declared["colours"] == "bgr":
        picture = picture[:, :, ::-1]
    levels = np.moveaxis(_fitted(picture, declared), 2, 0)[None]
    if declared.get("normalised_in") == "file":
        return np.ascontiguousarray(levels, np.uint8)
    mean = np.reshape(declared["mean"] or [0.0], (-1, 1, 1))
    std = np.reshape(declared["std"] or [1.0], (-1, 1, 1))
    values = (levels.astype(np.float64) * declared["scale"] - mean) / std
    return np.ascontiguousarray(values, np.float32)


def _fitted(picture, declared):
    """The picture in the declared size, [height, width, channels]; levels stay whole."""
    size, sides = np.array(declared["size"]), np.array(picture.shape[:2])
    if declared["resize"] == "stretch":
        return _scaled(picture, size, declared)
    if declared["resize"] == "letterbox":
        inner = np.clip(np.rint(sides * (size / sides).min()).astype(int), 1, size)
        canvas = np.full((*size, picture.shape[2]), float(declared["fill"]))
        top, left = (size - inner) // 2
        canvas[top:, left:][: inner[0], : inner[1]] = _scaled(picture, inner, declared)
        return canvas
    ratio = declared["shorter"] / sides.min() if declared["shorter"] else (size / sides).max()
    whole = np.maximum(np.rint(sides * ratio).astype(int), size)
    top, left = (whole - size) // 2
    return _scaled(picture, whole, declared)[top:, left:][: size[0], : size[1]]


def _scaled(picture, size, declared):
    if tuple(size) == picture.shape[:2]:
        return picture
    narrow = _along(picture.swapaxes(0, 1), size[1], declared).swapaxes(0, 1)
    return np.clip(np.rint(_along(narrow, size[0], declared)), 0, 255)


def _along(lines, count, declared):
    """`count` lines in place of all, each a weighted sum of those round its centre."""
    ratio, kind, antialias = len(lines) / count, declared["interpolation"], declared["antialias"]
    centres = (np.arange(count) + 0.5) * ratio
    if kind == "nearest":
        return lines[np.minimum(centres.astype(int), len(lines) - 1)]
    kernel, reach = (_linear, 1) if kind == "bilinear" else (_cubic, 2)
    wide = max(ratio, 1.0) if antialias else 1.0
    found = []
    for centre in centres:
        near = np.arange(int(centre - reach * wide) - 1, int(centre + reach * wide) + 2)
        # Beyond the border there is nothing; without antialias, the last line goes on.
        if antialias:
            near = near[(near >= 0) & (near < len(lines))]
        weights = kernel(np.abs(near + 0.5 - centre) / wide, -0.5 if antialias else -0.75)
        taken = lines[np.clip(near, 0, len(lines) - 1)]
        found.append(np.tensordot(weights / weights.sum(), taken, 1))
    return np.stack(found)


def _linear(away, _):
    return np.maximum(1 - away, 0)


def _cubic(away, a):
    inner = ((a + 2) * away - (a + 3)) * away * away + 1
    outer = ((a * away - 5 * a) * away + 8 * a) * away - 4 * a
    return np.where(away < 1, inner, np.where(away < 2, outer, 0))


def show(name, array, notes):
    """The best five of an output's classes, or between which numbers it lies."""
    labels = json.loads(notes.get("edgecompress.labels", "[]"))
    if array.shape != (1, len(labels)):
        print(f"{name}: {list(array.shape)}, between {array.min():.4g} and {array.max():.4g}")
        return
    for index in array[0].argsort()[::-1][:5]:
        print(f"{name}: {array[0][index]:.4f} {labels[index]}")
