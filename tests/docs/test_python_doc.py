"""docs/python.md: every argument is told, and what it shows is what is there."""

import re
from pathlib import Path

from edgecompress import api
from edgecompress.api.compressing import ONE_POINT, PLAIN_INT8, CompressOptions

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
OWN = ("model", "train", "evaluate", "target")


def test_every_argument_has_a_row() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", PAGE, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert told == {*OWN, *CompressOptions.__annotations__} - {"time"}
    assert '`time="30m"`' in PAGE


def test_every_call_is_shown() -> None:
    shown = set(re.findall(r"^(?:\w+ = )?edgecompress\.(\w+)\(", PAGE, re.MULTILINE))
    assert shown == {name for name in api.__all__ if name.islower()}


def test_defaults() -> None:
    assert f"`mode: {PLAIN_INT8['mode']}`, `ranges: {PLAIN_INT8['ranges']}`" in PAGE
    assert f"{PLAIN_INT8['calibration_batches']} batches" in PAGE
    assert ONE_POINT == {"max_metric_drop": 0.01}
    assert "accuracy may lose one point" in PAGE
