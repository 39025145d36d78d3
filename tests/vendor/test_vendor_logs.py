"""Every log that a vendor's tool printed is read right: files of {input, expected}.

The expected ones were written from the logs by hand.
"""

import pytest
from pydantic import JsonValue
from vendor_logs import FOLDER, NAMES, load


def said(value: JsonValue) -> JsonValue:
    """Without what is None or empty."""
    if isinstance(value, dict):
        said_of = {key: said(item) for key, item in value.items()}
        return {key: item for key, item in said_of.items() if item not in (None, [], {})}
    return [said(item) for item in value] if isinstance(value, list) else value


def shortened(found: JsonValue, expected: JsonValue) -> JsonValue:
    """Long lists as `expected` writes them: the length, and the items that it names."""
    if isinstance(found, list) and isinstance(expected, dict):
        items = {key: found[int(key)] for key in expected if key != "length"}
        return {"length": len(found), **items}
    if isinstance(found, dict) and isinstance(expected, dict):
        return {key: shortened(item, expected.get(key)) for key, item in found.items()}
    return found


def test_every_log_is_in_the_table():
    assert sorted(path.name[: -len(".json")] for path in (FOLDER / "expected").iterdir()) == NAMES
    assert len(NAMES) == 10


@pytest.mark.parametrize("name", NAMES)
def test_log(name):
    log = load(name)
    found = log.read()
    assert found is not None
    assert shortened(said(found.model_dump(mode="json")), log.expected) == log.expected
