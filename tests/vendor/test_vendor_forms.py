"""Other releases, boards and units of vendors' lines: files of {lines, expected, unread}.

`expected` names what matters of the result. `unread` is all that the result says it did not
understand: nothing that looks like data is lost in silence, and nothing that was read is in it.
"""

import json
from typing import Any

import pytest
from vendor_logs import FOLDER, NAMES, PARSERS, load

from edgecompress.vendor.text import UNREAD_LENGTH, unread

CASES = [
    (path.stem, case)
    for path in sorted((FOLDER / "forms").iterdir())
    for case in json.loads(path.read_text())
]


def named(found: Any, expected: Any) -> Any:
    """What `expected` names of `found`."""
    if isinstance(expected, dict):
        return {key: named(found[key], item) for key, item in expected.items()}
    if isinstance(expected, list) and len(found) == len(expected):
        return [named(item, wanted) for item, wanted in zip(found, expected, strict=True)]
    return found


@pytest.mark.parametrize(
    "case", [case for _, case in CASES], ids=[f"{name}: {case['what']}" for name, case in CASES]
)
def test_form(case):
    result = PARSERS[case["parser"]]("".join(f"{line}\n" for line in case["lines"]))
    assert result is not None
    found = result.model_dump(mode="json")
    assert named(found, case["expected"]) == case["expected"]
    assert found["unread"] == case["unread"]


@pytest.mark.parametrize("name", NAMES)
def test_all_of_a_published_log_is_understood(name):
    result = load(name).read()
    assert result is not None
    assert result.model_dump().get("unread", ()) == ()


def test_what_is_not_understood_is_bounded():
    lines = [f"NPU{number} time: 3 us" for number in range(100)]
    assert unread(lines) == (*lines[:8], "and 92 more")
    assert len(unread(["x" * 10_000])[0]) == UNREAD_LENGTH + len("..")
