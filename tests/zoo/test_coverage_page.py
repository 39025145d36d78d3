"""docs/coverage.md is what `python tests/zoo/coverage.py` writes."""

import re
from pathlib import Path

import pytest

pytest.importorskip("litert_torch", reason="needs litert-torch: pip install '.[litert]'")

pytest.importorskip("executorch", reason="needs executorch: pip install '.[executorch]'")
pytest.importorskip("openvino", reason="needs openvino: pip install '.[openvino]'")

from zoo.coverage import COLUMNS, CONSTRUCTS, lines_of, row

PAGE = (Path(__file__).parents[2] / "docs" / "coverage.md").read_text()
LINES = lines_of(PAGE)
AGAIN = ("residual add", "layer norm", "several inputs")
"""Made anew by the test; all of them would take many minutes."""


def test_every_construct_has_its_line() -> None:
    assert list(LINES) == list(CONSTRUCTS)
    assert PAGE.splitlines()[6] == f"| {' | '.join(COLUMNS)} |"


def test_nothing_is_wrong_and_all_is_explained() -> None:
    cell = re.compile(r"int8|int8 but [\w:]+: .{10,}|refused: .{20,}", re.DOTALL)
    for name, line in LINES.items():
        for text in line.strip("| ").split(" | ")[2:]:
            assert cell.fullmatch(text), (name, text)


@pytest.mark.slow
@pytest.mark.parametrize("construct", AGAIN)
def test_the_page_is_current(construct: str) -> None:
    assert row(construct).line() == LINES[construct]
